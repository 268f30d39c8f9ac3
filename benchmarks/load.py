"""A closed-loop load client for one MCP endpoint over streamable HTTP; prints one JSON object.

    python benchmarks/load.py --url http://127.0.0.1:8808/mcp --era handshake|stateless --tool NAME
                              --sessions 8 --seconds 4 [--pid GATEWAY_PID]

Each session is one keep-alive connection that sends its next call only after the answer. Latencies are wall times
of single calls in milliseconds; CPU is user + system time of the given process and its children, per call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil

JSON = dict[str, Any]
HANDSHAKE, STATELESS = "2025-06-18", "2026-07-28"


class Session:
    """One connection in one era."""

    def __init__(self, url: str, stateless: bool) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "127.0.0.1", parts.port or 80, parts.path
        self._stateless = stateless
        self._headers = ""
        self._number = 0

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        if self._stateless:
            self._headers = f"mcp-protocol-version: {STATELESS}\r\n"
            return
        client = {"name": "bench", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client}
        head, _ = await self._post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        self._headers = f"mcp-protocol-version: {HANDSHAKE}\r\n"
        if session := head.get(b"mcp-session-id"):
            self._headers += f"mcp-session-id: {session.decode()}\r\n"
        await self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def call(self, name: str, arguments: JSON) -> JSON:
        self._number += 1
        params: JSON = {"name": name, "arguments": arguments}
        extra = ""
        if self._stateless:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            extra = f"mcp-method: tools/call\r\nmcp-name: {name}\r\n"
        message = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        head, body = await self._post(message, extra)
        if head.get(b"content-type", b"").startswith(b"text/event-stream"):
            body = next(line[5:] for line in body.split(b"\n") if line.startswith(b"data:") and b'"result"' in line)
        answer: JSON = orjson.loads(body)
        if "result" not in answer or answer["result"].get("isError"):
            raise RuntimeError(f"call failed: {body[:300]!r}")
        return answer["result"]  # type: ignore[no-any-return]

    async def _post(self, message: JSON, extra: str = "") -> tuple[dict[bytes, bytes], bytes]:
        body = orjson.dumps(message)
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\n{self._headers}{extra}Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:] if line)}
        if headers.get(b"transfer-encoding") == b"chunked":
            return headers, b"".join([chunk async for chunk in self._chunks()])
        return headers, await self._reader.readexactly(int(headers.get(b"content-length", b"0")))

    async def _chunks(self) -> Any:
        while size := int((await self._reader.readuntil(b"\r\n"))[:-2], 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)

    def close(self) -> None:
        self._writer.close()


def usage(pid: int | None) -> tuple[float, float]:
    """(RSS in MB, CPU seconds) of a process and its children."""
    if pid is None:
        return 0.0, 0.0
    process = psutil.Process(pid)
    family: Iterable[psutil.Process] = [process, *process.children(recursive=True)]
    cpu = rss = 0.0
    for member in family:
        times = member.cpu_times()
        cpu += times.user + times.system
        rss += member.memory_info().rss / 1e6
    return rss, cpu


async def measure(
    url: str, era: str, tool: str, arguments: JSON, sessions: int, seconds: float, pid: int | None
) -> JSON:
    """Run the load and return the figures."""
    clients = [Session(url, era == "stateless") for _ in range(sessions)]
    for client in clients:
        await client.open()
        for _ in range(20):
            await client.call(tool, arguments)
    latencies: list[float] = []
    _, cpu = usage(pid)
    began = time.perf_counter()

    async def loop(client: Session) -> None:
        while time.perf_counter() - began < seconds:
            sent = time.perf_counter()
            await client.call(tool, arguments)
            latencies.append((time.perf_counter() - sent) * 1e3)

    await asyncio.gather(*(loop(client) for client in clients))
    took = time.perf_counter() - began
    rss, after = usage(pid)
    for client in clients:
        client.close()
    latencies.sort()
    return {
        "era": era,
        "sessions": sessions,
        "calls": len(latencies),
        "calls_per_s": round(len(latencies) / took, 1),
        "p50_ms": round(statistics.median(latencies), 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)], 3),
        "cpu_ms_per_call": round((after - cpu) / len(latencies) * 1e3, 3),
        "rss_mb": round(rss, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--era", choices=["handshake", "stateless"], default="handshake")
    parser.add_argument("--tool", default="echo")
    parser.add_argument("--arguments", type=json.loads, default={"text": "hello number 5"})
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--pid", type=int)
    a = parser.parse_args()
    work = measure(a.url, a.era, a.tool, a.arguments, a.sessions, a.seconds, a.pid)
    try:
        import uvloop

        print(json.dumps(uvloop.run(work)))
    except ImportError:
        print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
