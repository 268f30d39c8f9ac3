"""Where words begin and end, and what they look like.

A word is a run of letters, a run of digits, any other single character, or a run of line breaks ("\\n"). Blanks are
no words. A capital after a small letter begins a new word when the run looks like an identifier (`customerName`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

Word = tuple[str, int, int]  # text, start, end

_WORD: Final = re.compile(
    r"(?P<break>[^\S\n]*(?:\r?\n[^\S\n]*)+)|(?P<letters>[^\W\d_]+(?:[\u0300-\u036f]+[^\W\d_]*)*)|\d+|[^\s]"
)
_HUMPS: Final = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_LONGEST: Final = 40  # letters: a longer run is no word of any language, and is cut


def words(text: str) -> list[Word]:
    """Return the words of `text` with their offsets, in order."""
    found: list[Word] = []
    for match in _WORD.finditer(text):
        kind = match.lastgroup
        start, end = match.span()
        if kind == "break":
            found.append(("\n", start, end))
        elif kind == "letters" and end - start > _LONGEST:
            for at in range(start, end, _LONGEST):
                stop = min(at + _LONGEST, end)
                found.append((text[at:stop], at, stop))
        else:
            found.append((match.group(), start, end))
    return found


def key_words(key: str) -> list[str]:
    """Return the words of a member's key in lower case: `customerName`, `customer-name` → customer, name."""
    parts = re.split(r"[\W_]+", _HUMPS.sub(" ", key))
    return [part.lower() for part in parts if part]


@lru_cache(maxsize=65536)
def folded(word: str) -> str:
    """Return the word in lower case without accents."""
    lower = word.lower()
    if lower.isascii():
        return lower
    plain = "".join(char for char in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(char))
    return plain.translate(_LETTERS) or lower


_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i"}
)


def shape(word: str) -> str:
    """Return what the word looks like: `Xxxx` for `Anna`, `dd` for `19`; runs are cut at four."""
    out: list[str] = []
    for char in word:
        if char.isupper():
            sign = "X"
        elif char.islower():
            sign = "x"
        elif char.isdigit():
            sign = "d"
        elif char.isalpha():
            sign = "c"  # a letter of a script without case
        else:
            sign = char
        if len(out) < 4 or out[-1] != sign or out[-4:] != [sign] * 4:
            out.append(sign)
    return "".join(out)
