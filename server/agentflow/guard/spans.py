"""What every matcher of the guard shares: a text made plain for matching, and offsets that lead back into it.

It promises that an offset found in the plain bytes is a Python string index of the text as it was given, whatever
was folded (full width, Arabic digits), dropped (invisible characters) or put in front (context).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

import re2


class Match(NamedTuple):
    """One value: `text[start:end]`, with a confidence between 0 and 1."""

    type: str
    start: int
    end: int
    score: float


class Matcher(Protocol):
    """Finds values of some types in text."""

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find: a sieve for whole messages, never wrong about "no"."""

    def find(self, text: str, context: str = "") -> list[Match]:
        """Return the values in `text`, in order; `context` (a member's key) is evidence only."""

    def mask(self, text: str) -> str:
        """Return the text with every value replaced by its type, irreversibly: for logs and reasons."""

    def for_tenant(self, tenant: str) -> Matcher:
        """Return the matcher for what belongs to `tenant`: this one, where the tenant has no recognisers of its own."""


Span = tuple[int, int, float, str]  # start, end, score, type; in bytes


class Plain(NamedTuple):
    """A text as matchers see it.

    Attributes:
        data: UTF-8, context first.
        lead: characters of context in front.
        places: where each character of `data` stands in context and text; None when they are the same.
    """

    data: bytes
    lead: int
    places: list[int] | None


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
_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_FOLDABLE: Final = re2.compile(b"|".join(re2.escape(chr(code).encode()) for code in _FOLD), _OPTIONS)
_INVISIBLE: Final = re.compile("[" + "".join(chr(code) for code, to in _FOLD.items() if to is None) + "]")
# Two-character escapes become two spaces, so that `\nalice@…` is not read as `nalice@…`; offsets stay.
_ESCAPES: Final = re.compile(r"\\[nrtbf]")


def plain(text: str, context: str = "") -> Plain:
    """Return `text` as matchers see it, with `context` in front as `context: `."""
    whole = f"{context}: {text}" if context else text
    lead = len(whole) - len(text)
    index: list[int] | None = None
    if "\\" in whole:
        whole = _ESCAPES.sub("  ", whole)
    data = whole.encode("utf-8", "surrogatepass")
    if foldable(data):
        if _INVISIBLE.search(whole):
            index = [at for at, char in enumerate(whole) if _FOLD.get(ord(char), 0) is not None]
        data = whole.translate(_FOLD).encode("utf-8", "surrogatepass")
    return Plain(data, lead, index)


def foldable(data: bytes) -> bool:
    """Whether UTF-8 text holds characters that `plain` changes."""
    return not data.isascii() and _FOLDABLE.search(data) is not None


def apart(spans: list[Span]) -> list[Span]:
    """Return the spans in order, each overlap settled for the surer and then the longer one."""
    if len(spans) < 2:
        return spans
    spans.sort()
    kept: list[Span] = []
    for span in spans:
        while kept and kept[-1][1] > span[0]:
            last = kept[-1]
            if (last[2], last[1] - last[0]) >= (span[2], span[1] - span[0]):
                break
            kept.pop()
        else:
            kept.append(span)
    return kept


def located(spans: Iterable[Span], seen: Plain) -> list[Match]:
    """Return spans of `seen.data`, in order and apart, as matches in the text; those that begin in the context go."""
    data, lead, places = seen
    found = []
    position = offset = 0
    ascii_only = data.isascii()
    for start, end, score, kind in spans:
        if ascii_only:
            first, last = start, end
        else:  # byte offsets to string offsets, in one pass over the text
            first = offset + len(data[position:start].decode("utf-8", "surrogatepass"))
            last = first + len(data[start:end].decode("utf-8", "surrogatepass"))
            position, offset = end, last
        if places is not None:
            first, last = places[first], places[last - 1] + 1
        if first >= lead:
            found.append(Match(kind, first - lead, last - lead, score))
    return found


_start = itemgetter(1)


def merged(found: list[Match]) -> list[Match]:
    """Return matches in order, each overlap settled for the surer and then the longer one."""
    found.sort(key=_start)
    if all(left[2] <= right[1] for left, right in pairwise(found)):
        return found
    spans = apart([(start, end, score, kind) for kind, start, end, score in found])
    return [Match(kind, start, end, score) for start, end, score, kind in spans]
