"""Tokens as models leave them when they break them: split, wrapped, spaced, encoded piecewise, half without brackets.

It promises: whatever `tokens.find` finds, and the same names with spaces, line breaks, hyphens, soft hyphens, zero
width characters or their escapes between their parts, in brackets of any kind or none. Where several names are
possible it offers them all, the longest first; the vault decides, and what it does not know stays as it is.

Time is linear in the text, and what is tried is bounded by an `Effort`; where that is spent, only tokens that are
whole are found.

Without brackets and without an underscore only a usual type counts (`EMAIL 1f3a9c2e`), in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from agentflow.guard.tokens import (
    HEX_LENGTHS,
    KNOWN,
    LONGEST_OPENER,
    OPENER,
    Effort,
    TokenSpan,
    bracketed,
    find,
    opener,
)

_SHORTEST: Final = 9
_MOST_GROUPED: Final = 1000
_PAIRS: Final = {"<": ">", "[": "]", "«": "»", "⟨": "⟩", "【": "】", "⟦": "⟧", "＜": "＞"}
_LONGEST_GAP: Final = 80  # characters or escapes
_WINDOW: Final = 96
_MOST_WORDS: Final = 6

_UNSEEN: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
)
_GLUE: Final = (
    rf"(?:[\s{_UNSEEN}]|\\+[nrt]|\\+u(?:00ad|00a0|200[b-f]|2060|feff)|"
    r"%(?:25)*(?:0[ad9]|20|c2%(?:25)*a[0d]|e2%(?:25)*80%(?:25)*8[b-f])|"
    r"&(?:amp;)*(?:nbsp|shy|zwnj|zwj|#32|#160|#173|#8203|#xa0|#xad|#x200b);|<w?br ?/?>)"
)
_SCORE: Final = r"(?:\\*_|%(?:25)*5f|&(?:amp;)*#(?:95|x5f);|\\+u005f)"
_GAP: Final = rf"-?+{_GLUE}{{0,{_LONGEST_GAP}}}+"
_RUN: Final = re.compile(
    rf"(?<=[A-Za-z0-9])(?P<joint>(?:{_SCORE}|[:.|#\-]|{_GLUE}){{1,{_LONGEST_GAP}}}+)"
    rf"(?P<run>[0-9a-f](?:{_GAP}[0-9a-f]){{7,15}})",
    re.IGNORECASE,
)
_DIGIT: Final = re.compile(rf"({_GAP})([0-9a-f])", re.IGNORECASE)
_UNDERSCORE: Final = re.compile(_SCORE, re.IGNORECASE)
_TAIL: Final = re.compile(rf"(?:{OPENER})?{_GLUE}*+(?P<tail>(?:{_SCORE}|{_GLUE}|[A-Za-z0-9-])+)\Z", re.IGNORECASE)
_OUTSIDE_UNBROKEN: Final = re.compile(rf"[^A-Za-z0-9_\\%&;#\s{_UNSEEN}-]")
_OUTSIDE: Final = re.compile(rf"[^A-Za-z0-9_\\%&;#<>/\s{_UNSEEN}-]")
_PART: Final = re.compile(rf"(?P<gap>(?:{_SCORE}|{_GLUE}|-)+)|[A-Za-z0-9]+", re.IGNORECASE)
_TRAILING: Final = re.compile(rf"{_GLUE}{{1,8}}+", re.IGNORECASE)
_GROUPED: Final = re.compile(r"(?<![\w.+-])8(?:\d{3}(?:[ -]\d{4}){3}|(?:[ ,.\u00a0\u202f']\d{3}){5})(?![\w]|[.,]\d)")


_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LAST_WORDS: Final = frozenset(kind.rpartition("_")[2] for kind in KNOWN)
_BRACKETS: Final = frozenset("<[{«‹⟨〈《＜［【⟦≪\\&%")


_Offer = tuple[int, int, tuple[TokenSpan, ...]]  # start, the end's negative, readings


class _Word(NamedTuple):
    """A word of what may be a type, and how the one before it is joined to it: `_`, a gap, or not at all."""

    start: int
    text: str
    joint: str


def candidates(text: str, effort: Effort | None = None) -> list[tuple[TokenSpan, ...]]:
    """Return for each place where a token may stand what it may be, the likeliest first; places do not overlap."""
    effort = effort or Effort()
    plain = find(text, effort)
    places = _grouped(text)
    for start, end in _unread(text, plain):
        if effort.spent:
            break
        places += _broken(text, start, end, effort)
    if not places:
        return [(span,) for span in plain]
    return _merged(sorted((*map(_as_offer, plain), *map(_as_offer, places)), key=itemgetter(0, 1)))


def _unread(text: str, plain: Sequence[TokenSpan]) -> Iterator[tuple[int, int]]:
    """The parts of a text between the tokens that are whole in their brackets, as far as they can hold a token."""
    position = 0
    for span in plain:
        if _PAIRS.get(text[span.start]) == text[span.end - 1]:
            if span.start - position >= _SHORTEST:
                yield position, span.start
            position = span.end
    if len(text) - position >= _SHORTEST:
        yield position, len(text)


def _as_offer(place: TokenSpan | tuple[TokenSpan, ...]) -> _Offer:
    if isinstance(place, TokenSpan):
        return place.start, -place.end, (place,)
    return min(span.start for span in place), -max(span.end for span in place), place


def _merged(offers: Iterable[_Offer]) -> list[tuple[TokenSpan, ...]]:
    """Put offers that overlap into one place."""
    merged: list[tuple[TokenSpan, ...]] = []
    reached = 0
    for start, end, spans in offers:
        if start < reached:
            merged[-1] = tuple(dict.fromkeys((*merged[-1], *spans)))
        else:
            merged.append(spans)
        reached = max(reached, -end)
    return merged


def _grouped(text: str) -> list[tuple[TokenSpan, ...]]:
    found: list[tuple[TokenSpan, ...]] = []
    for match in _GROUPED.finditer(text):
        found.append((TokenSpan(*match.span(), "".join(filter(str.isdecimal, match[0])), ""),))
        if len(found) == _MOST_GROUPED:
            break
    return found


def _broken(text: str, position: int, stop: int, effort: Effort) -> Iterator[tuple[TokenSpan, ...]]:
    while not effort.spent and (match := _RUN.search(text, position, stop)):
        effort.steps -= 1
        scored = _UNDERSCORE.search(match["joint"]) is not None
        spans: tuple[TokenSpan, ...] = ()
        if scored or _promising(text, match.start()):
            ends = list(_ends(text, match))
            if ends:
                effort.looks -= 1
                spans = tuple(_spans(text, match, ends, scored))
        if spans:
            yield spans
            position = max(span.end for span in spans)
        elif scored:
            position = match.start("run")
        else:
            # A run that is no token's may end in the type of one: "a decade DB_1f3a9c2e".
            position = match.start("run") + len(match["run"].rstrip("0123456789abcdefABCDEF"))


def _promising(text: str, end: int) -> bool:
    """Whether a type can end here without an underscore: a usual one, or one in brackets."""
    window = text[max(0, end - _WINDOW) : end]
    word = window[len(window.rstrip(_LETTERS)) :].upper()
    return word in _LAST_WORDS or not _BRACKETS.isdisjoint(window)


def _ends(text: str, match: re.Match[str]) -> Iterator[tuple[int, str]]:
    """Where the hex may end, and what it is then; the longest first."""
    run, start = match["run"], match.start("run")
    digits = list(_DIGIT.finditer(run))
    for length in reversed(HEX_LENGTHS):
        if length > len(digits):
            continue
        end = start + digits[length - 1].end()
        if digits[length][1] if length < len(digits) else not text[end : end + 1].isalnum():
            yield end, "".join(digit[2] for digit in digits[:length]).lower()


def _spans(text: str, match: re.Match[str], ends: Sequence[tuple[int, str]], scored: bool) -> Iterator[TokenSpan]:
    left = max(0, match.start() - _WINDOW)
    if left and not text[left : match.start()].rstrip(_LETTERS + "_"):
        return  # longer than any name
    # Nothing of it stands before what no part of it can be.
    window = text[left : match.start()]
    outside = (_OUTSIDE if "br" in window.lower() else _OUTSIDE_UNBROKEN).search(window[::-1])
    if outside is not None:
        left = max(left, match.start() - outside.start() - LONGEST_OPENER)
    before = _TAIL.search(text, left, match.start())
    if before is None:
        return
    words = _words(before)
    marked = len(words) > 1 and words[0].text.upper() == "REDACTED"
    if marked:
        words = words[1:]
    template, opened = ":" in match["joint"], opener(before) is not None
    for end, digits in ends:
        for first in range(len(words)):
            kinds = _kinds(words[first:])
            alone = first > 0 or not opened
            if alone and not marked:
                written = scored and all(w.text.isupper() and w.joint == "_" for w in words[first + 1 :])
                kinds = [kind for kind in kinds if kind in KNOWN or (written and words[first].text.isupper())]
            if not kinds or (alone and first == 0 and not _begins(text, words[0].start)):
                continue
            span = _dressed(text, words[first].start, end, None if first else before, marked, template)
            if span is None:
                continue
            escape = span[2] or _escape_of(match["joint"])
            yield from (TokenSpan(span[0], span[1], f"{kind}_{digits}", escape) for kind in kinds)


def _dressed(
    text: str, start: int, end: int, before: re.Match[str] | None, marked: bool, template: bool
) -> tuple[int, int, str, bool] | None:
    if before is None:
        return start, end, "", False
    if marked:
        start = before.start("tail")
    trailing = _TRAILING.match(text, end)
    if trailing is not None:  # `<EMAIL_1f3a9c2e >`
        span = bracketed(text, start, trailing.end(), before, 0, marked, template)
        if span is not None and span[3] and span[1] > trailing.end():
            return span
    span = bracketed(text, start, end, before, 0, marked, template)
    if span is None and text[end : end + 1] == "_" and start and text[start - 1] == "_":
        return start, end, "", False  # set in italics, by Markdown
    return span


def _begins(text: str, start: int) -> bool:
    return start == 0 or not text[start - 1].isalnum()


def _words(before: re.Match[str]) -> list[_Word]:
    words: list[_Word] = []
    joint = ""
    for part in _PART.finditer(before.string, before.start("tail"), before.end("tail")):
        gap = part["gap"]
        if gap is not None:
            joint = "_" if _UNDERSCORE.search(gap) else " "
        else:
            words.append(_Word(part.start(), part[0], joint))
            joint = ""
    return words[-_MOST_WORDS:]


def _kinds(words: Sequence[_Word]) -> list[str]:
    """The types that words may spell: a gap stands for an underscore, or for nothing where it broke a word."""
    apart = "_".join(word.text for word in words).upper()
    joined = (words[0].text + "".join(word.joint.strip() + word.text for word in words[1:])).upper()
    return [kind for kind in dict.fromkeys((apart, joined)) if 2 <= len(kind) <= 32 and kind[0].isalpha()]


def _escape_of(joint: str) -> str:
    if "%" in joint:
        return "url" if "%25" not in joint else "url2"
    return ""
