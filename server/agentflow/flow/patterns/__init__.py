"""Reasoning patterns: each a procedure of its own over a run's steps, selectable per run."""
