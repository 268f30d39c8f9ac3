"""An HTTP server on a loopback port, in a thread of its own, that answers as its script says.

Promises: real sockets, HTTP/1.1 with keep-alive, hundreds of streams at once, every request kept, faults of the
connection that are really there (a reset is a reset). For tests that are `async` and tests that are not alike, and
for other processes. Refuses: nothing; a path that the provider does not have is answered 404 as it would.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from tests.model_servers.script import JSON, Asked, Cut, Hang, Midway, Raw, Refusal, Refuse, Reply, Say

_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class ModelServer:
    """A provider. Use as a context manager, or `start` and `close`.

    A request takes the next reply of its model's script, else of the common script, else `otherwise`.

    Attributes:
        base_url: what belongs into `base_url` of a provider of this kind.
        requests: all that came, in order.
        most_at_once: how many were under way together at most; `under_way`: now.
        gone: callers that left before their answer was over.
        models: what the listing of models shows.
        dimensions: length of an embedding.
        tls: set before `start`, to be served over https.
    """

    suffix = ""  # of base_url
    stream_type = "text/event-stream"

    def __init__(self, *models: str) -> None:
        self.models: list[str] = list(models) or ["m-1"]
        self.dimensions = 8
        self.otherwise: Reply | Callable[[Asked], Reply] = Say()
        self.requests: list[Asked] = []
        self.under_way = 0
        self.most_at_once = 0
        self.gone = 0
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._script: deque[Reply] = deque()
        self._scripts: dict[str, deque[Reply]] = {}
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()

    # What each provider has of its own

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        """`(operation, model, stream)` of a request; operation "" where there is no such path."""
        raise NotImplementedError

    def whole(self, asked: Asked, say: Say) -> JSON:
        """The body of an answer in one piece."""
        raise NotImplementedError

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        """A streamed answer, framed: each event, and whether it carries a part of the text."""
        raise NotImplementedError

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        """Status, body and headers of an error."""
        raise NotImplementedError

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        """The event of an error within a stream."""
        raise NotImplementedError

    def embedding(self, asked: Asked) -> JSON:
        """The answer to a request for embeddings."""
        raise NotImplementedError

    def listing(self, asked: Asked) -> JSON:
        """The models there are."""
        raise NotImplementedError

    def refused_listing(self, asked: Asked) -> Refusal | None:
        """Why the listing of models is refused, if it is."""
        return None

    def elsewhere(self, asked: Asked) -> Raw:
        """The answer to a request that is none of these."""
        return Raw(json.dumps({"error": {"message": f"no such path: {asked.path}"}}).encode(), status=404)

    # What tests use

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.suffix}"

    def script(self, *replies: Reply, model: str | None = None) -> Self:
        """Add replies, in order; those of a model only for requests for that model."""
        with self._changed:
            (self._script if model is None else self._scripts.setdefault(model, deque())).extend(replies)
        return self

    def say(self, *values: Any, model: str | None = None) -> Self:
        """Add answers: a string as it is, anything else as JSON."""
        return self.script(*(Say(value) for value in values), model=model)

    def reset(self) -> None:
        """Forget scripts and requests and drop who still waits, so that a server can be shared between tests."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._drop)
            self.wait(lambda server: server.under_way == 0, "requests to be dropped")
        with self._changed:
            self._script.clear()
            self._scripts.clear()
            self.requests.clear()
            self.otherwise = Say()
            self.most_at_once = self.gone = 0

    def left(self) -> int:
        """Replies in the scripts that nobody asked for."""
        return len(self._script) + sum(map(len, self._scripts.values()))

    def chats(self, model: str | None = None) -> list[Asked]:
        """The chats asked for so far, of one model or of all."""
        return [a for a in list(self.requests) if a.operation == "chat" and model in (None, a.model)]

    def wait(self, condition: Callable[[Self], Any], what: str, deadline: float = 60.0) -> None:
        """Return once `condition` holds of this server.

        Raises:
            AssertionError: it did not within `deadline` seconds.
        """
        end = time.monotonic() + deadline
        with self._changed:
            while not condition(self):
                if not self._changed.wait(min(1.0, end - time.monotonic())) and time.monotonic() > end:
                    raise AssertionError(f"gave up after {deadline} s waiting for {what}")

    def wait_for_requests(self, count: int, deadline: float = 60.0) -> None:
        """Return once so many requests have come."""
        self.wait(lambda server: len(server.requests) >= count, f"{count} requests", deadline)

    def wait_for_gone(self, count: int = 1, deadline: float = 60.0) -> None:
        """Return once so many callers have left before their answer was over."""
        self.wait(lambda server: server.gone >= count, f"{count} callers to leave", deadline)

    # Life

    def start(self) -> Self:
        """Listen. Returns once connections are accepted."""
        ready = threading.Event()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener, ready), daemon=True)
        self._thread.start()
        assert ready.wait(30)
        return self

    def close(self) -> None:
        """Stop listening and drop every connection. The port stays, so that `start` brings it back there."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        asyncio.run(self._serve(listener, ready))

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, sock=listener, ssl=self.tls)
        ready.set()
        await self._stop.wait()
        server.close()
        open_now = list(self._connections)
        for connection in open_now:
            connection.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    def _drop(self) -> None:
        for connection in list(self._busy):
            connection.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(task, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(5):
                    await writer.wait_closed()
            writer.transport.abort()
            self._connections.discard(task)

    async def _exchange(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.strip().split("\r\n")
        method, target, _ = request.split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = self._asked(method, target, headers, raw)
        with self._changed:
            self.requests.append(asked)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            reply = self._next(asked)
            self._changed.notify_all()
        left = False
        self._busy.add(task)
        try:
            return await self._answer(asked, reply, reader, writer)
        except ConnectionError:
            left = True
            raise
        finally:
            self._busy.discard(task)
            with self._changed:
                self.under_way -= 1
                self.gone += left
                self._changed.notify_all()

    def _asked(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Asked:
        path, _, query = target.partition("?")
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {"undecodable": raw.decode("latin-1")}
        operation, model, stream = self.recognise(method, unquote(path), headers, body)
        return Asked(method, unquote(path), query, headers, body, operation, model, stream)  # type: ignore[arg-type]

    def _next(self, asked: Asked) -> Reply | None:
        if asked.operation not in ("chat", "embed"):
            return None
        for script in (self._scripts.get(asked.model), self._script):
            if script:
                return script.popleft()
        if asked.operation == "embed":
            return None
        return self.otherwise(asked) if callable(self.otherwise) else self.otherwise

    # Answering: True when the connection may be used again

    async def _answer(
        self, asked: Asked, reply: Reply | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if isinstance(reply, Say | Refuse) and reply.delay:
            await _stays(reader, reply.delay)
        if reply is None or (isinstance(reply, Say) and asked.operation == "embed"):
            return await self._plain(asked, writer)
        if isinstance(reply, Raw):
            kind = {"content-type": reply.content_type}
            return await _send(writer, reply.status, reply.body, {**kind, **reply.headers})
        if isinstance(reply, Refuse):
            return await self._refuse(asked, reply, writer)
        if asked.stream:
            return await self._stream(asked, reply, reader, writer)
        if isinstance(reply, Say):
            return await _send_json(writer, 200, self.whole(asked, reply), reply.headers)
        if isinstance(reply, Midway):
            return await self._refuse(asked, Refuse(reply.kind), writer)
        if isinstance(reply, Cut):
            body = json.dumps(self.whole(asked, reply.said)).encode()
            if reply.after:
                await _send(writer, 200, body[: len(body) // 2], {"content-type": "application/json"}, len(body))
            else:
                _reset(writer)
            return False
        await _stays(reader, None)
        return False

    async def _plain(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if asked.operation == "embed":
            return await _send_json(writer, 200, self.embedding(asked))
        if asked.operation == "models":
            if kind := self.refused_listing(asked):
                return await self._refuse(asked, Refuse(kind), writer)
            return await _send_json(writer, 200, self.listing(asked))
        found = self.elsewhere(asked)
        return await _send(writer, found.status, found.body, {"content-type": found.content_type})

    async def _refuse(self, asked: Asked, reply: Refuse, writer: asyncio.StreamWriter) -> bool:
        status, body, headers = self.refusal(asked, reply.kind, reply.message)
        extra = {} if reply.retry_after is None else {"retry-after": f"{reply.retry_after:g}"}
        return await _send_json(writer, reply.status or status, body, {**headers, **extra})

    async def _stream(
        self,
        asked: Asked,
        reply: Say | Hang | Cut | Midway,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        say = reply if isinstance(reply, Say) else reply.said
        if isinstance(reply, Hang | Cut) and not reply.after:
            if isinstance(reply, Cut):
                _reset(writer)
            else:
                await _stays(reader, None)
            return False
        extra = "".join(f"{k}: {v}\r\n" for k, v in say.headers.items())
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {self.stream_type}\r\ntransfer-encoding: chunked\r\n{extra}\r\n"
        writer.write(head.encode())
        sent = 0
        async for event, carries_text in _paced(self.events(asked, say), say.gap):
            if not isinstance(reply, Say) and carries_text and sent == reply.after:
                break
            if reader.at_eof():
                raise ConnectionResetError
            sent += carries_text
            writer.write(_chunk(event))
            await writer.drain()
        if isinstance(reply, Hang):
            await _stays(reader, None)
        if isinstance(reply, Hang | Cut):
            return False
        if isinstance(reply, Midway):
            writer.write(_chunk(self.midway(asked, reply.kind)))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _paced(events: Iterator[tuple[bytes, bool]], gap: float) -> AsyncIterator[tuple[bytes, bool]]:
    for event, carries_text in events:
        if gap and carries_text:
            await asyncio.sleep(gap)
        yield event, carries_text


async def _stays(reader: asyncio.StreamReader, seconds: float | None) -> None:
    """Wait so long, or for ever; a ConnectionError as soon as the caller is gone."""
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return
    raise ConnectionResetError("the caller left")


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _chunk(event: bytes) -> bytes:
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


async def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str], length: int | None = None
) -> bool:
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    size = len(body) if length is None else length
    reason = _REASONS.get(status, "Status")
    writer.write(f"HTTP/1.1 {status} {reason}\r\ncontent-length: {size}\r\n{lines}\r\n".encode() + body)
    await writer.drain()
    return True


async def _send_json(
    writer: asyncio.StreamWriter, status: int, body: JSON | Sequence[JSON], headers: Mapping[str, str] | None = None
) -> bool:
    raw = json.dumps(body).encode()
    return await _send(writer, status, raw, {"content-type": "application/json", **(headers or {})})


def sse(data: Any, event: str = "") -> bytes:
    """One server-sent event; a string as it is, anything else as JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def vector(text: str, dimensions: int) -> list[float]:
    """An embedding by the letters of the text: the same for the same text, near for near ones, of length 1."""
    sums = [0.0] * dimensions
    for first, second in zip(text.lower(), text.lower()[1:] + " ", strict=True):
        sums[(ord(first) * 31 + ord(second)) % dimensions] += 1.0
    length = sum(v * v for v in sums) ** 0.5 or 1.0
    return [v / length for v in sums]
