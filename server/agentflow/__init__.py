"""AgentFlow: one guarded MCP endpoint between AI clients and all their tools."""

__version__ = "0.1.0"
