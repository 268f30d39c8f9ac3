"""Records HTTP requests that are refused before they become calls: no key, foreign Host, too large, and the like.

An ASGI application around the front. What it promises beside the record itself: whoever sends refused requests cannot
fill the disk with records of them. A burst is recorded one by one, then a few a minute; the others are counted, and
the counts recorded. Of the request only its kind is noted and of its sender the network, never a word he wrote.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentflow.audit.events import Detail, Event
from agentflow.errors import AuditUnavailable
from agentflow.gateway.front import PRINCIPAL
from agentflow.gateway.recorded import watch
from agentflow.identity.principal import Principal

_REASONS: Final = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "unknown_method",
    406: "not_acceptable",
    408: "too_slow",
    413: "too_large",
    415: "not_json",
    421: "foreign_host",
    429: "too_many",
    503: "busy",
}
REFUSAL: Final = "agentflow.refusal"  # key in the ASGI scope: why a caller was not known, one word of ours
_ALWAYS: Final = frozenset({401, 403, 421, 429})
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_CALLERS: Final = 1000  # callers that are told apart at once
_SUMMARY: Final = 60.0  # seconds between two records of what was left out


class Refusals:
    """Writes the records, as many as the sender's sort may cause.

    Args:
        record: puts an event into the audit log; may raise `AuditUnavailable`.
        now: seconds, monotonic.
    """

    def __init__(self, record: Callable[[Event], object], now: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._now = now
        self._mutex = threading.Lock()
        self._strangers = _Bucket(60, 10 / 60, now())
        self._callers: dict[str, _Bucket] = {}
        self._left_out: Counter[str] = Counter()
        self._told = now()

    def note(self, status: int, scope: Scope) -> None:
        """Record a refused HTTP request, or count it."""
        reason = _REASONS.get(status, f"status_{status}")
        if status == 503 and REFUSAL in scope:
            reason = "identity_unavailable"
        if status == 404 and _has_session(scope):
            reason = "unknown_session"
        method = scope["method"]
        details: dict[str, Detail] = {
            "status": status,
            "method": method if method in _METHODS else "other",
            "network": network(scope.get("client")),
            "why": scope.get(REFUSAL),
        }
        self.refused(reason, scope.get(PRINCIPAL), details)

    def refused(self, reason: str, principal: Principal | None, details: Mapping[str, Detail]) -> None:
        """Record something that was refused before it became a call, or count it."""
        if not self.admits(reason, principal):
            return
        by = f"{principal.tenant}/{principal.id}" if principal else ""
        self._write(Event("request", "refused", by=by, outcome=reason, details=details))

    def admits(self, reason: str, principal: Principal | None) -> bool:
        """Whether the sender's sort may cause one more record of a refusal; if not, it is counted."""
        with self._mutex:
            admitted = self._bucket(principal).take(self._now())
            if not admitted:
                self._left_out[reason] += 1
        return admitted

    def _bucket(self, principal: Principal | None) -> _Bucket:
        """All strangers share one; each known caller has one of its own."""
        if principal is None:
            return self._strangers
        bucket = self._callers.get(principal.key)
        if bucket is None:
            while len(self._callers) >= _CALLERS:
                del self._callers[next(iter(self._callers))]
            bucket = self._callers[principal.key] = _Bucket(120, 30 / 60, self._now())
        return bucket

    def flush(self, *, late: bool = False) -> None:
        """Record how many were left out, once a minute; `late`: now, for there will be no other time."""
        with self._mutex:
            if not self._left_out or (not late and self._now() - self._told < _SUMMARY):
                return
            counts, self._left_out = dict(self._left_out), Counter()
            self._told = self._now()
        self._write(Event("request", "left_out", details={"requests": sum(counts.values()), **counts}))

    def _write(self, event: Event) -> None:
        with contextlib.suppress(AuditUnavailable):  # it is refused either way
            self._record(event)


class Recorded:
    """The ASGI application: `app`, with its refusals noted before they are answered.

    Args:
        path: of the MCP endpoint; requests to other places, but for those to models, are noted only where a caller or
            a host was refused.
    """

    def __init__(self, app: ASGIApp, refusals: Refusals, path: str) -> None:
        self._app = app
        self._refusals = refusals
        self._path = path.rstrip("/") or "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_record = watch()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400 and not has_record:
                self._note(message["status"], scope)
            await send(message)

        await self._app(scope, receive, noting)

    def _note(self, status: int, scope: Scope) -> None:
        if status not in _ALWAYS:
            path = scope["path"].rstrip("/") or "/"
            if path != self._path and (status == 404 or not path.startswith("/v1/")):
                return
            if scope["method"] != "POST" and not (status == 404 and _has_session(scope)):
                return
        self._refusals.note(status, scope)


class _Bucket:
    """At most `size` at once, and `rate` a second in the long run."""

    def __init__(self, size: float, rate: float, now: float) -> None:
        self._size, self._rate = size, rate
        self._left, self._at = size, now

    def take(self, now: float) -> bool:
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _has_session(scope: Scope) -> bool:
    return any(name == b"mcp-session-id" for name, _ in scope["headers"])


def network(client: tuple[str, int] | None) -> str:
    """Where a request came from, without telling one person from the next: /24 of IPv4, /48 of IPv6."""
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return "unknown"
    if address.is_loopback:
        return "loopback"
    return str(ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))
