"""Prompt injection, found by rules and by a trained model: what speaks for it, where, and how strong that is in sum.

The rules are data (`injection_rules*.yaml`, RE2 syntax, each with examples that are its tests) and find what is
overt; the model (`injection_model`) also finds requests that are plainly worded but out of place. A text is read in
every view of `normalise.views`; a finding's offsets are always those of the original. All of it is linear in the
text whatever it holds. Text that talks *about* injection is capped below blocking. Requests that look like ordinary
text are not found here: those are taint's and policy's business.

Two detectors implement the `Detector` port: `ContentDetector` for what tools return and are given, and
`DescriptionDetector` for the short texts by which a tool presents itself.
"""

from __future__ import annotations

import ctypes
import re
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from itertools import accumulate, islice
from typing import Any, Literal, Protocol

import re2
import yaml

from agentflow.guard.discussion import Discussion, Standing
from agentflow.guard.injection_model.model import FLAG, Head, shipped
from agentflow.guard.normalise import View, suspicious, views
from agentflow.pipeline.call import Finding

Surface = Literal["result", "description"]
SURFACES: tuple[Surface, ...] = ("result", "description")

_WINDOW = 800  # characters within which rules of different categories add up
_PER_PATTERN = 32  # matches of one pattern in one view that are kept
_ABOUT_CAP = 0.6  # what a quotation in a text about injection is worth: flagged, not blocked
_MENTION_CAP = 0.35  # and what a short one in quotation marks is worth
_EXCERPT = 12  # words of an excerpt
_KEPT = 20  # findings of one text that are reported
_GROUP = 16  # texts of one message that are looked at together first
_JOIN = "\n\n"
_SHORT = 300  # characters of a message below which the model flags at most: it has seen too little to be sure
_LEAST_ALONE = 0.6
_WEAK = 0.2  # scores of the model from which it may add to what a rule found
_NEAR = 600  # characters around a suspicious place that say what the text is about
_DESCRIBED = 0.7  # severity up to which a match may be a sentence that describes an attack
_ABOUT_TERMS = 3  # different terms of text about attacks in them
_BUILDING = threading.Lock()
_FOLDED = ("fold",)
_FOLDED_ANYWAY = frozenset({"fold", "escapes"})
_GAP = r"""(?:[\s_*"'\x60~:;,.!?|\\/>#()\[\]{}+=<-]+)"""


@dataclass(frozen=True, slots=True)
class Screening:
    """What a detector thinks of one text: `score` in 0..1 and the findings behind it, strongest first.

    Attributes:
        overt: what the rules alone make of it.
        doubt: at least `score`, and what the model makes of it where that was too little to flag, or was capped.
    """

    score: float = 0.0
    findings: tuple[Finding, ...] = ()
    overt: float = 0.0
    doubt: float = 0.0


CLEAN = Screening()


class Detector(Protocol):
    """A judge of single texts. Pure: the same text always gets the same screening."""

    def score(self, text: str, path: str = "") -> Screening:
        """Screen one text; `path` is the JSON pointer that findings will carry."""
        ...

    def score_many(self, texts: Sequence[tuple[str, str]]) -> Screening:
        """Screen the texts of one message together, given as (path, text) in their order.

        One judgement for all: the highest score, and the findings of all with their paths.
        """
        ...

    def clean(self, texts: str) -> bool:
        """Whether no rule can match in any of several texts joined by blank lines. False is a maybe."""
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


_FILES = (
    "injection_rules.yaml", "injection_rules_orders.yaml", "injection_rules_languages.yaml",
    "injection_rules_world.yaml", "injection_rules_descriptions.yaml",
)  # fmt: skip


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
    for document in _documents():
        for name, pattern in document.get("define", {}).items():
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

    def finding(self, text: str, path: str) -> Finding:
        said = shortened(text[self.start : self.end])
        return Finding(self.rule, round(self.severity, 3), path, self.start, self.end, said)


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
    compiled = _Filter(dict.fromkeys(p for ruleset in kept.values() for rule in ruleset for p in rule.patterns))
    with suppress(AttributeError, OSError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)  # compiling leaves 2 MB of holes
    return compiled, kept


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


def _as_discussion(text: str, hits: list[_Hit]) -> list[_Hit]:
    """Cap what a text about injection quotes: a quotation flags, never blocks; a clear mention does not even flag."""
    caps = {Standing.QUOTED: _ABOUT_CAP, Standing.MENTIONED: _MENTION_CAP}
    discussion = Discussion(text)
    placed = []
    for hit in hits:
        stands = Standing.SAID if hit.category == "hidden" else discussion.standing(hit.start, hit.end)
        cap = caps.get(stands)
        described = cap is not None and hit.severity <= _DESCRIBED
        if described and discussion.terms(hit.start, hit.end, _NEAR) >= _ABOUT_TERMS:
            cap = _MENTION_CAP
        placed.append(hit if cap is None else replace(hit, severity=min(hit.severity, cap), category="discussed"))
    return placed


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


