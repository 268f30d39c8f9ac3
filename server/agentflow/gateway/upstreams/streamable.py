"""The connector of `type: http`: streamable HTTP in whichever era the upstream speaks.

Promises one TLS context for all connections of an upstream, one pool of sockets for all that go out under the gateway's
own credentials and one for each principal that has its own, and nothing of the caller's but name and capabilities.
"""

from __future__ import annotations

import ssl

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import Unsupported, UpstreamProtocolError, UpstreamTimeout
from agentflow.gateway.upstreams.connection import Connection, OnNotification
from agentflow.gateway.upstreams.personal import HttpClients
from agentflow.gateway.upstreams.port import ClientIdentity, Era
from agentflow.gateway.upstreams.streamable_legacy import LegacyConnection
from agentflow.gateway.upstreams.streamable_modern import ModernConnection, ParamHeaders, SchemaOf
from agentflow.identity.downstream import Source

# A handshake-era server may never answer a method it does not know; do not spend the whole timeout on finding out.
_PROBE_SECONDS = 10.0


class StreamableConnector:
    """Makes sessions with one streamable-HTTP upstream; see `connection.Connector`.

    Args:
        name: the server's name, for messages.
        schema_of: gives a tool's current `inputSchema`, for the `Mcp-Param-*` headers of the stateless era.
        tls: replaces the default verifying context.
        source: the credentials of an entry with `auth`.

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
        source: Source | None = None,
    ) -> None:
        self._http = HttpClients(config, limits, name, tls, source)
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
        connection = ModernConnection(
            self._http.of(identity.principal), identity, self._max_result, on_notification, self._params
        )
        await connection.discover(timeout)
        return connection

    async def _legacy(self, identity: ClientIdentity, on_notification: OnNotification) -> LegacyConnection:
        connection = LegacyConnection(self._http.of(identity.principal), identity, self._max_result, on_notification)
        try:
            await connection.initialize(self._timeout)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """As `connection.Connector.close`."""
        await self._http.close()
