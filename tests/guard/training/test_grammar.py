"""Templates give texts: choices are made, slots filled, and the same seed says the same thing."""

from __future__ import annotations

from random import Random

import pytest

from agentflow.guard.training import generate
from agentflow.guard.training.grammar import Grammar, templates

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


@pytest.mark.parametrize("name", ["attacks", "benign", "descriptions"])
def test_every_template_expands_completely(name: str) -> None:
    grammar = Grammar(*(templates(file)["slots"] for file in ("attacks", "benign", "descriptions")))
    rng = Random(5)
    for template in _strings({key: value for key, value in templates(name).items() if key != "slots"}):
        text = grammar.expand(template, rng, goal="g", goal2="g", quoted="q", quoted2="q")
        assert text.strip() or not template.strip()
        assert "\x01" not in text
        assert "$go" not in text.lower()


def _strings(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for value in values for text in _strings(value)]


def test_equal_seeds_make_equal_texts() -> None:
    for maker in (generate.attack, generate.twin, generate.trigger, generate.about, generate.manual):
        assert maker(Random(3)) == maker(Random(3))
    assert list(generate.harmless(3, 2)) == list(generate.harmless(3, 2))
