"""Readings of a text: what a model would understand from it, once every disguise is taken off.

`views(text)` returns the text itself and each further reading (folded, unescaped, unmarked, joined, decoded),
with a way back from every position to the original. Nothing is judged here, and nothing is lost: the first
view always reads the text as it stands. Work is linear in the text, and plain text costs one automaton pass.
Decoding nests twice at most; what is encoded three times over is not read.

Sources: UTS #39 (confusables), UAX #15 (NFKC), UTS #51 (tag sequences).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

import re2

from agentflow.guard.decodings import DECODERS, Decoder, read
from agentflow.guard.lookalikes import LOOKALIKES
from agentflow.guard.undoing import LEET_ELL, REJOINING, STEMS, UNESCAPING, UNMARKING, Undoing, any_of, turned_words

_DEPTH = 2  # encodings inside encodings that are still read
_NEAR = 240  # characters on either side of a change that are read again
_SENTINEL = b"\n~~end~~"
_SMALL = 65_536  # characters of a text worth remembering
_LONG = 8192  # characters of a text that is read again only around what was found in it
_ABOUT, _STRIDE = 900, 300  # characters on either side of that, and beyond it the next one is looked for
_BETWEEN = "\n\n"  # pieces that stood apart


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text.

    Attributes:
        text: the reading; case is kept.
        how: the steps that led to it, e.g. `("base64", "fold")`; empty for the text as it stands.
        parent: the view it was made from, or None for the original.
        starts, spans: the pieces of `text`, by their first position, and where each came from in `parent.text`
            as (start, end, linear). A linear piece maps character by character, any other as a whole.
            Empty where every position is unchanged.
    """

    text: str
    how: tuple[str, ...] = ()
    parent: View | None = None
    starts: tuple[int, ...] = ()
    spans: tuple[tuple[int, int, bool], ...] = ()

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text that `text[start:end]` came from."""
        if self.starts:
            first = bisect_right(self.starts, start) - 1
            last = bisect_right(self.starts, max(start, end - 1)) - 1
            a, _, linear = self.spans[first]
            start_at = a + (start - self.starts[first]) if linear else a
            a, b, linear = self.spans[last]
            end_at = a + (end - self.starts[last]) if linear else b
            start, end = start_at, max(start_at, end_at)
        return self.parent.origin(start, end) if self.parent else (start, end)

    def narrowed(self) -> View:
        """The same reading without what is far from every change: that was read before. Itself where little is."""
        if not self.starts:
            return self
        ends = (*self.starts[1:], len(self.text))
        sizes = (end - start for start, end in zip(self.starts, ends, strict=True))
        far = sum(size - 2 * _NEAR for size in sizes if size > 2 * _NEAR)
        if (len(self.text) - far - 2 * _NEAR) * 4 > len(self.text) * 3:
            return self
        pieces, starts, spans, length = [], [], [], 0
        last = len(self.starts) - 1
        for index, (start, end, (a, b, linear)) in enumerate(zip(self.starts, ends, self.spans, strict=True)):
            parts = [(start, end, a, b)]
            if linear and end - start > 2 * _NEAR:
                head, tail = (start, start + _NEAR, a, a + _NEAR), (end - _NEAR, end, b - _NEAR, b)
                parts = [tail] if index == 0 else [head] if index == last else [head, tail]
            for number, (x, y, u, v) in enumerate(parts):
                gap = "\n\n" if number else ""
                pieces += [gap, self.text[x:y]]
                starts.append(length + len(gap))
                spans.append((u, v, linear))
                length += len(gap) + y - x
        if length * 4 > len(self.text) * 3:
            return self
        starts[0] = 0
        return View("".join(pieces), self.how, self.parent, tuple(starts), tuple(spans))

    @property
    def decoded(self) -> bool:
        """Whether the reading is something a person would not have seen in the text."""
        return any(step in _DECODINGS for step in self.how)


_DECODINGS = frozenset({*(decoder.name for decoder in DECODERS), "rot13", "atbash", "reversed", "tags"})
_IN_MARKUP = frozenset({"leet", "spaced", "misspelt", "broken", "concatenated"})  # a tag may be disguised like a word
_ESCAPES = frozenset(step.name for step in UNESCAPING)


# --------------------------------------------------------------------------- which steps are worth a look


def _byte_options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = True
    options.max_mem = 64 << 20
    return options


class Prefilter:
    """Many RE2 patterns in one pass: which of them occur in a text.

    An RE2 set that runs out of memory reports nothing at all, so a sentinel is searched for with every text:
    if even that is not found, every pattern counts as present (fail closed).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._set = re2.Set.SearchSet(_byte_options())
        self.count = 0
        for pattern in patterns:
            self._set.Add(pattern.encode())
            self.count += 1
        self._set.Add(re2.escape(_SENTINEL.decode()).encode())
        self._set.Compile()

    def __call__(self, text: bytes) -> frozenset[int]:
        """Return the indices of the patterns that occur in `text` (UTF-8)."""
        hits = self._set.Match(text + _SENTINEL)
        if hits is None:
            return frozenset(range(self.count))
        return frozenset() if len(hits) == 1 else frozenset(hits) - {self.count}


