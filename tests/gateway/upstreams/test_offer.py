"""What is taken of a server's listings, and what is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gateway.upstreams.exchanges import LIMITS

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import LimitExceeded, UpstreamError, UpstreamProtocolError
from agentflow.gateway.upstreams.offer import everything
from agentflow.gateway.upstreams.port import Era, Exchange, Listing

JSON = dict[str, Any]
OBJECT = {"type": "object"}


class Pages:
    """A `Connection` whose listings are computed by `answer(method, cursor)`."""

    era: Era = "legacy"
    protocol = "2025-11-25"
    instructions = "hello"
    stateful = False
    reason = ""

    def __init__(self, answer: Callable[[str, str | None], JSON], *capabilities: str) -> None:
        self.capabilities: JSON = {kind: {} for kind in capabilities or ("tools",)}
        self.server_info: JSON = {}
        self.closed = asyncio.Event()
        self.asked: list[str] = []
        self._answer = answer

    async def request(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        self.asked.append(method)
        return self._answer(method, params.get("cursor"))

    async def notify(self, method: str, params: JSON) -> None: ...

    async def close(self) -> None: ...


async def fetched(connection: Pages, limits: LimitsConfig = LIMITS) -> Listing:
    return await everything("x", connection, ServerConfig(command="x"), limits)


def tool(name: Any, schema: Any = OBJECT, **more: Any) -> JSON:
    return {"name": name, "inputSchema": schema, **more}


async def test_pages_are_followed_and_only_announced_kinds_are_asked_for() -> None:
    def answer(method: str, cursor: str | None) -> JSON:
        page = int(cursor or 0)
        return {"tools": [tool(f"t{page}")], **({"nextCursor": str(page + 1)} if page < 3 else {})}

    pages = Pages(answer)
    listing = await fetched(pages)
    assert [each["name"] for each in listing.tools] == ["t0", "t1", "t2", "t3"]
    assert set(pages.asked) == {"tools/list"}
    assert listing.instructions == "hello"


async def test_unknown_members_pass_through() -> None:
    odd = tool("a", {**OBJECT, "x-new": 1}, icons=[{"src": "x"}], future={"deep": [1]}, _meta={"k": "v"})
    assert (await fetched(Pages(lambda method, cursor: {"tools": [odd]}))).tools == (odd,)


@pytest.mark.parametrize("cursor", ["same", 7])
async def test_a_cursor_that_never_ends_is_refused(cursor: Any) -> None:
    with pytest.raises(UpstreamProtocolError, match="never ends"):
        await fetched(Pages(lambda method, given: {"tools": [], "nextCursor": cursor}))


async def test_more_tools_than_allowed_refuse_the_whole_listing() -> None:
    pages = Pages(lambda method, cursor: {"tools": [tool(f"t{n}") for n in range(11)]})
    with pytest.raises(LimitExceeded, match="more than 10 tools"):
        await fetched(pages, LimitsConfig(max_tools_per_server=10))


async def test_what_is_unusable_is_left_out_and_named() -> None:
    bad = [
        tool("good"),
        tool(""),
        "no object",
        {"inputSchema": OBJECT},
        tool("good"),
        tool("noschema", None),
        tool("array", {"type": "array"}),
        tool("invalid", {"type": "object", "properties": {"a": {"type": "nonsense"}}}),
        tool("remote", {"type": "object", "properties": {"a": {"$ref": "http://x/y"}}}),
        tool("output", OBJECT, outputSchema={"type": 7}),
        tool("n" * 300),
        tool("fine", OBJECT, outputSchema={"type": "array"}),
    ]
    listing = await fetched(Pages(lambda method, cursor: {"tools": bad}))
    assert [each["name"] for each in listing.tools] == ["good", "fine"]
    assert len(listing.problems) == len(bad) - 2
    assert any("'invalid'" in problem and "nonsense" in problem for problem in listing.problems)


async def test_a_failing_kind_does_not_take_the_tools_with_it() -> None:
    def answer(method: str, cursor: str | None) -> JSON:
        if method == "tools/list":
            return {"tools": [tool("a")]}
        raise UpstreamError(-32601 if method == "resources/templates/list" else -32603, "no")

    listing = await fetched(Pages(answer, "tools", "resources", "prompts"))
    assert len(listing.tools) == 1
    assert listing.problems == ("resources/list failed with error -32603", "prompts/list failed with error -32603")


async def test_thousands_of_problems_are_counted_not_told() -> None:
    listing = await fetched(Pages(lambda method, cursor: {"tools": [tool("") for _ in range(5000)]}))
    assert len(listing.problems) == 101
    assert listing.problems[-1] == "and 4900 more"


async def test_ten_thousand_tools_leave_the_loop_free() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string", "description": "x"}}, "required": ["q"]}
    listed = asyncio.create_task(
        fetched(Pages(lambda method, cursor: {"tools": [tool(f"t{n}", schema) for n in range(10_000)]}))
    )
    beats = 0
    while not listed.done():
        await asyncio.sleep(0)
        beats += 1
    assert len((await listed).tools) == 10_000
    assert beats > 3
