"""Small memories of much text: which words were said, and which three words in a row, by which source.

They hold no text, take a fixed number of bytes however much they are given, and never say no to what they hold. What
they are too small for they forget (`Shingles`) or mistake a little (`Words`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

MAX_SHINGLES: Final = 4096  # a power of two; five bytes each
_FILTER: Final = 65_536  # bits


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
            place = shingle & MAX_SHINGLES - 1
            if self._hashes[place] != shingle:
                self._hashes[place], self._sources[place] = shingle, source
                fresh.append(shingle)
        return fresh

    def sources(self, wanted: Iterable[int]) -> list[int]:
        """The sources of those hashes that are known."""
        hashes, sources = self._hashes, self._sources
        if not hashes:
            return []
        last = MAX_SHINGLES - 1
        return [sources[shingle & last] for shingle in wanted if hashes[shingle & last] == shingle]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((shingle, source) for shingle, source in zip(self._hashes, self._sources, strict=True) if shingle)

    def __len__(self) -> int:
        return sum(map(bool, self._hashes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shingles) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
