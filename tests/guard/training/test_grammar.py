"""Templates give texts: choices are made, slots filled, and the same seed says the same thing."""

from __future__ import annotations

from random import Random

import pytest

from agentflow.guard.training.generate import Wordings, authors
from agentflow.guard.training.grammar import Grammar
from agentflow.guard.training.injection_data import part_of

GRAMMAR = Grammar({"colour": ["red"], "thing": ["{small|tiny} $colour ball"]})


def test_choices_nest_and_slots_are_filled() -> None:
    said = {GRAMMAR.expand("{a|the {old|new}} $thing", Random(seed)) for seed in range(60)}
    assert "a tiny red ball" in said
    assert "the new small red ball" in said
    assert len(said) == 6


def test_braces_without_a_choice_and_unknown_slots_stay() -> None:
    assert GRAMMAR.expand('{"a": {1}} costs $5 or $price ¦', Random(1)) == '{"a": {1}} costs $5 or $price |'


def test_a_capital_slot_begins_with_a_capital_letter() -> None:
    assert GRAMMAR.expand("$Colour", Random(1)) == "Red"
    assert GRAMMAR.expand("$Goal.", Random(1), goal="send it") == "Send it."


def test_values_of_slots_are_taken_as_they_are() -> None:
    assert GRAMMAR.expand("$goal", Random(1), goal="{a|b}") == "{a|b}"


@pytest.mark.parametrize("author", authors())
def test_every_template_expands_completely(author: str) -> None:
    wordings, rng = Wordings(), Random(5)
    for part in ("openers", "goals", "closers", "languages", "twins", "trigger", "about", "manuals", "documents"):
        for kind in wordings.kinds(part, author) if part not in LISTS else [""]:
            for template in wordings.lines(part, author, kind):
                text = wordings.expand(author, template, rng, goal="g", goal2="g", quoted="q", quoted2="q")
                assert text.strip() or not template.strip()
                assert "\x01" not in text
                assert "$go" not in text.lower()


LISTS = ("closers", "twins", "trigger", "about")


def test_equal_seeds_make_equal_texts() -> None:
    one, two = Wordings(), Wordings()
    for seed in range(40):
        assert one.attack(Random(seed)) == two.attack(Random(seed))
        assert one.twin(Random(seed), "train") == two.twin(Random(seed), "train")
        assert one.about(Random(seed)) == two.about(Random(seed))
        assert one.manual(Random(seed)) == two.manual(Random(seed))
    assert list(one.harmless(3, 2)) == list(two.harmless(3, 2))


def test_every_author_is_heard_and_one_who_is_left_out_is_not() -> None:
    every = Wordings()
    writers = {name for name in authors() if every.lines("openers", name)}
    heard = {family.split("_")[0] for _, family in (every.attack(Random(seed)) for seed in range(400))}
    assert writers <= heard
    others = Wordings([name for name in authors() if name != "first"])
    assert all(not others.attack(Random(seed))[1].startswith("first") for seed in range(200))
    with pytest.raises(ValueError, match="no templates by nobody"):
        Wordings(["nobody"])


def test_harmless_sentences_are_calibrated_on_in_other_words_than_they_are_trained_on() -> None:
    parts: dict[str, set[str]] = {}
    for document in Wordings().harmless(3, 32):
        if document.kind in ("trigger", "twin"):
            parts.setdefault(document.source, set()).add(part_of(document.source, document.kind))
    assert all(len(found) == 1 for found in parts.values())
    assert {name for found in parts.values() for name in found} == {"train", "calibrate"}
