"""Recognisers written for Presidio in Python run in the deep tier as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("presidio_analyzer")

from presidio_analyzer import Pattern, PatternRecognizer

from agentflow.config_guard import DeepConfig, GuardConfig
from agentflow.guard.deep.beside import Deep
from agentflow.guard.deep.tier import DeepTier
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.pii.presidio_recognisers import load
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.vault import Vault

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


def test_what_such_a_recogniser_finds_in_the_worker_is_redacted(tmp_path: Path) -> None:
    """The worker is isolated: it imports what is installed, such as this one of Presidio's own."""
    named = "presidio_analyzer.predefined_recognizers:CryptoRecognizer"

    async def redacted() -> str:
        config = GuardConfig(deep=DeepConfig(mode="always", timeout=120, recognisers=(named,), types=("CRYPTO",)))
        tier, vault = DeepTier(config.deep), Vault(tmp_path / "vault.db", bytes(32))
        try:
            body = {
                "content": [{"type": "text", "text": "wallet 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ, not 16Yeky6GMjeN"}]
            }
            matcher = await Deep(PiiMatcher(["EMAIL"]), tier, config).matcher(body)
            done = Tokeniser(matcher, vault, "angle").redact("t", body)
            return str(done.body["content"][0]["text"])
        finally:
            tier.close()
            vault.close()

    text = anyio.run(redacted)
    assert text.startswith("wallet <CRYPTO_") and text.endswith(">, not 16Yeky6GMjeN")
