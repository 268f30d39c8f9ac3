"""A small pooled HTTP/1.1 client for one upstream.

Promises: one TLS context, made once, certificates always verified; an unsafe request is written exactly once;
memory bounded by the limits given. Refuses: redirects (the answer is handed back, never followed), compression,
upgrades, proxies. Idle connections are kept for a few seconds and reused newest first; their number is not
limited, the gateway's own concurrency limit is.

It exists because a general client costs five to ten times the CPU per call (see `benchmarks/`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

from agentflow.errors import ConfigError, UpstreamUnavailable
from agentflow.gateway.upstreams import reach
from agentflow.gateway.upstreams.http1_wire import Disconnected, Wire
from agentflow.identity.downstream import Headers, Presented

# Common servers (uvicorn, Node) drop a connection after 5 idle seconds; reusing one later risks writing a
# request into a socket that is just being closed.
IDLE_SECONDS = 4.0
_LINGER_SECONDS = 1.0
# Headers that the client or the protocol owns; a configured value would break framing or negotiation.
_OWNED = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "transfer-encoding",
    }
)


@lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """The verifying TLS context that upstreams share; loading the trust store costs about 17 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed upstream URL.

    Attributes:
        origin: `scheme://host[:port]` for comparisons and messages: no path, query or userinfo.
        target: path and query as they go on the wire.
        authorization: Basic credentials from the URL's userinfo, or None.
    """

    origin: str
    host: str
    port: int
    secure: bool
    authority: str
    target: str
    authorization: str | None

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Parse an absolute http(s) URL.

        Raises:
            ConfigError: it is none, or holds characters that may not stand in a request.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            host = parts.hostname
        except ValueError as error:
            raise _bad_url(str(error)) from None
        if parts.scheme not in ("http", "https") or not host:
            raise _bad_url("it must start with http:// or https:// and name a host")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not all("!" <= char <= "~" for char in target + host):
            raise _bad_url("spaces and non-ASCII characters must be percent-encoded")
        secure = parts.scheme == "https"
        shown = f"[{host}]" if ":" in host else host
        default = 443 if secure else 80
        authority = shown if port in (None, default) else f"{shown}:{port}"
        origin = f"{parts.scheme}://{authority}"
        return cls(origin, host, port or default, secure, authority, target, _basic(parts))


def _bad_url(why: str) -> ConfigError:
    return ConfigError(f"the upstream's `url` cannot be used: {why}", fix="correct `url` in the server's entry")


def _basic(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Render headers for the wire, leaving out those that the protocol owns.

    Raises:
        ConfigError: a name or value would break the request apart.
    """
    lines = []
    for name, value in headers.items():
        if name.lower() in _OWNED:
            continue
        if not name.isascii() or any(char in name for char in ' \t\r\n:"') or any(char in value for char in "\r\n\0"):
            raise ConfigError(f"header {name[:60]!r} holds characters that HTTP does not allow")
        try:
            lines.append(f"{name}: {value}\r\n".encode("latin-1"))
        except UnicodeEncodeError:
            raise ConfigError(f"the value of header {name[:60]!r} holds characters beyond latin-1") from None
    return b"".join(lines)


