"""The stdio front: one client on the process's own standard input and output, one JSON-RPC message per line.

Promises: every line gets its answer, a malformed, oversized or doubled one a typed error; requests in flight are
finished when the client closes its end or a signal asks us to go, within a time limit; stray output of tool files
never reaches the protocol. (The SDK's own transport drops what it cannot read and abandons what is in flight.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import threading
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse, jsonrpc_message_adapter

from agentflow.config import LimitsConfig
from agentflow.errors import AgentFlowError, InvalidRequest, LimitExceeded
from agentflow.gateway import inbound

JSON = dict[str, Any]
Receive = MemoryObjectReceiveStream[SessionMessage | Exception]
Send = MemoryObjectSendStream[SessionMessage]

_AHEAD = 4  # lines read before those in front of them are dispatched
_CHUNK = 1 << 16
_FLUSH = 1.0  # seconds that a client may take to read what is left when we go
_ENDLESS = frozenset({"subscriptions/listen"})  # answered only when the client withdraws it


class _Mark(Enum):
    """What stands in the queue of lines and is none."""

    TOO_LONG = 1
    END = 2


class StdioFront:
    """Serves one client.

    Args:
        drain: seconds that requests in flight may take once no more are read.
        refused: told why a line was refused, before that is answered.
    """

    def __init__(
        self, limits: LimitsConfig, drain: float, refused: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._limits = limits
        self._refused = refused
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._in_flight: dict[str, str] = {}  # id → method
        self._settled = asyncio.Event()  # something in flight has ended
        self._stopped = False
        self._lines: asyncio.Queue[bytes | _Mark] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._output: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()

    def stop(self) -> None:
        """Read nothing more, and end when what is in flight is done; asked a second time, end at once."""
        if self._stopped:
            self._in_flight.clear()
            self._settled.set()
        self._stopped = True
        self._lines.put_nowait(_Mark.END)

    async def serve(self, run: Callable[[Receive, Send], Awaitable[None]]) -> None:
        """Take the standard streams, and serve until the client leaves or `stop` was called.

        Args:
            run: the SDK's side of the two streams of messages; ends when the first one does.
        """
        source, sink = _taken(0, os.open(os.devnull, os.O_RDONLY)), _taken(1, os.dup(2))
        to_server, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        writing, from_server = anyio.create_memory_object_stream[SessionMessage](0)
        for work, descriptor in ((self._read, source), (self._print, sink)):
            # Daemons: both may wait for the client for as long as it likes.
            threading.Thread(target=work, args=(descriptor,), daemon=True).start()
        reader = asyncio.ensure_future(self._take(to_server, writing.clone()))
        writer = asyncio.ensure_future(self._give(from_server))
        try:
            await run(reading, writing)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await asyncio.wait({writer}, timeout=_FLUSH)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    # From the client ----------------------------------------------------------------------------------------

    def _read(self, source: int) -> None:
        """Cut what comes into lines, in a thread: standard input may be a pipe, a terminal or a file."""
        held: list[bytes] = []
        size, limit = 0, self._limits.max_body
        with contextlib.suppress(OSError, RuntimeError):  # the other end, or our event loop, is gone
            while data := os.read(source, _CHUNK):
                for number, part in enumerate(data.split(b"\n")):
                    if number:
                        self._hand_over(_Mark.TOO_LONG if size > limit else b"".join(held))
                        held, size = [], 0
                    size += len(part)
                    if size <= limit:
                        held.append(part)
            self._hand_over(_Mark.TOO_LONG if size > limit else b"".join(held))
            self._loop.call_soon_threadsafe(self._lines.put_nowait, _Mark.END)

    def _hand_over(self, line: bytes | _Mark) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def _take(self, to_server: MemoryObjectSendStream[SessionMessage | Exception], writing: Send) -> None:
        async with to_server, writing:
            while (line := await self._lines.get()) is not _Mark.END:
                self._room.release()
                if isinstance(line, _Mark) or line.strip():
                    await self._dispatch(line, to_server, writing)
            await self._finish()

    async def _dispatch(
        self, line: bytes | _Mark, to_server: MemoryObjectSendStream[SessionMessage | Exception], writing: Send
    ) -> None:
        message, error = self._accepted(line)
        if error is not None:
            self._refused(error.kind)
            # An id that is in flight has an answer of its own to come; this one must not be taken for it.
            number = inbound.request_id(message)
            number = None if str(number) in self._in_flight else number
            refused = JSONRPCError.model_validate(inbound.refusal(error, number), by_name=False)
            await writing.send(SessionMessage(refused))
        elif isinstance(line, bytes):
            # From the text: the message as read here has lost the digits of integers beyond 64 bits.
            await to_server.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))

    def _accepted(self, line: bytes | _Mark) -> tuple[JSON, AgentFlowError | None]:
        if isinstance(line, _Mark):
            limit = self._limits.max_body
            return {}, LimitExceeded(f"The request is larger than {limit} bytes", limit="max_body", max=limit)
        message, error = inbound.parse(line, self._limits.max_depth)
        if error is not None:
            return message, error
        method, number = message.get("method"), inbound.request_id(message)
        if method == "notifications/cancelled":
            # Such a request is never answered.
            self._ended((message.get("params") or {}).get("requestId"))
        elif method is not None and number is not None:
            if str(number) in self._in_flight:
                return message, InvalidRequest(f"A request with the id {number!r} is still in flight", id=number)
            self._in_flight[str(number)] = method
        return message, None

    def _ended(self, number: object) -> None:
        if self._in_flight.pop(str(number), None) is not None:
            self._settled.set()

    async def _finish(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain):
                while any(method not in _ENDLESS for method in self._in_flight.values()):
                    self._settled.clear()
                    await self._settled.wait()

    # To the client ------------------------------------------------------------------------------------------

    async def _give(self, from_server: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with from_server:
            async for item in from_server:
                message = item.message
                written: asyncio.Future[None] = self._loop.create_future()
                if isinstance(message, JSONRPCResponse | JSONRPCError):
                    self._ended(message.id)  # before the client can have read it: it may use the id again at once
                self._output.put((_serialised(message), written))
                try:
                    await written
                except OSError:
                    self.stop()  # nobody reads any more
                    return

    def _print(self, sink: int) -> None:
        """Write what `_give` hands over, in a thread, and say when it is written."""
        with contextlib.suppress(RuntimeError):  # our event loop is gone
            while True:
                data, written = self._output.get()
                failed: OSError | None = None
                rest = memoryview(data)
                try:
                    while rest:
                        rest = rest[os.write(sink, rest) :]
                except OSError as error:
                    failed = error
                self._loop.call_soon_threadsafe(_settle, written, failed)


def _settle(written: asyncio.Future[None], failed: OSError | None) -> None:
    if written.done():  # nobody waits for it any more
        return
    if failed is None:
        written.set_result(None)
    else:
        written.set_exception(failed)


def _serialised(message: JSONRPCMessage) -> bytes:
    try:
        text = message.model_dump_json(by_alias=True, exclude_unset=True)
    except ValueError:  # half of a surrogate pair: the escape that JSON has for it
        text = json.dumps(message.model_dump(by_alias=True, exclude_unset=True))
    return text.encode() + b"\n"


def _taken(descriptor: int, instead: int) -> int:
    """Move a standard stream to a descriptor of our own, and put another in its place."""
    own = os.dup(descriptor)
    os.dup2(instead, descriptor)
    os.close(instead)
    return own
