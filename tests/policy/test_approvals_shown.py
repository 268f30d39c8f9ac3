"""What people see of a call before they say yes: labelled, whole or said to be cut, every character for what it is."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, Session, UpstreamFacts
from agentflow.policy.approvals import Approval, State, binding_of
from agentflow.policy.approvals_shown import question, wanted_of

CALLER = Principal("ada")
CLEAR, TOKEN = "ada@example.org", "<EMAIL_1f3a>"


def asked(params: JSON, labelled: JSON | None, surface: str = "tools/call", target: str = "send", **said: Any) -> str:
    """The text that the person at the client gets; everybody else gets the same arguments."""
    subject = Call(surface, CALLER, Session("s", CALLER), params, target=target, labelled=labelled)
    subject.upstream = UpstreamFacts("mail", "http")
    wanted = wanted_of(subject, {"who": "caller", "ttl": 60, **said})
    approval = Approval("id", binding_of(subject, "rev", b"k" * 32), wanted, State.OPEN, 0.0, 60.0)
    message = str(question(subject, approval)["params"]["message"])
    assert wanted.shown in message
    return message


def shown(arguments: JSON, **said: Any) -> str:
    return asked({"arguments": {"to": CLEAR}}, {"arguments": arguments}, **said)


def test_nothing_of_unlabelled_arguments_is_shown() -> None:
    assert "(not shown)" in asked({"arguments": {"to": CLEAR}}, None)


def test_an_address_with_personal_data_in_it_is_not_in_the_question() -> None:
    uri = f"mail://{CLEAR}"
    message = asked({"uri": uri}, {"uri": f"mail://{TOKEN}"}, "resources/read", uri)
    assert CLEAR not in message and TOKEN in message


def test_characters_that_hide_or_reorder_are_spelt_out() -> None:
    message = shown({"to": "a\u202eb\u200bc\nYes, approved"}, target="send\nApprove", prompt="Sure?\x1b[2J")
    assert not {"\u202e", "\u200b", "\x1b"} & set(message) and "\\u202e" in message
    assert len(message.splitlines()) == 3


def test_what_looks_like_nothing_is_spelt_out() -> None:
    message = shown({"to": "a\u3164\u2800\u00a0\ufe0f\u034fb\U000e0041"})
    assert r"a\u3164\u2800\u00a0\ufe0f\u034fb\U000e0041" in message


def test_a_long_text_pushes_nothing_out_of_sight() -> None:
    message = shown({"text": "a" * 100_000 + "the end", "amount": 9_999})
    assert (
        len(message) < 3000 and '"amount":9999' in message and "the end" in message and "100007 characters" in message
    )


def test_where_not_everything_can_be_shown_it_says_so_first() -> None:
    message = shown({f"padding {number}": number for number in range(5_000)} | {"amount": 9_999}, prompt="p" * 9_000)
    assert len(message) < 5000 and "Arguments: (the first 2000 of" in message and "(the first 2000 of 9000" in message


@pytest.mark.parametrize(("odd", "seen"), [(2**70, str(2**70)), ("\ud800", r"\ud800"), (1e400, "Infinity")])
def test_values_that_few_can_write_can_be_approved_all_the_same(odd: Any, seen: str) -> None:
    assert seen in shown({"odd": odd})
