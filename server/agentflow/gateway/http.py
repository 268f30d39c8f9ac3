"""The HTTP front: a pure ASGI guard around the SDK's session manager, and the health endpoints.

Nothing reaches a route before its Host, Origin, size, depth, read time and caller have been checked
(MCP 2025-11-25, transports: DNS rebinding). Bodies are read here, once, within a time limit, and handed on whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentflow.config import LimitsConfig, ServeConfig
from agentflow.errors import INVALID_REQUEST, AgentFlowError, InvalidRequest, LimitExceeded, Unauthenticated
from agentflow.gateway import aside, inbound
from agentflow.gateway.front import CURRENT, PRINCIPAL
from agentflow.gateway.refusals import REFUSAL
from agentflow.gateway.streams import Streams
from agentflow.identity.authenticate import Authenticator
from agentflow.identity.principal import Principal
from agentflow.identity.resource import ProtectedResource

JSON = dict[str, Any]
Report = Callable[[Principal | None], tuple[int, JSON]]
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Seconds that a response's head waits for the first bytes of its body.
_HEAD_WAITS = 0.05
# Seconds between the answer in a stream and the end of the stream.
_SETTLES = 0.05
_JSON_TYPE = (b"content-type", b"application/json")
_ENDLESS = frozenset({"subscriptions/listen"})  # a stream, for as long as the client likes


class Models(Protocol):
    """What answers below /v1 (`models_http.ModelsApp`)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None: ...

    async def fail(self, send: Send, error: AgentFlowError, headers: list[tuple[bytes, bytes]]) -> None: ...

    async def refuse(self, send: Send, status: int, message: str, fix: str) -> None: ...