class Response:
    """One answer. Call `release` when done with it, whatever happened."""

    __slots__ = ("_client", "_wire", "headers", "status")

    def __init__(self, client: HttpClient, wire: Wire) -> None:
        self._client = client
        self._wire = wire
        self.status = wire.status
        self.headers = wire.headers

    @property
    def media_type(self) -> bytes:
        """The content type, lower-case and without parameters; b"" if none was sent."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    async def chunk(self) -> bytes:
        """Wait for the next piece of the body; b"" at its end."""
        return await self._wire.chunk()

    async def body(self, limit: int) -> bytes:
        """Wait for the whole body.

        Raises:
            UpstreamProtocolError: longer than `limit` bytes, or broken off.
        """
        return await self._wire.body(limit)

    def release(self, *, linger: bool = False) -> None:
        """Give the connection back; an answer not read to its end closes it.

        Args:
            linger: what is missing is at most the end marker, so wait a moment for it in the background.
        """
        self._client.recycle(self._wire, linger)


class HttpClient:
    """The connections to one origin.

    Args:
        url: the upstream's URL; requests go to its path unless they name another target.
        headers: sent with every request (the upstream's own credentials among them).
        label: how messages name the upstream; default its origin.
        max_header: bytes of headers accepted in an answer.
        connect_timeout: seconds for DNS, TCP and TLS together.
        tls: context for https; default one that verifies against the system's trust store.
        public: connect to addresses of the open Internet only (see `reach`).
        presented: whose requests these are: gives the headers that say so, with each. The URL's own userinfo is the
            gateway's, and then left out.

    Raises:
        ConfigError: the URL or a header cannot be used.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        label: str = "",
        max_header: int = 64 * 1024,
        connect_timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        public: bool = False,
        presented: Presented | None = None,
    ) -> None:
        self.endpoint = Endpoint.parse(url)
        self._public = public
        self.label = label or self.endpoint.origin
        self._max_header = max_header
        self._connect_timeout = connect_timeout
        self._tls = (tls or default_tls()) if self.endpoint.secure else None
        given = dict(headers or {})
        names = {name.lower() for name in given}
        if self.endpoint.authorization and "authorization" not in names and presented is None:
            given["Authorization"] = self.endpoint.authorization
        host = "" if "host" in names else f"Host: {self.endpoint.authority}\r\n"
        self._common = host.encode("ascii") + header_lines(given)
        self._target = self.endpoint.target.encode("ascii")
        self._idle: deque[Wire] = deque()
        self._all: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False
        self._presented = presented
        self._shown: tuple[Headers | None, bytes] = None, b""

    @property
    def idle(self) -> bool:
        """Whether it has no connection, so that nothing is lost without it."""
        return not self._all

    async def send(
        self, method: bytes, lines: bytes, body: bytes = b"", *, target: bytes | None = None, safe: bool = False
    ) -> Response:
        """Send one request and wait for the head of its answer.

        Args:
            lines: further header lines, each ending in CRLF.
            safe: it may be sent again if a reused connection turns out to have been closed by the server.

        Raises:
            UpstreamUnavailable: no connection; nothing was sent.
            UpstreamProtocolError: the answer is not HTTP, too large, or broke off.
            CredentialRequired: the upstream wants a credential that the principal does not have (nothing was
                processed: RFC 9110, section 15.5.2).
        """
        if self._presented is None:
            return await self._send(method, lines, body, target, safe)
        headers = await self._presented.headers()
        response = await self._send(method, self._carried(headers) + lines, body, target, safe)
        if response.status == 401:
            response.release(linger=True)
            headers = await self._presented.again(headers, _challenge(response))
            response = await self._send(method, self._carried(headers) + lines, body, target, safe)
        if response.status in (401, 403):
            error = self._presented.rejected(response.status, _challenge(response))
            if error is not None:
                response.release(linger=True)
                raise error
        return response

    def _carried(self, headers: Headers) -> bytes:
        if headers is not self._shown[0]:
            self._shown = headers, header_lines(headers)
        return self._shown[1]

    async def _send(self, method: bytes, lines: bytes, body: bytes, target: bytes | None, safe: bool) -> Response:
        data = b"%b %b HTTP/1.1\r\n%b%b" % (method, target or self._target, self._common, lines)
        if body or method == b"POST":
            data += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        else:
            data += b"\r\n"
        wire, reused = await self._acquire()
        try:
            return await self._ask(wire, data)
        except Disconnected as error:
            if not (safe and reused and error.silent):
                raise
        return await self._ask(await self._connect(), data)

    async def _ask(self, wire: Wire, data: bytes) -> Response:
        try:
            wire.start(data)
            await wire.head()
        except BaseException:
            self.recycle(wire, False)
            raise
        return Response(self, wire)

    async def _acquire(self) -> tuple[Wire, bool]:
        now = asyncio.get_running_loop().time()
        while self._idle:
            wire = self._idle.pop()
            if wire.usable(now):
                return wire, True
            self._discard(wire)
        return await self._connect(), False

    async def _connect(self) -> Wire:
        if self._closed:
            raise UpstreamUnavailable(f"{self.label} is being disconnected", sent=False)
        end = self.endpoint
        try:
            async with asyncio.timeout(self._connect_timeout):
                if not self._public:
                    wire = await self._open(end.host)
                else:
                    wire = await self._open_first(await reach.resolved(end.host, end.port, self.label))
        except TimeoutError:
            message = f"{self.label} did not accept a connection within {self._connect_timeout:g} s"
            raise UpstreamUnavailable(message, fix="check `url` and that the server runs", sent=False) from None
        except ssl.SSLCertVerificationError as error:
            message = f"{self.label} has no valid certificate: {error.verify_message}"
            fix = "install its certificate authority (SSL_CERT_FILE), or correct `url`"
            raise UpstreamUnavailable(message, fix=fix, sent=False) from None
        except ssl.SSLError as error:
            message = f"TLS with {self.label} failed: {error.reason or 'handshake error'}"
            raise UpstreamUnavailable(message, fix="check that `url` should be https", sent=False) from None
        except OSError as error:
            why = error.strerror or "connection failed"
            message = f"{self.label} cannot be reached: {why}"
            raise UpstreamUnavailable(message, fix="check `url` and that the server runs", sent=False) from None
        self._all.add(wire)
        return wire

    async def _open(self, host: str) -> Wire:
        end = self.endpoint
        _, wire = await asyncio.get_running_loop().create_connection(
            lambda: Wire(self.label, self._max_header),
            host,
            end.port,
            ssl=self._tls,
            server_hostname=end.host if end.secure else None,
        )
        return wire

    async def _open_first(self, addresses: list[str]) -> Wire:
        """Connect to the first address that takes it."""
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):
                return await self._open(address)
        return await self._open(addresses[-1])

    def recycle(self, wire: Wire, linger: bool) -> None:
        """Pool a connection whose answer is complete, close any other."""
        if wire.complete and wire.reusable and not self._closed:
            self._pool(wire)
        elif linger and not wire.complete and not self._closed:
            task = asyncio.get_running_loop().create_task(self._linger(wire))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._discard(wire)

    async def _linger(self, wire: Wire) -> None:
        if await wire.linger(_LINGER_SECONDS) and not self._closed:
            self._pool(wire)
        else:
            self._discard(wire)

    def _pool(self, wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        wire.busy = False
        wire.idle_since = loop.time()
        wire.idle_limit = _keep_alive(wire.headers.get(b"keep-alive"))
        self._idle.append(wire)
        if self._reaper is None:
            self._reaper = loop.call_later(IDLE_SECONDS, self._reap)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        kept: deque[Wire] = deque()
        for wire in self._idle:
            if wire.usable(now):
                kept.append(wire)
            else:
                self._discard(wire)
        self._idle = kept
        self._reaper = loop.call_later(IDLE_SECONDS, self._reap) if kept else None

    def _discard(self, wire: Wire) -> None:
        self._all.discard(wire)
        wire.abort()

    async def close(self) -> None:
        """Close every connection; requests in flight fail."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        self._idle.clear()
        for task in tuple(self._tasks):
            task.cancel()
        for wire in tuple(self._all):
            self._discard(wire)
        await asyncio.sleep(0)  # let the transports report their end


def _challenge(response: Response) -> str:
    return response.headers.get(b"www-authenticate", b"").decode("latin-1")[:4096]


def _keep_alive(header: bytes | None) -> float:
    """How long an idle connection may be reused: the server's `timeout=`, less a second, else the default."""
    for part in (header or b"").split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit():
            return min(max(int(value[:9]) - 1.0, 0.0), 60.0)
    return IDLE_SECONDS
