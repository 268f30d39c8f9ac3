"""One HTTP/1.1 connection: bytes out, a parsed answer in, nothing decided.

Promises bounded memory (headers, trailers and anything else that is not body stay under `max_header`; body is
read no faster than it is taken) and that every way an answer can break off is a typed error. Refuses protocol
upgrades and anything that is not HTTP/1.x. Knows nothing of pools, URLs or MCP.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Any, cast

import httptools

from agentflow.errors import UpstreamProtocolError

# Body bytes that may wait for a reader before the socket is no longer read.
HIGH_WATER = 256 * 1024
# Answers announced as no longer than this wake their reader once, when complete, not already at their headers.
_SMALL = 64 * 1024
# What an abandoned but nearly finished answer may still send before its connection is given up.
_LINGER_BYTES = 64 * 1024


class Disconnected(UpstreamProtocolError):
    """The connection ended before the answer was complete.

    Attributes:
        silent: not one byte of an answer had arrived.
    """

    def __init__(self, message: str, *, silent: bool) -> None:
        super().__init__(message, fix="check the upstream's own log")
        self.silent = silent


class Wire(asyncio.Protocol):
    """One socket and the answer that is being read from it.

    Attributes:
        status, headers: of the current answer; header names are lower-case, repeated ones joined with ", ".
        complete: the answer has been read to its end.
        reusable: the connection may carry another request.
        idle_since, idle_limit: loop time of the last use, and the seconds the server said it keeps it open.
    """

    __slots__ = (
        "_announced",
        "_arrived",
        "_chunks",
        "_error",
        "_head_bytes",
        "_head_done",
        "_high",
        "_interim",
        "_label",
        "_loop",
        "_max_header",
        "_parser",
        "_paused",
        "_poll",
        "_quiet",
        "_size",
        "_transport",
        "_until_eof",
        "_waiter",
        "busy",
        "complete",
        "headers",
        "idle_limit",
        "idle_since",
        "lingering",
        "reusable",
        "status",
    )

    def __init__(self, label: str, max_header: int) -> None:
        self._label = label
        self._max_header = max_header
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._poll: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self.lingering: asyncio.Future[None] | None = None
        self.busy = False
        self.reusable = False
        self.idle_since = 0.0
        self.idle_limit = 0.0
        self._paused = False
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = False
        self._arrived = False
        self._chunks: list[bytes] = []
        self._size = 0
        self._quiet = 0
        self._head_bytes = 0
        self._head_done = False
        self._interim = False
        self._announced: int | None = None
        self._until_eof = False
        self._high = HIGH_WATER
        self._error: UpstreamProtocolError | None = None

    # ------------------------------------------------------------------ asking

    def start(self, data: bytes) -> None:
        """Write one request; its answer is awaited with `head`."""
        assert self._transport is not None
        self._reset()
        self.busy = True
        self.reusable = False
        self._transport.write(data)

    async def head(self) -> None:
        """Wait for status and headers (for a short answer: until it is complete)."""
        while not (self.complete or (self._head_done and not self._is_small())):
            if self._error is not None:
                raise self._error
            await self._changed()

    async def chunk(self) -> bytes:
        """Wait for and take what has arrived of the body; b"" at its end."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._changed()
        return self._take()

    async def body(self, limit: int) -> bytes:
        """Wait for the whole body.

        Raises:
            UpstreamProtocolError: it is longer than `limit` bytes, or breaks off.
        """
        self._high = limit
        self._resume()
        while not self.complete:
            if self._error is not None:
                raise self._error
            if self._size > limit or (self._announced or 0) > limit:
                break
            await self._changed()
        if self._size > limit or (self._announced or 0) > limit:
            raise UpstreamProtocolError(
                f"{self._label} sent an answer larger than {limit} bytes",
                fix="raise `limits.max_result`, or ask the upstream for less",
            )
        return self._take()

    def _take(self) -> bytes:
        chunks = self._chunks
        self._chunks = []
        self._size = 0
        self._resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _is_small(self) -> bool:
        return self._announced is not None and self._announced <= _SMALL

    async def _changed(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ------------------------------------------------------------------ lifetime

    def usable(self, now: float) -> bool:
        """Whether a request may be written: open, quiet, and not idle for longer than the server keeps it."""
        transport = self._transport
        if transport is None or transport.is_closing() or now - self.idle_since >= self.idle_limit:
            return False
        # The kernel may hold an end-of-stream that the loop has not delivered yet: anything readable on an
        # idle connection, be it that or unasked-for bytes, means that it must not be used again.
        return self._poll is None or not self._poll.poll(0)

    async def linger(self, seconds: float) -> bool:
        """Wait for the end of an answer nobody reads any more; True if the connection can be used again."""
        self._chunks = []
        self._size = 0
        self._high = _LINGER_BYTES
        self._resume()
        if not self.complete and self._error is None:
            self.lingering = self._loop.create_future()
            timer = self._loop.call_later(seconds, self._stop_lingering)
            try:
                await self.lingering
            finally:
                timer.cancel()
                self.lingering = None
        return self.complete and self.reusable

    def _stop_lingering(self) -> None:
        if self.lingering is not None and not self.lingering.done():
            self.lingering.set_result(None)

    def abort(self) -> None:
        """Close the socket now, dropping what has not been written."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is None:
            return
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(raw.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if not self.busy:  # bytes that nobody asked for: the next answer could not be trusted
            self.abort()
            return
        self._arrived = True
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(f"{self._label} answered something that is not HTTP/1.1")
            return
        if self._quiet > self._max_header or self._head_bytes > self._max_header:
            self._fail(f"{self._label} sent headers larger than {self._max_header} bytes")
            return
        if self.lingering is not None:
            if self.complete or self._size > _LINGER_BYTES:
                self._stop_lingering()
        elif self.complete or (self._head_done and (self._size > _SMALL or not self._is_small())):
            self._wake()
        if self._size > self._high and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()
        self._transport = None
        self._parser = None  # it holds this object's bound methods: break the cycle
        self._poll = None

    def _ended(self) -> None:
        self.reusable = False
        if self.busy and not self.complete and self._error is None:
            if self._head_done and self._until_eof:
                self.complete = True
            elif self._arrived:
                self._error = Disconnected(f"{self._label} broke off in the middle of its answer", silent=False)
            else:
                self._error = Disconnected(f"{self._label} closed the connection without answering", silent=True)
        self._stop_lingering()
        self._wake()

    def _fail(self, message: str) -> None:
        if self._error is None and not self.complete:
            self._error = UpstreamProtocolError(message, fix="check that `url` is an MCP endpoint")
        self.reusable = False
        self.abort()
        self._stop_lingering()
        self._wake()

    # ------------------------------------------------------------------ httptools callbacks

    def on_message_begin(self) -> None:
        if self.complete:  # a second answer to one request
            self.reusable = False
            raise ValueError("unexpected second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._quiet = 0
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._max_header or self._head_done:
            return  # too much (reported by data_received), or a trailer, which means nothing here
        name = name.lower()
        known = self.headers.get(name)
        self.headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # `_quiet` goes on counting, so that endless interim answers come to an end
            self._interim = True
            return
        self._quiet = 0
        self.status = status
        self._head_done = True
        headers = self.headers
        length = headers.get(b"content-length")
        if b"transfer-encoding" in headers:
            self._announced = None
        elif length is not None and length.isdigit():
            self._announced = int(length)
        elif status in (204, 304):
            self._announced = 0
        else:
            self._until_eof = True

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        self._chunks.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self.headers = {}
            return
        self.complete = True
        self.reusable = bool(self._parser.should_keep_alive())
