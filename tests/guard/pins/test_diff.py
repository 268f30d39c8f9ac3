"""What a person is shown of a change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.pins.diff import changes, summary, visible


def text(**definition: Any) -> str:
    return json.dumps({"name": "send", **definition}, sort_keys=True)


def test_a_change_is_shown_word_by_word_at_its_place() -> None:
    before = text(description="Send a mail to one person.", inputSchema={"properties": {"a": {"type": "string"}}})
    after = text(description="Send a mail to every person.", inputSchema={"properties": {"a": {"type": "number"}}})
    found = {change.pointer: change.words for change in changes(before, after)}
    assert found == {
        "/description": (
            ("same", "Send a mail to "),
            ("removed", "one"),
            ("added", "every"),
            ("same", " person."),
        ),
        "/inputSchema/properties/a/type": (("removed", "string"), ("added", "number")),
    }


def test_what_is_new_and_what_is_gone_is_shown() -> None:
    (gone, new) = changes(text(title="x"), text(icons=[]))[::-1]
    assert (gone.pointer, gone.before, gone.after) == ("/title", "x", ...)
    assert (new.pointer, new.before, new.after) == ("/icons", ..., [])
    assert new.json() == {"pointer": "/icons", "after": [], "words": [["added", "[]"]]}


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), ("1", 1), ([], {}), (None, "null")])
def test_values_that_are_merely_equal_differ(one: Any, other: Any) -> None:
    assert [change.pointer for change in changes(text(x=one), text(x=other))] == ["/x"]


def test_a_definition_that_was_cut_is_compared_as_text() -> None:
    before = text(description="a b c" * 50)[:100]
    assert changes(before, before) == []
    assert changes(before, before + "d")[0].pointer == ""


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("x\U000e0041", "x⟨U+E0041⟩"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("sеnd", "s⟨U+0435⟩nd"),
        ("сору", "⟨U+0441⟩⟨U+043E⟩⟨U+0440⟩⟨U+0443⟩"),
        ("naïve, поиск, 検索 – ok", "naïve, поиск, 検索 – ok"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_nothing_hidden_stays_hidden(hidden: str, shown: str) -> None:
    assert visible(hidden) == shown


def test_a_summary_counts_words_and_quotes_none() -> None:
    found = summary(text(description="Send a mail."), text(description="Send a secret mail now.", title="T"))
    assert (found.members, found.added, found.removed) == (("/description", "/title"), 3, 0)


@given(st.text(), st.text())
def test_the_words_of_a_change_are_those_of_both_texts(before: str, after: str) -> None:
    for change in changes(json.dumps({"d": before}), json.dumps({"d": after})):
        assert "".join(text for op, text in change.words if op != "added") == before
        assert "".join(text for op, text in change.words if op != "removed") == after


def test_long_texts_are_compared_all_the_same() -> None:
    before, after = "x " * 50_000, "y " * 50_000
    (change,) = changes(json.dumps({"d": before}), json.dumps({"d": after}))
    assert change.words[0][0] == "removed"
    assert summary(json.dumps({"d": before}), json.dumps({"d": after})).added == 50_000
