"""Where in a text a stand-in may stand: runs that could be one; whether they are, the vault says.

Whole words only, and only what a stand-in can look like: mail addresses, numbers with their usual punctuation,
identifiers, pairs of capitalised words. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_MOST: Final = 400  # in one text
_SHAPES: Final = (
    re.compile(r"(?<![\w.+-])[A-Za-z0-9._%+'-]{1,64}+@[A-Za-z0-9.-]{1,190}[A-Za-z]"),
    re.compile(r"(?<![\w+])\+?\(?\d(?:[ .\-/()]{0,2}\d){4,32}(?!\w)"),
    re.compile(r"(?<![\w:.-])[A-Za-z0-9](?:[A-Za-z0-9:.\-_+/=]{4,254}+(?<![:.\-_+/]))(?!\w)"),
    re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,8}(?!\w)"),
)  # fmt: skip
_CAPITALISED: Final = re.compile(r"(?<![\w-])[A-Z][\w-]{1,40}+\.?(?: (?:[A-Z][\w-]{0,40}+\.?|&)){0,4}")
_WORD: Final = re.compile(r"\S+")
_LONGEST_NAME: Final = 5  # words


class Run(NamedTuple):
    """A part of a text that may be a stand-in."""

    start: int
    end: int


def runs(text: str) -> list[Run]:
    """Return what may be stand-ins in `text`; they may overlap."""
    whole = Run(len(text) - len(text.lstrip()), len(text.rstrip()))
    found = {whole: None} if 0 < whole.end - whole.start <= 256 else {}
    for run in _every(text):
        found[run] = None
        if len(found) >= _MOST:
            break
    return list(found)


def _every(text: str) -> Iterator[Run]:
    for shape in _SHAPES:
        for match in shape.finditer(text):
            start, end = match.span()
            if text[start] == "(" and ")" not in match[0]:  # it belongs to the sentence
                start += 1
            yield Run(start, end)
    for match in _CAPITALISED.finditer(text):
        words = [Run(match.start() + word.start(), match.start() + word.end()) for word in _WORD.finditer(match[0])]
        for first in range(len(words)):
            for last in range(first, min(first + _LONGEST_NAME, len(words))):
                yield Run(words[first].start, words[last].end)
                if text[words[last].end - 1] == ".":
                    yield Run(words[first].start, words[last].end - 1)
