"""An MCP server that answers in every wrong way there is, over stdio or HTTP. Standard library only, so it starts fast.

    evil_server.py --stdio | --port N   [--tools N] [--bad-schema] [--log FILE]

`--log` gets one JSON line per start (the process's environment), per HTTP request (its headers) and per message
received. Tool names say what happens; `slow` answers after `arguments.seconds`, `say` answers `arguments.text` as
content, as an error message, or as a progress message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

options = argparse.ArgumentParser()
options.add_argument("--stdio", action="store_true")
options.add_argument("--port", type=int)
options.add_argument("--tools", type=int, default=0)
options.add_argument("--bad-schema", action="store_true")
options.add_argument("--log")
args = options.parse_args()

MODERN = "2026-07-28"
NAMES = ("echo", "garbage", "twice", "never", "half", "huge", "slow", "fail", "die")
BAD_SCHEMA = {"type": "object", "properties": {"a": {"type": "strong"}}, "required": "a"}
MEGABYTE = b"y" * 1024 * 1024
# (message) -> bytes that go out whole
Write = Callable[[bytes], Awaitable[None]]


def log(what: str, value: Any) -> None:
    if args.log:
        with open(args.log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "value": value}) + "\n")


def encoded(number: Any, result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()


def refused(number: Any, code: int, text: str, data: Any = None) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text, "data": data}}).encode()


def content(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "resultType": "complete"}


def tools() -> list[dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "seconds": {"type": "number"}},
        "additionalProperties": False,
    }
    listed: list[dict[str, Any]] = [{"name": name, "inputSchema": schema} for name in NAMES]
    strict = {**schema, "required": ["text"]}
    listed.append({"name": "strict", "inputSchema": strict})
    if args.bad_schema:
        listed.append({"name": "bad_schema", "inputSchema": BAD_SCHEMA})
    return listed + [{"name": f"tool{n}", "inputSchema": {"type": "object"}} for n in range(args.tools)]


def plain(message: dict[str, Any]) -> bytes | None:
    """The whole answer to everything but the tools that misbehave on the wire; None where none is due."""
    number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if number is None or method is None:
        return None
    if method == "initialize":
        made = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}}
        return encoded(number, {**made, "serverInfo": {"name": "evil", "version": "1"}})
    if method == "server/discover":
        versions = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "resultType": "complete"}
        return encoded(number, {**versions, "ttlMs": 0, "cacheScope": "private"})
    if method == "tools/list":
        return encoded(number, {"tools": tools(), "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})
    if method != "tools/call":
        return refused(number, -32601, "Method not found")
    arguments = params.get("arguments") or {}
    if params["name"] == "fail":
        return refused(number, -32050, f"failed on {arguments.get('text', '')}", {"about": arguments.get("text", "")})
    if params["name"] == "twice":
        return None
    return encoded(number, content(json.dumps(arguments)))


# stdio ------------------------------------------------------------------------------------------------------


def put(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def serve_line(message: dict[str, Any]) -> None:
    number = message.get("id")
    name = (message.get("params") or {}).get("name") if message.get("method") == "tools/call" else None
    arguments = (message.get("params") or {}).get("arguments") or {}
    if name == "never":
        return
    if name == "garbage":
        put(b'Listening on stdio...\n\xff\xfe\n{"half": \n[1]\n\n7\n' + b"[" * 100_000 + b"\n")
        put(b'{"jsonrpc":"2.0","id":%d,"result":"no object"}\n' % number)
        return
    if name == "twice":
        put(encoded(number, content("first")) + b"\n" + encoded(number, content("second")) + b"\n")
        return
    if name == "half":
        put(encoded(number, content("whole"))[:30])
        os._exit(3)
    if name == "die":
        print(f"Traceback: failed on {arguments.get('text', '')}", file=sys.stderr, flush=True)
        os._exit(4)
    if name == "huge":
        put(b'{"jsonrpc": "2.0", "id": %d, "result": {"x": "' % number)
        for _ in range(100):
            put(MEGABYTE)
        put(b'"}}\n')
        return
    if name == "slow":
        time.sleep(arguments.get("seconds", 1))
    answer = plain(message)
    if answer is not None:
        put(answer + b"\n")


# HTTP -------------------------------------------------------------------------------------------------------


def http(status: int, body: bytes = b"", kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def serve_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            log("headers", headers)
            if not head[0].startswith("POST "):
                writer.write(http(405))
                continue
            message = json.loads(body)
            log("message", message)
            if not await misbehave(message, writer):
                answer = plain(message)
                writer.write(http(202) if answer is None else http(200, answer))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def misbehave(message: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
    name = (message.get("params") or {}).get("name") if message.get("method") == "tools/call" else None
    number, arguments = message.get("id"), (message.get("params") or {}).get("arguments") or {}
    if name == "never":
        await asyncio.sleep(3600)
    elif name == "garbage":
        writer.write(http(200, b"<html>\xff\xfe this is no JSON " + str(arguments.get("text", "")).encode()))
        return True
    elif name == "twice":
        events = b"".join(b"data: " + encoded(number, content(text)) + b"\n\n" for text in ("first", "second"))
        writer.write(http(200, events, "text/event-stream"))
        return True
    elif name == "half":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        writer.write(encoded(number, content("whole"))[:30])
        raise ConnectionError
    elif name == "die":
        writer.write(http(500, f"Traceback: failed on {arguments.get('text', '')}".encode(), "text/plain"))
        return True
    elif name == "huge":
        start = b'{"jsonrpc": "2.0", "id": %d, "result": {"x": "' % number
        length = len(start) + 100 * len(MEGABYTE) + 3
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode())
        writer.write(start)
        for _ in range(100):
            writer.write(MEGABYTE)
            await writer.drain()
        writer.write(b'"}}')
        return True
    elif name == "slow":
        await asyncio.sleep(arguments.get("seconds", 1))
    return False


async def main() -> None:
    server = await asyncio.start_server(serve_http, "127.0.0.1", args.port, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    log("environment", dict(os.environ))
    if args.stdio:
        for line in sys.stdin:
            received = json.loads(line)
            log("message", received)
            serve_line(received)
    else:
        asyncio.run(main())
