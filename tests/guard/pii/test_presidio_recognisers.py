"""Recognisers written for Presidio in Python run in the deep tier as they are."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("presidio_analyzer")

from presidio_analyzer import Pattern, PatternRecognizer

from agentflow.guard.pii.presidio_recognisers import load

HERE = "tests.guard.pii.test_presidio_recognisers"


class BadgeRecognizer(PatternRecognizer):
    """Badges, in whatever language."""

    def __init__(self, supported_language: str = "en") -> None:
        patterns = [Pattern("badge", r"\bB-\d{4}\b", 0.9)]
        super().__init__("BADGE", patterns=patterns, supported_language=supported_language)

    def validate_result(self, pattern_text: str) -> bool:
        return pattern_text.endswith("7")


READY = BadgeRecognizer()


def ready() -> PatternRecognizer:
    return READY


@pytest.mark.parametrize("name", ["BadgeRecognizer", "READY", "ready"])
def test_a_class_an_object_and_a_function_are_accepted(name: str) -> None:
    (recogniser,) = load([f"{HERE}:{name}"], "en")
    found: Any = recogniser.analyze("B-1237 B-1238", ["BADGE"], None)
    assert [(result.entity_type, result.start, result.end) for result in found] == [("BADGE", 0, 6)]


def test_a_class_is_made_for_the_language_of_the_engine() -> None:
    assert load([f"{HERE}:BadgeRecognizer"], "de")[0].supported_language == "de"


@pytest.mark.parametrize("name", ["no.such.module:X", f"{HERE}:Nothing", "nocolon"])
def test_what_cannot_be_imported_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"recogniser {name} cannot be imported"):
        load([name], "en")


def test_what_is_no_recogniser_is_refused() -> None:
    with pytest.raises(ValueError, match="is no EntityRecognizer of Presidio, but a dict"):
        load(["builtins:dict"], "en")
