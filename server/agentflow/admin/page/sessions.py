"""People's sessions at the page.

A session is an unguessable cookie of 256 bits. The store has its digest, and what the person signed in with sealed
under a key that only the cookie gives: whoever reads the database can neither enter nor learn a key, and each request
proves the credential anew, so that a session ends with the key or token behind it, and changes with its roles. It
also ends when it is not used, when its time is up, and when somebody signs out; signing in always begins a new one.
Guessing is slowed down, for each address and for all together.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import HTTPConnection

from agentflow.admin.threads import in_thread
from agentflow.errors import Forbidden, IdentityUnavailable, LimitExceeded, Unauthenticated
from agentflow.identity.principal import Principal
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from agentflow.admin.page.session_rows import SessionRows

COOKIE: Final = "agentflow_session"
SECURE_COOKIE: Final = "__Host-agentflow_session"
IDLE: Final = 30 * 60.0  # seconds without use after which a session ends
LIFETIME: Final = 12 * 3600.0  # seconds after which it ends however it is used
_TOUCH: Final = 60.0  # seconds between two notes of its being used
_LIVE: Final = 50  # sessions of one principal; the oldest ends
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_CREDENTIAL: Final = 8192  # bytes of what somebody may sign in with
_NONCE: Final = 12
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?")

Authenticate = Callable[[list[tuple[bytes, bytes]]], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody signed in.

    Attributes:
        csrf: what each of its forms carries; made from the cookie, so that no other site can know it.
        expires: epoch seconds.
    """

    id: bytes
    principal: Principal
    csrf: str
    expires: float


@dataclass(frozen=True, slots=True)
class Row:
    """A session as the store has it. `used` is epoch seconds, and so is `expires`."""

    id: bytes
    tenant: str
    principal: str
    sealed: bytes
    used: float
    expires: float


class Throttle:
    """How often somebody may try: a bucket for each address, and one for all.

    Args:
        burst, every: tries at once, and seconds until there is another one; of one address.
        whole: how many times that all addresses together have.
    """

    def __init__(
        self, burst: int = 6, every: float = 10.0, whole: int = 10, clock: Callable[[], float] = time.monotonic
    ):
        self._burst, self._every, self._whole, self._clock = burst, every, whole, clock
        self._used: dict[str, tuple[float, float]] = {}  # address → tries that count, as of

    def take(self, address: str) -> None:
        """Count a try.

        Raises:
            LimitExceeded: it has to wait.
        """
        now = self._clock()
        if len(self._used) > 10_000:
            self._used = {who: kept for who, kept in self._used.items() if self._left(who, now) > 0}
        for who, burst in ((address, self._burst), ("", self._burst * self._whole)):
            if self._left(who, now) + 1 > burst:
                wait = int(self._every) + 1
                raise LimitExceeded("Too many attempts to sign in", fix=f"Try again in {wait} s", retry_after=wait)
        for who in (address, ""):
            self._used[who] = (self._left(who, now) + 1, now)

    def give_back(self, address: str) -> None:
        """Forget the last try: it was good."""
        now = self._clock()
        for who in (address, ""):
            self._used[who] = (max(0.0, self._left(who, now) - 1), now)

    def _left(self, who: str, now: float) -> float:
        count, at = self._used.get(who, (0.0, now))
        return max(0.0, count - (now - at) / (self._every / (self._whole if not who else 1)))


