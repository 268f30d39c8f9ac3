"""The injection rules at work: every match in a view of a text, each pattern compiled when a text first needs it.

Most texts need few patterns (`rule_words`), so a gateway holds those its traffic asks for: a pattern takes 10 to 80 KB
and 0.3 to 3 ms to compile. Matching is RE2's, linear in the text whatever it holds. Safe from several threads: at worst
a pattern is compiled twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final

import re2

from agentflow.guard import rule_words
from agentflow.guard.normalise import View
from agentflow.guard.rule_file import LINES, Surface, expanded

PER_PATTERN: Final = 32  # matches of one pattern in one view that are kept
_BEFORE: Final = 40  # bytes before a match that say whether it counts
_AUTOMATON: Final = 1 << 20  # bytes that one pattern's program and automata may take


@dataclass(frozen=True, slots=True)
class Match:
    """One match of a rule; offsets are those of the original."""

    rule: str
    category: str
    severity: float
    start: int
    end: int


@cache
def _shipped() -> tuple[rule_words.Index, tuple[tuple[rule_words.Known, str], ...], rule_words.Needs]:
    """The rules, all their patterns, and what these need: of both surfaces, which have most in common."""
    index = rule_words.shipped()
    patterns = [(rule, pattern) for rule in index.rules for pattern in rule.patterns]
    return (
        index,
        tuple(patterns),
        rule_words.Needs(index.clauses, [need for rule in index.rules for need in rule.needs]),
    )


@cache
def _compiled(pattern: str, prefix: str = LINES) -> Any:
    """A pattern as it stands in the index, ready."""
    whole = prefix + expanded(pattern, _shipped()[0].definitions)
    options = re2.Options()
    if whole.isascii():
        options.encoding = re2.Options.Encoding.LATIN1  # over bytes, automata are several times smaller
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _AUTOMATON
    return re2.compile(whole.encode(), options)


@cache
def english() -> frozenset[str]:
    """The rules that look for English, or for what is no language."""
    return frozenset(rule.id for rule in _shipped()[0].rules if rule.english)


class Matcher:
    """The rules of one surface."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        _, self._patterns, self._needs = _shipped()

    def clean(self, text: str) -> bool:
        """Whether no pattern matches anywhere in a text."""
        lower = text.lower()
        data = lower.encode()
        return not any(_compiled(pattern).search(data) for _, pattern in self._possible(lower, data))

    def _possible(self, lower: str, data: bytes) -> Iterator[tuple[rule_words.Known, str]]:
        for number in self._needs.met(lower, data):
            rule, pattern = self._patterns[number]
            if self._surface in rule.severity:
                yield rule, pattern

    def hits(self, view: View) -> Iterator[Match]:
        """Every match in one view, at most `PER_PATTERN` of each pattern."""
        lower = view.text.lower()
        data = lower.encode()
        plain = len(data) == len(view.text)
        for rule, pattern in self._possible(lower, data):
            unless = _compiled(rule.unless, "") if rule.unless else None
            for match in islice(_compiled(pattern).finditer(data), PER_PATTERN):
                a, b = match.span()
                if unless and unless.search(data[max(0, a - _BEFORE) : a]):
                    continue
                start = a if plain else len(data[:a].decode("utf-8", "ignore"))
                end = b if plain else start + len(data[a:b].decode("utf-8", "ignore"))
                severity = rule.severity[self._surface]
                yield Match(
                    rule.id,
                    rule.category,
                    1 - (1 - severity) * 0.7 if view.decoded else severity,
                    *view.origin(start, end),
                )