# What is looked for in every text, as few automata: counting (runs) and spelling (words) in one would multiply.
_TURNS = dict(turned_words())
_WORDY = frozenset({"misspelt", "broken", "leet", *_TURNS})


class _Signs:
    """Which steps are worth a try on a text."""

    def __init__(self) -> None:
        steps = {step.name: step.sign for step in (*UNESCAPING, *UNMARKING, *REJOINING)} | _TURNS
        groups = (
            {name: sign for name, sign in steps.items() if name in _WORDY},
            {decoder.name: decoder.sign for decoder in DECODERS},
            {step.name: step.sign for step in (*UNESCAPING, *UNMARKING)},
            {step.name: step.sign for step in REJOINING if step.name not in _WORDY},
        )
        self._groups = [(tuple(group), Prefilter(group.values())) for group in groups]

    def __call__(self, text: bytes) -> frozenset[str]:
        found = [names[index] for names, prefilter in self._groups for index in prefilter(text)]
        return frozenset(found) if found else _NO_STEPS


_NO_STEPS: frozenset[str] = frozenset()


@cache
def _signs() -> _Signs:
    return _Signs()


@cache
def _plain() -> Prefilter:
    return Prefilter([any_of((*STEMS, "task", "must"))])


def suspicious(text: str) -> bool:
    """Whether `text` may have more than one reading. False is certain, True is cheap to be wrong about."""
    return not text.isascii() or bool(_steps(text))


# --------------------------------------------------------------------------- folding characters

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_PUNCTUATION = {
    **dict.fromkeys("“”„‟«»″「」『』", '"'), **dict.fromkeys("‘’‚‛′‹›", "'"),
    **dict.fromkeys("‐‑‒–—―−﹘", "-"), **dict.fromkeys("。｡", "."), "、": ",", "⁄": "/", "•": "*", "·": ".", "İ": "I",
    "\u2028": "\n", "\u2029": "\n", "\u0085": "\n",
}  # fmt: skip


def _fold_char(char: str) -> str:
    if char in _PUNCTUATION:
        return _PUNCTUATION[char]
    if _INVISIBLE.match(char):
        return ""
    folded = unicodedata.normalize("NFKC", char)
    first = unicodedata.normalize("NFD", folded)
    if len(first) > 1 and first[0].isascii() and all("\u0300" <= c <= "\u036f" for c in first[1:]):
        return first[0]  # é reads as e; й, が and the like keep their marks
    if "\u0300" <= char <= "\u036f":
        return ""
    return " " if folded.isspace() and folded not in "\n\r\t" else folded


class _Fold(dict[int, str]):
    """Character → its folded form, filled as characters are met; bounded."""

    def __missing__(self, point: int) -> str:
        if len(self) > 16_384:
            self.clear()
        folded = _fold_char(chr(point))
        if not folded.isascii():  # ‴ is three ′: what is folded once stays so
            folded = "".join(map(_fold_char, folded))
        self[point] = folded
        return folded


_fold = _Fold({point: chr(point) for point in range(128)})


def _edit(view: View, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str | None], how: str) -> View:
    """Replace matches (None leaves one as it is), keeping the way back; the same view if nothing changed."""
    text, pieces, starts, spans = view.text, [], [], []
    done = length = 0
    for match in pattern.finditer(text):
        new = replace(match)
        if new is None or new == match.group():
            continue
        a, b = match.span()
        if a > done:
            pieces.append(text[done:a])
            starts.append(length)
            spans.append((done, a, True))
            length += a - done
        if new:
            pieces.append(new)
            starts.append(length)
            spans.append((a, b, False))
            length += len(new)
        done = b
    if not done:
        return view
    if done < len(text):
        pieces.append(text[done:])
        starts.append(length)
        spans.append((done, len(text), True))
    if not starts:
        starts, spans = [0], [(0, len(text), False)]
    return View("".join(pieces), (*view.how, how), view, tuple(starts), tuple(spans))


