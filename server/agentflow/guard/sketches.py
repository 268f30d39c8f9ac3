"""Small memories of much text: which words were said, and which three words in a row, by which source.

They hold no text, take a fixed number of bytes however much they are given, and never say no to what they hold. What
they are too small for they forget (`Shingles`) or mistake a little (`Words`).
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

MAX_SHINGLES: Final = 3072  # five bytes each
_FILTER: Final = 65_536  # bits
_SALT: Final = secrets.randbits(32) | 1


class Words:
    """A filter of words (Bloom 1970, one hash): whether a word was said, with a few false positives."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray()

    def new(self, parts: Iterable[str]) -> list[int]:
        """The places of what `add` does not know yet: words of four letters or more, and numbers."""
        heads = {part[:7] for part in parts if len(part) > 3 or part.isdigit()}
        bits = self._bits
        places = [crc32(head.encode("utf-8", "replace")) & _FILTER - 1 for head in heads]
        return [found for found in places if not bits[found >> 3] & 1 << (found & 7)] if bits else places

    def add(self, places: list[int]) -> None:
        """Take in what `new` gave."""
        bits = self._bits = self._bits or bytearray(_FILTER // 8)
        for found in places:
            bits[found >> 3] |= 1 << (found & 7)

    def places(self) -> list[int]:
        """All that `add` was given."""
        return [at << 3 | bit for at, byte in enumerate(self._bits) if byte for bit in range(8) if byte >> bit & 1]

    def __contains__(self, word: str) -> bool:
        found, bits = crc32(word[:7].encode("utf-8", "replace")) & _FILTER - 1, self._bits
        return bool(bits) and bool(bits[found >> 3] & 1 << (found & 7))


class Values:
    """Numbers (32 bits, not 0) by hashes (32 bits): a dict in a tenth of the memory, eight bytes a place.

    Open addressing; where a hash stands depends on a secret of the process, so that nobody can make them meet.
    """

    __slots__ = ("_count", "_keys", "_numbers")

    def __init__(self) -> None:
        self._keys = array("I", bytes(4 * 64))
        self._numbers = array("I", bytes(4 * 64))
        self._count = 0

    def _place(self, key: int) -> int:
        """Where a hash stands, or would."""
        keys = self._keys
        last = len(keys) - 1
        at = key * _SALT >> 20 & last
        while (here := keys[at]) != key and here:
            at = at + 1 & last
        return at

    def get(self, key: int, default: int = 0) -> int:
        """The number of a hash."""
        return self._numbers[self._place(key or 1)] or default

    def put(self, key: int, number: int) -> None:
        """Set the number of a hash."""
        key = key or 1
        at = self._place(key)
        if not self._keys[at]:
            self._count += 1
            if 4 * self._count > 3 * len(self._keys):
                self._grow()
                at = self._place(key)
        self._keys[at], self._numbers[at] = key, number

    def merge(self, found: dict[int, int], shift: int, most: int) -> bool:
        """Take in bits of hashes, those of new ones with `shift` set; what was known already is taken out of `found`.

        Returns:
            Whether there was room: a table has at most `most`.
        """
        while 4 * min(self._count + len(found), most) > 3 * len(self._keys):
            self._grow()
        keys, numbers, last, full = self._keys, self._numbers, len(self._keys) - 1, False
        for key, bits in list(found.items()):
            at = key * _SALT >> 20 & last
            while (here := keys[at]) != key and here:
                at = at + 1 & last
            before = numbers[at]
            if before:
                if before & bits == bits:
                    del found[key]
                else:
                    numbers[at] = before | bits
            elif self._count < most and key:
                keys[at], numbers[at] = key, bits | shift
                self._count += 1
            else:
                del found[key]
                full = True
        return not full

    def _grow(self) -> None:
        known = list(self)
        self._keys, self._numbers = (array("I", bytes(8 * len(self._keys))) for _ in range(2))
        for key, number in known:
            at = self._place(key)
            self._keys[at], self._numbers[at] = key, number

    def __contains__(self, key: int) -> bool:
        return bool(self.get(key))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((key, number) for key, number in zip(self._keys, self._numbers, strict=True) if number)

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]


class Shingles:
    """Hashes with their sources, each in the one place it can have: a newer one takes the place of an older."""

    __slots__ = ("_hashes", "_sources")

    def __init__(self) -> None:
        self._hashes = array("I")
        self._sources = bytearray()

    def add(self, found: Iterable[int], source: int) -> list[int]:
        """Take in hashes (32 bits, not 0) of a source (below 256); return those that were not known."""
        fresh = []
        for shingle in found:
            if not self._hashes:
                self._hashes, self._sources = array("I", bytes(4 * MAX_SHINGLES)), bytearray(MAX_SHINGLES)
            place = shingle % MAX_SHINGLES
            if self._hashes[place] != shingle:
                self._hashes[place], self._sources[place] = shingle, source
                fresh.append(shingle)
        return fresh

    def sources(self, wanted: Iterable[int]) -> list[int]:
        """The sources of those hashes that are known."""
        hashes, sources = self._hashes, self._sources
        if not hashes:
            return []
        most = MAX_SHINGLES
        return [sources[shingle % most] for shingle in wanted if hashes[shingle % most] == shingle]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((shingle, source) for shingle, source in zip(self._hashes, self._sources, strict=True) if shingle)

    def __len__(self) -> int:
        return sum(map(bool, self._hashes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shingles) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
