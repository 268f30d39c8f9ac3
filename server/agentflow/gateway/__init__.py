"""Speaks MCP on both sides: the front, the catalogue of everything behind it, the upstream connections."""