_NON_ASCII = re.compile("[^\x00-\x7f]")


def _folded(view: View) -> View:
    if view.text.isascii():
        return view
    chars = set(_NON_ASCII.findall(view.text))
    resized = [char for char in chars if len(_fold[ord(char)]) != 1]
    if resized:
        runs = re.compile(f"[{re.escape(''.join(resized))}]+")
        view = _edit(view, runs, lambda m: m.group().translate(_fold), "fold")
    changed = [char for char in chars if len(_fold[ord(char)]) == 1 and _fold[ord(char)] != char]
    if not changed:
        return view
    text = view.text
    if len(changed) <= 12:
        for char in changed:
            text = text.replace(char, _fold[ord(char)])
    else:
        text = text.translate(_fold)
    return View(text, view.how if resized else (*view.how, "fold"), view)


def _hidden_text(text: str) -> View | None:
    """Read what tag characters and variation selectors spell, which no person sees."""
    if not _HIDDEN.search(text):
        return None
    whole = View(text)
    pieces, starts, spans, length = [], [], [], 0
    for match in _HIDDEN.finditer(text):
        spelled = "".join(filter(None, map(_spell, match.group())))
        if len(spelled) < 6:  # a flag emoji
            continue
        pieces.append(spelled + "\n")
        starts.append(length)
        spans.append((*match.span(), False))
        length += len(spelled) + 1
    return View("".join(pieces), ("tags",), whole, tuple(starts), tuple(spans)) if pieces else None


_HIDDEN = re.compile("[\U000e0020-\U000e007e\ufe00-\ufe0f\U000e0100-\U000e01ef]{7,}")


def _spell(char: str) -> str:
    point = ord(char)
    if 0xE0020 <= point <= 0xE007E:
        return chr(point - 0xE0000)
    byte = point - 0xFE00 if point < 0xFE10 else point - 0xE0100 + 16  # one byte per variation selector
    return chr(byte) if 32 <= byte < 127 else ""


# --------------------------------------------------------------------------- decoding and turning


def _decoded(view: View, decoder: Decoder) -> View | None:
    """All readable encoded runs of one kind, one per line; each maps back to its run as a whole."""
    pieces, starts, spans, length = [], [], [], 0
    for match in decoder.pattern.finditer(view.text):
        if text := read(decoder, match.group()):
            pieces.append(text + "\n")
            starts.append(length)
            spans.append((*match.span(), False))
            length += len(text) + 1
    return View("".join(pieces), (*view.how, decoder.name), view, tuple(starts), tuple(spans)) if pieces else None


_ATBASH = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA"
)
_WORD = re.compile(r"\S{2,}")


def _turned(view: View, steps: frozenset[str]) -> Iterator[View]:
    if "rot13" in steps:
        near = _around(view, frozenset({"rot13"}))
        yield View(codecs.encode(near.text, "rot13"), (*view.how, "rot13"), near)
    if "atbash" in steps:
        near = _around(view, frozenset({"atbash"}))
        yield View(near.text.translate(_ATBASH), (*view.how, "atbash"), near)
    if "reversed" in steps:
        near = _around(view, frozenset({"reversed"}))
        size = len(near.text)
        words = [(match.start(), match.end()) for match in re.finditer(r"\S+|\s+", near.text)][::-1]
        starts = tuple(size - end for _, end in words)
        yield View(near.text[::-1], (*view.how, "reversed"), near, starts, tuple((a, b, False) for a, b in words))
        yield _edit(near, _WORD, lambda match: match.group()[::-1], "reversed")


@lru_cache(maxsize=64)
def _signed(steps: frozenset[str]) -> Any:
    """Where the signs of some steps stand."""
    signs = {step.name: step.sign for step in REJOINING} | _TURNS
    return re2.compile("|".join(f"(?:{signs[step]})" for step in sorted(steps)).encode(), _byte_options())


