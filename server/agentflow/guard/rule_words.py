"""Which patterns of the injection rules can match a text at all: told from the words in it, before any is compiled.

`Needs.met` promises every pattern that can match, and some that cannot. It takes some 40 µs per kilobyte and half a
megabyte, where a prefilter of RE2 (a set of automata over all literals) took 200 µs and 4 MB, and grew with traffic.
What a pattern needs is worked out beforehand (`guard/training/rule_index.py`) and shipped in `injection_rules.index`.

A key is the first few letters (`SIZES`) of an ASCII word, `#` and the name of a script, or `=` and one or two signs.
"""

from __future__ import annotations

import json
import re
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

INDEX: Final = "injection_rules.index"
SIZES: Final = (3, 4, 7)  # letters at the start of a word that make a key
LONG: Final = SIZES[-1]

_WORD: Final = re.compile(rb"[a-z]+")
# Where each block of characters begins that rules have literals of; what is between counts to the one before.
_BLOCKS: Final = (
    (0x80, "#latin"), (0x250, "#other"), (0x370, "#greek"), (0x400, "#cyrillic"), (0x530, "#other"),
    (0x590, "#hebrew"), (0x600, "#arabic"), (0x700, "#other"), (0x900, "#devanagari"), (0x980, "#bengali"),
    (0xA00, "#indic"), (0xE00, "#thai"), (0xE80, "#other"), (0x1E00, "#latin"), (0x1F00, "#greek"),
    (0x2000, "#signs"), (0x3040, "#kana"), (0x3100, "#han"), (0x3130, "#hangul"), (0x3190, "#han"),
    (0xAC00, "#hangul"), (0xD800, "#other"), (0xF900, "#han"), (0xFB00, "#other"), (0x20000, "#han"),
    (0x30000, "#other"),
)  # fmt: skip
_STARTS: Final = tuple(start for start, _ in _BLOCKS)


def script(char: str) -> str:
    """The key of a character outside ASCII."""
    return _BLOCKS[bisect_right(_STARTS, ord(char)) - 1][1]


@dataclass(frozen=True, slots=True)
class Known:
    """A rule as it is kept in memory: what is needed to match it, by surface.

    Attributes:
        english: it looks for English, or for what is no language.
        severity: by surface.
        patterns: as in the rule file, short names not spelled out.
        needs: of each pattern, as numbers of clauses, the most telling first.
    """

    id: str
    category: str
    english: bool
    severity: dict[str, float]
    patterns: tuple[str, ...]
    unless: str
    needs: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Index:
    """The shipped rules: what they are, what their short names stand for, and the keys of every clause."""

    rules: tuple[Known, ...]
    definitions: dict[str, str]
    clauses: tuple[tuple[str, ...], ...]


class Needs:
    """The needs of patterns, turned around: from the words of a text to the patterns.

    The rarest need of each is looked up by its keys; the others are asked of what that leaves.
    """

    def __init__(self, clauses: Sequence[Sequence[str]], patterns: Sequence[Sequence[int]]) -> None:
        """Args:
        clauses: keys of each clause.
        patterns: the clauses each pattern needs, at least one, the most telling first.
        """
        sets = [frozenset(key.encode() for key in keys) for keys in clauses]
        by_key: dict[bytes, list[int]] = {}
        for number, (first, *_) in enumerate(patterns):
            for key in sets[first]:
                by_key.setdefault(key, []).append(number)
        self._by_key = {key: tuple(numbers) for key, numbers in by_key.items()}
        self._others = [tuple(sets[clause] for clause in rest) for _, *rest in patterns]
        signs = {key for needs in patterns for clause in needs for key in clauses[clause] if key[0] == "="}
        self._signs = [(key[1:], key.encode()) for key in sorted(signs)]
        self._any_sign = frozenset(sign[0] for sign, _ in self._signs).isdisjoint

    def met(self, text: str, data: bytes) -> list[int]:
        """Numbers of the patterns that may match a text, ascending.

        Args:
            text: lower case.
            data: the same, as UTF-8.
        """
        words = set(_WORD.findall(data))
        keys = {word[:size] for size in SIZES for word in words}
        if not self._any_sign(text):
            keys.update([key for sign, key in self._signs if sign in text])
        if not text.isascii():
            keys.update([script(char).encode() for char in set(text) if char > "\x7f"])
        found: set[int] = set()
        for key in keys & self._by_key.keys():
            found.update(self._by_key[key])
        others, apart = self._others, keys.isdisjoint
        return sorted(number for number in found if not any(map(apart, others[number])))


# --------------------------------------------------------------------------- the file


def shipped() -> Index:
    """The rules of this package."""
    content: dict[str, Any] = json.loads(zlib.decompress(files("agentflow.guard").joinpath(INDEX).read_bytes()))
    rules = tuple(
        Known(name, category, english, severity, tuple(patterns), unless, tuple(map(tuple, needs)))
        for name, category, english, severity, patterns, unless, needs in content["rules"]
    )
    return Index(rules, content["define"], tuple(map(tuple, content["clauses"])))
