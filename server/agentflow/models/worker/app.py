"""The worker's HTTP face: OpenAI's paths and a few of our own, for whoever has the key.

A caller that leaves ends what it asked for. Bodies come from the gateway, which bounds them; here they are bounded
once more, so that nothing can fill the worker's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any, Final

import orjson

from agentflow.errors import AgentFlowError, InvalidArguments, LimitExceeded, Unauthenticated
from agentflow.models.worker.provider import JSON
from agentflow.models.worker.serving import Serving
from agentflow.models.worker.wire import error_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_LOG: Final = logging.getLogger("agentflow.models")
_LARGEST: Final = 64 * 1024 * 1024  # bytes of a request
_EVENTS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


class App:
    """An ASGI application.

    Args:
        key: the bearer key that every request has to have.
    """

    def __init__(self, serving: Serving, key: str) -> None:
        self._serving = serving
        self._key = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        begun = False

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self._admit(scope)
            await self._answer(scope["method"], scope["path"], await _body(receive), receive, noted)
        except _Gone:
            return
        except Exception as error:
            if not isinstance(error, AgentFlowError):
                # The error's text may hold a prompt; where it happened does not.
                _LOG.error("A request failed: %s", _place(error))
            if not begun:
                await _json(send, *error_body(error))

    def _admit(self, scope: Scope) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._key):
            raise Unauthenticated("the model worker answers its gateway only")

    async def _answer(self, method: str, path: str, raw: bytes, receive: Receive, send: Send) -> None:
        serving = self._serving
        if (method, path) == ("GET", "/v1/models"):
            return await _json(send, 200, {"object": "list", "data": serving.models()})
        if method != "POST":
            raise InvalidArguments("the model worker knows no such path")
        body = _parsed(raw)
        if path == "/v1/chat/completions" and body.get("stream") is True:
            return await _stream(serving.stream(body), receive, send)
        if path == "/v1/chat/completions":
            return await _json(send, 200, await _while_there(serving.complete(body), receive))
        if path == "/v1/embeddings":
            return await _json(send, 200, await _while_there(serving.embed(body), receive))
        return await _json(send, 200, await _while_there(serving.ask(path.removeprefix("/ask/"), body), receive))


class _Gone(Exception):
    """The caller has left."""


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _LARGEST:
            raise LimitExceeded(f"the request is larger than {_LARGEST} bytes")
        if not message.get("more_body"):
            return b"".join(parts)


def _parsed(raw: bytes) -> JSON:
    try:
        body = orjson.loads(raw or b"{}")
    except ValueError:
        raise InvalidArguments("the request is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidArguments("the request must be a JSON object")
    return body


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _while_there(work: Any, receive: Receive) -> JSON:
    """Await `work`, unless the caller leaves first: then cancel it, and wait until it has cleaned up."""
    doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise _Gone
        answer: JSON = doing.result()
        return answer
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _stream(chunks: AsyncGenerator[JSON], receive: Receive, send: Send) -> None:
    """Server-sent events; an error before the first is a status of its own, one after it the last event."""
    leaving = asyncio.ensure_future(_left(receive))
    this = asyncio.current_task()
    assert this is not None
    leaving.add_done_callback(lambda task: None if task.cancelled() else this.cancel())
    begun = False
    try:
        async with aclosing(chunks) as parts:
            try:
                async for chunk in parts:
                    if not begun:
                        begun = True
                        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
                    await send(_event(orjson.dumps(chunk)))
            except Exception as error:
                if not begun:
                    raise
                if not isinstance(error, AgentFlowError):
                    _LOG.error("A stream failed: %s", _place(error))
                await send(_event(orjson.dumps(error_body(error)[1])))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
    except asyncio.CancelledError:
        if leaving.done() and not leaving.cancelled():
            this.uncancel()
            raise _Gone from None
        raise
    finally:
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving


def _event(data: bytes) -> JSON:
    return {"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True}


async def _json(send: Send, status: int, body: JSON) -> None:
    raw = orjson.dumps(body, default=str)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


def _place(error: BaseException) -> str:
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"
