"""The configuration files of MCP clients: read, moved behind the gateway, and put back byte for byte."""
