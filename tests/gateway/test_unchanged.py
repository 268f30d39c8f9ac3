"""Between a question about a call and its answer, what the call goes to may change: then it does not go there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import Config
from agentflow.policy.approvals import State
from tests.gateway.approvals_world import bundle
from tests.gateway.service_world import YES, Line, World, caller, config_of, running, texts, told

JSON = dict[str, Any]
ASKS: JSON = {"own": {"who": "caller", "ttl": 300}}


def settings(folder: Path, hints: JSON | None = None, **sections: Any) -> Config:
    servers = {"s": told(folder / "record.jsonl", tools={"own": hints or {}, "free": {}}, server=sections.pop("s", {}))}
    return config_of(folder, servers, policy={"bundle": str(bundle(folder / "bundle", ASKS))}, **sections)


async def answered(world: World, meanwhile: Config) -> JSON:
    """A call whose person says yes once another configuration is in force."""

    async def after(question: JSON) -> JSON:
        await world.service.apply(meanwhile)
        return YES

    line = Line({"elicitation/create": after})
    answer = await world.call("own", {"text": "approved"}, caller("operator", "legacy", line))
    assert [method for method, _ in line.asked] == ["elicitation/create"]
    return answer


async def applied(world: World, config: Config) -> None:
    """Put a configuration in force, its tool listed."""
    await world.service.apply(config)
    async with asyncio.timeout(20):
        while "own" not in await world.tools():  # noqa: ASYNC110 - its listing comes when it comes
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "changed",
    [{"hints": {"destructiveHint": True}}, {"s": {"deny": ["own"]}}],
    ids=["another definition", "taken away"],
)
async def test_an_approved_call_does_not_go_to_a_tool_that_changed_meanwhile(tmp_path: Path, changed: JSON) -> None:
    async with running(settings(tmp_path)) as world:
        error = (await answered(world, settings(tmp_path, **changed)))["error"]
        assert error["data"]["type"] == "approval_required" and "changed" in error["message"]
        assert texts(tmp_path / "record.jsonl") == []
        (asked,) = world.service.parts.approvals.pending(state=None)
        assert asked.state is State.USED


async def test_an_approved_call_goes_on_though_something_else_changed(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as world:
        answer = await answered(world, settings(tmp_path, limits={"max_sessions": 77}))
        assert "result" in answer and texts(tmp_path / "record.jsonl") == ["approved"]


async def test_an_approval_of_a_tool_is_none_of_what_it_becomes(tmp_path: Path) -> None:
    """Whoever has held definitions approved does not have the calls approved that people saw of the old ones."""
    free = {"guard": {"pins": {"mode": "off"}}}
    async with running(settings(tmp_path, **free)) as world:
        mute = caller(asks=False)
        asked = (await world.call("own", {"text": "x"}, mute))["error"]["data"]["approval"]
        approvals = world.service.parts.approvals
        root = replace(mute.principal, id="root", roles=("admin",))
        assert approvals.vote(asked, root, True).state is State.APPROVED
        await applied(world, settings(tmp_path, {"destructiveHint": True}, **free))
        again = (await world.call("own", {"text": "x"}, mute))["error"]
        assert again["data"]["type"] == "approval_required" and again["data"]["approval"] != asked
        await applied(world, settings(tmp_path, **free))
        assert "result" in await world.call("own", {"text": "x"}, mute)
        assert texts(tmp_path / "record.jsonl") == ["x"]
