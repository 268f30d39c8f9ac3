"""What the gateway's address answers beside the MCP endpoint: the administration, below /api and /ui.

It is behind the same checks of Host and Origin, size and read time as the endpoint, and behind stricter ones of its
own: no other origin than the gateway's own may ask for anything here, wherever its page was served from. What answers
is imported and built in a thread at the first such request, so that a gateway that nobody administers never pays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

JSON = dict[str, Any]
log = logging.getLogger(__name__)
_PLACES: Final = ("/api", "/ui")
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}  # of every answer that has none of its own
_SAME: Final = frozenset({b"same-origin", b"none"})


class Aside:
    """An ASGI application that is built when it is first asked.

    Args:
        build: imports and builds it; called in a thread, once.
    """

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._building: asyncio.Future[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        building = self._building
        if building is None:
            building = self._building = asyncio.ensure_future(asyncio.to_thread(self._build))
        try:
            app = await asyncio.shield(building)
        except Exception as error:
            self._building = None  # the next request tries again
            log.exception("the administration cannot be built: %s", type(error).__name__)
            return await refuse(send, 500, "The administration cannot be built; the gateway's log says why")
        await app(scope, receive, send)


def is_aside(path: str) -> bool:
    """Whether a path is the administration's."""
    return any(path == place or path.startswith(f"{place}/") for place in _PLACES)


def is_connect(path: str) -> bool:
    """Whether a path is one of those where people connect to servers (`connect.py`)."""
    return path.startswith(("/connect/", "/oauth/callback/", "/oauth/client/"))


def foreign(method: str, headers: list[tuple[bytes, bytes]], allowed: frozenset[str]) -> str:
    """Why a request to the administration comes from a page of somebody else's; "" where it does not.

    Args:
        allowed: origins that the operator named, in lower case.

    Loopback names are origins of the endpoint's at every port: whatever else is served on this machine. Here, the
    origin has to be the very place that is asked (RFC 6454), and fetch metadata must not say otherwise (W3C Fetch
    Metadata Request Headers).
    """
    origin = host = None
    for name, value in headers:
        if name == b"origin":
            origin = value.decode("latin-1").lower()
        elif name == b"host":
            host = value.decode("latin-1").lower()
    if origin is not None and origin in allowed:
        return ""
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return "Its Origin is not this gateway's own"
    site = next((value for name, value in headers if name == b"sec-fetch-site"), b"none").lower()
    mode = next((value for name, value in headers if name == b"sec-fetch-mode"), b"").lower()
    if site in _SAME or (mode == b"navigate" and method == "GET"):
        return ""  # a person who follows a link: the page's cookie does not come along, and nothing is changed
    return "It was sent by a page of another site"


_KINDS: Final = {
    400: "invalid_request", 403: "forbidden", 408: "too_slow", 413: "limit_exceeded", 421: "invalid_request",
    500: "internal_error",
    503: "limit_exceeded",
}  # fmt: skip


async def refuse(send: Send, status: int, detail: str, fix: str = "") -> None:
    """Answer with a problem document, for what is refused before it comes to the administration."""
    body = orjson.dumps(problem(status, _KINDS.get(status, "invalid_request"), detail, fix))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in HEADERS.items()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def problem(status: int, kind: str, detail: str, fix: str = "") -> JSON:
    """A problem document (RFC 9457)."""
    told: JSON = {"type": f"urn:agentflow:problem:{kind}", "title": kind.replace("_", " ").capitalize()}
    told |= {"status": status, "detail": detail}
    return {**told, "fix": fix} if fix else told
