"""The hot tier of PII detection: one automaton decides what is worth a look, detectors look.

It promises time linear in the text, offsets that are Python string indices, and no two matches that overlap.
Text without any sign of PII costs one automaton pass (well under a microsecond for a short string).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from agentflow.guard.pii import patterns
from agentflow.guard.pii.detectors import DETECTORS, Detector

_SHORTEST: Final = 6  # a@b.de


def _foldings() -> dict[int, int | None]:
    """Characters that stand in for ASCII ones inside numbers and addresses; None for those that show nothing."""
    table: dict[int, int | None] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # full width
    table.update(dict.fromkeys((0x00A0, 0x2002, 0x2003, 0x2007, 0x2009, 0x202F, 0x3000), 0x20))
    table.update(dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), 0x2D))
    for zero in (0x0660, 0x06F0, 0x0966):  # Arabic-Indic, extended Arabic-Indic, Devanagari digits
        table.update({zero + digit: 0x30 + digit for digit in range(10)})
    for code in range(0x1D7CE, 0x1D800):  # mathematical digits
        table[code] = 0x30 + unicodedata.digit(chr(code))
    table.update(dict.fromkeys((0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)))
    return table


_FOLD: Final = _foldings()
_FOLDABLE: Final = re.compile("[" + "".join(map(chr, _FOLD)) + "]")
_INVISIBLE: Final = re.compile("[" + "".join(chr(code) for code, to in _FOLD.items() if to is None) + "]")
# Two-character escapes become two spaces, so that `\nalice@…` is not read as `nalice@…`; offsets stay.
_ESCAPES: Final = re.compile(r"\\[nrtbf]")


class Match(NamedTuple):
    """One value: `text[start:end]`, with a confidence between 0 and 1."""

    type: str
    start: int
    end: int
    score: float


class PiiMatcher:
    """Finds PII and credentials in text.

    Args:
        types: PII types to look for (`patterns.TYPES`); empty means all.
        allow: exact values that are never reported.

    Raises:
        ValueError: an unknown type.
    """

    def __init__(self, types: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        wanted = frozenset(types) or frozenset(patterns.TYPES)
        if unknown := wanted - frozenset(patterns.TYPES):
            raise ValueError(f"unknown PII types {sorted(unknown)}; known are {', '.join(patterns.TYPES)}")
        self.types = wanted
        self._allow = frozenset(allow)
        chosen = [(name, *DETECTORS[name]) for name in patterns.TRIGGERS if DETECTORS[name][0] in wanted]
        self._detectors: list[tuple[str, Detector]] = [(kind, detector) for _, kind, detector in chosen]
        triggers = [patterns.TRIGGERS[name] for name, _, _ in chosen]
        self._triggers: Any = patterns.trigger_set(triggers)
        self._gate: Any = patterns.trigger_set([*triggers, patterns.ESCAPED])

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find: a sieve for whole messages, never wrong about "no".

        Characters that only `find` understands (full width, invisible) make it say "maybe".
        """
        return self._gate.Match(data) is not None or (not data.isascii() and _foldable(data))

    def find(self, text: str, context: str = "") -> list[Match]:
        """Return the values in `text`, in order.

        Args:
            context: what stands before the text, such as the key of the member that holds it: evidence only.
        """
        if len(text) < _SHORTEST:
            return []
        whole = f"{context}: {text}" if context else text
        lead = len(whole) - len(text)
        index: list[int] | None = None
        if "\\" in whole:
            whole = _ESCAPES.sub("  ", whole)
        if not whole.isascii() and _FOLDABLE.search(whole):
            if _INVISIBLE.search(whole):
                index = [at for at, char in enumerate(whole) if _FOLD.get(ord(char), 0) is not None]
            whole = whole.translate(_FOLD)
        data = whole.encode("utf-8", "surrogatepass")
        fired = self._triggers.Match(data)
        if fired is None:
            return []
        spans = [
            (start, end, score, kind)
            for number in fired
            for kind, detect in (self._detectors[number],)
            for start, end, score in detect(data)
        ]
        return self._matches(spans, data, text, lead, index) if spans else []

    def mask(self, text: str) -> str:
        """Return the text with every value replaced by its type, irreversibly: for logs and reasons."""
        parts, at = [], 0
        for match in self.find(text):
            parts += [text[at : match.start], f"<{match.type}>"]
            at = match.end
        return "".join([*parts, text[at:]]) if parts else text

    def _matches(
        self, spans: list[tuple[int, int, float, str]], data: bytes, text: str, lead: int, index: list[int] | None
    ) -> list[Match]:
        found = []
        position = offset = 0
        ascii_only = data.isascii()
        for start, end, score, kind in _apart(spans):
            if not ascii_only:  # byte offsets to string offsets, in one pass over the text
                first = offset + len(data[position:start].decode("utf-8", "surrogatepass"))
                last = first + len(data[start:end].decode("utf-8", "surrogatepass"))
                position, offset = end, last
            else:
                first, last = start, end
            if index is not None:
                first, last = index[first], index[last - 1] + 1
            first, last = first - lead, last - lead
            if first >= 0 and text[first:last] not in self._allow:
                found.append(Match(kind, first, last, score))
        return found


def _foldable(data: bytes) -> bool:
    return _FOLDABLE.search(data.decode("utf-8", "replace")) is not None


def _apart(spans: list[tuple[int, int, float, str]]) -> list[tuple[int, int, float, str]]:
    """Return the spans in order, each overlap settled for the surer and then the longer one."""
    if len(spans) == 1:
        return spans
    spans.sort()
    kept: list[tuple[int, int, float, str]] = []
    for span in spans:
        while kept and kept[-1][1] > span[0]:
            last = kept[-1]
            if (last[2], last[1] - last[0]) >= (span[2], span[1] - span[0]):
                break
            kept.pop()
        else:
            kept.append(span)
    return kept
