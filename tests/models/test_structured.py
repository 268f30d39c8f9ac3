"""Typed answers: read, repaired once, refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agentflow.errors import UpstreamProtocolError
from agentflow.models.port import Answered, ChatMessage
from agentflow.models.structured import Reply, ask, object_in


class Point(BaseModel):
    x: int
    note: str = ""


ASKED = (ChatMessage("system", "s"), ChatMessage("user", "u"))


class Teller:
    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[tuple[ChatMessage, ...]] = []

    async def __call__(self, messages: tuple[ChatMessage, ...]) -> Answered:
        self.asked.append(messages)
        return Answered(self.texts.pop(0))


async def test_a_valid_answer_is_read_and_the_conversation_handed_back() -> None:
    typed = await ask(Teller('{"x": 1}'), ASKED, Point)
    assert typed.value.x == 1
    assert typed.messages == (*ASKED, ChatMessage("assistant", '{"x": 1}'))


async def test_an_invalid_one_is_sent_back_with_the_reason_and_both_are_told() -> None:
    teller, told = Teller('{"x": "one"}', '{"x": 1}'), list[Reply]()
    typed = await ask(teller, ASKED, Point, told=told.append)
    assert "x: Input should be a valid integer" in teller.asked[1][-1].content
    assert [bool(reply.problem) for reply in told] == [True, False]
    assert [message.role for message in typed.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert typed.messages[: len(ASKED)] == ASKED


async def test_two_invalid_ones_are_an_error_that_quotes_nothing_of_them() -> None:
    with pytest.raises(UpstreamProtocolError) as caught:
        await ask(Teller('{"x": "hunter2"}', '{"x": "hunter2"}'), ASKED, Point)
    assert "twice wrote no valid Point" in caught.value.message
    assert "hunter2" not in caught.value.message


async def test_a_check_counts_like_the_schema() -> None:
    teller = Teller('{"x": 1}', '{"x": 2}')
    assert (await ask(teller, ASKED, Point, lambda p: "x is odd" if p.x % 2 else None)).value.x == 2
    assert "x is odd" in teller.asked[1][-1].content


@given(st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.text(max_size=9) | st.integers(), st.lists)))
def test_an_object_is_found_in_the_words_around_it(value: dict[str, Any]) -> None:
    try:
        text = json.dumps(value)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        return
    assert object_in(f"Well, here it is:\n```json\n{text}\n```\nAnything else?") == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[1, 2]", id="a-list"),
        pytest.param('{"x": NaN}', id="nan"),
        pytest.param('{"x": "\\udc00"}', id="half-a-pair"),
        pytest.param('{"x": ' * 50_000, id="deep"),
        pytest.param("{" * 1_000_000, id="braces"),
        pytest.param('{"x": 1', id="unfinished"),
    ],
)
def test_what_is_no_object_is_refused_and_soon(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        object_in(text)


def test_the_largest_object_is_the_answer_and_thinking_is_not() -> None:
    assert object_in('<think>{"a": "a very long thought indeed"}</think>{"x": 1}') == {"x": 1}
    assert object_in('Like {"a": 1}? No: {"x": 1, "note": "this"}') == {"x": 1, "note": "this"}
