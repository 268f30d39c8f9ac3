"""HTTP/1.1 (RFC 9112) to a server of ours on a Unix socket: what the gateway needs to ask its model worker.

It promises that a connection is used again only after its answer was read to the end, that leaving an answer early
closes its connection, so that the server stops working on it, and that nothing is read without a limit on time and
on the size of a head. It knows no redirects, cookies, compression or TLS; a general client would take 13 MB here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal

__all__ = ["Answer", "Broken", "NotReached", "Silent", "UnixHttp"]

_IDLE: Final = 64  # connections kept for later
_HEAD: Final = 64 * 1024  # bytes of a head, or of the line before a chunk
_PIECE: Final = 64 * 1024  # bytes read at once


class Broken(Exception):
    """The connection ended, or what came over it is no HTTP."""


class NotReached(Broken):
    """Nobody listens there: nothing was sent."""


class Silent(Broken):
    """Nothing was said, or taken, for longer than allowed."""


class _Line:
    """One connection: its streams, and how long the other side may say nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.seconds = 0.0

    @property
    def usable(self) -> bool:
        """Whether the other side still holds it, as far as is known."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def send(self, data: bytes) -> None:
        async with _limited(self.seconds):
            self._writer.write(data)
            await self._writer.drain()

    async def until(self, end: bytes) -> bytes:
        """What comes up to `end` and including it."""
        async with _limited(self.seconds):
            return await self._reader.readuntil(end)

    async def some(self, most: int) -> bytes:
        """At least one byte and at most so many; none at the end of the connection."""
        async with _limited(self.seconds):
            return await self._reader.read(min(most, _PIECE))

    def close(self) -> None:
        self._writer.transport.abort()


class Answer:
    """One answer, its body still to be read.

    Attributes:
        status: of the answer, e.g. 200.
    """

    def __init__(self, line: _Line, status: int, length: int | Literal["chunked"] | None, lasting: bool) -> None:
        self.status = status
        self._line, self._length, self._lasting = line, length, lasting
        self._read = length == 0

    @property
    def reusable(self) -> bool:
        """Whether the connection can take the next request."""
        return self._read and self._lasting and self._line.usable

    async def parts(self) -> AsyncIterator[bytes]:
        """The body in pieces, as they come; none of them empty.

        Raises:
            Broken: the connection ended in the middle of it.
            Silent: nothing came for too long.
        """
        if self._length == "chunked":
            while size := _chunk_size(await self._line.until(b"\r\n")):
                async for part in self._exactly(size):
                    yield part
                if await self._line.until(b"\r\n") != b"\r\n":
                    raise Broken("a chunk without an end")
            while await self._line.until(b"\r\n") != b"\r\n":
                pass  # trailer fields, which mean nothing here
        elif self._length is None:
            while part := await self._line.some(_PIECE):
                yield part
        else:
            async for part in self._exactly(self._length):
                yield part
        self._read = True

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            part = await self._line.some(size)
            if not part:
                raise Broken("the connection ended in the middle of an answer")
            size -= len(part)
            yield part


class UnixHttp:
    """A client of one server. Requests in flight have a connection each.

    Args:
        path: of the socket.
        headers: sent with every request.
    """

    def __init__(self, path: str, headers: Mapping[str, str]) -> None:
        self._path = path
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: list[_Line] = []
        self._busy: set[_Line] = set()
        self._closed = False

    @asynccontextmanager
    async def open(self, method: str, target: str, content: bytes | None, timeout: float) -> AsyncIterator[Answer]:
        """Send one request, once; the block has the head of its answer.

        Args:
            target: path and query.
            timeout: seconds that the server may say nothing, before and in its answer.

        Raises:
            NotReached: nothing was sent, for nobody listens.
            Broken, Silent: it may have been processed.
        """
        line = await self._line(timeout)
        self._busy.add(line)
        answer = None
        try:
            body = content or b""
            head = f"{method} {target} HTTP/1.1\r\nhost: models\r\n{self._headers}content-length: {len(body)}\r\n\r\n"
            await line.send(head.encode("latin-1") + body)
            answer = _answer(line, await line.until(b"\r\n\r\n"))
            yield answer
        finally:
            self._busy.discard(line)
            if answer is not None and answer.reusable and not self._closed and len(self._idle) < _IDLE:
                self._idle.append(line)
            else:
                line.close()

    def close(self) -> None:
        """Close every connection; answers that are being read break off."""
        self._closed = True
        for line in (*self._idle, *self._busy):
            line.close()
        self._idle.clear()

    async def _line(self, timeout: float) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if line.usable:
                line.seconds = timeout
                return line
            line.close()
        try:
            async with _limited(timeout):
                line = _Line(*await asyncio.open_unix_connection(self._path, limit=_HEAD))
        except Broken as error:
            raise NotReached(str(error)) from None
        line.seconds = timeout
        return line


@asynccontextmanager
async def _limited(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Silent(f"nothing for {seconds:g} s") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Broken(type(error).__name__) from None


def _answer(line: _Line, head: bytes) -> Answer:
    first, *rest = head[:-4].decode("latin-1").split("\r\n")
    version, _, told = first.partition(" ")
    status = told[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (status.isascii() and status.isdigit()):
        raise Broken("an answer that is no HTTP")
    fields: dict[str, str] = {}
    for each in rest:
        name, colon, value = each.partition(":")
        if not colon:
            raise Broken("a header without a colon")
        fields[name.strip().lower()] = value.strip()
    lasting = version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
    length: int | Literal["chunked"] | None = None
    if fields.get("transfer-encoding", "").lower() == "chunked":
        length = "chunked"
    elif "content-length" in fields:
        length = _number(fields["content-length"], 10)
    return Answer(line, int(status), length, lasting and length is not None)


def _chunk_size(line: bytes) -> int:
    return _number(line[:-2].partition(b";")[0].decode("latin-1").strip(), 16)


def _number(text: str, base: int) -> int:
    with contextlib.suppress(ValueError):
        if text.isalnum() and text.isascii() and len(text) < 16:
            return int(text, base)
    raise Broken("a length that is no number")
