"""Entities have one name each, and Presidio's names mean the same."""

from __future__ import annotations

import inspect

import pytest

from agentflow.guard import entities
from agentflow.guard.entities import DEEP, ENTITIES, NAME, PERSONAL, canonical
from agentflow.guard.pii.tables import RULES


def test_either_vocabulary_gives_our_name() -> None:
    assert canonical("CREDIT_CARD") == canonical("card") == "CARD"
    assert canonical("UK_NHS") == "UK_NHS"
    assert canonical("employee-number") == "EMPLOYEE_NUMBER"


@pytest.mark.parametrize("name", ["", "1ST", "a b!", "X" * 40])
def test_what_is_spelled_like_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of an entity"):
        canonical(name)
    assert entities.canonicals([name]) == frozenset()


def test_every_name_is_one_a_token_can_carry_and_stands_for_itself() -> None:
    assert all(NAME.fullmatch(name) and canonical(name) == name for name in ENTITIES)


def test_every_rule_is_about_an_entity_that_is_listed() -> None:
    assert {rule.type for rule in RULES} <= ENTITIES.keys()


def test_what_is_not_personal_by_itself_is_not_looked_for_unasked() -> None:
    assert not {"URL", "DATE_TIME", "DOMAIN_NAME", "UUID", "USERNAME", "COORDINATES"} & PERSONAL
    assert {"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "DATE_OF_BIRTH", "NRP"} <= DEEP


def test_countries_are_known() -> None:
    assert [entities.country(name) for name in ("UK_NHS", "DE_TAX_ID", "IP_ADDRESS", "NO_SUCH")] == ["gb", "de", "", ""]


def test_every_entity_of_presidios_pattern_recognisers_is_listed() -> None:
    pytest.importorskip("presidio_analyzer")
    import presidio_analyzer.predefined_recognizers as predefined
    from presidio_analyzer import PatternRecognizer

    kinds = [kind for _, kind in inspect.getmembers(predefined, inspect.isclass) if issubclass(kind, PatternRecognizer)]
    assert len(kinds) > 70
    assert {canonical(name) for kind in kinds for name in kind().supported_entities} <= ENTITIES.keys()