def shortened(text: str) -> str:
    """At most 80 characters of a passage, for a person: enough to recognise it, too little to obey or to leak.

    Long words are cut, markup is dropped, and short words and those with a digit or `@` are masked.
    """
    words = re.sub(r"[^\w@'.,:;!?-]+", " ", text[:400]).split()[:_EXCERPT]
    shown = "·".join("…" if len(word) < 4 or re.search(r"[\d@]", word) else f"{word[:3]}…" for word in words)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


# --------------------------------------------------------------------------- the detectors


def strongest(screenings: Iterable[Screening]) -> Screening:
    """The highest score of several texts, with the findings of all, strongest text first."""
    every = tuple(screenings)
    doubt = max((screening.doubt for screening in every), default=0.0)
    found = sorted((s for s in every if s.findings), key=lambda s: -s.score)
    if not found:
        return Screening(doubt=doubt) if doubt else CLEAN
    seen: dict[tuple[str, str, int], Finding] = {}
    for screening in found:
        for finding in screening.findings:
            seen.setdefault((finding.rule, finding.path, finding.start), finding)
    return Screening(found[0].score, tuple(seen.values()), max(screening.overt for screening in found), doubt)


class _Detector:
    """What both detectors share: the rules over every view of a text, and the model over all texts of a message.

    Args:
        model: use the trained model beside the rules; True is the shipped one.
    """

    def __init__(self, surface: Surface, *, model: Head | bool) -> None:
        self._surface, self._model = surface, model

    # Both with the first text: 0.1 s and 15 MB that a gateway without traffic has no use for.

    @cached_property
    def _matcher(self) -> _Matcher:
        with _BUILDING:
            return _Matcher(self._surface)

    @cached_property
    def _head(self) -> Head | None:
        if isinstance(self._model, Head):
            return self._model
        return _shipped(self._surface) if self._model else None

    def clean(self, texts: str) -> bool:
        return not suspicious(texts) and not self._matcher.matching(texts.lower().encode())

    def score(self, text: str, path: str = "") -> Screening:
        return self.score_many(((path, text),))

    def score_many(self, texts: Sequence[tuple[str, str]]) -> Screening:
        found, suspicions, discussed = [], [_NOTHING], True
        if self._head is not None:
            suspicions += _across(texts, self._head)
        for path, text in self._doubtful(texts):
            readings = views(text)
            screening, quoted = self._ruled(text, path, readings)
            found.append(screening)
            discussed &= quoted
            if self._head is not None:
                suspicions += _beneath(text, path, readings, self._head)
        most = max(suspicions, key=lambda s: s.severity)
        alone = self._alone(sum(len(text) for _, text in texts))
        most = replace(most, severity=min(most.severity, alone), doubt=max(s.doubt for s in suspicions))
        return self._weighed(strongest(found), most, discussed)

    def _alone(self, length: int) -> float:
        """The most that the model's word is worth by itself for texts of so many characters in all."""
        return _LEAST_ALONE if length < _SHORT else 1.0

    def _doubtful(self, texts: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """The texts that a rule may match in. Most are clean: looked at in groups first."""
        for start in range(0, len(texts), _GROUP):
            group = texts[start : start + _GROUP]
            if not self.clean(_JOIN.join(text for _, text in group)):
                yield from (one for one in group if len(group) == 1 or not self.clean(one[1]))

    def _ruled(self, text: str, path: str, readings: list[View]) -> tuple[Screening, bool]:
        """What the rules find in one text, and whether all of that is discussed rather than said."""
        found: dict[tuple[str, int, int], _Hit] = {}
        folded = len(readings) > 1 and readings[1].how == _FOLDED  # all of the text again, as rules are written
        for view in readings[1:] if folded else readings:
            for hit in self._matcher.hits(view):
                key = (hit.rule, hit.start, hit.end)
                if key not in found or found[key].severity < hit.severity:
                    found[key] = hit
        hits = [*found.values(), *self._structural(text)]
        if not hits:
            return CLEAN, True
        hits = self._placed(text, hits)
        ranked = sorted(hits, key=lambda h: (-h.severity, h.start))[:_KEPT]
        findings = tuple(hit.finding(text, path) for hit in ranked)
        score = round(_combined(hits), 3)
        return Screening(score, findings, score, score), all(hit.category == "discussed" for hit in hits)

    def _structural(self, text: str) -> Iterator[_Hit]:
        """Findings that need no words."""
        for match in () if text.isascii() else islice(_HIDDEN_RUN.finditer(text), _PER_PATTERN):
            yield _Hit("hidden-characters", "hidden", 0.85, *match.span())

    def _placed(self, text: str, hits: list[_Hit]) -> list[_Hit]:
        return _raise_concealed(text, hits)

    def _weighed(self, ruled: Screening, modelled: _Suspected, discussed: bool) -> Screening:
        """Rules and model together: each may be enough, and two weak signs add up; a discussion is no sign."""
        if ruled.findings and discussed:
            modelled = replace(modelled, severity=min(modelled.severity, ruled.score), discussed=True)
        doubt = round(max(ruled.score, modelled.doubt), 3)
        if not modelled.severity or (not ruled.findings and modelled.severity < FLAG):
            return replace(ruled, doubt=doubt) if doubt else ruled
        score = 1 - (1 - ruled.score) * (1 - modelled.severity)
        if modelled.discussed:
            score = max(ruled.score, modelled.severity)
        findings = (*ruled.findings[: _KEPT - 1], modelled.finding())
        if ruled.score < FLAG:
            findings = (findings[-1], *findings[:-1])
        return Screening(round(score, 3), findings, ruled.overt, max(doubt, round(score, 3)))


def _shipped(surface: Surface) -> Head:
    return shipped().content if surface == "result" else shipped().description


@dataclass(frozen=True, slots=True)
class _Suspected:
    """What the model makes of a text: a place in it, how sure it is, and how sure it was before that was capped."""

    severity: float
    doubt: float
    path: str = ""
    text: str = ""
    start: int = 0
    end: int = 0
    discussed: bool = False

    def finding(self) -> Finding:
        return _Hit("model", "model", self.severity, self.start, self.end).finding(self.text, self.path)


_NOTHING = _Suspected(0.0, 0.0)


def _across(texts: Sequence[tuple[str, str]], head: Head) -> Iterator[_Suspected]:
    """The most suspicious place in all texts read as one, so that what is spread over fields is seen as a whole."""
    once = {text: path for path, text in reversed(texts) if _wordy(text)}
    told = [(path, text) for text, path in reversed(once.items())]
    whole = "\n".join(text for _, text in told)
    suspicion = head.suspicion(whole, _WEAK)
    if not suspicion.end:
        yield _Suspected(0.0, suspicion.score)
        return
    starts = [0, *accumulate(len(text) + 1 for _, text in told)]
    first, last = bisect_right(starts, suspicion.start) - 1, bisect_right(starts, suspicion.end - 1) - 1
    most = max(
        range(first, last + 1),
        key=lambda n: min(suspicion.end, starts[n + 1] - 1) - max(suspicion.start, starts[n]),
    )
    path, text = told[most]
    start, end = max(0, suspicion.start - starts[most]), min(len(text), suspicion.end - starts[most])
    yield _suspected(suspicion.score, whole, suspicion.start, suspicion.end, path, text, start, end)


def _beneath(text: str, path: str, readings: list[View], head: Head) -> Iterator[_Suspected]:
    """The same in readings that differ from the text by more than what the model folds itself."""
    for view in readings[1:]:
        same = len(view.text) == len(text) or view.how == ("escapes",)  # else signs that nobody sees were dropped
        if same and set(view.how) <= _FOLDED_ANYWAY:
            continue
        suspicion = head.suspicion(view.text, _WEAK)
        if suspicion.end:
            start, end = view.origin(suspicion.start, suspicion.end)
            yield _suspected(suspicion.score, view.text, suspicion.start, suspicion.end, path, text, start, end)


def _suspected(
    score: float, read: str, first: int, last: int, path: str, text: str, start: int, end: int
) -> _Suspected:
    """In text about attacks a quotation is flagged at most; where such terms abound, the model alone says nothing."""
    discussion = Discussion(read)
    stands = discussion.standing(first, last)
    if stands is Standing.MENTIONED or discussion.terms(first, last, _NEAR) >= _ABOUT_TERMS:
        return _Suspected(min(score, _MENTION_CAP), score, path, text, start, end, discussed=True)
    if stands is Standing.QUOTED:
        return _Suspected(min(score, _ABOUT_CAP), score, path, text, start, end, discussed=True)
    return _Suspected(score, score, path, text, start, end)


def _wordy(text: str) -> bool:
    """Whether a text can say anything: ids, numbers and single words cannot."""
    return (len(text) >= 12 and " " in text) or (len(text) >= 6 and not text.isascii())


class ContentDetector(_Detector):
    """For results, resources, prompts, messages and arguments: long, varied, and sometimes about injection."""

    def __init__(self, *, model: Head | bool = True) -> None:
        super().__init__("result", model=model)

    def _placed(self, text: str, hits: list[_Hit]) -> list[_Hit]:
        return _as_discussion(text, super()._placed(text, hits))


class DescriptionDetector(_Detector):
    """For listings and server instructions: short texts that have no business giving orders.

    Rules of their own apply, characters that nobody sees count, and nothing is excused as a discussion.
    """

    def __init__(self, *, model: Head | bool = True) -> None:
        super().__init__("description", model=model)

    def _alone(self, length: int) -> float:
        """A tool is taken away from people by rules; what the model thinks of a few lines is noted."""
        return _LEAST_ALONE

    def _structural(self, text: str) -> Iterator[_Hit]:
        yield from super()._structural(text)
        for match in () if text.isascii() else islice(_INVISIBLE_RUN.finditer(text), _PER_PATTERN):
            yield _Hit("invisible-characters", "hidden", 0.5, *match.span())
