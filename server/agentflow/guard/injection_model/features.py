"""What the injection model sees of a text: words it knows, and hashed runs of up to four of them. No numpy.

A text becomes lower-case bytes, those become tokens, and each token a 20-bit number; what is not in the vocabulary
becomes one and the same number, so that names, ids and rare words all read alike. Every position then has one
number per kind of feature (single word, two, three, four in a row, two with a gap of one or two between them): its
place in the table of weights. All of it runs in C loops of the interpreter, with arithmetic that is the same on
every platform, since what is trained must be what is read later. Training uses this module too.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from operator import itemgetter
from sys import byteorder
from typing import Final
from zlib import crc32

BITS: Final = 20
MASK: Final = (1 << BITS) - 1
KNOWN_BITS: Final = 17
KNOWN_MASK: Final = (1 << KNOWN_BITS) - 1
PLANES: Final = 6
UNKNOWN: Final = 0x9E377

# Letters to lower case, every digit to 0.
_TABLE: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789", b"abcdefghijklmnopqrstuvwxyz000000000")
# Words (with letters of two-byte scripts and Indic ones), numbers, single characters of CJK, line ends, signs. What is
# met most stands first; no character begins two of them but by the last one, which takes what is left.
_TOKEN: Final = re.compile(
    rb"[a-z\x80-\xe1]++|[\"{}\[\],:;/()'<>@&%$?|^\\`]|0{1,4}|[-=#*_~.+]++|\n\s*+|!++"
    rb"|(?:\xe2[\x80-\xbf]*+)++|(?:\xf0[\x80-\xbf]*+)++|[\xe3-\xff][\x80-\xbf]*+|\S"
)
# Escapes of strings in strings, byte for byte: a line end inside JSON reads as a line end, a quoted quote as a quote.
_ESCAPES: Final = ((b"\\\\", b"  "), (b"\\n", b" \n"), (b"\\r", b"  "), (b"\\t", b"  "), (b"\\", b" "))


_MOST_FOLDED: Final = 16_384


class _Fold(dict[int, str]):
    """Character → the plain lower-case one it stands for (é → e, Ａ → a), always one for one; bounded."""

    def __missing__(self, point: int) -> str:
        if len(self) > _MOST_FOLDED:
            self.clear()
        char = chr(point)
        if not unicodedata.decomposition(char) and char.lower() == char:  # most of what there is
            self[point] = char
            return char
        base = unicodedata.normalize("NFKD", char).lower()
        plain = base[:1] if base[:1].isascii() and len(base) == len(chr(point).lower()) else ""
        if not plain:
            marks = all("\u0300" <= char <= "\u036f" for char in base[1:])
            whole = unicodedata.normalize("NFC", base) if not marks or not base[:1].isascii() else base[:1]
            plain = whole if len(whole) == 1 else chr(point)
        self[point] = plain
        return plain


_fold = _Fold()


def _bytes(text: str) -> bytes:
    data = (text if text.isascii() else text.translate(_fold)).encode("utf-8", "replace").translate(_TABLE)
    if b"\\" in data:
        for escape, plain in _ESCAPES:
            data = data.replace(escape, plain)
    return data


def tokens(text: str) -> list[bytes]:
    """The tokens of a text, in order."""
    return _TOKEN.findall(_bytes(text))


def offsets(text: str) -> list[tuple[int, int]]:
    """Where the tokens of a text stand, as (start, end) in characters."""
    data = _bytes(text)
    if text.isascii():
        return [match.span() for match in _TOKEN.finditer(data)]
    starts = array("i", bytes(4 * (len(data) + 1)))  # byte → character
    at = -1
    for index, byte in enumerate(data):
        at += byte & 0xC0 != 0x80
        starts[index] = at
    starts[len(data)] = at + 1
    return [(starts[a], starts[b]) for a, b in (match.span() for match in _TOKEN.finditer(data))]


def numbers(found: Sequence[bytes], known: bytes) -> list[int]:
    """The number of each token; `UNKNOWN` for those that are not in `known` (a table of 2**17 zeros and ones)."""
    return split("I", _packed(found, known), len(found)).tolist()


def places(words: Sequence[int]) -> list[array[int]]:
    """For each kind of feature, the place in the table of weights at every position of the text."""
    return _planes(joined(array("I", words)), len(words))


def looked_up(found: Sequence[bytes], known: bytes) -> list[array[int]]:
    """The places of the features of tokens: `places(numbers(found, known))` at once."""
    return _planes(_packed(found, known), len(found))


# All positions are computed at once: a number of 32 bits each, side by side in one integer of any length, the first
# lowest. No sum here reaches 32 bits, so none runs over into the next.


def joined(row: array[int]) -> int:
    """The items of an array as one integer, the first lowest."""
    if byteorder == "big":
        row = row[:]
        row.byteswap()
    return int.from_bytes(row, "little")


def split(kind: str, packed: int, count: int) -> array[int]:
    """What `joined` joined: the first `count` items, as an array of this type code."""
    row = array(kind)
    row.frombytes(packed.to_bytes(row.itemsize * count, "little"))
    if byteorder == "big":
        row.byteswap()
    return row


def picked(table: bytes, row: Sequence[int]) -> bytes:
    """The bytes of a table at these places."""
    return bytes(itemgetter(*row)(table)) if len(row) > 1 else bytes(map(table.__getitem__, row))


def _each(count: int) -> int:
    return int.from_bytes(b"\1\0\0\0" * count, "little")


def _packed(found: Sequence[bytes], known: bytes) -> int:
    count = len(found)
    one = _each(count)
    hashes = joined(array("I", map(crc32, found)))
    wide = bytearray(4 * count)
    wide[::4] = picked(known, split("I", hashes & one * KNOWN_MASK, count))
    return (hashes & int.from_bytes(wide, "little") * MASK) ^ one * UNKNOWN


def _planes(words: int, count: int) -> list[array[int]]:
    mask = _each(count) * MASK
    two, three, four = (words >> 32 * n for n in (1, 2, 3))
    pairs = words * 3 + two & mask
    runs = pairs * 5 + three & mask
    longer = runs * 7 + four & mask
    gap = words * 11 + three & mask
    wide = words * 13 + four & mask
    return [split("I", plane, count) for plane in (words, pairs, runs, longer, gap, wide)]


def vocabulary(words: Iterable[bytes]) -> bytes:
    """The table of known words."""
    table = bytearray(1 << KNOWN_BITS)
    for word in words:
        table[crc32(word) & KNOWN_MASK] = 1
    return bytes(table)
