"""A local HTTP server that speaks OpenAI's chat-completions protocol and answers by script (real sockets)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One scripted answer: the model's text, or a raw body; `hang` accepts the request and never answers."""

    text: str | None = None
    status: int = 200
    body: bytes | None = None
    hang: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    def payload(self) -> bytes:
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return json.dumps(
            {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
        ).encode()


@dataclass
class Endpoint:
    """A running endpoint. `script` is consumed from the front; requests are kept as (headers, body)."""

    base_url: str = ""
    script: list[Reply] = field(default_factory=list)
    requests: list[tuple[dict[str, str], JSON]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, *values: Any) -> None:
        """Script answers: a string as it is, anything else as JSON."""
        self.script += [Reply(v if isinstance(v, str) else json.dumps(v)) for v in values]

    def prompts(self) -> list[str]:
        return ["\n".join(m["content"] for m in body["messages"]) for _, body in self.requests]


@asynccontextmanager
async def running_endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _one(endpoint, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            endpoint.closed.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield endpoint
    finally:
        server.close()
        await server.wait_closed()


async def _one(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request, *lines = head.strip().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    assert request.startswith("POST /v1/chat/completions ")
    endpoint.requests.append((headers, body))
    reply = endpoint.script.pop(0) if endpoint.script else Reply(status=500, body=b"script is over")
    if reply.hang:
        await reader.read(1)
        return False
    payload = reply.payload()
    extra = "".join(f"{k}: {v}\r\n" for k, v in reply.headers)
    writer.write(f"HTTP/1.1 {reply.status} X\r\ncontent-length: {len(payload)}\r\n{extra}\r\n".encode() + payload)
    await writer.drain()
    return True
