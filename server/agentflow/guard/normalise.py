"""Readings of a text: what a model would understand from it, once every disguise is taken off.

`views(text)` returns the text itself and each further reading (folded, unescaped, unmarked, joined, decoded),
with a way back from every position to the original. Nothing is judged here, and nothing is lost: the first
view always reads the text as it stands. Work is linear in the text, and plain text costs one automaton pass.
Decoding nests twice at most; what is encoded three times over is not read.

Sources: UTS #39 (confusables), UAX #15 (NFKC), UTS #51 (tag sequences).
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import re2

_DEPTH = 2  # encodings inside encodings that are still read
_SENTINEL = b"\n~~end~~"


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

    @property
    def decoded(self) -> bool:
        """Whether the reading is something a person would not have seen in the text."""
        return any(step in _DECODINGS for step in self.how)


_DECODINGS = frozenset({"base64", "hex", "binary", "rot13", "reversed", "tags"})


# --------------------------------------------------------------------------- which steps are worth a look


class Prefilter:
    """Many RE2 patterns in one pass: which of them occur in a text.

    An RE2 set that runs out of memory reports nothing at all, so a sentinel is searched for with every text:
    if even that is not found, every pattern counts as present (fail closed).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.never_capture = True
        options.max_mem = 64 << 20
        self._set = re2.Set.SearchSet(options)
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


_DIGITS = {"a": "4@", "b": "8", "e": "3", "g": "69", "i": "1!|", "l": "1|", "o": "0", "s": "5$", "t": "7+"}


def _leet(word: str) -> str:
    """A pattern for `word` with at least one letter written as a digit or sign."""
    loose = [f"[{c}{_DIGITS.get(c, '')}]" for c in word]
    strict = [f"[{_DIGITS[c]}]" if c in _DIGITS else "" for c in word]
    forms = ("".join([*loose[:i], digit, *loose[i + 1 :]]) for i, digit in enumerate(strict) if digit)
    return "|".join(forms)


# Words that attacks cannot do without: a disguise is only worth undoing where one of them might be under it.
_STEMS = (
    "ignor", "disregard", "previous", "prior", "instruct", "forget", "override", "prompt", "system", "secret",
    "password", "assistant", "credential", "reveal", "execute", "forward",
)  # fmt: skip
_STEPS: dict[str, str] = {
    "entities": r"&(?:#[0-9xX]|[a-zA-Z]{2,8};)",
    "percent": r"%[0-7][0-9a-fA-F]",
    "escapes": r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrt])",
    "markup": r"<[a-zA-Z/!]",
    "control": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
    "base64": r"[A-Za-z0-9+/_-]{20}",
    "hex": r"(?:[0-9a-fA-F]{2}[\s:,]?){12}",
    "binary": r"(?:[01]{8}[\s,]?){6}",
    "spaced": r"(?:\b[a-zA-Z0-9@$!][ \t._*|/-]{1,3}){6}[a-zA-Z0-9@$!]",
    "broken": r"[a-zA-Z](?:[*`\x5e]{1,3}|~~)[a-zA-Z]",
    "leet": "(?i)(?:" + "|".join(_leet(stem) for stem in _STEMS) + ")",
    "rot13": "(?i)(?:" + "|".join(codecs.encode(stem, "rot13") for stem in _STEMS) + ")",
    "reversed": "(?i)(?:" + "|".join(stem[::-1] for stem in _STEMS) + ")",
}
_NAMES = tuple(_STEPS)
_NO_STEPS: frozenset[str] = frozenset()
_prefilter = Prefilter(_STEPS.values())


def suspicious(text: str) -> bool:
    """Whether `text` may have more than one reading. False is certain, True is cheap to be wrong about."""
    return not text.isascii() or bool(_prefilter(text.encode("utf-8", "replace")))


