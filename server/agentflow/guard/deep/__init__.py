"""The deep tier of PII: people, places, organisations, addresses, dates of birth, by Presidio with an entity model.

`tier.DeepTier` is what the pipeline uses. Presidio and the model live in a process of their own (`worker.py`), which
is started at the first question and cannot open a network connection. Nothing here is imported by the gateway's
process beyond the standard library.
"""
