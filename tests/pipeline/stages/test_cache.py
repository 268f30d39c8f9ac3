"""Answers are given again only to the very same question, and are never kept in the clear."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

from agentflow.identity.principal import Principal
from agentflow.pipeline.call import (
    Call,
    Decision,
    Direction,
    Message,
    Obligations,
    Session,
    UpstreamFacts,
    Verdict,
)
from agentflow.pipeline.stages.cache import Cache

ADA, BOB = Principal("ada"), Principal("bob")
LOOKUP = {"name": "lookup", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
ANSWER = {"content": [{"type": "text", "text": "ada.secret@example.com"}], "isError": False}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(who: Principal = ADA, ttl: float = 30, revision: str = "r1", **arguments: Any) -> Call:
    return Call(
        "tools/call",
        who,
        Session("s", who),
        {"name": "crm__lookup", "arguments": arguments or {"id": 1, "full": True}},
        name="crm__lookup",
        target="lookup",
        upstream=UpstreamFacts("crm", "http"),
        definition=LOOKUP,
        decision=Decision(True, obligations=Obligations(cache_ttl=ttl), revision=revision),
    )


def test_the_same_question_gets_the_same_answer_again() -> None:
    cache = Cache()
    assert cache.lookup(made()) is None
    cache.store(made(), ANSWER)
    again = made()
    assert cache.lookup(again) == ANSWER
    assert again.cached


def test_the_order_of_arguments_does_not_matter() -> None:
    cache = Cache()
    cache.store(made(id=1, full=True), ANSWER)
    assert cache.lookup(made(full=True, id=1)) == ANSWER


@pytest.mark.parametrize(
    "other",
    [
        made(BOB),
        made(revision="r2"),
        made(id=2, full=True),
        made(id=1.5),
        replace(made(), target="lookup2"),
        replace(made(), upstream=UpstreamFacts("crm2", "http")),
        replace(made(), definition={**LOOKUP, "description": "changed"}),
        replace(made(), definition={**LOOKUP, "annotations": {}}),
        replace(made(), definition={**LOOKUP, "annotations": {"readOnlyHint": "yes"}}),
        replace(made(), decision=None),
        made(ttl=0),
        replace(made(), surface="resources/read"),
    ],
)
def test_any_other_question_gets_none(other: Call) -> None:
    cache = Cache()
    cache.store(made(), ANSWER)
    assert cache.lookup(other) is None
    assert not other.cached


def test_one_is_not_true() -> None:
    cache = Cache()
    cache.store(made(flag=1), ANSWER)
    assert cache.lookup(made(flag=True)) is None


@pytest.mark.parametrize(
    "answer",
    [{**ANSWER, "isError": True}, {"resultType": "input_required", "inputRequests": {}}, {"task": {"taskId": "t"}}],
)
def test_errors_and_unfinished_answers_are_not_kept(answer: dict[str, Any]) -> None:
    cache = Cache()
    cache.store(made(), answer)
    assert cache.lookup(made()) is None


def test_an_answer_is_forgotten_after_its_time() -> None:
    clock = Clock()
    cache = Cache(clock=clock)
    cache.store(made(ttl=30), ANSWER)
    clock.now += 29
    assert cache.lookup(made()) == ANSWER
    clock.now += 1
    assert cache.lookup(made()) is None


def test_changing_a_given_answer_does_not_change_the_next() -> None:
    cache = Cache()
    cache.store(made(), ANSWER)
    first = cache.lookup(made())
    assert first is not None
    first["content"].clear()
    assert cache.lookup(made()) == ANSWER


def test_it_is_bounded_in_bytes() -> None:
    cache = Cache(max_bytes=8000)
    for i in range(100):
        cache.store(made(id=i), {"content": [{"type": "text", "text": "x" * 400}]})
    kept = sum(cache.lookup(made(id=i)) is not None for i in range(100))
    assert 0 < kept < 20
    cache.store(made(id=1000), {"content": [{"type": "text", "text": "x" * 4000}]})
    assert cache.lookup(made(id=1000)) is None


def test_nothing_that_is_kept_is_readable() -> None:
    cache = Cache()
    cache.store(made(email="ada.argument@example.com"), ANSWER)
    seen, held = {id(cache)}, [cache.__dict__]
    while held:
        item = held.pop()
        if isinstance(item, bytes):
            assert b"example.com" not in item
        elif isinstance(item, str):
            assert "example.com" not in item
        elif id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, dict | list | tuple | set):
                held.extend(gc.get_referents(item))


def test_the_stage_notes_hit_and_miss() -> None:
    cache = Cache()

    def note(call: Call) -> Any:
        return cache(call, Message(call.surface, Direction.INBOUND, call.params))

    assert note(made()).detail == {"cache": "miss"}
    cache.store(made(), ANSWER)
    assert note(made()).detail == {"cache": "hit"}
    assert note(replace(made(), surface="resources/read")).verdict is Verdict.SKIPPED
    assert note(made(ttl=0)).detail is None
