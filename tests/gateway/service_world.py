"""A whole `Service` in the test's own process, callers of both eras, and `told_server.py` behind it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_process import free_port
from upstream_processes import listening_process

from agentflow.audit.read import entries
from agentflow.config import Config
from agentflow.errors import AgentFlowError, to_rpc
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.service import Service
from agentflow.identity.principal import Principal

JSON = dict[str, Any]
TOLD = Path(__file__).with_name("told_server.py")
READS: JSON = {"readOnlyHint": True, "openWorldHint": False}
YES: JSON = {"action": "accept", "content": {"approve": True}}


def told(record: Path, *, era: str = "both", server: JSON | None = None, **offer: Any) -> JSON:
    """The `mcpServers` entry of `told_server.py` as a stdio child without a namespace; `server` adds to it."""
    arguments = [str(TOLD), json.dumps(offer), str(record), "--era", era]
    return {"command": sys.executable, "args": arguments, "namespace": "", **(server or {})}


@contextmanager
def told_over_http(record: Path, *, era: str = "both", **offer: Any) -> Iterator[JSON]:
    """The same as a process of its own, for many services to use: `{"url", "namespace"}`."""
    port = free_port()
    command = [sys.executable, str(TOLD), json.dumps(offer), str(record), "--era", era, "--port", str(port)]
    with listening_process(command, port, record.with_suffix(".log")):
        yield {"url": f"http://127.0.0.1:{port}/mcp", "namespace": ""}


def texts(record: Path) -> list[str]:
    """The argument `text` of every tool call that a `told_server.py` got."""
    return [str((params.get("arguments") or {}).get("text")) for params in heard(record, "tools/call")]


def heard(record: Path, method: str) -> list[JSON]:
    """The params of every message `method` that a `told_server.py` got."""
    lines = record.read_text().splitlines() if record.exists() else []
    return [each["params"] for line in lines if (each := json.loads(line))["method"] == method]


def config_of(folder: Path, servers: JSON, **sections: Any) -> Config:
    return Config.model_validate(
        {"mcpServers": servers, "data_dir": folder / "data", "flow": {"enabled": False}, **sections}
    )


@dataclass
class Line:
    """A client's channel. `answers` says what it answers to a question, by method; notifications are kept."""

    answers: dict[str, Callable[[JSON], Any]] = field(default_factory=dict)
    asked: list[tuple[str, JSON]] = field(default_factory=list)
    notes: list[tuple[str, JSON]] = field(default_factory=list)

    async def notify(self, method: str, params: JSON) -> None:
        self.notes.append((method, params))

    async def ask(self, method: str, params: JSON) -> JSON:
        self.asked.append((method, params))
        answer = self.answers[method](params)
        return dict(await answer if asyncio.iscoroutine(answer) else answer)


def caller(
    role: str = "operator", era: Any = "legacy", line: Line | None = None, tenant: str = "default", asks: bool = True
) -> ClientEnd:
    """A client of one role; `asks`: its person can be asked."""
    who = Principal(f"the-{role}", roles=(role,), tenant=tenant, auth="api_key")
    can: JSON = {"elicitation": {}} if asks else {}
    session = f"session-{tenant}-{role}" if era == "legacy" else None
    return ClientEnd(who, line or Line(), "http", era, "2025-11-25", {"name": "told", "version": "1"}, can, session)


@dataclass
class World:
    """A service that is up."""

    service: Service

    def records(self) -> list[JSON]:
        """The records of calls so far."""
        return [each.record for each in entries(self.service.config.data_dir) if "stages" in each.record]

    async def ask(self, method: str, params: JSON, client: ClientEnd | None = None) -> JSON:
        """One request: `{"result": …}` or `{"error": {"code", "message", "data"}}`, as its client would get it."""
        try:
            return {"result": await self.service.gateway.request(method, params, client or caller())}
        except AgentFlowError as error:
            code, message, data = to_rpc(error)
            return {"error": {"code": code, "message": message, "data": data}}

    async def call(self, tool: str, arguments: JSON | None = None, client: ClientEnd | None = None) -> JSON:
        return await self.ask("tools/call", {"name": tool, "arguments": arguments or {}}, client)

    async def tools(self, client: ClientEnd | None = None) -> set[str]:
        listed = await self.ask("tools/list", {}, client)
        return {tool["name"] for tool in listed["result"]["tools"]}


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[World]:
    """The service of `config`, its upstreams tried; closed at the end."""
    service = Service(config)
    service.start()
    try:
        async with asyncio.timeout(20):
            for member in service._members:
                await member.upstream.settled()
            await service.gateway.opened.wait()
            await service._refresh()
        yield World(service)
    finally:
        await service.close()