def _around(view: View, steps: frozenset[str]) -> View:
    """What of a long text stands near the signs of some steps: elsewhere they undo nothing. Itself if most of it does.

    Otherwise one word in a hundred thousand would have all of them read again, in as many ways as there are.
    """
    text = view.text
    if len(text) <= _LONG:
        return view
    data, at, char = text.encode("utf-8", "replace"), 0, 0
    kept: list[tuple[int, int]] = []
    pattern, after = _signed(steps), 0
    while match := pattern.search(data, after):
        start, end = match.span()
        char, at = char + len(data[at:start].decode("utf-8", "ignore")), start
        first, last = max(0, char - _ABOUT), min(len(text), char + end - start + _ABOUT)
        if kept and first <= kept[-1][1]:
            kept[-1] = (kept[-1][0], last)
        else:
            kept.append((first, last))
        after = end + _STRIDE
    if sum(last - first for first, last in kept) * 4 > len(text) * 3:
        return view
    starts = [0, *accumulate(last - first + len(_BETWEEN) for first, last in kept[:-1])]
    spans = tuple((first, last, True) for first, last in kept)
    return View(_BETWEEN.join(text[first:last] for first, last in kept), view.how, view, tuple(starts), spans)


# --------------------------------------------------------------------------- all of it


def views(text: str) -> list[View]:
    """Return every reading of `text`, the text as it stands first.

    Each view's `origin(start, end)` leads back to offsets in `text`: exact for folded, unescaped, unmarked and
    rejoined text, the whole encoded run for decoded text.
    """
    steps = _steps(text)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # a lone surrogate reads as one question mark
    first = View(text)
    if not steps and text.isascii():
        return [first]
    hidden = _hidden_text(text)
    found = [first, *_readings(first, steps, _DEPTH)]
    return [*found, *([hidden, *_readings(hidden, _steps(hidden.text), _DEPTH - 1)] if hidden else [])]


@lru_cache(maxsize=1)
def _remembered(text: str) -> frozenset[str]:
    return _signs()(text.encode("utf-8", "replace"))


def _steps(text: str) -> frozenset[str]:
    """The steps worth a try. Who asks whether a text is suspicious reads its views next, so the last is remembered."""
    return _remembered(text) if len(text) <= _SMALL else _signs()(text.encode("utf-8", "replace"))


def _undone(view: View, steps: frozenset[str], undoings: Iterable[Undoing]) -> View:
    for step in undoings:
        if step.name in steps:
            view = _edit(view, step.pattern, step.undo, step.name)
    return view


def _readings(first: View, steps: frozenset[str], depth: int) -> Iterator[View]:
    """Every further reading of `first`: folded, and, where that makes words, with look-alikes read as Latin."""
    view = _folded(first)
    if view is not first:
        yield view
        steps |= _steps(view.text)
    yield from _unwrapped(view, steps, depth)
    if not LOOKALIKES.keys().isdisjoint(map(ord, set(_NON_ASCII.findall(view.text)))):
        looks = view.text.translate(LOOKALIKES)
        alike = View(looks, (*view.how, "lookalikes"), view)
        steps = _steps(looks)
        if steps or _plain()(looks.encode("utf-8", "replace")):
            yield alike
            yield from _unwrapped(alike, steps, 0)


def _unwrapped(view: View, steps: frozenset[str], depth: int) -> Iterator[View]:
    """Escapes undone, markup dropped, words put together again, each on top of the one before; then what is encoded."""
    for _ in range(_DEPTH):  # an escape may be escaped itself
        undone = _undone(view, steps, UNESCAPING)
        if undone is view:
            break
        view = _folded(undone)
        yield _near(undone, view)
        again = _steps(view.text)
        steps |= again
        if not again & _ESCAPES:
            break
    marked = view
    if (undone := _undone(view, steps, UNMARKING)) is not view:
        view = _folded(undone)
        yield _near(undone, view)
        if steps & _IN_MARKUP:
            yield from _rejoined(marked, steps & _IN_MARKUP)
        steps |= _steps(view.text)
    yield from _rejoined(view, steps)
    if depth:
        runs = (_decoded(view, decoder) for decoder in DECODERS if decoder.name in steps)
        for inner in (*_turned(marked, steps), *filter(None, runs)):
            yield inner
            yield from _readings(inner, _steps(inner.text), depth - 1)


def _near(undone: View, folded: View) -> View:
    return undone.narrowed() if folded is undone else folded


def _rejoined(view: View, steps: frozenset[str]) -> Iterator[View]:
    wanted = frozenset(step.name for step in REJOINING if step.name in steps)
    if not wanted:
        return
    joined = view = _around(view, wanted)
    for step in REJOINING:
        if step.name in steps and (undone := _edit(joined, step.pattern, step.undo, step.name)) is not joined:
            joined = undone
            yield joined.narrowed()
            steps |= _steps(joined.text)
    if "leet" in steps and (other := _edit(view, LEET_ELL.pattern, LEET_ELL.undo, LEET_ELL.name)) is not view:
        yield other.narrowed()
