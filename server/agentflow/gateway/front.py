"""The front: the SDK's low-level server, with every method handed to the gateway as raw JSON.

One `Server` object serves both protocol eras on every transport; the SDK frames, negotiates and validates the
envelope, the gateway does the rest. This module is the only one that touches the SDK's server side, and
`_Channel` the only place that reaches below its typed API: typed models would drop fields that this version of
the SDK does not know.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict

from agentflow import __version__
from agentflow.errors import AgentFlowError, Unsupported, UpstreamError, to_rpc
from agentflow.gateway.client import LOG_LEVELS, ClientEnd
from agentflow.gateway.core import Gateway
from agentflow.gateway.upstreams.port import ClientIdentity
from agentflow.identity.principal import Principal

JSON = dict[str, Any]
Context = ServerRequestContext[Any, Any]
log = logging.getLogger(__name__)

PRINCIPAL = "agentflow.principal"  # key in the ASGI scope
# The same principal, for the one SDK hook that is not given the request.
CURRENT: ContextVar[Principal] = ContextVar("agentflow_principal")
_NO_HINT = CacheHint(ttl_ms=0, scope="private")


class _Raw(BaseModel):
    """Any params: their envelope was validated by the SDK, their content is the gateway's business."""

    model_config = ConfigDict(extra="ignore")


class _Channel:
    """The two raw ways to the client of one request."""

    __slots__ = ("_dctx",)

    def __init__(self, ctx: Context) -> None:
        self._dctx = ctx.session._request_outbound

    async def notify(self, method: str, params: JSON) -> None:
        await self._dctx.notify(method, params)

    async def ask(self, method: str, params: JSON) -> JSON:
        try:
            return await self._dctx.send_raw_request(method, params)
        except NoBackChannelError:
            raise Unsupported("The client cannot be asked on this connection") from None
        except MCPError as error:
            raise UpstreamError(error.error.code, error.error.message, error.error.data) from None


