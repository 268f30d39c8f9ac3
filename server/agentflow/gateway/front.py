"""The front: the SDK's low-level server, with every method handed to the gateway as raw JSON.

One `Server` object serves both protocol eras on every transport; the SDK frames, negotiates and validates the
envelope, the gateway does the rest. This module is the only one that touches the SDK's server side, and
`_Channel` the only place that reaches below its typed API: typed models would drop fields that this version of
the SDK does not know.
"""

from __future__ import annotations

import functools
import itertools
import logging
import weakref
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

import anyio
import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.subscriptions import (
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, ValidationError

from agentflow import __version__
from agentflow.errors import AgentFlowError, InvalidArguments, Unsupported, UpstreamError, to_rpc
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.consent import as_elicitation
from agentflow.gateway.core import Gateway
from agentflow.gateway.listeners import Listeners
from agentflow.gateway.upstreams.port import LOG_LEVELS, ClientIdentity, Upstream
from agentflow.guard import tokens
from agentflow.identity.principal import Principal
from agentflow.identity.subject import presented

JSON = dict[str, Any]
Context = ServerRequestContext[Any, Any]
log = logging.getLogger(__name__)

PRINCIPAL = "agentflow.principal"  # key in the ASGI scope
# The same principal, for the one SDK hook that is not given the request.
CURRENT: ContextVar[Principal] = ContextVar("agentflow_principal")
_PROBLEMS = 5  # of one request's params, told one by one
_NO_HINT = CacheHint(ttl_ms=0, scope="private")
_FAREWELL = 5.0  # seconds for unsubscribing on behalf of a client that has left
_listeners = itertools.count(1)
# A result as the gateway gave it, for `_unsieved`.
_RAW_RESULT: ContextVar[JSON] = ContextVar("agentflow_raw_result")
# Members of a result that the handshake era does not have.
_MODERN_MEMBERS = ("resultType", "ttlMs", "cacheScope")


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


class _Nowhere:
    """The channel of a client between its requests."""

    async def notify(self, method: str, params: JSON) -> None:
        log.debug("dropped %s: the client has no request in flight", method)

    async def ask(self, method: str, params: JSON) -> JSON:
        raise Unsupported("The client can be asked only while a request of its own is in flight")


def _at_rest(client: ClientEnd) -> ClientEnd:
    """The client without the request it came with, to be remembered."""
    return replace(client, channel=_Nowhere())


@dataclass(frozen=True, slots=True)
class Subscription:
    """A client's wish to hear of one resource. `connection` is None for a listen stream, which the bus serves."""

    uri: str
    client: ClientEnd
    connection: Connection | None


class Front:
    """The MCP server that clients talk to.

    Args:
        gateway: what serves the requests.
        stdio_principal: who a caller on stdio is now (HTTP callers carry theirs in the ASGI scope).
        instructions: the text for `initialize` and `server/discover`, as a principal may read it.
    """

    def __init__(
        self,
        gateway: Gateway,
        stdio_principal: Callable[[], Principal],
        instructions: Callable[[Principal], Awaitable[str]],
    ) -> None:
        self._gateway = gateway
        self._stdio_principal = stdio_principal
        self._listeners = Listeners()
        self._listen = ListenHandler(self._listeners)
        self._connections: weakref.WeakKeyDictionary[Connection, ClientEnd] = weakref.WeakKeyDictionary()
        self._subscriptions: dict[tuple[str, str], Subscription] = {}  # (session or listener, URI) →
        self._instructions = instructions
        self.server = _server(self._schema_of)
        # In place of the SDK's tracing middleware, which costs more than the pipeline's own timing of every stage.
        self.server.middleware[:] = [self._plainly, _unsieved, self._instructed]
        self.server.add_request_handler("server/discover", types.RequestParams, self._discover)
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
                with presented(_own_token(ctx, client.principal)):
                    result = await self._gateway.request(method, params, client)
            except AgentFlowError as error:
                code, message, data = as_elicitation(error, client) or to_rpc(error)
                raise MCPError(code=code, message=message, data=data) from None
            if method in ("resources/subscribe", "resources/unsubscribe"):
                self._remember_subscription(method, str(params.get("uri")), ctx.session._connection, client)
            if client.era == "modern":
                # A handshake upstream's result lacks the one member that 2026 requires.
                result = {"resultType": "complete", **result}
            else:
                result = {key: value for key, value in result.items() if key not in _MODERN_MEMBERS}
            _RAW_RESULT.set(result)
            return result

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
        if not modern and (
            connection not in self._connections or self._connections[connection].principal != client.principal
        ):
            connection.state["agentflow"] = info, capabilities
            self._connections[connection] = _at_rest(client)
        return client

    def _principal(self, ctx: Context) -> Principal:
        if ctx.request is None:
            return self._stdio_principal()
        # A request that came past the HTTP guard without a principal must fail, not fall back to the local one.
        return cast(Principal, ctx.request.scope[PRINCIPAL])

    async def _instructed(self, ctx: Context, call_next: Any) -> Any:
        """Put the instructions into the answer to `initialize`: what a caller may read depends on who it is."""
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            return {**result, "instructions": await self._instructions(self._principal(ctx))}
        return result

    async def _discover(self, ctx: Context, _: Any) -> types.DiscoverResult:
        return types.DiscoverResult(
            supported_versions=list(MODERN_PROTOCOL_VERSIONS),
            capabilities=self.server.get_capabilities(protocol_version=ctx.protocol_version),
            instructions=await self._instructions(self._principal(ctx)),
        )

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

    def _remember_subscription(self, method: str, uri: str, connection: Connection, client: ClientEnd) -> None:
        subscribed: set[str] | None = connection.state.get("subscribed")
        if subscribed is None:
            subscribed = connection.state["subscribed"] = set()
            connection.exit_stack.push_async_callback(self._unsubscribe_all, subscribed, client)
        key = client.session_id or "", uri
        if method == "resources/subscribe":
            subscribed.add(uri)
            self._subscriptions[key] = Subscription(uri, _at_rest(client), connection)
        else:
            subscribed.discard(uri)
            self._subscriptions.pop(key, None)

    async def _unsubscribe_all(self, subscribed: Collection[str], client: ClientEnd) -> None:
        """Do what a client that has left should have done; its leaving has cancelled the task we are in."""
        with anyio.move_on_after(_FAREWELL, shield=True):
            for uri in subscribed:
                self._subscriptions.pop((client.listener or client.session_id or "", uri), None)
                await self._unsubscribe(uri, client)

    async def _serve_listen(self, ctx: Context, params: types.SubscriptionsListenRequestParams) -> Any:
        client = replace(self._client(ctx), listener=f"listen-{next(_listeners)}")
        uris = params.notifications.resource_subscriptions or []
        held: list[str] = []
        try:
            for uri in map(str, uris):
                await self._gateway.request("resources/subscribe", {"uri": uri}, client)
                held.append(uri)
                self._subscriptions[client.listener or "", uri] = Subscription(uri, _at_rest(client), None)
            with self._listeners.of(client):
                return await self._listen(ctx, params)
        except AgentFlowError as error:
            raise _mcp_error(error) from None
        finally:
            await self._unsubscribe_all(held, client)

    async def _unsubscribe(self, uri: str, client: ClientEnd) -> None:
        try:
            await self._gateway.request("resources/unsubscribe", {"uri": uri}, client)
        except AgentFlowError as error:
            log.debug("unsubscribing on behalf of a client that has left failed: %s", error.kind)

    async def renew(self, upstreams: Collection[Upstream]) -> None:
        """Subscribe anew where one of `upstreams` has taken the place of the one that was subscribed to."""
        for each in list(self._subscriptions.values()):
            entry = self._gateway.catalogue.of(each.client.principal.tenant).resource(each.uri)
            if entry is None or entry.upstream not in upstreams:
                continue
            try:
                await self._gateway.request("resources/subscribe", {"uri": each.uri}, each.client)
            except AgentFlowError as error:
                log.warning("a subscription could not be renewed: %s", error.message)

    def subscriptions(self, uri: str) -> list[Subscription]:
        """Who may have subscribed to `uri`: by that very name, or by one with tokens in it."""
        return [s for s in self._subscriptions.values() if s.uri == uri or tokens.find(s.uri)]

    async def publish_updated(self, uri: str, listener: str | None) -> None:
        """Tell the listen stream of that name that `uri` has changed."""
        await self._listeners.tell(ResourceUpdated(uri), lambda client: client.listener == listener)

    async def catalogue_changed(self, concerns: Callable[[str], bool] = lambda _: True) -> None:
        """Tell every client that the lists changed, of those tenants whom it concerns."""
        concerned = functools.cache(concerns)
        for event in (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()):
            await self._listeners.tell(event, lambda client: concerned(client.principal.tenant))
        for connection, client in list(self._connections.items()):
            if not concerned(client.principal.tenant):
                continue
            for what in ("tools", "prompts", "resources"):
                await connection.notify(f"notifications/{what}/list_changed", None)

    def sessions_of(self, identity: ClientIdentity | None, level: Any = None) -> list[tuple[ClientEnd, Connection]]:
        """The handshake clients whose upstream session `identity` names, and that want log messages of `level`.

        Nobody, where there is no identity: then the session is the gateway's own or shared.
        """
        found = []
        for connection, client in list(self._connections.items()):
            threshold = connection.state.get("log_level")
            wanted = threshold is None or level not in LOG_LEVELS
            if (wanted or LOG_LEVELS.index(level) >= LOG_LEVELS.index(threshold)) and client.identity() == identity:
                found.append((client, connection))
        return found

    def close(self) -> None:
        """End every listen stream gracefully."""
        self._listen.close()

    # Around every handler ------------------------------------------------------------------------------------

    async def _plainly(self, ctx: Context, call_next: Any) -> Any:
        """Say what is wrong with params that do not fit, and nothing about a failure of our own.

        Without it a handshake client would get the text of an unexpected exception, or no reason at all.
        """
        try:
            return await call_next(ctx)
        except ValidationError as error:
            raise _mcp_error(await self._misfit(ctx, error)) from None
        except (MCPError, AgentFlowError):
            raise
        except Exception as error:
            log.error("%s failed: %s", ctx.method, type(error).__name__, exc_info=error)
            raise _mcp_error(error) from None

    async def _misfit(self, ctx: Context, error: ValidationError) -> AgentFlowError:
        """The refusal of params that do not fit: it counts as a request of its caller, and is recorded."""
        wrong = [_complaint(each["loc"], each["msg"]) for each in error.errors(include_input=False, include_url=False)]
        problems = list(dict.fromkeys(wrong))[:_PROBLEMS]
        said = InvalidArguments(f"Invalid params of {ctx.method}: {problems[0]}", problems=problems)
        if ctx.method in self._gateway.methods:
            try:
                await self._gateway.refuse(ctx.method, dict(ctx.params or {}), self._client(ctx), said)
            except AgentFlowError as refusal:
                return refusal
        return said

    # Notifications ------------------------------------------------------------------------------------------

    async def _initialized(self, ctx: Context, _: _Raw) -> None:
        self._client(ctx)

    async def _roots_changed(self, ctx: Context, _: _Raw) -> None:
        await self._gateway.roots_changed(self._client(ctx))


def _own_token(ctx: Context, principal: Principal) -> str | None:
    """The JWT that the caller was known by, for servers whose tokens are made from it; None for other callers."""
    if principal.auth != "jwt" or ctx.request is None:
        return None
    for name, value in ctx.request.scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:].strip().decode("latin-1"))
    return None


