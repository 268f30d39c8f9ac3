"""A small OpenID Connect and OAuth 2.1 server on a loopback socket, whose keys and manners a test can change.

It does what real ones do (discovery, JWK set, dynamic registration, authorization code with PKCE and resource
indicators, refresh; RFC 8414, 7591, 7636, 8707, 9068) and, when told to, what broken ones do.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import uvicorn
from gateway_process import free_port, wait_until
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

JSON = dict[str, Any]
AUDIENCE = "https://gateway.test/mcp"
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def new_key(kid: str | None = None, algorithm: str = "ES256") -> Key:
    """A signing key with an id of its own."""
    about: Any = {"kid": kid or secrets.token_hex(4), "use": "sig", "alg": algorithm}
    if algorithm in _CURVES:
        return ECKey.generate_key(_CURVES[algorithm], about)  # type: ignore[arg-type]
    return RSAKey.generate_key(2048, about)


class Provider:
    """The server.

    Attributes:
        issuer: its identifier, and its address.
        keys: what it publishes, and signs with the first of.
        mode: how it answers for its keys: `ok`, `error`, `html`, `garbage`, `huge`, `slow`, `redirect`, `empty`.
        asked: how often each path was asked for.
        claims: put into every token that a login gets.
        lifetime: seconds that such a token counts.
    """

    def __init__(self, path: str = "") -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}{path}"
        self.keys: list[Key] = [new_key()]
        self.mode = "ok"
        self.metadata: JSON = {}
        self.headers: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.claims: JSON = {"sub": "ada"}
        self.lifetime = 300
        self._path = path
        self._codes: dict[str, JSON] = {}
        self._refresh: dict[str, JSON] = {}
        self._clients: dict[str, JSON] = {}
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    # Its life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=self.port, log_config=None, ws="none", lifespan="off"
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: server.started, "the OpenID Connect server")

    def stop(self) -> None:
        """Be gone, as a crashed server is: the port refuses connections."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(10)
            self._server = None

    # Tokens -------------------------------------------------------------------------------------------------

    def mint(self, claims: JSON | None = None, header: JSON | None = None, key: Key | None = None) -> str:
        """An access token; members that are None are left out of it."""
        key = key or self.keys[0]
        now = int(time.time())
        body = {"iss": self.issuer, "aud": AUDIENCE, "iat": now, "exp": now + 300, **self.claims, **(claims or {})}
        head = {"alg": key.as_dict().get("alg", "ES256"), "kid": key.kid, "typ": "at+jwt", **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        body = {name: value for name, value in body.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
        return jwt.encode(head, body, key, registry=registry, default_type=None)

    # What it answers ----------------------------------------------------------------------------------------

    def _app(self) -> Starlette:
        base = self._path
        return Starlette(
            routes=[
                Route(f"{base}/.well-known/openid-configuration", self._configuration),
                Route(f"/.well-known/oauth-authorization-server{base}", self._configuration),
                Route(f"{base}/jwks", self._jwks),
                Route(f"{base}/moved", self._set),
                Route(f"{base}/register", self._register, methods=["POST"]),
                Route(f"{base}/authorize", self._authorize),
                Route(f"{base}/token", self._token, methods=["POST"]),
            ]
        )

    async def _configuration(self, request: Request) -> Response:
        self.asked["configuration"] += 1
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "registration_endpoint": f"{self.issuer}/register",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                **self.metadata,
            }
        )

    async def _jwks(self, request: Request) -> Response:
        self.asked["jwks"] += 1
        if self.mode == "slow":
            import anyio

            await anyio.sleep(5)
        broken: dict[str, Response] = {
            "error": Response("no", 500),
            "html": HTMLResponse("<h1>Log in</h1>"),
            "garbage": Response(b"\xff{{{", media_type="application/json"),
            "huge": Response(b'{"keys":[' + b" " * 2_000_000 + b"]}", media_type="application/json"),
            "redirect": RedirectResponse(f"{self.issuer}/moved"),
            "empty": JSONResponse({"keys": []}),
            "list": JSONResponse([]),
        }
        return broken.get(self.mode) or await self._set(request)

    async def _set(self, request: Request) -> Response:
        self.asked["set"] += 1
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]}, headers=self.headers)

    async def _register(self, request: Request) -> Response:
        client = {**await request.json(), "client_id": secrets.token_hex(8), "token_endpoint_auth_method": "none"}
        self._clients[client["client_id"]] = client
        return JSONResponse(client, 201)

    async def _authorize(self, request: Request) -> Response:
        """Log the one user in, without a form."""
        asked = dict(request.query_params)
        client = self._clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client["redirect_uris"] or not asked["code_challenge"]:
            return Response("bad request", 400)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        query = urlencode({"code": code, "state": asked.get("state", ""), "iss": self.issuer})
        return RedirectResponse(f"{asked['redirect_uri']}?{query}", 302)

    async def _token(self, request: Request) -> Response:
        self.asked["token"] += 1
        form = dict(await request.form())
        if form.get("grant_type") == "refresh_token":
            granted = self._refresh.pop(str(form.get("refresh_token")), None)
        else:
            granted = self._codes.pop(str(form.get("code")), None)
            digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if granted is not None and granted["code_challenge"] != challenge:
                granted = None
        if granted is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"aud": granted.get("resource") or form.get("resource"), "exp": now + self.lifetime}
        claims |= {"client_id": granted["client_id"], "scope": granted.get("scope")}
        refresh = secrets.token_urlsafe(16)
        self._refresh[refresh] = granted
        body = {"access_token": self.mint(claims), "token_type": "Bearer", "expires_in": self.lifetime}
        return JSONResponse({**body, "refresh_token": refresh, "scope": granted.get("scope") or ""})


@contextlib.contextmanager
def provider(path: str = "") -> Iterator[Provider]:
    """A server that runs while the block lasts."""
    made = Provider(path)
    made.start()
    try:
        yield made
    finally:
        made.stop()
