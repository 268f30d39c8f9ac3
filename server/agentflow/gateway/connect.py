"""The pages on which people connect to servers: `/connect/<server>`, and where they come back to.

    GET  /connect/<server>         who is known is sent to the authorization server; who is not may say who it is
    POST /connect/<server>         the same, from the page's own form
    GET  /oauth/callback/<server>  where the authorization server sends the browser back to
    GET  /oauth/client/<server>    the gateway's client id metadata document

Each server has a redirect address of its own, so that no authorization server's answer can be taken for another's
(RFC 9700, section 4.4.2). A server that policy or its tenants hide from somebody reads as one that does not exist.

It refuses to act for anybody who is not known here and now: a link made for one person and opened by another connects
the one who opens it. A person whom another site sent here is asked first. No script, no style from elsewhere, nothing
of a query is shown. Host and Origin are checked before anything gets here (`http.py`, `aside.py`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import html
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agentflow.config import ServerConfig
from agentflow.errors import AgentFlowError, Unauthenticated
from agentflow.gateway.aside import problem
from agentflow.gateway.service import Service
from agentflow.gateway.upstreams.port import ClientIdentity
from agentflow.identity.connecting import Connecting, Returned
from agentflow.identity.credentials import Owner
from agentflow.identity.oauth import SCOPES, OAuthFailed, client_document
from agentflow.identity.principal import Principal

Who = Callable[[Request], Awaitable[Principal | None]]
COOKIE: Final = "agentflow_connect"
_LASTS: Final = 600
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}input,button{font:inherit;padding:.5rem .75rem}label{display:block;margin:1rem 0 .25rem}"
    "button{margin-top:1rem;color:#fff;background:#14532d;border:0;border-radius:.25rem}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # A form's answer redirects to the authorization server, which Chromium counts as the form's own action.
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self' https: http://127.0.0.1:* http://localhost:*",
}


def build(service: Service, session: Who | None = None) -> Starlette:
    """The pages as an application.

    Args:
        session: who is signed in at the administration's page, by its cookie.
    """
    pages = _Pages(service, session)
    return Starlette(
        routes=[
            Route("/connect/{server:path}", pages.connect, methods=["GET", "POST"]),
            Route("/oauth/callback/{server:path}", pages.callback, methods=["GET"]),
            Route("/oauth/client/{server:path}", pages.document, methods=["GET"]),
        ]
    )


class _Pages:
    def __init__(self, service: Service, session: Who | None) -> None:
        self._service, self._session = service, session
        self._flow = Connecting(service.credentials, service.authorizations, service.record)

    async def connect(self, request: Request) -> Response:
        name = request.path_params["server"]
        try:
            principal = await self._principal(request)
            if principal is None:
                return self._ask_who(request, name)
            config = await self._service.connectable.shown(principal, name)
            if config is None:
                return _failed(request, 404, "not_found", f"There is no server {name!r} to connect to")
            if request.method == "GET" and not _by_itself(request):
                return self._ask_whether(request, name, principal)
            return await self._begin(request, name, config, principal)
        except Unauthenticated as error:
            return self._ask_who(request, name, error.message)
        except OAuthFailed as error:
            return _failed(request, 502, error.error, f"{name}: {error.message}", error.fix)
        except AgentFlowError as error:
            return _failed(request, 503, error.kind, error.message, error.fix)

    async def _begin(self, request: Request, name: str, config: ServerConfig, principal: Principal) -> Response:
        base, browser, place = self._base(request), secrets.token_urlsafe(32), quote(name, safe="")
        secure = base.startswith("https://")
        target = await self._flow.begin(
            Owner(principal.tenant, principal.id),
            name,
            config,
            f"{base}/oauth/callback/{place}",
            browser=browser,
            document=f"{base}/oauth/client/{place}" if secure else None,
            scope=request.query_params.get("scope", ""),
        )
        answer = RedirectResponse(target, 303, headers=_HEADERS)
        answer.set_cookie(
            _cookie(base, name), browser, max_age=_LASTS, path=_cookie_path(base),
            secure=secure, httponly=True, samesite="lax",
        )  # fmt: skip
        return answer

    async def callback(self, request: Request) -> Response:
        query = request.query_params
        if any(len(query.getlist(name)) > 1 for name in ("state", "code", "iss", "error")):
            return _failed(request, 400, "invalid_request", "A parameter was given more than once")
        place = request.path_params["server"]
        returned = Returned(
            query.get("state", ""), query.get("code", ""), query.get("iss"), query.get("error", ""), place
        )
        browser = request.cookies.get(_cookie(self._base(request), place), "")
        try:
            owner, name = await self._flow.finish(returned, browser, self._service.config.mcp_servers.get)
        except OAuthFailed as error:
            return _failed(request, 400, error.error, error.message, error.fix)
        except AgentFlowError as error:
            return _failed(request, 503, error.kind, error.message, error.fix)
        await self._tell(owner)
        text = f"<p><strong>{html.escape(owner.principal)}</strong> is connected to {html.escape(name)}.</p>"
        return _page("Connected", f"{text}<p>You can close this window and go on where you were.</p>")

    async def document(self, request: Request) -> Response:
        base, place = self._base(request), quote(request.path_params["server"], safe="")
        body = client_document(f"{base}/oauth/client/{place}", f"{base}/oauth/callback/{place}")
        return JSONResponse(body, headers={"cache-control": "max-age=300"})

    async def _tell(self, owner: Owner) -> None:
        """Have the server say what it offers to somebody who has just connected, and clients look again."""
        with contextlib.suppress(AgentFlowError):
            await self._service.gateway.introductions.introduce(ClientIdentity(owner.key))
        await asyncio.shield(self._service.front.catalogue_changed())

    async def _principal(self, request: Request) -> Principal | None:
        """Who asks: by a header, by the page's session, or by the key in the form; None where nobody is known."""
        headers: list[tuple[bytes, bytes]] = request.scope["headers"]
        authenticator = self._service.authenticator
        if any(name in _CREDENTIALS for name, _ in headers) or not authenticator.asks:
            return authenticator.known(headers) or await authenticator.authenticate(headers)
        if request.method == "POST":
            key = str((await request.form()).get("key", ""))
            if key:
                presented = [(b"authorization", b"Bearer " + key.strip().encode("utf-8", "replace"))]
                return authenticator.known(presented) or await authenticator.authenticate(presented)
        return await self._session(request) if self._session is not None else None

    def _base(self, request: Request) -> str:
        """The gateway's address: the public one, or else the one that was used, whose host has been checked."""
        public = self._service.config.serve.public_url
        return public.rstrip("/") if public else f"{request.url.scheme}://{request.headers['host']}"

    def _ask_who(self, request: Request, name: str, wrong: str = "") -> Response:
        complaint = f'<p role="alert">{html.escape(wrong)}.</p>' if wrong else ""
        if not _for_people(request):
            return _failed(
                request, 401, "unauthenticated", wrong or "Say who you are", "Send Authorization: Bearer <key>"
            )
        form = (
            f"{complaint}<p>Who connects to <strong>{html.escape(name)}</strong>?</p>{_form(request, name)}"
            '<label for="key">Your key or token at this gateway</label>'
            '<input id="key" name="key" type="password" autocomplete="off" required>'
            "<br><button>Go on</button></form>"
        )
        return _page("Connect", form, 401, {"www-authenticate": "Bearer"})

    def _ask_whether(self, request: Request, name: str, principal: Principal) -> Response:
        text = (
            f"<p>Connect <strong>{html.escape(principal.id)}</strong> to <strong>{html.escape(name)}</strong>? "
            "Its tools will then act with the account that you sign in with there.</p>"
        )
        return _page("Connect", f"{text}{_form(request, name)}<button>Go on</button></form>")


