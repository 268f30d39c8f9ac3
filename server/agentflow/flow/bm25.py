"""Okapi BM25 over tool documents (Robertson & Zaragoza 2009), k1 = 1.2, b = 0.75.

Name words weigh three times, parameter names twice, description words once; a query word also finds its
near-synonyms at half weight.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from agentflow.flow.port import ToolView
from agentflow.flow.words import STOP, parts, stem, stems, synonyms

_K1, _B = 1.2, 0.75
STOP_STEMS = frozenset(stem(word) for word in STOP)


@lru_cache(maxsize=32768)
def _document(name: str, title: str, description: str, fields: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for text, weight in ((name, 3), (title, 1), (description, 1)):
        for word in stems(text):
            counts[word] += weight
    for field in fields:
        for word in stems(field):
            counts[word] += 2
    return tuple((word, n) for word, n in counts.items() if word not in STOP_STEMS)


def field_names(tool: ToolView) -> tuple[str, ...]:
    """Names of a tool's parameters and of the properties it returns."""
    names = list((tool.input_schema.get("properties") or {}) if isinstance(tool.input_schema, dict) else ())
    if isinstance(tool.output_schema, dict):
        names += list(_property_names(tool.output_schema, 3))
    return tuple(str(name) for name in names)


def _property_names(schema: object, depth: int) -> Iterable[str]:
    if not isinstance(schema, dict) or depth < 0:
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            yield name
            yield from _property_names(inner, depth - 1)
    yield from _property_names(schema.get("items"), depth - 1)
    for inner in (schema.get("$defs") or {}).values() if isinstance(schema.get("$defs"), dict) else ():
        yield from _property_names(inner, depth - 1)


def weighted(text: str) -> dict[str, float]:
    """The stems that a text asks for: its own at 1, their near-synonyms at a half."""
    weights: dict[str, float] = {}
    for word in dict.fromkeys(stem(part) for part in parts(text)):
        if word in STOP_STEMS:
            continue
        weights[word] = 1.0
        for other in synonyms(word):
            weights.setdefault(other, 0.5)
    return weights


class Index:
    """An inverted index over the tools of one principal."""

    def __init__(self, tools: Sequence[ToolView]) -> None:
        self._tools = tools
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths: list[int] = []
        for number, tool in enumerate(tools):
            document = _document(tool.name, tool.title or "", tool.description or "", field_names(tool))
            self._lengths.append(sum(n for _, n in document))
            for word, n in document:
                self._postings[word].append((number, n))
        self._mean = sum(self._lengths) / len(tools) if tools else 1.0
        self._shares: dict[str, list[tuple[int, float]]] = {}

    def search(self, text: str, k: int) -> list[tuple[ToolView, float]]:
        """The `k` best tools for a text with their scores (> 0), best first; equal scores keep catalogue order."""
        return [(self._tools[number], score) for number, score in self.rank(weighted(text), k)]

    def rank(self, weights: Mapping[str, float], k: int) -> list[tuple[int, float]]:
        """As `search`, for stems with weights; places among the tools instead of tools."""
        scores: dict[int, float] = defaultdict(float)
        for word, weight in weights.items():
            for number, share in self._shares.get(word) or self._of_word(word):
                scores[number] += weight * share
        best = heapq.nsmallest(k, [(-score, number) for number, score in scores.items()])
        return [(number, -score) for score, number in best]

    def _of_word(self, word: str) -> list[tuple[int, float]]:
        """What a word adds to the score of each tool that has it; worked out once."""
        postings = self._postings.get(word)
        if not postings:
            return []
        idf = math.log(1 + (len(self._tools) - len(postings) + 0.5) / (len(postings) + 0.5))
        shares = []
        for number, n in postings:
            norm = _K1 * (1 - _B + _B * self._lengths[number] / (self._mean or 1.0))
            shares.append((number, idf * n * (_K1 + 1) / (n + norm)))
        self._shares[word] = shares
        return shares
