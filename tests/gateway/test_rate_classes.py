"""What policy counts in a rate class is counted, over all gateways on one database, and never let through uncounted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.service_world import World, caller, config_of, running, told

JSON = dict[str, Any]
RULE = """package agentflow

import rego.v1

default class := null

class := "rare" if input.call.tool == "rare"

class := "unheard" if input.call.tool == "unheard"

decision := {"allow": true, "obligations": {"rate_class": class}}
"""


def config(folder: Path, **sections: Any) -> Any:
    folder.mkdir()
    (folder / "bundle").mkdir()
    (folder / "bundle" / "decision.rego").write_text(RULE)
    servers = {"s": told(folder / "told.jsonl", tools={"rare": {}, "free": {}, "unheard": {}})}
    limits = {"classes": {"rare": {"calls_per_minute": 3}}}
    return config_of(folder, servers, policy={"bundle": str(folder / "bundle")}, limits=limits, **sections)


@pytest.fixture(params=["alone", "together"])
async def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[World]]:
    """One gateway that counts for itself, or two that count together."""
    sections: JSON = {}
    if request.param == "together":
        key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
        sections = {"store": {"url": request.getfixturevalue("database")}, "guard": {"master_key": key}}
    async with AsyncExitStack() as stack:
        names = ["one", "two"] if sections else ["one"]
        yield [await stack.enter_async_context(running(config(tmp_path / name, **sections))) for name in names]


async def test_calls_of_a_class_are_bounded_and_others_are_not(worlds: list[World]) -> None:
    answers = [await worlds[turn % len(worlds)].call("rare", {"text": "x"}) for turn in range(6)]
    assert ["result" in answer for answer in answers] == [True] * 3 + [False] * 3
    data = answers[-1]["error"]["data"]
    assert (data["type"], data["limit"], data["rate_class"]) == ("limit_exceeded", "rate_class", "rare")
    for world in worlds:
        assert "result" in await world.call("free", {"text": "x"})
    assert "result" in await worlds[-1].call("rare", {"text": "x"}, caller("agent")), (
        "another caller has a bucket apart"
    )
    records = [each for world in worlds for each in world.records() if each["principal"]["id"] == "the-operator"]
    first, *_, last = sorted((each for each in records if each["name"] == "rare"), key=lambda each: each["time"])
    ran = [stage for stage, direction, *_ in first["stages"] if direction == "inbound"]
    assert ran.index("decide") < ran.index("rate") < ran.index("approve")
    assert first["decision"]["obligations"]["rate_class"] == "rare"
    assert last["outcome"] == "limit_exceeded"


async def test_a_class_that_the_configuration_does_not_have_refuses(worlds: list[World]) -> None:
    answer = await worlds[0].call("unheard", {"text": "x"})
    assert answer["error"]["data"]["type"] == "policy_denied"
    assert answer["error"]["data"]["reasons"][0]["code"] == "rate_class_unknown"


async def test_what_was_counted_stays_counted_when_the_configuration_changes(worlds: list[World]) -> None:
    for _ in range(3):
        await worlds[0].call("rare", {"text": "x"})
    config = worlds[0].service.config
    await worlds[0].service.apply(config.model_copy(update={"flow": config.flow.model_copy(update={"max_turns": 7})}))
    assert "error" in await worlds[0].call("rare", {"text": "x"})