# --------------------------------------------------------------------------- folding characters

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# Latin look-alikes in Cyrillic, Greek, Armenian and the letter-like symbols NFKC leaves alone (after UTS #39).
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁԛԝһӏѵгпАВЕЗКМНОРСТУХІЈЅԌԜӀҮү" "αεικνορτυχγωΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳ" "ՕօսոՏհղցքթ" "ɡɑɩʏɪʀɴʟʙʜℓℯⅿı",
    "aeopcyxijsdqwhlvrnABE3KMHOPCTYXIJSGWIYy" "aeikvoptuxywABEZHIKMNOPTYXcj" "OounShngqp" "gaiyirnlbhlemi",
)  # fmt: skip
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
        folded = self[point] = _fold_char(chr(point))
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


# --------------------------------------------------------------------------- undoing escapes and markup

_ANSI = re.compile(
    r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_ENTITY = re.compile(r"&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[a-zA-Z]{2,8}[0-9]{0,2});?")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\[nrt]")
_INLINE = "a|abbr|b|bdi|bdo|big|code|em|font|i|mark|s|small|span|strong|sub|sup|u|wbr"
_MARKUP = re.compile(rf"<!--[^<>]{{0,200}}-->|<(/?)({_INLINE})?\b[^<>]{{0,400}}>|<!--|-->", re.IGNORECASE)
_SPACED = re.compile(r"\b(?:[a-zA-Z0-9@$!][ \t._*|/-]{1,3}){4,}[a-zA-Z0-9@$!](?![a-zA-Z0-9])")
_BROKEN = re.compile(r"(?<=[a-zA-Z])(?:[*`^]{1,3}|~~)(?=[a-zA-Z])")
_LEET_WORD = re.compile(r"[a-zA-Z0-9@$!|+]*[a-zA-Z][a-zA-Z0-9@$!|+]*")
_LEET = str.maketrans("013456789@$!|+", "oieasgtbgasiit")


def _unescape(match: re.Match[str]) -> str:
    text = match.group()
    if text in ("\\n", "\\r", "\\t"):
        return "\n"
    if text.startswith("\\x"):
        return chr(int(text[2:], 16))
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in text.split("\\u")[1:])
    return units.decode("utf-16-be", "replace")


def _unmark(match: re.Match[str]) -> str:
    return "" if match.group(2) or (match.group().startswith("<!--") and len(match.group()) > 4) else " "


def _unspace(match: re.Match[str]) -> str:
    """Join single letters; a wider gap than the usual one is a gap between words."""
    text = match.group()
    gaps = re.findall(r"[ \t._*|/-]+", text)
    narrow = min(map(len, gaps))
    return re.sub(r"[ \t._*|/-]+", lambda gap: "" if len(gap.group()) <= narrow else " ", text)


def _unleet(match: re.Match[str]) -> str | None:
    word = match.group()
    return None if word.isalpha() or word.isdecimal() else word.translate(_LEET)


_Undo = tuple[str, re.Pattern[str], Callable[[re.Match[str]], str | None]]
_UNESCAPING: tuple[_Undo, ...] = (
    ("control", _ANSI, lambda m: ""),
    ("escapes", _ESCAPE, _unescape),
    ("entities", _ENTITY, lambda m: html.unescape(m.group())),
    ("percent", _PERCENT, lambda m: unquote(m.group(), errors="replace")),
)
_UNMARKING: tuple[_Undo, ...] = (("markup", _MARKUP, _unmark),)
_REJOINING: tuple[_Undo, ...] = (
    ("spaced", _SPACED, _unspace),
    ("broken", _BROKEN, lambda m: ""),
    ("leet", _LEET_WORD, _unleet),
)


# --------------------------------------------------------------------------- decoding

_BASE64 = re2.compile(r"[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{4,76})*={0,2}")
_HEX = re2.compile(r"(?:[0-9a-fA-F]{2}[ \n:,]?){12,}")
_BINARY = re2.compile(r"(?:[01]{8}[ \n,]?){6,}")


