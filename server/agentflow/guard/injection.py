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

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, islice
from typing import Protocol

import re2

from agentflow.guard.discussion import Discussion, Standing
from agentflow.guard.injection_model.model import BLOCK, FLAG, Head, Suspicion, shipped
from agentflow.guard.normalise import View, suspicious, views
from agentflow.guard.rule_file import Surface
from agentflow.guard.rule_matcher import PER_PATTERN, Match, Matcher, english
from agentflow.pipeline.call import Finding

_WINDOW = 800  # characters within which rules of different categories add up
_ABOUT_CAP = 0.6  # what a quotation in a text about injection is worth: flagged, not blocked
_MENTION_CAP = 0.35  # and what a short one in quotation marks is worth
_EXCERPT = 12  # words of an excerpt
_KEPT = 20  # findings of one text that are reported
_GROUPS = (128, 16, 1)  # texts of one message that are looked at together
_JOIN = "\n\n"
_SHORT = 300  # characters of a message below which the model flags at most: it has seen too little to be sure
_LEAST_ALONE = 0.6
_CONTRADICTED = 0.35  # what a rule's match is worth that the model is sure is none
_SURE = 0.7  # score of the rules from which the model's silence does not count
_WEAK = 0.2  # scores of the model from which it may add to what a rule found
_NEAR = 600  # characters around a suspicious place that say what the text is about
_DESCRIBED = 0.7  # severity up to which a match may be a sentence that describes an attack
_ENCLOSED = 0.2  # share of the model's stretch, which is wide, that stands in marks
_ABOUT_TERMS = 3  # different terms of text about attacks in them
_TALKS = 2  # and so many keep the model from blocking on its own
_FOLDED = ("fold",)
_FOLDED_ANYWAY = frozenset({"fold", "escapes"})


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


def _as_discussion(text: str, hits: list[Match]) -> list[Match]:
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


def _raise_concealed(text: str, hits: list[Match]) -> list[Match]:
    """Halve the doubt about every match in a place that no person sees."""
    places = [match.span() for match in _CONCEALED.finditer(text)] if "<" in text or "[//]" in text else []
    if not places:
        return hits
    starts = [a for a, _ in places]

    def concealed(hit: Match) -> bool:
        index = bisect_right(starts, hit.start) - 1
        return index >= 0 and hit.start < places[index][1]

    return [replace(hit, severity=1 - (1 - hit.severity) * 0.5) if concealed(hit) else hit for hit in hits]


