"""label says what is in the arguments and alters nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import Config
from agentflow.errors import VaultUnavailable
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Direction, Message, Session, Verdict
from agentflow.pipeline.pii import PiiKit, build_pii

PRINCIPAL = Principal("alice", tenant="acme")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[PiiKit]:
    built = build_pii(Config(data_dir=tmp_path))
    yield built
    built.vault.close()


def call(params: dict[str, Any], surface: str = "tools/call") -> Call:
    return Call(surface, PRINCIPAL, Session("s", PRINCIPAL), params)


def inbound(surface: str, body: dict[str, Any]) -> Message:
    return Message(surface, Direction.INBOUND, body)


def test_the_labelled_arguments_show_tokens_and_the_message_stays(kit: PiiKit) -> None:
    params = {"name": "send", "arguments": {"to": "alice@example.com", "card": 4111111111111111, "n": 5}}
    before = copy.deepcopy(params)
    running = call(params)
    message = inbound("tools/call", params)
    note = kit.label(running, message)
    assert message.body is params
    assert params == before
    assert running.labelled is not None
    shown = running.labelled["arguments"]
    assert shown["to"].startswith("<EMAIL_")
    assert shown["card"].startswith("<CARD_")
    assert shown["n"] == 5
    assert (running.pii.counts, running.pii.types) == ({"EMAIL": 1, "CARD": 1}, ["CARD", "EMAIL"])
    assert sorted(running.pii.paths) == ["/arguments/card", "/arguments/to"]
    assert "alice" not in str(note)


def test_tokens_already_there_stay_and_are_counted(kit: PiiKit) -> None:
    (name,) = kit.vault.tokens("acme", [("EMAIL", "alice@example.com")])
    params = {"name": "send", "arguments": {"to": f"<{name}> and bob@example.com"}}
    running = call(params)
    kit.label(running, inbound("tools/call", params))
    assert running.labelled is not None
    assert running.labelled["arguments"]["to"].startswith(f"<{name}> and <EMAIL_")
    assert running.pii.tokens == 1


def test_arguments_without_pii_are_their_own_label(kit: PiiKit) -> None:
    params = {"name": "echo", "arguments": {"text": "hello number 5"}}
    running = call(params)
    assert kit.label(running, inbound("tools/call", params)).verdict is Verdict.PASS
    assert running.labelled is params


def test_an_empty_request_is_skipped_but_labelled(kit: PiiKit) -> None:
    running = call({}, "tools/list")
    assert kit.label(running, inbound("tools/list", {})).verdict is Verdict.SKIPPED
    assert running.labelled == {}


def test_an_answer_in_the_middle_of_the_call_is_added_up_and_replaces_nothing(kit: PiiKit) -> None:
    params = {"name": "ask", "arguments": {"to": "alice@example.com"}}
    running = call(params)
    kit.label(running, inbound("tools/call", params))
    labelled = running.labelled
    kit.label(running, inbound("elicitation/create", {"action": "accept", "content": {"mail": "bob@example.com"}}))
    assert running.labelled is labelled
    assert running.pii.counts == {"EMAIL": 2}
    assert running.pii.paths == ["/arguments/to", "/content/mail"]


def test_without_a_vault_nobody_may_see_the_arguments(kit: PiiKit) -> None:
    kit.vault.store.db.execute("PRAGMA query_only = ON")
    params = {"name": "send", "arguments": {"to": "alice@example.com"}}
    running = call(params)
    with pytest.raises(VaultUnavailable):
        kit.label(running, inbound("tools/call", params))
    assert running.labelled is None
    kit.label(other := call({"name": "x"}), inbound("tools/call", {"name": "x"}))
    assert other.labelled == {"name": "x"}
