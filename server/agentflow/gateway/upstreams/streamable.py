"""The connector of `type: http`: streamable HTTP in whichever era the upstream speaks.

Promises one TLS context and one pool of sockets for all connections of an upstream, and that the upstream gets
the credentials of its own entry and nothing of the caller's but name and capabilities.
"""

from __future__ import annotations

import ssl

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import ConfigError, Unsupported, UpstreamProtocolError, UpstreamTimeout
from agentflow.gateway.upstreams.connection import Connection, OnNotification
from agentflow.gateway.upstreams.http1 import HttpClient
from agentflow.gateway.upstreams.port import ClientIdentity, Era
from agentflow.gateway.upstreams.streamable_legacy import LegacyConnection
from agentflow.gateway.upstreams.streamable_modern import ModernConnection, ParamHeaders, SchemaOf

# A handshake-era server may never answer a method it does not know; do not spend the whole timeout on finding out.
_PROBE_SECONDS = 10.0


def open_client(config: ServerConfig, limits: LimitsConfig, name: str, tls: ssl.SSLContext | None) -> HttpClient:
    """Make the HTTP client of an upstream from its entry.

    Raises:
        ConfigError: `url` or a header cannot be used.
    """
    if config.url is None:
        raise ConfigError("an HTTP upstream needs `url`")
    headers = dict(config.headers)
    for key, secret in config.credentials.items():
        for former in [known for known in headers if known.lower() == key.lower()]:
            del headers[former]
        headers[key] = secret.get_secret_value()
    label = f"upstream {name!r}" if name else ""
    return HttpClient(config.url, headers, label=label, max_header=limits.max_header, tls=tls)


class StreamableConnector:
    """Makes sessions with one streamable-HTTP upstream; see `connection.Connector`.

    Args:
        name: the server's name, for messages.
        schema_of: gives a tool's current `inputSchema`, for the `Mcp-Param-*` headers of the stateless era.
        tls: replaces the default verifying context.

    Raises:
        ConfigError: `url` or a header cannot be used.
    """

    def __init__(
        self,
        config: ServerConfig,
        limits: LimitsConfig,
        *,
        name: str = "",
        schema_of: SchemaOf | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._http = open_client(config, limits, name, tls)
        self._max_result = limits.max_result
        self._timeout = config.timeout
        self._params = ParamHeaders(schema_of)

    async def connect(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Connection:
        """As `connection.Connector.connect`."""
        if era == "legacy":
            return await self._legacy(identity, on_notification)
        if era == "modern":
            return await self._modern(identity, on_notification, self._timeout)
        try:
            return await self._modern(identity, on_notification, min(self._timeout, _PROBE_SECONDS))
        except (Unsupported, UpstreamTimeout, UpstreamProtocolError):
            # Whatever is wrong, if anything is, `initialize` will tell: its errors are those of an MCP endpoint.
            return await self._legacy(identity, on_notification)

    async def _modern(
        self, identity: ClientIdentity, on_notification: OnNotification, timeout: float
    ) -> ModernConnection:
        connection = ModernConnection(self._http, identity, self._max_result, on_notification, self._params)
        await connection.discover(timeout)
        return connection

    async def _legacy(self, identity: ClientIdentity, on_notification: OnNotification) -> LegacyConnection:
        connection = LegacyConnection(self._http, identity, self._max_result, on_notification)
        try:
            await connection.initialize(self._timeout)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """As `connection.Connector.close`."""
        await self._http.close()
