"""Connections to the servers behind the gateway, one module per kind, all behind `port.Upstream`."""