class HttpFront:
    """The ASGI application of `agentflow serve`.

    Args:
        manager: the SDK's session manager around the front's server.
        authenticator: gives what says who calls, as the configuration in force has it.
        report: `report(caller) -> (status, body)` of `/readyz`; None where the caller is not known.
        admin: answers below /api and /ui; None where nothing does.
        connect: answers where people connect to servers; None where nothing does.
        models: answers below /v1, as long as the configuration in force says so (`None` from it: nothing does).
    """

    def __init__(
        self,
        manager: StreamableHTTPSessionManager,
        authenticator: Callable[[], Authenticator],
        serve: ServeConfig,
        limits: LimitsConfig,
        report: Report,
        admin: ASGIApp | None = None,
        connect: ASGIApp | None = None,
        models: Callable[[], Models | None] = lambda: None,
    ) -> None:
        self._authenticator = authenticator
        self._mcp: ASGIApp = manager.handle_request
        self._report = report
        self._admin = admin
        self._connect = connect
        self._models = models
        own = () if serve.public_url is None else ("/".join(serve.public_url.split("/")[:3]),)
        self._named = frozenset(origin.lower() for origin in (*serve.allowed_origins, *own))
        scheme, _, place = own[0].lower().partition("://") if own else ("", "", "")
        self._encrypted = place.encode() if scheme == "https" else None
        self._limits = limits
        self._path = serve.path.rstrip("/") or "/"
        self._hosts, self._origins = _allowed(serve)
        self._resource = ProtectedResource(serve)
        self._streams = Streams(authenticator)
        self._running = 0
        self._stopping = False
        self._done = asyncio.Event()  # a request has ended
        # Handshake sessions answer by id: a second request with the same one would take the first one's stream.
        self._in_flight: set[tuple[str, bytes, str]] = set()

    @property
    def authenticator(self) -> Authenticator:
        """What says who calls."""
        return self._authenticator()

    async def drain(self, seconds: float) -> None:
        """Take no more requests, and wait until those in flight are answered, at most `seconds`."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running:
                    self._done.clear()
                    await self._done.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"unsupported ASGI scope {scope['type']!r}")
        headers = scope["headers"]
        path = scope["path"].rstrip("/") or "/"
        refusal = self._misdirected(headers)
        if self._admin is not None and path != self._path and aside.is_aside(path):
            return await self._serve_admin(self._admin, scope, receive, send, refusal)
        if self._connect is not None and path != self._path and aside.is_connect(path):
            return await self._serve_admin(self._connect, scope, receive, send, refusal)
        if path.startswith("/v1/") and path != self._path and (models := self._models()) is not None:
            return await self._serve_models(models, scope, receive, send, refusal)
        if refusal is not None:
            return await _answer(send, *refusal)
        if path == "/healthz":
            return await _answer(send, 200, {"status": "ok"})
        if self.authenticator.config.issuers and self._resource.is_metadata(path):
            return await self._describe(scope, send)
        if path not in (self._path, "/readyz"):
            return await _answer(send, 404, {"error": "not_found", "fix": f"The MCP endpoint is {self._path}"})
        principal = self.authenticator.known(headers)
        if principal is None:
            try:
                principal = await self.authenticator.authenticate(headers)
            except AgentFlowError as unknown:
                if path == self._path:
                    return await self._turn_away(unknown, scope, send)
        if path == "/readyz":
            return await _answer(send, *self._report(principal))
        assert principal is not None
        full = self._running >= self._limits.max_concurrent
        if (full or self._stopping) and scope["method"] == "POST":
            why = "at its limit of concurrent calls" if full else "stopping"
            error = LimitExceeded(f"The gateway is {why}", fix="Try again", retry_after=1)
            return await _answer(send, 503, _rpc(error.code, error.message, error.payload()), ((b"retry-after", b"1"),))
        scope[PRINCIPAL] = principal
        # The SDK binds each session to the credential that opened it: another principal's session reads as unknown.
        scope["user"] = AuthenticatedUser(AccessToken(token="-", client_id=principal.key, scopes=[]))
        CURRENT.set(principal)
        await self._serve_mcp(scope, receive, send)

    async def _describe(self, scope: Scope, send: Send) -> None:
        """Answer with the metadata of the gateway as a protected resource, which anybody may read (RFC 9728)."""
        if scope["method"] not in ("GET", "HEAD"):
            return await _answer(send, 405, {"error": "method_not_allowed"}, ((b"allow", b"GET, HEAD"),))
        document = self._resource.metadata(self.authenticator, scope.get("scheme", "http"), _host(scope["headers"]))
        await _answer(send, 200, document, ((b"cache-control", b"max-age=300"),))

    async def _turn_away(self, error: AgentFlowError, scope: Scope, send: Send) -> None:
        """Refuse a caller that is not known, with what it has to do to become so."""
        headers: tuple[tuple[bytes, bytes], ...] = ((b"retry-after", b"5"),)
        status = 503
        if isinstance(error, Unauthenticated):
            scope[REFUSAL] = error.reason
            status = 400 if error.error == "invalid_request" else error.status
            if status < 500:
                host = _host(scope["headers"])
                challenge = self._resource.challenge(error, self.authenticator, scope.get("scheme", "http"), host)
                headers = ((b"www-authenticate", challenge),)
        else:
            scope[REFUSAL] = error.kind
        await _answer(send, status, _rpc(error.code, error.message, error.payload()), headers)

    async def _serve_admin(
        self, admin: ASGIApp, scope: Scope, receive: Receive, send: Send, refusal: tuple[int, JSON] | None
    ) -> None:
        method = scope["method"]
        if self._encrypted is not None and (b"host", self._encrypted) in scope["headers"]:
            scope["scheme"] = "https"  # as `serve.public_url` says of that host: cookies are bound to it
        if refusal is None and (why := aside.foreign(method, scope["headers"], self._named)):
            return await aside.refuse(send, 403, why, "Add the origin to serve.allowed_origins if it is meant to")
        if refusal is None and method in ("GET", "HEAD"):
            return await admin(scope, receive, send)
        if refusal is None and self._stopping:
            return await aside.refuse(send, 503, "The gateway is stopping", "Try again")
        body = b""
        if refusal is None:
            try:
                async with asyncio.timeout(self._limits.request_read_timeout):
                    body, refusal = await self._read(scope, receive)
            except TimeoutError:
                return await aside.refuse(send, 408, "The request body took too long to arrive")
        if refusal is not None:
            error = refusal[1]["error"]
            return await aside.refuse(send, refusal[0], error["message"], error.get("data", {}).get("fix", ""))
        self._running += 1
        try:
            await admin(scope, _replay(body, receive), send)
        finally:
            self._running -= 1
            self._done.set()

    async def _serve_models(
        self, models: Models, scope: Scope, receive: Receive, send: Send, refusal: tuple[int, JSON] | None
    ) -> None:
        """A request to a language model: checks and callers are those of the endpoint, errors as OpenAI's API has them.

        Browsers say where a page is from, and `refusal` says so of foreign ones; a body has to be JSON besides.
        """
        error: AgentFlowError | None = None
        headers: list[tuple[bytes, bytes]] = []
        body = b""
        try:
            principal = self.authenticator.known(scope["headers"])
            scope[PRINCIPAL] = principal or await self.authenticator.authenticate(scope["headers"])
            if refusal is None and (self._stopping or self._running >= self._limits.max_concurrent):
                why = "stopping" if self._stopping else "at its limit of concurrent calls"
                error = LimitExceeded(f"The gateway is {why}", fix="try again", retry_after=1)
            elif refusal is None and scope["method"] == "POST":
                refusal = _not_json(scope["headers"])
                async with asyncio.timeout(self._limits.request_read_timeout):
                    body, refusal = (b"", refusal) if refusal else await self._read(scope, receive)
        except TimeoutError:
            refusal = 408, _rpc(INVALID_REQUEST, "The request body took too long to arrive")
        except AgentFlowError as unknown:
            error = unknown
            scope[REFUSAL] = unknown.reason if isinstance(unknown, Unauthenticated) else unknown.kind
            headers = [(b"www-authenticate", b"Bearer")]
        if refusal is not None:
            said = refusal[1]["error"]
            return await models.refuse(send, refusal[0], said["message"], said.get("data", {}).get("fix", ""))
        if error is not None:
            return await models.fail(send, error, headers)
        CURRENT.set(scope[PRINCIPAL])
        self._running += 1
        try:
            await models(scope, receive, send, body)
        finally:
            self._running -= 1
            self._done.set()

    async def _serve_mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            return await self._streams.serve(self._mcp, scope, receive, send, scope[PRINCIPAL])
        if scope["method"] != "POST":
            return await self._mcp(scope, receive, send)
        try:
            async with asyncio.timeout(self._limits.request_read_timeout):
                body, refusal = await self._read(scope, receive)
        except TimeoutError:
            refusal = 408, _rpc(INVALID_REQUEST, "The request body took too long to arrive")
        refusal = refusal or _unacceptable(scope["headers"])
        if refusal is not None:
            return await _answer(send, *refusal, ((b"connection", b"close"),))
        message, error = inbound.parse(body, self._limits.max_depth)
        owner = self._owner(scope, message)
        if error is None and owner in self._in_flight:
            # Whoever has just read the answer may use its id again, a moment before the stream is closed here.
            await asyncio.sleep(_SETTLES)
        if error is None and owner in self._in_flight:
            error = InvalidRequest(f"A request with the id {message['id']!r} is still in flight on this session")
        if error is not None:
            return await _answer(send, 400, inbound.refusal(error, inbound.request_id(message)))
        self._running += 1
        if owner is not None:
            self._in_flight.add(owner)
        try:
            if message.get("method") in _ENDLESS:
                to, whose = _Together(send), scope[PRINCIPAL]
                await self._streams.serve(self._mcp, scope, _replay(body, receive), to, whose)
            else:
                await self._mcp(scope, _replay(body, receive), _Together(send))
        finally:
            self._running -= 1
            self._done.set()
            if owner is not None:
                self._in_flight.discard(owner)

    def _owner(self, scope: Scope, message: JSON) -> tuple[str, bytes, str] | None:
        """Whose request this is, where its id has to be unique: None without a session, or without an answer."""
        session = next((value for name, value in scope["headers"] if name == b"mcp-session-id"), None)
        number = inbound.request_id(message)
        if session is None or number is None or "method" not in message:
            return None
        return scope[PRINCIPAL].key, session, str(number)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes, tuple[int, JSON] | None]:
        limit = self._limits.max_body
        too_large = (
            413,
            _rpc(LimitExceeded.code, f"The request body is larger than {limit} bytes", {"type": LimitExceeded.kind}),
        )
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not announced.isdigit() or int(announced) > limit:
            return b"", too_large
        chunks, size = [], 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return b"", (400, _rpc(INVALID_REQUEST, "The client left before the request was complete"))
            chunk = event.get("body", b"")
            size += len(chunk)
            if size > limit:
                return b"", too_large
            chunks.append(chunk)
            if not event.get("more_body"):
                break
        return chunks[0] if len(chunks) == 1 else b"".join(chunks), None

    def _misdirected(self, headers: list[tuple[bytes, bytes]]) -> tuple[int, JSON] | None:
        """Refuse a foreign or doubled Host, and any Origin that is not ours (DNS rebinding)."""
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not _matches(hosts[0], self._hosts):
            return 421, _rpc(INVALID_REQUEST, "Invalid Host header", {"fix": "Add the name to serve.allowed_hosts"})
        origins = [value for name, value in headers if name == b"origin"]
        if origins and (len(origins) != 1 or not _matches(origins[0], self._origins)):
            return 403, _rpc(
                INVALID_REQUEST, "Invalid Origin header", {"fix": "Add the origin to serve.allowed_origins"}
            )
        return None


def _unacceptable(headers: list[tuple[bytes, bytes]]) -> tuple[int, JSON] | None:
    """Refuse a POST that is not said to be JSON, or whose sender does not take both kinds of answer.

    Both eras' transports demand it (2025-11-25 and 2026-07-28, "Sending messages to the server").
    """
    accept = b""
    for name, value in headers:
        if name == b"accept":
            accept = b"%b,%b" % (accept, value) if accept else value
    if (refusal := _not_json(headers)) is not None:
        return refusal
    if b"application/json" in accept and b"text/event-stream" in accept:
        return None
    takes = {each.partition(b";")[0].strip().lower() for each in accept.split(b",")}
    if b"*/*" in takes or (
        takes & {b"application/json", b"application/*"} and takes & {b"text/event-stream", b"text/*"}
    ):
        return None
    return 406, _rpc(INVALID_REQUEST, "Accept must name both application/json and text/event-stream")


def _not_json(headers: list[tuple[bytes, bytes]]) -> tuple[int, JSON] | None:
    """Refuse a POST that is not said to be JSON: what a form of another site sends, browsers ask nobody about."""
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        return 415, _rpc(INVALID_REQUEST, "Content-Type must be application/json")
    return None


def _allowed(serve: ServeConfig) -> tuple[frozenset[str], frozenset[str]]:
    """Allowed Host values and Origins; one without a port admits every port."""
    names = {*_LOOPBACK, *serve.allowed_hosts}
    if serve.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        names.add(f"[{serve.host}]" if ":" in serve.host else serve.host)
    origins = {f"{scheme}://{name}" for scheme in ("http", "https") for name in names} | set(serve.allowed_origins)
    if serve.public_url:
        scheme, _, rest = serve.public_url.partition("://")
        names.add(rest.partition("/")[0])
        origins.add(f"{scheme}://{rest.partition('/')[0]}")
    return frozenset(name.lower() for name in names), frozenset(origin.lower() for origin in origins)


def _host(headers: list[tuple[bytes, bytes]]) -> str:
    return next(value for name, value in headers if name == b"host").decode("ascii")


def _matches(value: bytes, allowed: frozenset[str]) -> bool:
    try:
        text = value.decode("ascii").lower()
    except UnicodeDecodeError:
        return False
    if text in allowed:
        return True
    name, colon, port = text.rpartition(":")
    return bool(colon) and port.isdigit() and name in allowed


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A `receive` that gives the body once and then what the server says (the client's departure)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class _Together:
    """A `send` that lets a response's head wait a moment for its first bytes: one segment instead of two."""

    __slots__ = ("_early", "_head", "_send", "_timer")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early: asyncio.Future[None] | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            self._timer = asyncio.get_running_loop().call_later(_HEAD_WAITS, self._go_ahead)
            return
        head, self._head = self._head, None
        if head is not None:
            if self._timer:
                self._timer.cancel()
            await self._send(head)
        elif self._early is not None:
            await self._early
            self._early = None
        await self._send(message)

    def _go_ahead(self) -> None:
        """Nothing to say yet (a slow tool): the client should at least see that its request was taken."""
        head, self._head = self._head, None
        if head is not None:
            self._early = asyncio.ensure_future(self._send(head))


def _rpc(code: int, message: str, data: JSON | None = None) -> JSON:
    error: JSON = {"code": code, "message": message}
    if data:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": None, "error": error}


async def _answer(send: Send, status: int, body: JSON, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    payload = orjson.dumps(body)
    length = (b"content-length", str(len(payload)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON_TYPE, length, *headers]})
    await send({"type": "http.response.body", "body": payload})