def _combined(hits: list[Match]) -> float:
    """Noisy-or over categories, each by its strongest rule, in the window of text where that is highest."""
    cells: dict[tuple[str, int], Match] = {}  # many hits side by side count as one, so that a flood stays cheap
    for hit in hits:
        cell = (hit.category, hit.start // 200)
        if cell not in cells or cells[cell].severity < hit.severity:
            cells[cell] = hit
    best = 0.0
    window: deque[Match] = deque()
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


def _summed(hits: list[Match]) -> float:
    """What is said adds up; what is only discussed does not add to it."""
    said = [hit for hit in hits if hit.category != "discussed"]
    return max([_combined(said), *(hit.severity for hit in hits if hit.category == "discussed")])


def _finding(match: Match, text: str, path: str) -> Finding:
    said = shortened(text[match.start : match.end])
    return Finding(match.rule, round(match.severity, 3), path, match.start, match.end, said)


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

    # Both with the first text: a gateway without traffic has no use for them.

    @cached_property
    def _matcher(self) -> Matcher:
        return Matcher(self._surface)

    @cached_property
    def _head(self) -> Head | None:
        if isinstance(self._model, Head):
            return self._model
        return _shipped(self._surface) if self._model else None

    def clean(self, texts: str) -> bool:
        return not suspicious(texts) and self._matcher.clean(texts)

    def score(self, text: str, path: str = "") -> Screening:
        return self.score_many(((path, text),))

    def score_many(self, texts: Sequence[tuple[str, str]]) -> Screening:
        found, suspicions, discussed, decoded = [], [_NOTHING], True, False
        if self._head is not None:
            suspicions += _across(texts, self._head)
        for path, text in self._doubtful(texts):
            readings = views(text)
            screening, quoted, within = self._ruled(text, path, readings)
            found.append(screening)
            discussed &= quoted
            decoded |= within
            if self._head is not None:
                suspicions += _beneath(text, path, readings, self._head)
        most = max(suspicions, key=lambda s: s.severity)
        if not found and most.severity < FLAG:  # nearly all there is
            doubt = round(max(s.doubt for s in suspicions), 3)
            return Screening(doubt=doubt) if doubt else CLEAN
        alone = self._alone(sum(len(text) for _, text in texts))
        unread = decoded or not any(_wordy(text) for _, text in texts)
        doubt = max(s.doubt for s in suspicions)
        most = replace(most, severity=min(most.severity, alone), doubt=doubt, unread=unread)
        return self._weighed(strongest(found), most, discussed)

    def _alone(self, length: int) -> float:
        """The most that the model's word is worth by itself for texts of so many characters in all."""
        return _LEAST_ALONE if length < _SHORT else 1.0

    def _doubtful(self, texts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The texts that a rule may match in; what stands in many places is looked at once."""
        doubtful = set(self._unclean(list(dict.fromkeys(text for _, text in texts)), _GROUPS))
        return [one for one in texts if one[1] in doubtful] if doubtful else []

    def _unclean(self, texts: Sequence[str], sizes: Sequence[int]) -> Iterator[str]:
        """Those of several texts that are not clean. Most are: looked at in groups, and again in smaller ones."""
        size, *smaller = sizes
        for start in range(0, len(texts), size):
            group = texts[start : start + size]
            if len(group) > 1 and smaller and len(group) <= smaller[0]:
                yield from self._unclean(group, smaller)
            elif not self.clean(_JOIN.join(group)):
                yield from group if len(group) == 1 else self._unclean(group, smaller)

    def _ruled(self, text: str, path: str, readings: list[View]) -> tuple[Screening, bool, bool]:
        """What the rules find in one text, whether all of that is discussed rather than said, and any of it hidden."""
        found: dict[tuple[str, int, int], Match] = {}
        decoded = False
        folded = len(readings) > 1 and readings[1].how == _FOLDED  # all of the text again, as rules are written
        for view in readings[1:] if folded else readings:
            for hit in self._matcher.hits(view):
                key = (hit.rule, hit.start, hit.end)
                if key not in found or found[key].severity < hit.severity:
                    found[key] = hit
                    decoded |= not set(view.how) <= _FOLDED_ANYWAY
        hits = [*found.values(), *self._structural(text)]
        if not hits:
            return CLEAN, True, False
        hits = self._placed(text, hits)
        ranked = sorted(hits, key=lambda h: (-h.severity, h.start))[:_KEPT]
        findings = tuple(_finding(hit, text, path) for hit in ranked)
        score = round(_summed(hits), 3)
        return Screening(score, findings, score, score), all(hit.category == "discussed" for hit in hits), decoded

    def _structural(self, text: str) -> Iterator[Match]:
        """Findings that need no words."""
        for match in () if text.isascii() else islice(_HIDDEN_RUN.finditer(text), PER_PATTERN):
            yield Match("hidden-characters", "hidden", 0.85, *match.span())

    def _placed(self, text: str, hits: list[Match]) -> list[Match]:
        return _raise_concealed(text, hits)

    def _doubted(self, ruled: Screening, modelled: _Suspected) -> Screening:
        """What the rules found, less where the model has a say in it."""
        return ruled

    def _weighed(self, ruled: Screening, modelled: _Suspected, discussed: bool) -> Screening:
        """Rules and model together: each may be enough, and two weak signs add up; a discussion is no sign."""
        ruled = self._doubted(ruled, modelled)
        if ruled.findings and discussed:
            modelled = replace(modelled, severity=min(modelled.severity, ruled.score), discussed=True)
        doubt = round(max(ruled.score, modelled.doubt), 3)
        if not modelled.severity or (not ruled.findings and modelled.severity < FLAG):
            return replace(ruled, doubt=doubt) if doubt else ruled
        score = 1 - (1 - ruled.score) * (1 - modelled.severity)
        if modelled.discussed and (discussed or ruled.score <= _DESCRIBED):
            score = max(ruled.score, modelled.severity)
        findings = (*ruled.findings[: _KEPT - 1], modelled.finding())
        if ruled.score < FLAG:
            findings = (findings[-1], *findings[:-1])
        return Screening(round(score, 3), findings, ruled.overt, max(doubt, round(score, 3)))


def _shipped(surface: Surface) -> Head:
    return shipped("content" if surface == "result" else "description")


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
    unread: bool = False  # there were no words in it, or a rule's match was in what they hide

    def finding(self) -> Finding:
        return _finding(Match("model", "model", self.severity, self.start, self.end), self.text, self.path)


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
    yield _suspected(suspicion, whole, path, text, (start, end), head)


def _beneath(text: str, path: str, readings: list[View], head: Head) -> Iterator[_Suspected]:
    """The same in readings that differ from the text by more than what the model folds itself."""
    for view in readings[1:]:
        same = len(view.text) == len(text) or view.how == ("escapes",)  # else signs that nobody sees were dropped
        if (same and set(view.how) <= _FOLDED_ANYWAY) or not _wordy(view.text):
            continue
        suspicion = head.suspicion(view.text, _WEAK)
        if suspicion.end:
            span = view.origin(suspicion.start, suspicion.end)
            yield _suspected(suspicion, view.text, path, text, span, head)


def _suspected(suspicion: Suspicion, read: str, path: str, text: str, span: tuple[int, int], head: Head) -> _Suspected:
    """In text about attacks a quotation is flagged at most; where such terms abound, the model alone says nothing.

    What counts is what is left when the passages that are shown are taken out.
    """
    score, discussion = suspicion.score, Discussion(read)
    found = _Suspected(score, score, path, text, *span)
    if score < FLAG:
        return found
    stands = discussion.standing(suspicion.start, suspicion.end)
    many = discussion.terms(suspicion.start, suspicion.end, _NEAR) >= _ABOUT_TERMS
    if stands is not Standing.MENTIONED and many:
        return replace(found, severity=min(score, _MENTION_CAP), discussed=True)
    for least, cap in ((Standing.MENTIONED, _MENTION_CAP), (Standing.QUOTED, _ABOUT_CAP)):
        if not discussion.covers(suspicion.start, suspicion.end, least, _ENCLOSED):
            continue
        left = head.suspicion(discussion.rest(least), FLAG)
        if left.score < BLOCK:
            clear = left.score < FLAG or (left.score < _LEAST_ALONE and discussion.terms(left.start, left.end, _NEAR))
            return replace(found, severity=min(score, cap if clear else _ABOUT_CAP), discussed=True)
    talks = discussion.terms(suspicion.start, suspicion.end, _NEAR) >= _TALKS
    shown = stands is not Standing.SAID or discussion.touches(suspicion.start, suspicion.end)
    if talks or shown or (read is not text and Discussion(text).standing(*span) is not Standing.SAID):
        return replace(found, severity=min(score, _ABOUT_CAP), discussed=True)
    return found


def _wordy(text: str) -> bool:
    """Whether a text can say anything: ids, numbers and single words cannot."""
    return (len(text) >= 12 and " " in text) or (len(text) >= 6 and not text.isascii())


class ContentDetector(_Detector):
    """For results, resources, prompts, messages and arguments: long, varied, and sometimes about injection."""

    def __init__(self, *, model: Head | bool = True) -> None:
        super().__init__("result", model=model)

    def _placed(self, text: str, hits: list[Match]) -> list[Match]:
        return _as_discussion(text, super()._placed(text, hits))

    def _doubted(self, ruled: Screening, modelled: _Suspected) -> Screening:
        """What would not block, and to which the model sees nothing alike anywhere, is not worth a flag.

        Only in English, of other languages the model knows too little to contradict, and not in definitions.
        """
        if modelled.doubt or modelled.unread or self._head is None or not FLAG <= ruled.score < _SURE:
            return ruled
        if not english().issuperset(found.rule for found in ruled.findings):
            return ruled
        return replace(ruled, score=_CONTRADICTED)


class DescriptionDetector(_Detector):
    """For listings and server instructions: short texts that have no business giving orders.

    Rules of their own apply, characters that nobody sees count, and nothing is excused as a discussion.
    """

    def __init__(self, *, model: Head | bool = True) -> None:
        super().__init__("description", model=model)

    def _alone(self, length: int) -> float:
        """A tool is taken away from people by rules; what the model thinks of a few lines is noted."""
        return _LEAST_ALONE

    def _structural(self, text: str) -> Iterator[Match]:
        yield from super()._structural(text)
        for match in () if text.isascii() else islice(_INVISIBLE_RUN.finditer(text), PER_PATTERN):
            yield Match("invisible-characters", "hidden", 0.5, *match.span())
