"""Gateways in front of `full_server.py`, clients that can answer everything, and what both of them saw."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
import mcp_types as types
from gateway_process import Gateway, free_port
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from upstream_processes import listening_process

JSON = dict[str, Any]
T = TypeVar("T")
SERVER = Path(__file__).with_name("full_server.py")
LEGACY, MODERN = "legacy", "2026-07-28"
# name → (transport, era) of the four upstreams behind one gateway
UPSTREAMS = {"lh": ("http", "legacy"), "mh": ("http", "modern"), "ls": ("stdio", "legacy"), "ms": ("stdio", "modern")}


class Record:
    """What an upstream wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[JSON]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def of(self, what: str) -> list[JSON]:
        return [entry for entry in self.all() if entry["what"] == what]

    def calls(self, tool: str) -> list[JSON]:
        return [entry for entry in self.of("tools/call") if entry["params"].get("name") == tool]


def command(name: str, record: Path, era: str, *more: str) -> list[str]:
    return [sys.executable, str(SERVER), name, str(record), "--era", era, *more]


@contextmanager
def full_over_http(
    name: str, folder: Path, era: str = "both", port: int | None = None, sse: bool = False
) -> Iterator[str]:
    """The server over HTTP, recording to `folder/NAME.jsonl`; yields its URL."""
    port = port or free_port()
    arguments = command(name, folder / f"{name}.jsonl", era, "--port", str(port), *(["--sse"] if sse else []))
    with listening_process(arguments, port, folder / f"{name}.log"):
        yield f"http://127.0.0.1:{port}/{'sse' if sse else 'mcp'}"


def full_over_stdio(name: str, folder: Path, era: str = "both") -> JSON:
    """The `mcpServers` entry of the server as a stdio child, recording to `folder/NAME.jsonl`."""
    program, *arguments = command(name, folder / f"{name}.jsonl", era, "--stdio")
    return {"command": program, "args": arguments}


async def until(condition: Callable[[], T | None], what: str, seconds: float = 20.0) -> T:
    """Wait until `condition` returns something true, at most `seconds`; returns that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"never happened: {what}"
        await anyio.sleep(0.02)
    return found


@dataclass
class Seen:
    """What reached the client besides its answers."""

    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    notified: list[Any] = field(default_factory=list)

    def methods(self) -> list[str]:
        return [notification.method for notification in self.notified]

    async def on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))

    async def on_log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logs.append(params.level)

    async def on_message(self, message: Any) -> None:
        if isinstance(message, types.ServerNotification):
            self.notified.append(message)

    async def elicit(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(("elicitation/create", params))
        if params.mode == "url":
            return types.ElicitResult(action="accept")
        return types.ElicitResult(action="accept", content={"colour": "green", "depth": 3})

    async def sample(self, context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        self.asked.append(("sampling/createMessage", params))
        answer = types.TextContent(type="text", text="sampled")
        return types.CreateMessageResult(role="assistant", content=answer, model="m-1", stop_reason="endTurn")

    async def roots(self, context: Any) -> types.ListRootsResult:
        self.asked.append(("roots/list", None))
        return types.ListRootsResult(roots=[types.Root(uri="file:///home/ada/one", name="one")])


@asynccontextmanager
async def client_of(
    server: str | StdioServerParameters | Gateway,
    mode: str,
    seen: Seen | None = None,
    *,
    key: str | None = None,
    name: str = "fidelity",
    level: Any = None,
) -> AsyncIterator[Client]:
    """An official client that declares and answers everything, so that all of them share upstream connections."""
    seen = seen or Seen()
    target: Any = server.url if isinstance(server, Gateway) else server
    options: dict[str, Any] = {
        "mode": mode,
        "elicitation_callback": seen.elicit,
        "sampling_callback": seen.sample,
        "list_roots_callback": seen.roots,
        "logging_callback": seen.on_log,
        "message_handler": seen.on_message,
        "client_info": types.Implementation(name=name, version="3.2.1", title="The fidelity test"),
        "log_level": level,
        "cache": None,
        "read_timeout_seconds": 30,
    }
    if key is None:
        async with Client(target, **options) as client:
            yield client
        return
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=30) as http,
        Client(streamable_http_client(target, http_client=http), **options) as client,
    ):
        yield client


def text_of(result: Any) -> str:
    block = result.content[0]
    assert isinstance(block, types.TextContent), block
    return block.text


@contextmanager
def other_server(kind: str, folder: Path, *arguments: str, port: int | None = None) -> Iterator[int]:
    """One of `other_servers.py`; yields its port."""
    port = port or free_port()
    program = [sys.executable, str(SERVER.with_name("other_servers.py")), kind, str(port), *arguments]
    with listening_process(program, port, folder / f"{kind}.log"):
        yield port
