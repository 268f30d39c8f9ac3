"""What the tests of this room share: the client's end of a call, and waiting for a condition."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import Unsupported
from agentflow.gateway.upstreams.port import ClientIdentity

JSON = dict[str, Any]
RAW = Path(__file__).with_name("raw_child.py")
LIMITS = LimitsConfig()
ALICE = ClientIdentity(principal="alice", info='{"name":"desk","version":"7"}', capabilities='{"elicitation":{}}')
BOB = ClientIdentity(principal="bob", info='{"name":"desk","version":"7"}', capabilities='{"elicitation":{}}')


class Client:
    """An `Exchange` that remembers what it was told and answers what it is asked with `reply`."""

    def __init__(
        self,
        identity: ClientIdentity = ALICE,
        reply: Callable[[str, JSON], Awaitable[JSON]] | None = None,
        log_level: str | None = None,
    ) -> None:
        self.identity = identity
        self.log_level = log_level
        self.subscriber = self.identity.principal
        self.heard: list[tuple[str, JSON]] = []
        self.asked: list[tuple[str, JSON]] = []
        self._reply = reply

    async def notification(self, method: str, params: JSON) -> None:
        self.heard.append((method, params))

    async def server_request(self, method: str, params: JSON) -> JSON:
        self.asked.append((method, params))
        if self._reply is None:
            raise Unsupported("nobody to ask")
        return await self._reply(method, params)


def raw(*options: str, **keys: Any) -> ServerConfig:
    """A stdio entry that runs `raw_child.py`."""
    return ServerConfig(type="stdio", command=sys.executable, args=("-S", str(RAW), *options), **keys)


def call(name: str, /, **arguments: Any) -> JSON:
    """Params of a `tools/call`."""
    return {"name": name, "arguments": arguments}


def said(result: JSON) -> str:
    """The text of a tool's result."""
    text: str = result["content"][0]["text"]
    return text


async def until(condition: Callable[[], object], what: str = "", seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the condition is outside of our reach
                await asyncio.sleep(0.01)
    assert condition(), what or "the condition never came true"


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between open and read
        return False


def tasks() -> set[asyncio.Task[Any]]:
    """Every task there is now."""
    return set(asyncio.all_tasks())


async def settled(before: set[asyncio.Task[Any]]) -> None:
    """Fail unless every task that was not there before ends by itself; the test's own runner does not count."""

    def left() -> set[asyncio.Task[Any]]:
        # The test's own runner, and a watcher that the servers of these tests leave behind.
        others = ("TestRunner", "sse_starlette")
        foreign = {task for task in tasks() if any(word in repr(task) for word in others)}
        return tasks() - before - foreign - {asyncio.current_task()}

    await until(lambda: not left(), f"left behind: {left()}")