def _form(request: Request, name: str) -> str:
    # Relative: the gateway may be reached below a path; and then what follows the last slash of a name.
    scope = request.query_params.get("scope", "")
    asked = f"?scope={quote(scope, safe='')}" if SCOPES.fullmatch(scope) else ""
    return f'<form method="post" action="{html.escape(quote(name.rpartition("/")[2], safe="") + asked)}">'


def _by_itself(request: Request) -> bool:
    """Whether a person, or a program, came here without another site having sent it."""
    if any(name in _CREDENTIALS for name, _ in request.scope["headers"]):
        return True
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _for_people(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _cookie_path(base: str) -> str:
    if base.startswith("https://"):
        return "/"  # as the name's prefix demands
    return "/" + "/".join(part for part in [*base.split("/")[3:], "oauth", "callback"] if part)


def _cookie(base: str, server: str) -> str:
    """The cookie's name: one for each server; behind https no other site below the same domain can set it."""
    name = f"{COOKIE}_{hashlib.sha256(server.encode()).hexdigest()[:16]}"
    return f"__Host-{name}" if base.startswith("https://") else name


def _failed(request: Request, status: int, kind: str, message: str, fix: str = "") -> Response:
    if not _for_people(request):
        challenge = {"www-authenticate": "Bearer"} if status == 401 else {}
        body: dict[str, Any] = problem(status, kind, message, fix)
        return JSONResponse(body, status, {**_HEADERS, **challenge}, media_type="application/problem+json")
    advice = f"<p>{html.escape(fix[:1].upper() + fix[1:])}.</p>" if fix else ""
    return _page(
        "Not connected", f'<p role="alert">{html.escape(message[:1].upper() + message[1:])}.</p>{advice}', status
    )


def _page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · AgentFlow</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return HTMLResponse(text, status, {**_HEADERS, **(headers or {})})
