"""The deep tier in the stages: when it looks, what it takes out, and that nothing leaves when it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentflow.audit import record
from agentflow.config import Config
from agentflow.config_guard import DeepConfig, GuardConfig
from agentflow.errors import DeepTierUnavailable
from agentflow.guard.deep.tier import Asked, DeepTier
from agentflow.guard.spans import Match
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Decision, Direction, Message, Obligations, Session, Verdict
from agentflow.pipeline.pii import PiiKit, build_pii
from agentflow.pipeline.stage import Note
from agentflow.pipeline.stages.rehydrate import Rehydrate

ALICE = Principal("alice", tenant="acme")
NAME, TOWN = "Margaret Hamilton", "Rotterdam"
BODY = {
    "content": [{"type": "text", "text": f"I talked to {NAME} about it. She moved to {TOWN}."}],
    "structuredContent": {"customer_name": NAME, "city": TOWN, "email": "mh@example.com", "tool": "read_file"},
}


def kit(folder: Path, **deep: Any) -> PiiKit:
    return build_pii(Config(data_dir=folder, guard=GuardConfig(deep=DeepConfig(timeout=120, **deep))))


@pytest.fixture
def always(tmp_path: Path) -> Iterator[PiiKit]:
    built = kit(tmp_path, mode="always")
    yield built
    built.vault.close()
    built.deep.close()


@pytest.fixture
def by_policy(tmp_path: Path) -> Iterator[PiiKit]:
    built = kit(tmp_path)
    yield built
    built.vault.close()
    built.deep.close()


def call(surface: str = "tools/call", deep: bool = False, **more: Any) -> Call:
    decision = Decision(True, obligations=Obligations(deep=deep, rehydrate=("*",)))
    return Call(surface, ALICE, Session("s", ALICE), {}, decision=decision, **more)


async def run(stage: Any, running: Call, message: Message) -> Note:
    note = stage(running, message)
    return note if isinstance(note, Note) else await note


async def test_names_and_places_leave_as_tokens_and_come_back_as_values(by_policy: PiiKit) -> None:
    running = call(deep=True)
    message = Message("tools/call", Direction.OUTBOUND, BODY)
    assert (await run(by_policy.redact, running, message)).verdict is Verdict.CHANGED
    seen = str(message.body)
    assert NAME not in seen and TOWN not in seen and "mh@example.com" not in seen
    assert message.body["structuredContent"]["tool"] == "read_file"
    assert message.body["structuredContent"]["customer_name"].startswith("<PERSON_")
    assert {"PERSON", "LOCATION", "EMAIL"} <= running.redacted.keys()
    # The same name has the same token in the text and in its structured twin.
    assert message.body["structuredContent"]["customer_name"] in message.body["content"][0]["text"]
    later = Message(
        "tools/call", Direction.INBOUND, {"arguments": {"who": message.body["structuredContent"]["customer_name"]}}
    )
    await run(Rehydrate(by_policy.vault), running, later)
    assert later.body == {"arguments": {"who": NAME}}


async def test_without_the_obligation_the_worker_is_not_even_started(by_policy: PiiKit) -> None:
    message = Message("tools/call", Direction.OUTBOUND, BODY)
    assert isinstance(by_policy.redact(call(), message), Note)
    assert message.body["structuredContent"]["customer_name"] == NAME
    assert by_policy.deep._process is None


async def test_always_means_arguments_too(always: PiiKit) -> None:
    running = call()
    running.decision = None
    message = Message("tools/call", Direction.INBOUND, {"arguments": {"customer_name": NAME}})
    await run(always.label, running, message)
    assert message.body == {"arguments": {"customer_name": NAME}}
    assert running.labelled is not None and NAME not in str(running.labelled)
    assert running.pii.counts == {"PERSON": 1}


async def test_listings_are_left_to_the_hot_tier(always: PiiKit) -> None:
    message = Message("tools/list", Direction.OUTBOUND, {"tools": [{"name": "t", "description": f"asks {NAME}"}]})
    assert isinstance(always.redact(call("tools/list"), message), Note)
    assert always.deep._process is None


class Broken(DeepTier):
    async def find(self, texts: Sequence[Asked]) -> list[list[Match]]:
        raise DeepTierUnavailable("The deep tier's worker crashed")


async def test_nothing_leaves_when_the_deep_tier_cannot_look(by_policy: PiiKit) -> None:
    by_policy.redact._deep._tier = Broken(DeepConfig())
    message = Message("tools/call", Direction.OUTBOUND, BODY)
    with pytest.raises(DeepTierUnavailable):
        await run(by_policy.redact, call(deep=True), message)
    assert message.body is BODY


async def test_arguments_labelled_before_policy_demanded_the_deep_tier_are_not_recorded(by_policy: PiiKit) -> None:
    running = call(deep=True)
    running.params = {"name": "t", "arguments": {"who": NAME}, "uri": f"crm://{NAME}"}
    await run(by_policy.label, running, Message("tools/call", Direction.INBOUND, running.params))
    kept = record.of(running)
    assert NAME not in str(kept) and kept["arguments"].keys() == {"hash"}
    assert kept["decision"]["obligations"]["deep"] is True


async def test_arguments_labelled_by_the_deep_tier_are_recorded_as_labelled(always: PiiKit) -> None:
    running = call(deep=True)
    running.params = {"name": "t", "arguments": {"customer_name": NAME}}
    await run(always.label, running, Message("tools/call", Direction.INBOUND, running.params))
    assert record.of(running)["arguments"]["arguments"]["customer_name"].startswith("<PERSON_")
