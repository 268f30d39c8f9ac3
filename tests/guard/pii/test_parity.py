"""What Presidio's own recognisers accept, with its own context words, is found here as well."""

from __future__ import annotations

import inspect
import random
from typing import Any

import pytest

from agentflow.guard.entities import ENTITIES, canonical
from agentflow.guard.pii.matcher import PiiMatcher
from tests.guard.pii.from_pattern import sample

pytest.importorskip("presidio_analyzer")

import presidio_analyzer.predefined_recognizers as predefined
from presidio_analyzer import PatternRecognizer

EVERYTHING = PiiMatcher(ENTITIES)
# Recognisers whose check is a checksum, by entity: here their verdict is certain, and so must ours be.
CHECKED = {
    "ABA_ROUTING_NUMBER", "AU_ACN", "AU_MEDICARE", "AU_TFN", "CA_SIN", "DE_HEALTH_INSURANCE", "DE_LANR", "DE_TAX_ID",
    "DE_SOCIAL_SECURITY", "ES_NIE", "ES_NIF", "FI_PERSONAL_IDENTITY_CODE", "IN_AADHAAR", "KR_BRN", "MAC", "NG_NIN",
    "PH_TIN", "PL_PESEL", "SE_ORGANISATIONSNUMMER", "SG_UEN", "TH_TNIN", "TR_NATIONAL_ID", "UK_NHS", "US_NPI",
    "ZA_ID_NUMBER",
}  # fmt: skip
OURS = {"US_NPI": "npi"}


def recognisers() -> list[Any]:
    kinds = [kind for _, kind in inspect.getmembers(predefined, inspect.isclass) if issubclass(kind, PatternRecognizer)]
    return [made for kind in kinds if canonical((made := kind()).supported_entities[0]) in CHECKED]


def accepted(recogniser: Any, pattern: str, rng: random.Random) -> list[str]:
    """Values of a pattern that Presidio's recogniser is certain of."""
    found: list[str] = []
    for _ in range(3000):
        value = sample(pattern.replace("(?i)", ""), rng)
        try:
            certain = recogniser.validate_result(value)
            if certain is True or (certain is None and recogniser.invalidate_result(value) is False):
                found.append(value)
        except (ValueError, IndexError):
            continue
        if len(found) == 10:
            break
    return found


@pytest.mark.parametrize("recogniser", recognisers(), ids=lambda recogniser: recogniser.supported_entities[0])
def test_what_presidio_is_certain_of_is_found(recogniser: Any) -> None:
    kind = canonical(recogniser.supported_entities[0])
    word = OURS.get(kind, recogniser.context[0])
    rng = random.Random(kind)
    for pattern in recogniser.patterns:
        for value in accepted(recogniser, pattern.regex, rng):
            text = f"The {word} is {value}."
            start = text.index(value)
            found = EVERYTHING.find(text)
            assert any(match.start <= start and match.end >= start + len(value) for match in found), text
