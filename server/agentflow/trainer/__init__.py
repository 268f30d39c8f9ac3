"""Training the planner policy with Group Variance Policy Optimization (arXiv 2504.19599).

A sidecar's code: never imported by the gateway, and nothing here is imported before torch is wanted.
`gvpo` is the loss in plain torch, `trl_adapter` the trainer on top of trl.
"""
