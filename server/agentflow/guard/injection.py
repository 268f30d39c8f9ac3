"""Overt prompt injection, found by rule: which rules match a text, where, and how strong that is in sum.

The rules are data (`injection_rules*.yaml`, RE2 syntax, each with examples that are its tests). A text is read in
every view of `normalise.views`; a finding's offsets are always those of the original. Matching is linear in the
text whatever it holds. Text that talks *about* injection is capped below blocking. Plainly worded requests that
hold nothing overt are not found here: those are taint's and policy's business.

Two detectors implement the `Detector` port: `ContentDetector` for what tools return and are given, and
`DescriptionDetector` for the short texts by which a tool presents itself.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, Literal, Protocol

import re2
import yaml

from agentflow.guard.normalise import View, suspicious, views
from agentflow.pipeline.call import Finding

Surface = Literal["result", "description"]
SURFACES: tuple[Surface, ...] = ("result", "description")

_WINDOW = 800  # characters within which rules of different categories add up
_PER_PATTERN = 32  # matches of one pattern in one view that are kept
_ABOUT_CAP = 0.6  # what a quotation in a text about injection is worth: flagged, not blocked
_KEPT = 20  # findings of one text that are reported
_GAP = r"""(?:[\s_*"'\x60~:;,.!?|\\/>#()\[\]{}+=<-]+)"""


@dataclass(frozen=True, slots=True)
class Screening:
    """What a detector thinks of one text: `score` in 0..1 and the findings behind it, strongest first."""

    score: float = 0.0
    findings: tuple[Finding, ...] = ()


CLEAN = Screening()


class Detector(Protocol):
    """A judge of single texts. Pure: the same text always gets the same screening."""

    def score(self, text: str, path: str = "") -> Screening:
        """Screen one text; `path` is the JSON pointer that findings will carry."""
        ...

    def clean(self, texts: str) -> bool:
        """Whether nothing can be found in any of several texts joined by blank lines. False is a maybe."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file, for one surface. `patterns` and `unless` are RE2 over folded UTF-8 bytes."""

    id: str
    category: str
    severity: float
    description: str
    languages: tuple[str, ...]
    patterns: tuple[str, ...]
    unless: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


# --------------------------------------------------------------------------- the rule file


_FILES = ("injection_rules.yaml", "injection_rules_languages.yaml", "injection_rules_descriptions.yaml")


@cache
def _documents() -> tuple[dict[str, Any], ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    texts = (files("agentflow.guard").joinpath(name).read_text("utf-8") for name in _FILES)
    documents = tuple(yaml.load(text, Loader=loader) for text in texts)  # noqa: S506 - both loaders are safe
    if any(not isinstance(document, dict) or document.get("version") != 1 for document in documents):
        raise ValueError(f"{', '.join(_FILES)}: version 1 expected")
    return documents


def rules(surface: Surface) -> tuple[Rule, ...]:
    """The shipped rules that apply to a surface.

    Raises:
        ValueError: the file is not of version 1, or an id occurs twice.
        KeyError: a rule lacks a key, or a pattern names a definition that is not there.
    """
    definitions: dict[str, str] = {}
    for name, pattern in _documents()[0]["define"].items():
        definitions[name] = _expand(pattern, definitions)
    found: dict[str, Rule] = {}
    for raw in (raw for document in _documents() for raw in document["rules"]):
        if surface not in raw.get("surfaces", ("result", "description")):
            continue
        if raw["id"] in found:
            raise ValueError(f"injection rule {raw['id']} occurs twice")
        severity = raw.get("description_severity", raw["severity"]) if surface == "description" else raw["severity"]
        found[raw["id"]] = Rule(
            id=raw["id"],
            category=raw["category"],
            severity=float(severity),
            description=raw["description"],
            languages=tuple(raw["languages"]),
            patterns=tuple("(?m)" + _gapped(_expand(p, definitions)) for p in raw["patterns"]),
            unless=_gapped(_expand(raw.get("unless", ""), definitions)),
            positive=tuple(raw.get("positive", ())),
            negative=tuple(raw.get("negative", ())),
        )
    return tuple(found.values())


def _expand(pattern: str, definitions: dict[str, str]) -> str:
    return re.sub(r"\{([a-z]+)\}", lambda m: definitions[m.group(1)], pattern)


def _gapped(pattern: str) -> str:
    """Make spaces gaps, and let an underscore bound a word like any other sign."""
    return pattern.replace(" ", _GAP).replace(r"\b", r"(?:\b|_)")


# --------------------------------------------------------------------------- matching


def _options(pattern: str) -> re2.Options:
    options = re2.Options()
    if pattern.isascii():
        options.encoding = re2.Options.Encoding.LATIN1  # over bytes, automata are several times smaller
    options.log_errors = False
    options.never_capture = True
    return options


@dataclass(frozen=True, slots=True)
class _Hit:
    """One match: offsets are those of the original; hits of one category do not add up."""

    rule: str
    category: str
    severity: float
    start: int
    end: int


class _Filter:
    """All patterns of both surfaces behind one prefilter (FilteredRE2: literals first, then only what can match).

    The surfaces have most patterns in common, and each pattern takes some 30 KB.
    """

    # Found with every scan; an automaton that gave up would not report it.
    _SENTINEL = b"\n~~end~of~text~~"

    def __init__(self, patterns: Iterable[str]) -> None:
        self._filter = re2.Filter()
        self.index = {pattern: self._filter.Add(pattern.encode(), _options(pattern)) for pattern in patterns}
        self._sentinel = self._filter.Add(re2.escape(self._SENTINEL))
        self._filter.Compile()

    def compiled(self, index: int) -> Any:
        return self._filter.re(index)

    def matching(self, data: bytes) -> Iterable[int]:
        """Indices of the patterns that match somewhere in `data`; every one if the automaton gave up."""
        found: list[int] = self._filter.Match(data + self._SENTINEL) or []
        if self._sentinel not in found:
            return self.index.values()
        found.remove(self._sentinel)
        return found


@cache
def _shared() -> tuple[_Filter, dict[Surface, tuple[Rule, ...]]]:
    """The filter and the rules by surface. Their examples, and the files they were read from, are let go."""
    kept = {surface: tuple(replace(rule, positive=(), negative=()) for rule in rules(surface)) for surface in SURFACES}
    _documents.cache_clear()
    return _Filter(dict.fromkeys(p for ruleset in kept.values() for rule in ruleset for p in rule.patterns)), kept


class _Matcher:
    """The patterns of one surface, by their index in the filter."""

    def __init__(self, surface: Surface) -> None:
        self._filter, kept = _shared()
        self._patterns: dict[int, tuple[Rule, Any, Any]] = {}
        for rule in kept[surface]:
            unless = re2.compile(rule.unless.encode(), _options(rule.unless)) if rule.unless else None
            for pattern in rule.patterns:
                index = self._filter.index[pattern]
                if index in self._patterns:
                    raise ValueError(f"injection rules {self._patterns[index][0].id} and {rule.id} share a pattern")
                self._patterns[index] = (rule, self._filter.compiled(index), unless)

    def matching(self, data: bytes) -> list[int]:
        """Indices of the surface's patterns that match somewhere in `data`; every one if the automaton gave up."""
        return [index for index in self._filter.matching(data) if index in self._patterns]

    def hits(self, view: View) -> Iterator[_Hit]:
        """Every match in one view, at most `_PER_PATTERN` of each pattern."""
        data = view.text.lower().encode()
        plain = len(data) == len(view.text)
        for index in self.matching(data):
            rule, pattern, unless = self._patterns[index]
            for match in islice(pattern.finditer(data), _PER_PATTERN):
                a, b = match.span()
                if unless and unless.search(data[max(0, a - 40) : a]):
                    continue
                start = a if plain else len(data[:a].decode("utf-8", "ignore"))
                end = b if plain else start + len(data[a:b].decode("utf-8", "ignore"))
                severity = 1 - (1 - rule.severity) * 0.7 if view.decoded else rule.severity
                yield _Hit(rule.id, rule.category, severity, *view.origin(start, end))


# --------------------------------------------------------------------------- what surrounds a match

# Places a person does not see: HTML comments, invisible elements, link-reference comments of Markdown.
_CONCEALED = re2.compile(
    r"(?is)<!--.*?-->"
    r"|<[a-z][^<>]*(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](?:px|pt|em|%)?\s*[;\"']"
    r"|opacity\s*:\s*0(?:\.0\d?)?\s*[;\"']|color\s*:\s*(?:white|transparent|#fff)|\shidden[\s>=]|left\s*:\s*-\d\d\d)"
    r"[^<>]*>[^<]*"
    r"|\[//\]:\s?#\s?[^\n]*"
)
_HIDDEN_RUN = re.compile("[\U000e0020-\U000e007e\U000e0100-\U000e01ef]{12,}")
_INVISIBLE_RUN = re.compile("[\u200b\u200c\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e0fff]+")
# Words of text about injection, and of manuals on chat templates; two different ones make a discussion.
_ABOUT = re.compile(
    r"prompt[- ]injections?|exfiltrat|threats?\b|attack(?:s|ers?)?\b|jail-?break(?:s|ing)?|indirect injection"
    r"|adversar(?:y|ial|ies)|malicious|vulnerabilit|red[- ]team|exploit|owasp|guard-?rails?|mitigat"
    r"|detect(?:s|ed|ion|or|ing)?\b|researchers?\b|phrases? (?:like|such as)|for example|e\.g\.|such as|payloads?"
    r"|classif(?:y|ier)|chat templates?|special tokens?|tokeni[sz]er|chatml|defen[cs]es?\b"
    r"|security (?:paper|research|team|blog)|threat model|poison(?:ed|ing)",
    re.IGNORECASE,
)
_QUOTES = "\"'`“”‘’«»「」"


def _discussed(text: str, hit: _Hit) -> bool:
    """Whether a match is a quotation in a text about attacks: quoted, and two such terms close by, outside it."""
    before, after = text[max(0, hit.start - 400) : hit.start], text[hit.end : hit.end + 400]
    opened = any(q in before[-60:] for q in _QUOTES) or "\n    " in before[-80:] or "```" in before
    closed = any(q in after[:120] for q in _QUOTES) or "```" in after
    if not (opened and closed):
        return False
    return len({m.group().lower()[:8] for part in (before, after) for m in _ABOUT.finditer(part)}) >= 2


def _as_discussion(text: str, hits: list[_Hit]) -> list[_Hit]:
    """Cap quotations in a text about injection: together they flag, they never block."""
    return [
        replace(hit, severity=min(hit.severity, _ABOUT_CAP), category="discussed") if _discussed(text, hit) else hit
        for hit in hits
    ]


def _raise_concealed(text: str, hits: list[_Hit]) -> list[_Hit]:
    """Halve the doubt about every match in a place that no person sees."""
    places = [match.span() for match in _CONCEALED.finditer(text)] if "<" in text or "[//]" in text else []
    if not places:
        return hits
    starts = [a for a, _ in places]

    def concealed(hit: _Hit) -> bool:
        index = bisect_right(starts, hit.start) - 1
        return index >= 0 and hit.start < places[index][1]

    return [replace(hit, severity=1 - (1 - hit.severity) * 0.5) if concealed(hit) else hit for hit in hits]


def _combined(hits: list[_Hit]) -> float:
    """Noisy-or over categories, each by its strongest rule, in the window of text where that is highest."""
    cells: dict[tuple[str, int], _Hit] = {}  # many hits side by side count as one, so that a flood stays cheap
    for hit in hits:
        cell = (hit.category, hit.start // 200)
        if cell not in cells or cells[cell].severity < hit.severity:
            cells[cell] = hit
    best = 0.0
    window: deque[_Hit] = deque()
    for hit in sorted(cells.values(), key=lambda h: h.start):
        window.append(hit)
        while hit.start - window[0].start > _WINDOW:
            window.popleft()
        strongest: dict[str, float] = {}
        for other in window:
            strongest[other.category] = max(strongest.get(other.category, 0.0), other.severity)
        doubt = 1.0
        for severity in strongest.values():
            doubt *= 1 - severity
        best = max(best, 1 - doubt)
    return best


def excerpt(text: str, hit: _Hit) -> str:
    """At most 80 characters of a match, for a person: enough to recognise it, too little to obey or to leak.

    Long words are cut, markup is dropped, and every word with a digit or `@` is masked.
    """
    words = re.sub(r"[^\w@'.,:;!?-]+", " ", text[hit.start : min(hit.end, hit.start + 400)]).split()
    shown = "·".join("…" if re.search(r"[\d@]", word) else word if len(word) < 5 else f"{word[:4]}…" for word in words)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


# --------------------------------------------------------------------------- the detectors


class _RuleDetector:
    """What both detectors share: scan every view, then weigh."""

    def __init__(self, surface: Surface) -> None:
        self._matcher = _Matcher(surface)

    def clean(self, texts: str) -> bool:
        return not suspicious(texts) and not self._matcher.matching(texts.lower().encode())

    def score(self, text: str, path: str = "") -> Screening:
        if self.clean(text):
            return CLEAN
        found: dict[tuple[str, int, int], _Hit] = {}
        for view in views(text):
            for hit in self._matcher.hits(view):
                key = (hit.rule, hit.start, hit.end)
                if key not in found or found[key].severity < hit.severity:
                    found[key] = hit
        hits = [*found.values(), *self._structural(text)]
        if not hits:
            return CLEAN
        hits = self._weighed(text, hits)
        ranked = sorted(hits, key=lambda h: (-h.severity, h.start))[:_KEPT]
        findings = (Finding(h.rule, round(h.severity, 3), path, h.start, h.end, excerpt(text, h)) for h in ranked)
        return Screening(round(_combined(hits), 3), tuple(findings))

    def _structural(self, text: str) -> Iterator[_Hit]:
        """Findings that need no words."""
        for match in () if text.isascii() else islice(_HIDDEN_RUN.finditer(text), _PER_PATTERN):
            yield _Hit("hidden-characters", "hidden", 0.85, *match.span())

    def _weighed(self, text: str, hits: list[_Hit]) -> list[_Hit]:
        return _raise_concealed(text, hits)


class ContentDetector(_RuleDetector):
    """For results, resources, prompts, messages and arguments: long, varied, and sometimes about injection."""

    def __init__(self) -> None:
        super().__init__("result")

    def _weighed(self, text: str, hits: list[_Hit]) -> list[_Hit]:
        return _as_discussion(text, super()._weighed(text, hits))


class DescriptionDetector(_RuleDetector):
    """For listings and server instructions: short texts that have no business giving orders.

    Rules of their own apply, characters that nobody sees count, and nothing is excused as a discussion.
    """

    def __init__(self) -> None:
        super().__init__("description")

    def _structural(self, text: str) -> Iterator[_Hit]:
        yield from super()._structural(text)
        for match in () if text.isascii() else islice(_INVISIBLE_RUN.finditer(text), _PER_PATTERN):
            yield _Hit("invisible-characters", "hidden", 0.5, *match.span())