def _from_base64(run: str) -> bytes:
    """Decode a run; where it does not read as text, a path or the like may stand before it."""
    body = re.sub(r"[\r\n=]", "", run).replace("-", "+").replace("_", "/")
    for skip in range(4):
        rest = body[skip:]
        data = base64.b64decode(rest[: len(rest) - (len(rest) % 4 == 1)] + "=" * (-len(rest) % 4))
        if _readable(data):
            return data
    return b""


def _from_hex(run: str) -> bytes:
    return bytes.fromhex(re.sub(r"[^0-9a-fA-F]", "", run))


def _from_binary(run: str) -> bytes:
    digits = re.sub(r"[^01]", "", run)
    return int(digits, 2).to_bytes(len(digits) // 8, "big") if len(digits) <= 8192 else b""


_DECODERS: tuple[tuple[str, Any, Callable[[str], bytes]], ...] = (
    ("base64", _BASE64, _from_base64),
    ("hex", _HEX, _from_hex),
    ("binary", _BINARY, _from_binary),
)


_UNPRINTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")


def _readable(data: bytes) -> str:
    """Decode bytes that are text; "" for anything else."""
    if len(data) < 12:
        return ""
    text = data.decode("utf-8", "replace")  # a stray byte at the end of a run does not make it unreadable
    return text if len(_UNPRINTED.findall(text)) * 10 <= len(text) else ""


def _decoded(view: View, how: str, pattern: Any, decode: Callable[[str], bytes]) -> View | None:
    """All readable encoded runs of one kind, one per line; each maps back to its run as a whole."""
    pieces, starts, spans, length = [], [], [], 0
    for match in pattern.finditer(view.text):
        try:
            text = _readable(decode(match.group()))
        except (binascii.Error, ValueError):
            continue
        if text:
            pieces.append(text + "\n")
            starts.append(length)
            spans.append((*match.span(), False))
            length += len(text) + 1
    return View("".join(pieces), (*view.how, how), view, tuple(starts), tuple(spans)) if pieces else None


def _turned(view: View, steps: frozenset[str]) -> Iterator[View]:
    if "rot13" in steps:
        yield View(codecs.encode(view.text, "rot13"), (*view.how, "rot13"), view)
    if "reversed" in steps:
        size = len(view.text)
        words = [(match.start(), match.end()) for match in re.finditer(r"\S+|\s+", view.text)][::-1]
        starts = tuple(size - end for _, end in words)
        yield View(view.text[::-1], (*view.how, "reversed"), view, starts, tuple((a, b, False) for a, b in words))


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


def _steps(text: str) -> frozenset[str]:
    hits = _prefilter(text.encode("utf-8", "replace"))
    return frozenset(_NAMES[i] for i in hits) if hits else _NO_STEPS


def _undone(view: View, steps: frozenset[str], undoings: tuple[_Undo, ...]) -> View:
    for name, pattern, undo in undoings:
        if name in steps:
            view = _edit(view, pattern, undo, name)
    return view


def _readings(first: View, steps: frozenset[str], depth: int) -> Iterator[View]:
    """Every further reading of `first`: folded, then escapes undone, markup dropped, look-alikes read as Latin,
    words rejoined, each on top of the one before; then what is encoded in it."""
    view = _folded(first)
    if view is not first:
        yield view
        steps |= _steps(view.text)
    for undoings in (_UNESCAPING, _UNMARKING):
        if (undone := _undone(view, steps, undoings)) is not view:
            view = _folded(undone)
            yield view
            steps |= _steps(view.text)
    clean = view
    if not view.text.isascii() and (looks := view.text.translate(_LOOKALIKES)) != view.text:
        view = View(looks, (*view.how, "lookalikes"), view)
        yield view
        steps |= _steps(looks)
    if (rejoined := _undone(view, steps, _REJOINING)) is not view:
        yield rejoined
    if depth:
        runs = (_decoded(clean, *decoder) for decoder in _DECODERS if decoder[0] in steps)
        for inner in (*_turned(view, steps), *filter(None, runs)):
            yield inner
            yield from _readings(inner, _steps(inner.text), depth - 1)
