"""Both tiers in one redaction."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agentflow.config_guard import DeepConfig, GuardConfig
from agentflow.errors import DeepTierUnavailable
from agentflow.guard.deep.beside import Beside, Deep, asked
from agentflow.guard.deep.tier import Asked, DeepTier
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.spans import Match

HOT = PiiMatcher()
MAIL = "ada@example.com"


class Scripted(DeepTier):
    """A tier that calls every `Ada` a person and every `Oslo` a place."""

    async def find(self, texts: Sequence[Asked]) -> list[list[Match]]:
        names = (("PERSON", "Ada"), ("LOCATION", "Oslo"), ("DATE_TIME", "Monday"))
        return [
            [Match(kind, at, at + len(name), 0.8) for kind, name in names if (at := text.find(name)) >= 0]
            for text, _ in texts
        ]


def test_every_value_key_and_nested_string_is_asked_about_once() -> None:
    body = {
        "content": [{"type": "text", "text": "Hello Ada"}, {"type": "text", "text": "Hello Ada"}],
        "structuredContent": {
            "name": "Ada",
            "n": 5,
            "Ada": "x y",
            "inner": '{"text": "{\\"name\\": \\"Bob \\\\u00e9\\"}"}',
        },
    }
    texts = asked(body)
    assert ("Hello Ada", "text") in texts
    assert ("Ada", "name") in texts
    assert ("Ada", "") in texts
    assert any("Bob é" in text for text, _ in texts)
    assert len(texts) == len(set(texts))


def test_where_the_tiers_overlap_the_surer_one_counts() -> None:
    text = f"{MAIL} is Ada"
    deep = [Match("PERSON", 0, 5, 0.5), Match("PERSON", len(text) - 3, len(text), 0.5)]
    both = Beside(HOT, {(text, ""): deep}, {"PERSON"})
    assert [(match.type, text[match.start : match.end]) for match in both.find(text)] == [
        ("EMAIL", MAIL),
        ("PERSON", "Ada"),
    ]


def test_what_was_found_nowhere_is_not_suspect() -> None:
    assert not Beside(HOT, {("x", ""): []}, {"PERSON"}).suspect(b"nothing")
    assert Beside(HOT, {("Ada", ""): [Match("PERSON", 0, 3, 0.9)]}, {"PERSON"}).suspect(b"nothing")


async def kinds(guard: GuardConfig, types: tuple[str, ...] = ()) -> set[str]:
    text = "Ada met Oslo on Monday"
    matcher = await Deep(HOT, Scripted(guard.deep), guard).matcher({"structuredContent": {"x": text}}, types)
    return {match.type for match in matcher.find(text, "x")}


async def test_the_configuration_and_policy_say_which_types_count() -> None:
    assert await kinds(GuardConfig()) == {"PERSON", "LOCATION"}
    assert await kinds(GuardConfig(pii_types=("EMAIL", "PERSON"))) == {"PERSON"}
    assert await kinds(GuardConfig(deep=DeepConfig(types=("LOCATION",)))) == {"LOCATION"}
    assert await kinds(GuardConfig(), ("DATE_TIME",)) == {"PERSON", "LOCATION", "DATE_TIME"}


async def test_values_on_the_allow_list_stay() -> None:
    assert await kinds(GuardConfig(pii_allow=("Ada",))) == {"LOCATION"}


async def test_a_demand_that_the_configuration_turns_off_is_refused() -> None:
    guard = GuardConfig(deep=DeepConfig(mode="off"))
    deep = Deep(HOT, Scripted(guard.deep), guard)
    assert deep.wanted(True)
    with pytest.raises(DeepTierUnavailable, match="turns it off"):
        await deep.matcher({"structuredContent": {}})
