"""The rules of the hot tier by region: data, in the order in which equal claims to one value are settled."""

from __future__ import annotations

from typing import Final

from agentflow.guard.pii.rule import Rule
from agentflow.guard.pii.tables import americas, asia, europe, everywhere, oceania_africa

RULES: Final[tuple[Rule, ...]] = (
    *americas.RULES,
    *europe.RULES,
    *asia.RULES,
    *oceania_africa.RULES,
    *everywhere.RULES,
)
