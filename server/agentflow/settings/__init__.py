"""Reads, checks, edits and watches `agentflow.yaml`; what the settings mean is `config.py`'s business."""
