"""Decisions: the engine port, the embedded Rego engine, obligations, approvals."""