class Front:
    """The MCP server that clients talk to.

    Args:
        gateway: what serves the requests.
        stdio_principal: who a caller on stdio is (HTTP callers carry theirs in the ASGI scope).
        instructions: the text for `initialize` and `server/discover`, read anew each time.
    """

    def __init__(self, gateway: Gateway, stdio_principal: Principal, instructions: Callable[[], str]) -> None:
        self._gateway = gateway
        self._stdio_principal = stdio_principal
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._connections: weakref.WeakKeyDictionary[Connection, ClientIdentity] = weakref.WeakKeyDictionary()
        self._subscribers: dict[str, weakref.WeakSet[Connection]] = {}
        self.server = _server(instructions, self._schema_of)
        for method in gateway.methods:
            self.server.add_request_handler(method, _Raw, self._handler(method))
        self.server.add_request_handler("logging/setLevel", _Raw, self._set_level)
        self.server.add_request_handler(
            "subscriptions/listen", types.SubscriptionsListenRequestParams, self._serve_listen
        )
        self.server.add_notification_handler("notifications/initialized", _Raw, self._initialized)
        self.server.add_notification_handler("notifications/roots/list_changed", _Raw, self._roots_changed)

    # Requests -----------------------------------------------------------------------------------------------

    def _handler(self, method: str) -> Callable[[Context, _Raw], Any]:
        async def handle(ctx: Context, _: _Raw) -> JSON:
            params = dict(ctx.params or {})
            client = self._client(ctx)
            try:
                result = await self._gateway.request(method, params, client)
            except AgentFlowError as error:
                code, message, data = to_rpc(error)
                raise MCPError(code=code, message=message, data=data) from None
            if method in ("resources/subscribe", "resources/unsubscribe"):
                self._remember_subscription(method, str(params.get("uri")), ctx.session._connection)
            # A handshake upstream's result lacks the one member that 2026 requires.
            return {"resultType": "complete", **result} if client.era == "modern" else result

        return handle

    def _client(self, ctx: Context) -> ClientEnd:
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        connection = ctx.session._connection
        session_id = None
        if modern:
            meta = (ctx.params or {}).get("_meta") or {}
            info = meta.get(types.CLIENT_INFO_META_KEY) or {}
            capabilities = meta.get(types.CLIENT_CAPABILITIES_META_KEY) or {}
            level = meta.get(types.LOG_LEVEL_META_KEY)
        else:
            info, capabilities = connection.state.get("agentflow") or _handshake(connection)
            session_id = connection.session_id or f"stdio-{id(connection)}"
            level = connection.state.get("log_level")
        client = ClientEnd(
            principal=self._principal(ctx),
            channel=_Channel(ctx),
            transport="http" if ctx.request is not None else "stdio",
            era="modern" if modern else "legacy",
            protocol=ctx.protocol_version,
            info=info,
            capabilities=capabilities,
            session_id=session_id,
            log_level=level,
        )
        if not modern and connection not in self._connections:
            connection.state["agentflow"] = info, capabilities
            self._connections[connection] = client.identity()
        return client

    def _principal(self, ctx: Context) -> Principal:
        if ctx.request is None:
            return self._stdio_principal
        # A request that came past the HTTP guard without a principal must fail, not fall back to the local one.
        return cast(Principal, ctx.request.scope[PRINCIPAL])

    async def _set_level(self, ctx: Context, _: _Raw) -> JSON:
        level = (ctx.params or {}).get("level")
        if level not in LOG_LEVELS:
            raise MCPError(code=types.INVALID_PARAMS, message=f"`level` must be one of {', '.join(LOG_LEVELS)}")
        ctx.session._connection.state["log_level"] = level
        return {}

    def _schema_of(self, name: str) -> JSON | None:
        """A tool's inputSchema for the SDK's `Mcp-Param-*` check, or None where the caller may not know of it."""
        principal = CURRENT.get(None)
        return self._gateway.schema_of(name, principal) if principal else None

    # Subscriptions ------------------------------------------------------------------------------------------

    def _remember_subscription(self, method: str, uri: str, connection: Connection) -> None:
        if method == "resources/subscribe":
            self._subscribers.setdefault(uri, weakref.WeakSet()).add(connection)
        elif uri in self._subscribers:
            self._subscribers[uri].discard(connection)

    async def _serve_listen(self, ctx: Context, params: types.SubscriptionsListenRequestParams) -> Any:
        client, uris = self._client(ctx), params.notifications.resource_subscriptions or []
        held: list[str] = []
        try:
            for uri in map(str, uris):
                await self._gateway.request("resources/subscribe", {"uri": uri}, client)
                held.append(uri)
            return await self._listen(ctx, params)
        except AgentFlowError as error:
            code, message, data = to_rpc(error)
            raise MCPError(code=code, message=message, data=data) from None
        finally:
            for uri in held:
                await self._unsubscribe(uri, client)

    async def _unsubscribe(self, uri: str, client: ClientEnd) -> None:
        try:
            await self._gateway.request("resources/unsubscribe", {"uri": uri}, client)
        except AgentFlowError as error:
            log.debug("unsubscribing on behalf of a closed listen stream failed: %s", error.kind)

    async def resource_updated(self, uri: str, params: JSON) -> None:
        """Tell every client that subscribed to `uri`."""
        await self._bus.publish(ResourceUpdated(uri))
        for connection in list(self._subscribers.get(uri, ())):
            await connection.notify("notifications/resources/updated", params)

    async def catalogue_changed(self) -> None:
        """Tell every client that the lists changed."""
        for event in (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()):
            await self._bus.publish(event)
        for connection in list(self._connections):
            for what in ("tools", "prompts", "resources"):
                await connection.notify(f"notifications/{what}/list_changed", None)

    async def log_message(self, params: JSON, identity: ClientIdentity) -> None:
        """Pass a log message that belongs to no call on to the client whose upstream session it came from."""
        level = params.get("level")
        for connection, whose in list(self._connections.items()):
            if whose != identity:
                continue
            threshold = connection.state.get("log_level")
            if threshold is None or level not in LOG_LEVELS or LOG_LEVELS.index(level) >= LOG_LEVELS.index(threshold):
                await connection.notify("notifications/message", params)

    def close(self) -> None:
        """End every listen stream gracefully."""
        self._listen.close()

    # Notifications ------------------------------------------------------------------------------------------

    async def _initialized(self, ctx: Context, _: _Raw) -> None:
        self._client(ctx)

    async def _roots_changed(self, ctx: Context, _: _Raw) -> None:
        await self._gateway.roots_changed(self._client(ctx))


def _handshake(connection: Connection) -> tuple[JSON, JSON]:
    """`(clientInfo, capabilities)` of an initialised handshake connection, as raw JSON."""
    declared = connection.client_params
    if declared is None:
        return {}, {}
    raw = declared.model_dump(by_alias=True, mode="json", exclude_none=True)
    return raw.get("clientInfo") or {}, raw.get("capabilities") or {}


class _Server(Server[Any]):
    """The SDK's server, with the one thing per start-up it would fix: its instructions."""

    read_instructions: Callable[[], str]

    def create_initialization_options(self, *args: Any, **kwargs: Any) -> Any:
        changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        options = super().create_initialization_options(changes, {})
        return options.model_copy(update={"instructions": self.read_instructions()})


def _server(instructions: Callable[[], str], schema_of: Callable[[str], JSON | None]) -> _Server:
    cacheable: Any = (
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "server/discover",
    )
    server = _Server(
        "agentflow",
        version=__version__,
        title="AgentFlow gateway",
        cache_hints=dict.fromkeys(cacheable, _NO_HINT),
        # Without a look-up of ours the SDK would run tools/list before each modern tools/call.
        get_tool_input_schema=schema_of,
    )
    server.read_instructions = instructions
    # The SDK's tracing middleware costs more than the pipeline's own timing of every stage.
    server.middleware.clear()

    async def discover(ctx: Context, _: Any) -> types.DiscoverResult:
        return types.DiscoverResult(
            supported_versions=list(MODERN_PROTOCOL_VERSIONS),
            capabilities=server.get_capabilities(protocol_version=ctx.protocol_version),
            instructions=instructions(),
        )

    server.add_request_handler("server/discover", types.RequestParams, discover)
    return server