class Sessions:
    """The sessions of a store.

    Args:
        authenticate: the principal behind raw ASGI headers, as the gateway in force now knows it.

    Every method may raise `StoreUnavailable`.
    """

    def __init__(self, store: Store, authenticate: Authenticate, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._authenticate = authenticate
        self._clock = clock
        self.throttle = Throttle()

    async def begin(self, credential: str, address: str, former: str = "") -> tuple[str, Session]:
        """Sign somebody in; returns the cookie's value and the session.

        Args:
            credential: an API key or a token; "" for the local principal.
            address: where the request came from.
            former: the cookie that came along; that session ends.

        Raises:
            Unauthenticated: it is not known.
            LimitExceeded: too many attempts.
        """
        presented = credential.strip().encode("utf-8", "replace")
        self.throttle.take(address)
        if len(presented) > _CREDENTIAL or any(byte < 33 or byte > 126 for byte in presented):
            raise Unauthenticated("This is no API key or token", fix="Paste the whole key, and nothing else")
        principal = await self._who(presented)
        self.throttle.give_back(address)
        cookie = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(_digest(cookie), principal, _csrf(cookie), now + LIFETIME)
        row = Row(session.id, principal.tenant, principal.id, _sealed(cookie, presented), now, session.expires)
        await in_thread(lambda: self._rows().add(row, _digest(former), now - IDLE, _LIVE))
        return cookie, session

    async def find(self, request: HTTPConnection, *, use: bool = True) -> Session | None:
        """The session of a request's cookie, or None.

        Args:
            use: whether this counts as its being used; what a page asks for by itself does not.
        """
        cookie = request.cookies.get(cookie_name(request), "")
        if not _TOKEN.fullmatch(cookie):
            return None
        found = await in_thread(self._read, _digest(cookie), use)
        if found is None:
            return None
        sealed, expires = found
        try:
            presented = _opened(cookie, sealed)
            principal = await self._who(presented)
        except IdentityUnavailable:
            raise  # nobody can say now: refused, and not over
        except (InvalidTag, Unauthenticated):
            await in_thread(lambda: self._rows().end(_digest(cookie)))
            return None
        return Session(_digest(cookie), principal, _csrf(cookie), expires)

    async def principal(self, request: HTTPConnection) -> Principal | None:
        """Who the session cookie of a request stands for; None without a valid one."""
        session = await self.find(request)
        return session.principal if session else None

    def proves(self, request: HTTPConnection) -> bool:
        """Whether the request carries, in the header `X-CSRF-Token`, the token of its session."""
        cookie = request.cookies.get(cookie_name(request), "")
        return same(request.headers.get("x-csrf-token", ""), _csrf(cookie)) if cookie else False

    async def end(self, session: Session) -> None:
        """Sign out."""
        await in_thread(lambda: self._rows().end(session.id))

    async def end_all(self, principal: Principal) -> int:
        """Sign a principal out everywhere; returns how many sessions ended."""
        return await in_thread(lambda: self._rows().end_all(principal.tenant, principal.id))

    async def _who(self, presented: bytes) -> Principal:
        headers = [(b"authorization", b"Bearer " + presented)] if presented else []
        principal = await self._authenticate(headers)
        if not presented and principal.auth != "local":
            raise Unauthenticated("This gateway needs an API key", fix="Paste yours")
        return principal

    def _read(self, number: bytes, use: bool) -> tuple[bytes, float] | None:
        if not self._store.begun:
            return None
        rows, now = self._rows(), self._clock()
        found = rows.find(number)
        if found is None or found.expires <= now or found.used <= now - IDLE:
            return None
        if use and found.used < now - _TOUCH:
            rows.touch(number, now)
        return found.sealed, found.expires

    def _rows(self) -> SessionRows:
        """The table; asked for in a thread only."""
        from agentflow.admin.page.session_rows import SessionRows  # needs SQLAlchemy

        return SessionRows(self._store.database())


def secure(request: HTTPConnection) -> bool:
    """Whether the browser speaks HTTPS, with us or with a proxy before us."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").strip().lower() == "https"


def cookie_name(request: HTTPConnection) -> str:
    """The name of the cookie; over HTTPS one that no subdomain and no plain connection can set (RFC 6265bis, 4.1.3)."""
    return SECURE_COOKIE if secure(request) else COOKIE


def set_cookie(request: HTTPConnection, value: str) -> str:
    """The `Set-Cookie` header for a session, or for none ("")."""
    kept = f"{cookie_name(request)}={value}; Path=/; HttpOnly; SameSite=Strict"
    return kept + ("; Secure" if secure(request) else "") + ("" if value else "; Max-Age=0")


def check_transport(request: HTTPConnection) -> None:
    """Refuse to send a cookie in the clear.

    Raises:
        Forbidden: plain HTTP, to another machine.
    """
    if not secure(request) and not _LOOPBACK.fullmatch(request.headers.get("host", "").lower()):
        raise Forbidden(
            "Signing in needs HTTPS: on a plain connection others could read your session",
            fix="Open the page over https, or on the gateway's own machine as http://127.0.0.1",
        )


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far they are."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(b"agentflow session\0" + cookie.encode()).digest()


def _derived(cookie: str, purpose: bytes) -> bytes:
    return hmac.new(cookie.encode(), b"agentflow page\0" + purpose, hashlib.sha256).digest()


def _csrf(cookie: str) -> str:
    return urlsafe_b64encode(_derived(cookie, b"csrf")).decode().rstrip("=")


def _sealed(cookie: str, credential: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(_derived(cookie, b"seal")).encrypt(nonce, credential, None)


def _opened(cookie: str, sealed: bytes) -> bytes:
    return AESGCM(_derived(cookie, b"seal")).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
