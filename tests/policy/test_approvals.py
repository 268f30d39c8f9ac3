"""Approvals: for exactly one call, once, in time."""

from __future__ import annotations

import dataclasses

import pytest

from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Session, UpstreamFacts
from agentflow.policy.approvals import Approvals, Binding, State, binding_of

WANTED = Binding("7:default:ada", "tools/call", "mail", "send", "hash", "rev")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_not_answered_cannot_be_taken() -> None:
    approvals = Approvals()
    asked = approvals.open(WANTED, 60)
    assert approvals.take(asked.id, WANTED) is None


def test_a_yes_is_used_up_by_the_first_who_takes_it() -> None:
    approvals = Approvals()
    asked = approvals.open(WANTED, 60)
    assert approvals.answer(asked.id, approve=True, by="eve") is State.APPROVED
    taken = approvals.take(asked.id, WANTED)
    assert taken is not None
    assert taken.by == "eve"
    assert approvals.take(asked.id, WANTED) is None


@pytest.mark.parametrize("member", [field.name for field in dataclasses.fields(Binding)])
def test_a_yes_is_for_exactly_what_was_asked(member: str) -> None:
    approvals = Approvals()
    asked = approvals.open(WANTED, 60)
    approvals.answer(asked.id, approve=True, by="eve")
    assert approvals.take(asked.id, dataclasses.replace(WANTED, **{member: "other"})) is None
    assert approvals.take(asked.id, WANTED) is not None


def test_a_no_cannot_be_taken_and_is_final() -> None:
    approvals = Approvals()
    asked = approvals.open(WANTED, 60)
    assert approvals.answer(asked.id, approve=False, by="eve") is State.DENIED
    assert approvals.answer(asked.id, approve=True, by="mallory") is State.DENIED
    assert approvals.take(asked.id, WANTED) is None


def test_time_runs_out_before_and_after_the_answer() -> None:
    clock = Clock()
    approvals = Approvals(clock=clock)
    late, stale = approvals.open(WANTED, 60), approvals.open(WANTED, 60)
    approvals.answer(stale.id, approve=True, by="eve")
    clock.now = 60.0
    assert approvals.answer(late.id, approve=True, by="eve") is State.EXPIRED
    assert approvals.take(stale.id, WANTED) is None


def test_an_unknown_or_forgotten_approval_is_expired() -> None:
    approvals = Approvals()
    asked = approvals.open(WANTED, 60)
    approvals.forget(asked.id)
    approvals.forget(asked.id)
    assert approvals.answer(asked.id, approve=True, by="eve") is State.EXPIRED


def test_open_questions_are_bounded_and_expired_ones_make_room() -> None:
    clock = Clock()
    approvals = Approvals(limit=2, clock=clock)
    approvals.open(WANTED, 10)
    approvals.open(WANTED, 10)
    with pytest.raises(OverflowError):
        approvals.open(WANTED, 10)
    clock.now = 11.0
    approvals.open(WANTED, 10)


def test_a_binding_tells_arguments_apart_and_does_not_show_them() -> None:
    def bound(**arguments: object) -> Binding:
        caller = Principal("ada")
        params = {"name": "send", "arguments": arguments, "_meta": {"progressToken": id(arguments)}}
        made = Call("tools/call", caller, Session("s", caller), params, target="send")
        made.upstream = UpstreamFacts("mail", "stdio")
        return binding_of(made, "rev")

    assert bound(a=1, b="x") == bound(b="x", a=1)
    assert bound(a=1) != bound(a=1.5)
    assert bound(a="1") != bound(a=1)
    assert "secret" not in str(bound(a="secret"))
