"""Reading questions without a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.flow.literals import lex, literals
from agentflow.flow.question import MAX_PARTS, read, split


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('find "red gear"', "quoted", "red gear"),
        ("mail of ada@example.org please", "email", "ada@example.org"),
        ("orders of <EMAIL_1f3a9c2e>", "token", "<EMAIL_1f3a9c2e>"),
        ("orders of [REDACTED_EMAIL_1f3a9c2e]", "token", "[REDACTED_EMAIL_1f3a9c2e]"),
        ("open https://help.example/a?b=1.", "url", "https://help.example/a?b=1"),
        ("since 12 March 2025", "date", "2025-03-12"),
        ("since March 3rd, 2025", "date", "2025-03-03"),
        ("status of O-1002?", "id", "O-1002"),
        ("status of ticket #12", "id", "12"),
        ("more than $1,200.50", "number", 1200.5),
        ("convert to EUR", "code", "EUR"),
        ("orders of Femke de Vries today", "name", "Femke de Vries"),
        ("Ada's orders", "name", "Ada"),
    ],
)
def test_values_are_read_by_type(text: str, kind: str, value: object) -> None:
    found = [(v.kind, v.value) for v in literals(lex(text))]
    assert (kind, value) in found


def test_the_first_word_of_a_question_is_not_a_name() -> None:
    assert [v.value for v in literals(lex("Which orders does Ada Lovelace have?"))] == ["Ada Lovelace"]


@pytest.mark.parametrize(
    ("text", "operation", "head"),
    [
        ("What is the status of the last order of Ada?", "value", ("status",)),
        ("How many open tickets does Ada have?", "count", ("open", "ticket")),
        ("What is Ada's last order's status?", "value", ("status",)),
        ("What is the average total of Ada's orders?", "average", ("order",)),
        ("Does Ada have open tickets?", "exists", ()),
        ("List the subjects of Ada's tickets", "list", ("subject",)),
    ],
)
def test_operation_and_head_are_read(text: str, operation: str, head: tuple[str, ...]) -> None:
    question = read(text)
    assert question.operation == operation
    assert set(head) <= set(question.head) | set(question.nouns)


def test_an_imperative_with_a_writing_verb_is_an_action_and_a_question_about_it_is_not() -> None:
    assert read("Please close ticket T-1").verb == "close"
    assert read("Which tickets did Ada close?").verb == ""
    assert read("When will you delete the order?").operation != "action"


def test_selectors_stand_with_their_noun() -> None:
    selector = read("What is the total of the last open order of Ada?").selectors[0]
    assert (selector.kind, selector.descending, selector.noun) == ("date", True, "order")
    assert (
        read("the most expensive item").selectors[0].field == "pric"
        or read("the most expensive item").selectors[0].field == "price"
    )


def test_comparisons_take_their_value_out_of_the_literals() -> None:
    question = read("How many orders over 100 were placed after 2025-02-01?")
    assert [(c.operator, c.value) for c in question.comparisons] == [(">", 100), (">", "2025-02-01")]
    assert question.literals == ()


def test_a_compound_question_is_split_and_pronouns_get_their_name() -> None:
    assert split("What is the phone of Ada and how many orders does she have?") == [
        "What is the phone of Ada?",
        "how many orders does Ada have?",
    ]
    assert split("Find the ticket of Ada and close it") == ["Find the ticket of Ada", "close the ticket of Ada"]
    assert split("List all orders and tickets of Ada") == ["List all orders and tickets of Ada"]


@given(st.text(max_size=400))
def test_reading_never_fails(text: str) -> None:
    for part in split(text):
        read(part)


@pytest.mark.parametrize("text", ["1," * 10_000, "1" * 20_000, "a-" * 10_000, "how much " * 2000, "Ada " * 5000])
def test_a_hostile_question_is_read_in_bounds(text: str) -> None:
    assert len(split(text)) <= MAX_PARTS
    assert len(read(text).literals) <= 40
