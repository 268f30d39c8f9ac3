"""Makes the upstream that a configuration entry describes. Each transport is imported only where one is used."""

from __future__ import annotations

from typing import Any

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import ConfigError
from agentflow.gateway.upstreams.connection import Connector
from agentflow.gateway.upstreams.managed import ManagedUpstream
from agentflow.gateway.upstreams.port import Changed, Unsolicited
from agentflow.identity.downstream import Source

JSON = dict[str, Any]


def build(
    name: str,
    config: ServerConfig,
    limits: LimitsConfig,
    *,
    on_change: Changed,
    on_unsolicited: Unsolicited,
    source: Source | None = None,
) -> ManagedUpstream:
    """Return the upstream, not yet started.

    Args:
        source: the credentials of an entry with `auth`.

    Raises:
        ConfigError: the entry cannot be used.
    """

    def schema_of(tool: str) -> JSON | None:
        return upstream.input_schema(tool)

    problems: Any = tuple
    connector: Connector
    match config.type:
        case "stdio":
            from agentflow.gateway.upstreams.stdio import StdioConnector

            connector = StdioConnector(name, config, limits, source)
        case "http":
            from agentflow.gateway.upstreams.streamable import StreamableConnector

            connector = StreamableConnector(config, limits, name=name, schema_of=schema_of, source=source)
        case "sse":
            from agentflow.gateway.upstreams.legacy_sse import SseConnector

            connector = SseConnector(config, limits, name=name, source=source)
        case "tools":
            from agentflow.gateway.upstreams.local import ToolsConnector

            tools = ToolsConnector(name, config, limits)
            connector, problems = tools, lambda: tools.problems
        case "openapi":
            from agentflow.gateway.upstreams.local import OpenApiConnector

            connector = OpenApiConnector(name, config, limits, source)
        case _:
            raise ConfigError(f"server {name!r} has no type")
    upstream = ManagedUpstream(
        name,
        config,
        limits,
        connector,
        on_change=on_change,
        on_unsolicited=on_unsolicited,
        problems=problems,
        source=source,
    )
    return upstream
