"""A value that one page begins and the next one ends does not get through as its second half."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.pages import Pages
from agentflow.guard.pii.matcher import PiiMatcher

MATCHER = PiiMatcher()
FILLER = "Notes of the meeting, which went on for a while and came to no end at all, as ever. "


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def second(first: str, then: str, **more: Any) -> str:
    pages = Pages(**more)
    pages.whole("source", 1, text(first), MATCHER, lambda kind: True)
    body = pages.whole("source", 2, text(then), MATCHER, lambda kind: True)
    return str(body["content"][0]["text"])


@pytest.mark.parametrize(
    ("value", "kind"),
    [("alice.smith@example.com", "EMAIL"), ("4111 1111 1111 1111", "CARD"), ("DE89370400440532013000", "IBAN")],
)
@pytest.mark.parametrize("cut", [-5, -8, -11])
def test_a_value_cut_by_paging_is_made_whole_on_the_next_page(value: str, kind: str, cut: int) -> None:
    shown = second(f"{FILLER}Paid with {value[:cut]}", f"{value[cut:]} on Tuesday. {FILLER}")
    assert shown.startswith(value + " on Tuesday")
    assert [found.type for found in MATCHER.find(shown)] == [kind]


def test_what_a_server_puts_around_each_page_may_stand_in_between() -> None:
    first = f"Contents of https://a.example/:\n{FILLER}write to alice.smith@exa\n\n<error>Cut. Go on at 5000.</error>"
    then = f"Contents of https://a.example/:\nmple.com today. {FILLER}"
    assert "\nalice.smith@example.com today" in second(first, then)


def test_the_structured_twin_is_made_whole_as_well() -> None:
    pages = Pages()
    pages.whole("source", 1, text(FILLER + "alice.smith@exa"), MATCHER, lambda kind: True)
    then = f"mple.com. {FILLER}"
    body = pages.whole("source", 2, {**text(then), "structuredContent": {"result": then}}, MATCHER, lambda kind: True)
    assert body["structuredContent"]["result"].startswith("alice.smith@example.com")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (FILLER + "alice.smith@example.com", "4111 of them. " + FILLER),  # whole on its own page
        (FILLER + "alice", "bob@example.com wrote. " + FILLER),  # a value by itself
        ("short alice.smith@exa", "mple.com"),  # no page
        (FILLER, FILLER),
    ],
)
def test_what_was_not_cut_stays_as_it_is(first: str, then: str) -> None:
    assert second(first, then) == then


def test_another_source_the_same_request_and_another_type_are_left_alone() -> None:
    pages = Pages()
    first, then = text(FILLER + "alice.smith@exa"), text("mple.com. " + FILLER)
    pages.whole("a", 1, first, MATCHER, lambda kind: True)
    assert pages.whole("b", 2, then, MATCHER, lambda kind: True) is then
    assert pages.whole("a", 1, then, MATCHER, lambda kind: True) is then
    pages.whole("a", 2, first, MATCHER, lambda kind: True)
    assert pages.whole("a", 3, then, MATCHER, lambda kind: kind == "CARD") is then


def test_ends_are_forgotten_after_a_while_and_when_there_are_many() -> None:
    now = [0.0]
    pages = Pages(most=2, clock=lambda: now[0])
    first, then = text(FILLER + "alice.smith@exa"), text("mple.com. " + FILLER)
    pages.whole("a", 1, first, MATCHER, lambda kind: True)
    now[0] = 3600.0
    assert pages.whole("a", 2, then, MATCHER, lambda kind: True) is then
    for name in "abc":
        pages.whole(name, 1, first, MATCHER, lambda kind: True)
    assert pages.whole("a", 2, then, MATCHER, lambda kind: True) is then


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_page_only_ever_gains_what_the_last_one_ended_with(first: str, then: str) -> None:
    shown = second(FILLER + first, then)
    gained = len(shown) - len(then)
    assert gained >= 0
    assert any(shown == then[:at] + shown[at : at + gained] + then[at:] for at in range(len(then) + 1))
    if gained:
        assert any(shown[at : at + gained] in FILLER + first for at in range(len(shown)))