def _complaint(place: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(step) for step in place)
    return f"{path}: {message}" if path else message


def _mcp_error(error: Exception) -> MCPError:
    code, message, data = to_rpc(error)
    return MCPError(code=code, message=message, data=data)


async def _unsieved(ctx: Context, call_next: Any) -> Any:
    """Give back what the SDK's check of a result drops: every member that this version of it does not know."""
    _RAW_RESULT.set({})
    checked = await call_next(ctx)
    raw = _RAW_RESULT.get()
    return _whole(raw, checked) if raw and isinstance(checked, dict) else checked


def _whole(raw: Any, checked: Any) -> Any:
    """`checked` with the members of `raw` that it lacks, save nulls: an optional member that is null is dropped."""
    if raw == checked:
        return checked
    if isinstance(raw, dict) and isinstance(checked, dict):
        whole = {key: _whole(raw[key], value) if key in raw else value for key, value in checked.items()}
        missing = raw.keys() - checked.keys()
        return whole | {key: raw[key] for key in missing if raw[key] is not None} if missing else whole
    if isinstance(raw, list) and isinstance(checked, list) and len(raw) == len(checked):
        return [_whole(one, other) for one, other in zip(raw, checked, strict=True)]
    return checked


def _handshake(connection: Connection) -> tuple[JSON, JSON]:
    """`(clientInfo, capabilities)` of an initialised handshake connection, as raw JSON."""
    declared = connection.client_params
    if declared is None:
        return {}, {}
    raw = declared.model_dump(by_alias=True, mode="json", exclude_none=True)
    return raw.get("clientInfo") or {}, raw.get("capabilities") or {}


class _Server(Server[Any]):
    """The SDK's server, announcing that every list may change: upstreams come and go."""

    def create_initialization_options(self, *args: Any, **kwargs: Any) -> Any:
        changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(changes, {})


def _server(schema_of: Callable[[str], JSON | None]) -> _Server:
    cacheable: Any = (
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "server/discover",
    )
    return _Server(
        "agentflow",
        version=__version__,
        title="AgentFlow gateway",
        cache_hints=dict.fromkeys(cacheable, _NO_HINT),
        # Without a look-up of ours the SDK would run tools/list before each modern tools/call.
        get_tool_input_schema=schema_of,
    )
