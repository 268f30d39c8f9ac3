"""Which tokens are the caller's own, and how they come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agentflow.config_guard import GuardConfig
from agentflow.guard.own import Own, introduced, own_of
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.vault import Vault
from agentflow.pipeline.pii import build_matcher

MAIL = "alice.smith@corp-mail.com"
MATCHER = build_matcher(GuardConfig())


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault(tmp_path / "vault.db", b"k" * 32)
    yield opened
    opened.close()


def labelled(vault: Vault, body: Mapping[str, Any]) -> dict[str, Any]:
    return Tokeniser(MATCHER, vault, "angle").redact("t", {"arguments": body}, numbers=False).body["arguments"]


def test_what_was_typed_clear_comes_back_and_nothing_else_does(vault: Vault) -> None:
    theirs = str(labelled(vault, {"x": "bob.jones@corp-mail.com"})["x"])
    typed = {"text": f"from {MAIL} about {theirs}", "list": [{"mail": MAIL}], "other": "plain"}
    shown = labelled(vault, typed)
    assert MAIL not in str(shown)
    own = own_of(vault, "t", typed, shown)
    assert len(own.entries) == 1
    answer = {"content": [{"type": "text", "text": f"{shown['list'][0]['mail']} and {theirs}"}]}
    assert own.restored(answer)["content"][0]["text"] == f"{MAIL} and {theirs}"


def test_a_value_that_was_typed_both_ways_is_the_caller_s(vault: Vault) -> None:
    token = str(labelled(vault, {"x": MAIL})["x"])
    typed = {"text": f"{token} is {MAIL}"}
    own = own_of(vault, "t", typed, labelled(vault, typed))
    assert own.restored({"text": token}) == {"text": MAIL}


def test_names_of_members_and_numbers_count_too(vault: Vault) -> None:
    typed = {MAIL: 4111111111111111, "n": 5}
    shown = labelled(vault, typed)
    assert len(introduced(typed, shown)) == 2
    own = own_of(vault, "t", typed, shown)
    assert own.restored({"arguments": shown})["arguments"] == {MAIL: "4111111111111111", "n": 5}


def test_a_value_put_into_json_is_escaped_like_it(vault: Vault) -> None:
    typed = {"text": f"mail {MAIL}"}
    shown = labelled(vault, typed)
    own = own_of(vault, "t", typed, shown)
    token = str(shown["text"]).removeprefix("mail ")
    assert own.restored({"arguments": f'{{"to": "{token}"}}'}) == {"arguments": f'{{"to": "{MAIL}"}}'}


def test_without_anything_personal_there_is_nothing_to_look_up(vault: Vault) -> None:
    typed = {"text": "hello", "deep": [[1, 2.5, None, True]]}
    own = own_of(vault, "t", typed, labelled(vault, typed))
    assert own == Own()
    body = {"text": "<EMAIL_1f3a9c2e>"}
    assert own.restored(body) is body
