"""An authorization server and an MCP server that takes its tokens only, both real and over sockets.

They run in a thread of their own, so that a test may look at what arrived, and let tokens end, while a gateway in
another process uses them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import mcp_types as types
import uvicorn
from gateway_process import free_port
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel.server import Server
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

JSON = dict[str, Any]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass
class Issuer:
    """An OAuth 2.1 authorization server; whoever comes to its login page is `person`, and says yes.

    Attributes:
        lasts: seconds that an access token is said to last.
        names_itself: whether its answers carry `iss` (RFC 9207).
        registers: whether clients may register themselves.
        gate: refresh requests wait for it, after the old token is used up.
        refuse: an error code that every token request is answered with.
    """

    port: int = field(default_factory=free_port)
    person: str = "nobody"
    lasts: float = 3600.0
    names_itself: bool = True
    registers: bool = True
    documents: bool = False
    gate: threading.Event | None = None
    refuse: str = ""
    metadata_over: JSON = field(default_factory=dict)
    codes: dict[str, JSON] = field(default_factory=dict)
    tokens: dict[str, JSON] = field(default_factory=dict)
    refreshes: dict[str, JSON] = field(default_factory=dict)
    clients: dict[str, JSON] = field(default_factory=dict)
    asked: list[tuple[str, JSON]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def grants(self, kind: str) -> list[JSON]:
        """The token requests of one grant type."""
        return [form for what, form in self.asked if what == "token" and form["grant_type"] == kind]

    def give(self, subject: str, resource: str, scope: str = "", *, renewable: bool = True) -> JSON:
        """Make tokens for somebody."""
        token, about = secrets.token_urlsafe(24), {"sub": subject, "resource": resource, "scope": scope}
        self.tokens[token] = {**about, "until": time.time() + self.lasts}
        body: JSON = {"access_token": token, "token_type": "Bearer", "expires_in": self.lasts, "scope": scope}
        if renewable:
            body["refresh_token"] = secrets.token_urlsafe(24)
            self.refreshes[body["refresh_token"]] = about
        return body

    def end_tokens(self) -> None:
        """Every access token is worth nothing from now on, whatever was said of it."""
        self.tokens.clear()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/oauth-authorization-server", self._metadata),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/register", self._register, methods=["POST"]),
                Route("/revoke", self._revoke, methods=["POST"]),
            ]
        )

    async def _metadata(self, request: Request) -> Response:
        body: JSON = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": self.names_itself,
            "client_id_metadata_document_supported": self.documents,
        }
        if self.registers:
            body["registration_endpoint"] = f"{self.url}/register"
        return JSONResponse({**body, **self.metadata_over})

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(("authorize", query))
        client = self.clients.get(query["client_id"])
        if client is None or query["redirect_uri"] not in client["redirect_uris"]:
            return Response("unknown client, or another redirect", 400)
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(24)
        self.codes[code] = {**query, "sub": self.person}
        back = {"code": code, "state": query["state"], **({"iss": self.url} if self.names_itself else {})}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(back)}", 302)

    async def _register(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(("register", body))
        name = f"client-{len(self.clients)}"
        self.clients[name] = body
        return JSONResponse({**body, "client_id": name}, 201)

    async def _revoke(self, request: Request) -> Response:
        self.revoked.append(str((await request.form())["token"]))
        return Response()

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        basic = request.headers.get("authorization", "")
        if basic.startswith("Basic "):
            name, _, secret = base64.b64decode(basic[6:]).decode().partition(":")
            form["client_id"], form["secret_as"] = unquote(name), "basic"
            if self.clients.get(unquote(name), {}).get("secret") != unquote(secret):
                return JSONResponse({"error": "invalid_client"}, 401)
        self.asked.append(("token", form))
        if self.refuse:
            return JSONResponse({"error": self.refuse}, 503 if self.refuse == "busy" else 400)
        return (
            {
                "authorization_code": self._redeem,
                "refresh_token": self._refresh,
                EXCHANGE: self._exchange,
                "client_credentials": lambda form: JSONResponse(self.give("gateway", form.get("resource", ""))),
            }[form["grant_type"]](form)
            if form["grant_type"] != "refresh_token"
            else await self._later(form)
        )

    async def _later(self, form: JSON) -> Response:
        answer = self._refresh(form)
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait)
        return answer

    def _redeem(self, form: JSON) -> Response:
        begun = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if (
            begun is None
            or begun["code_challenge"] != challenge.decode()
            or begun["redirect_uri"] != form["redirect_uri"]
            or begun["client_id"] != form["client_id"]
            or begun.get("resource") != form.get("resource")
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(self.give(begun["sub"], form.get("resource", ""), begun.get("scope", "")))

    def _refresh(self, form: JSON) -> Response:
        about = self.refreshes.pop(form["refresh_token"], None)
        if about is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(self.give(about["sub"], about["resource"], about["scope"]))

    def _exchange(self, form: JSON) -> Response:
        payload = form["subject_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        given = self.give(f"exchanged-{claims['sub']}", form.get("resource", ""), renewable=False)
        return JSONResponse({**given, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})


@dataclass
class Guarded:
    """An MCP server (the SDK's) that answers those who have a token of `issuer` for it, and nobody else.

    Attributes:
        listing: whether strangers may ask what it offers; `greets`: whether they may begin a session.
        heard: of each request: who, the Authorization header, the port it came from, and the JSON-RPC method.
        own: names of further tools that it offers to one subject alone.
    """

    issuer: Issuer
    port: int = field(default_factory=free_port)
    listing: bool = False
    greets: bool = False
    wanted: tuple[str, ...] = ()
    resource_over: JSON = field(default_factory=dict)
    own: dict[str, list[str]] = field(default_factory=dict)
    heard: list[JSON] = field(default_factory=list)
    url_only: str = ""  # takes tokens for this resource alone
    static: dict[str, str] = field(default_factory=dict)  # fixed tokens, with their subjects

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def calls(self) -> list[JSON]:
        return [each for each in self.heard if each["method"] == "tools/call"]

    async def verify_token(self, token: str) -> AccessToken | None:
        if token in self.static:
            return AccessToken(token=token, client_id="static", scopes=["read"], subject=self.static[token])
        about = self.issuer.tokens.get(token)
        if about is None or about["until"] < time.time() or about["resource"] not in (self.url_only or self.url, ""):
            return None
        return AccessToken(token=token, client_id="c", scopes=["read", *about["scope"].split()], subject=about["sub"])

    def app(self) -> Starlette:
        server: Server[Any] = Server("guarded", on_list_tools=self._tools, on_call_tool=self._call)
        inner = server.streamable_http_app(streamable_http_path="/mcp")
        meta = f"http://127.0.0.1:{self.port}/.well-known/oauth-protected-resource/mcp"
        required = RequireAuthMiddleware(inner, list(self.wanted), AnyHttpUrl(meta))
        door = AuthenticationMiddleware(self._door(required, inner), backend=BearerAuthBackend(self))

        @asynccontextmanager
        async def running(_: Starlette) -> AsyncIterator[None]:
            async with inner.router.lifespan_context(inner):
                yield

        return Starlette(
            routes=[Route("/.well-known/oauth-protected-resource/mcp", self._metadata), Mount("/", door)],
            lifespan=running,
        )

    def _door(self, required: Any, inner: Any) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            body = b""
            more = scope["method"] == "POST"
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            method = json.loads(body).get("method", "") if body else scope["method"]
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            user = getattr(scope.get("user"), "access_token", None)
            self.heard.append(
                {"who": user and user.subject, "method": method, "port": scope["client"][1], "headers": headers}
            )
            given = False

            async def again() -> Any:
                nonlocal given
                if given:
                    return await receive()
                given = True
                return {"type": "http.request", "body": body, "more_body": False}

            anybody = self.listing and method != "tools/call"
            anybody |= self.greets and method in ("initialize", "server/discover", "notifications/initialized")
            await (inner if anybody else required)(scope, again, send)

        return serve

    async def _metadata(self, request: Request) -> Response:
        body = {"resource": self.url, "authorization_servers": [self.issuer.url], "scopes_supported": ["read"]}
        return JSONResponse({**body, **self.resource_over})

    @staticmethod
    def _subject(ctx: Any) -> str:
        user = ctx.request.scope.get("user")
        token = getattr(user, "access_token", None)
        return str(token.subject) if token else ""

    async def _tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        names = ["whoami", *self.own.get(self._subject(ctx), [])]
        schema: JSON = {"type": "object", "properties": {}}
        hints = types.ToolAnnotations(read_only_hint=True)
        return types.ListToolsResult(
            tools=[types.Tool(name=name, description="Says who asks.", input_schema=schema, annotations=hints)
                   for name in names]
        )  # fmt: skip

    async def _call(self, ctx: Any, params: Any) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(type="text", text=self._subject(ctx))])


@contextmanager
def serving(*apps: tuple[int, Any]) -> Iterator[None]:
    """Serve each application on its loopback port, in a thread, while the block lasts."""
    servers = [
        uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
        for port, app in apps
    ]

    async def main() -> None:
        for server in servers:
            server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
        await asyncio.gather(*(server.serve() for server in servers))

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        end = time.monotonic() + 20
        while not all(server.started for server in servers):
            assert time.monotonic() < end and thread.is_alive(), "the servers did not start"
            time.sleep(0.01)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(20)


@dataclass
class World:
    issuer: Issuer
    guarded: Guarded


@contextmanager
def world(**guarded: Any) -> Iterator[World]:
    """An authorization server and a server behind it, both up."""
    issuer = Issuer()
    server = Guarded(issuer, **guarded)
    with serving((issuer.port, issuer.app()), (server.port, server.app())):
        yield World(issuer, server)


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
