"""rehydrate gives values back where policy says so, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import Config
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Decision, Direction, Message, Obligations, Session, Verdict
from agentflow.pipeline.pii import PiiKit, build_pii

PRINCIPAL = Principal("alice", tenant="acme")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[PiiKit]:
    built = build_pii(Config(data_dir=tmp_path))
    yield built
    built.vault.close()


@pytest.fixture
def token(kit: PiiKit) -> str:
    return f"<{kit.vault.tokens('acme', [('EMAIL', 'alice@example.com')])[0]}>"


def call(types: tuple[str, ...] | None, definition: dict[str, Any] | None = None) -> Call:
    decision = None if types is None else Decision(True, obligations=Obligations(rehydrate=types))
    return Call("tools/call", PRINCIPAL, Session("s", PRINCIPAL), {}, decision=decision, definition=definition)


def inbound(body: dict[str, Any], surface: str = "tools/call") -> Message:
    return Message(surface, Direction.INBOUND, body)


@pytest.mark.parametrize("types", [("*",), ("EMAIL", "SSN")])
def test_an_allowed_type_comes_back(kit: PiiKit, token: str, types: tuple[str, ...]) -> None:
    running = call(types)
    message = inbound({"name": "send", "arguments": {"to": token}})
    note = kit.rehydrate(running, message)
    assert message.body == {"name": "send", "arguments": {"to": "alice@example.com"}}
    assert (note.verdict, running.rehydrated) == (Verdict.CHANGED, {"EMAIL": 1})
    assert "alice" not in str(note)


@pytest.mark.parametrize("types", [None, (), ("SSN",)])
def test_without_permission_the_token_goes_on(kit: PiiKit, token: str, types: tuple[str, ...] | None) -> None:
    running = call(types)
    body = {"name": "send", "arguments": {"to": token}}
    message = inbound(body)
    assert kit.rehydrate(running, message).verdict is Verdict.PASS
    assert message.body is body
    assert running.rehydrated == {}


def test_what_policy_holds_back_is_on_record(kit: PiiKit, token: str) -> None:
    assert kit.rehydrate(call(("SSN",)), inbound({"arguments": {"to": token}})).detail == {"kept": {"EMAIL": 1}}


def test_another_tenants_token_means_nothing(kit: PiiKit) -> None:
    foreign = f"<{kit.vault.tokens('rival', [('EMAIL', 'alice@example.com')])[0]}>"
    message = inbound({"arguments": {"to": foreign}})
    kit.rehydrate(call(("*",)), message)
    assert message.body == {"arguments": {"to": foreign}}


def test_a_number_is_a_number_again(kit: PiiKit) -> None:
    text, number = kit.vault.tokens("acme", [("CARD", "4111-1111-1111-1111"), ("CARD", 5555555555554444)])
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "string"}}}
    message = inbound({"arguments": {"a": f"<{text}>", "b": int(number), "c": number}})
    kit.rehydrate(call(("*",), {"inputSchema": schema}), message)
    assert message.body["arguments"] == {"a": 4111111111111111, "b": 5555555555554444, "c": "5555555555554444"}


def test_answers_of_the_person_and_resource_addresses_are_rehydrated_too(kit: PiiKit, token: str) -> None:
    answer = inbound({"action": "accept", "content": {"mail": token}}, "elicitation/create")
    kit.rehydrate(call(("*",)), answer)
    assert answer.body["content"] == {"mail": "alice@example.com"}
    read = inbound({"uri": f"mail://{token}/inbox"}, "resources/read")
    kit.rehydrate(call(("*",)), read)
    assert read.body == {"uri": "mail://alice@example.com/inbox"}
