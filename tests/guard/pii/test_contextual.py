"""A word that floods a text is read once for each place, and every value beside it is still found."""

from __future__ import annotations

import pytest

from agentflow.guard.pii.matcher import PiiMatcher

EVERYTHING = PiiMatcher()


def kinds(text: str) -> list[str]:
    return [match.type for match in EVERYTHING.find(text)]


@pytest.mark.parametrize("count", [3, 2000])
def test_each_value_beside_its_word_is_found_however_many_there_are(count: int) -> None:
    text = "".join(f"passport number: A{number:08d}, " for number in range(10_000_000, 10_000_000 + count))
    assert len(kinds(text)) == count


def test_a_value_at_the_end_of_a_flood_is_found() -> None:
    assert kinds("passport 1, " * 5000 + "passport A12345678 is his") == ["US_PASSPORT"]


def test_a_flood_of_one_word_leaves_the_others_alone() -> None:
    flood = "passport 1, " * 1000
    text = flood + "his driver license (see the back of the form): S1234567, " + flood
    alone = EVERYTHING.find("his driver license (see the back of the form): S1234567, ")
    shifted = [(m.type, m.start + len(flood)) for m in alone]
    assert shifted
    assert [(m.type, m.start) for m in EVERYTHING.find(text)] == shifted


@pytest.mark.parametrize("unit", ["passport 1,", "Passport: [A1234567, ", "생년월일=A1 ", "zip is A1 ", "dni: [1; "])
def test_floods_finish(unit: str) -> None:
    EVERYTHING.find((unit * (100_000 // len(unit) + 1))[:100_000])
