"""Definitions of tools, prompts and resources: remembered as they were first seen or approved, compared ever after."""
