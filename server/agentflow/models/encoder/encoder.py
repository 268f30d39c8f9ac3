"""Sentence vectors without a model at hand: token vectors distilled from MiniLM, looked up and added.

Promises: needs nothing but this package; the file is mapped, not read, when first asked for, and shared by the
processes of a machine; the same text gives the same vector everywhere; no text is too long (the first
`LONGEST` tokens count). It refuses nothing: a text without any known word has the zero vector, which is like nothing.

What it cannot do: word order, negation and the difference between two numbers or names hardly move a vector. Whoever
reuses one text's answer for another has to compare those by themselves.
"""

from __future__ import annotations

import math
import mmap
import re
import threading
import unicodedata
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from operator import mul
from pathlib import Path
from typing import Final

from agentflow.models.encoder import layout

FILE: Final = "encoder.bin"
LONGEST: Final = 512  # tokens
_WORD: Final = re.compile(r"[a-z]+|[0-9]+|[.,?!%$€£&+/-]")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONGEST_WORD: Final = 40
_LANE: Final = 4  # bytes of one sum


@dataclass(frozen=True, slots=True)
class Vector:
    """A text's direction: int8 members (two's complement), the largest being ±127, and their Euclidean length."""

    members: bytes
    length: float

    def cosine(self, other: Vector) -> float:
        """How alike two texts are, -1 to 1; 0 with the zero vector.

        Raises:
            ValueError: the vectors are of different encoders.
        """
        if len(self.members) != len(other.members):
            raise ValueError("the vectors are of different encoders")
        if not self.length or not other.length:
            return 0.0
        dot: int = sum(map(mul, memoryview(self.members).cast("b"), memoryview(other.members).cast("b")))
        return dot / (self.length * other.length)


def vector(members: bytes) -> Vector:
    """The vector of members that were stored."""
    return Vector(members, math.sqrt(sum(m * m for m in memoryview(members).cast("b"))))


class Encoder:
    """An encoder over a file's bytes (`layout`). Thread-safe.

    Raises:
        ConfigError: the bytes are not an encoder's.
    """

    def __init__(self, body: bytes | mmap.mmap) -> None:
        self._body = body
        self._at = layout.read(memoryview(body))
        self._slots = memoryview(body)[layout.HEADER.size : self._at.offsets].cast("H")
        self._offsets = memoryview(body)[self._at.offsets : self._at.weights].cast("I")
        self._word = lru_cache(maxsize=4096)(self._pieces)
        self._lanes = lru_cache(maxsize=4096)(self._row)

    @property
    def dimensions(self) -> int:
        return self._at.dimensions

    @cached_property
    def name(self) -> str:
        """Eight hex digits of the file's CRC-32: vectors of encoders with different names cannot be compared."""
        return f"{zlib.crc32(self._body):08x}"

    def encode(self, text: str) -> Vector:
        """The vector of a text, identifiers in it read as words."""
        total = weight = 0
        for row in self.rows(text):
            lanes, own = self._lanes(row)
            total += lanes
            weight += own
        sums = array("I", total.to_bytes(_LANE * self.dimensions, "little"))
        centred = [s - 128 * weight for s in sums]
        largest = max(map(abs, centred))
        if not largest:
            return Vector(bytes(self.dimensions), 0.0)
        members = array("b", [round(127 * c / largest) for c in centred])
        return Vector(members.tobytes(), math.sqrt(sum(map(mul, members, members))))

    def rows(self, text: str) -> list[int]:
        """The vocabulary's rows of a text's tokens, in order (WordPiece, longest first), unknown ones left out."""
        found: list[int] = []
        plain = _CAMEL.sub(" ", text[: 16 * LONGEST])
        if not plain.isascii():
            plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
        for word in _WORD.findall(plain.lower()):
            found += self._word(word)
            if len(found) >= LONGEST:
                return found[:LONGEST]
        return found

    def _pieces(self, word: str) -> tuple[int, ...]:
        whole = self._find(word.encode())
        if whole is not None:
            return (whole,)
        pieces: list[int] = []
        start, given = 0, word[:_LONGEST_WORD]
        while start < len(given):
            for end in range(len(given), start, -1):
                row = self._find((("##" if start else "") + given[start:end]).encode())
                if row is not None:
                    pieces.append(row)
                    start = end
                    break
            else:
                return tuple(pieces)
        return tuple(pieces)

    def _find(self, token: bytes) -> int | None:
        mask, text = len(self._slots) - 1, self._at.text
        at = zlib.crc32(token) & mask
        while (row := self._slots[at]) != layout.FREE:
            if self._body[text + self._offsets[row] : text + self._offsets[row + 1]] == token:
                return row
            at = (at + 1) & mask
        return None

    def _row(self, row: int) -> tuple[int, int]:
        """A token's weighted vector as one integer, a lane for each member, and its weight: sums are additions."""
        size = self.dimensions
        start = self._at.vectors + row * size
        spread = bytearray(_LANE * size)
        spread[::_LANE] = self._body[start : start + size]
        weight = self._body[self._at.weights + row]
        return int.from_bytes(spread, "little") * weight, weight


class Nearest:
    """Vectors to search among; scores of thousands in well under a millisecond.

    Kept as one long integer per dimension, a lane for each vector (offset, so that lanes never borrow): a query's
    scores are `dimensions` products of a long integer with a small one. 4 bytes per member.
    """

    def __init__(self, vectors: Sequence[Vector]) -> None:
        self._count = len(vectors)
        self._lengths = [v.length or math.inf for v in vectors]
        self._dimensions = len(vectors[0].members) if vectors else 0
        shifted = [bytes(m + 128 & 255 for m in v.members) for v in vectors]
        self._sums = [sum(row) for row in shifted]
        self._columns = [
            int.from_bytes(array("I", [row[d] for row in shifted]).tobytes(), "little") for d in range(self._dimensions)
        ]

    def __len__(self) -> int:
        return self._count

    def scores(self, query: Vector) -> list[float]:
        """The cosine of each vector with a query's, in their order."""
        if not self._count or not query.length:
            return [0.0] * self._count
        total = asked = 0
        for member, column in zip(memoryview(query.members).cast("b"), self._columns, strict=True):
            total += (member + 128) * column
            asked += member + 128
        lanes = array("I", total.to_bytes(_LANE * self._count, "little"))
        less = 128 * asked - 128 * 128 * self._dimensions  # (q+128)(v+128) = qv + 128(q+128) + 128(v+128) - 128²
        length = query.length
        return [
            (lane - less - 128 * own) / (length * far)
            for lane, own, far in zip(lanes, self._sums, self._lengths, strict=True)
        ]

    def search(self, query: Vector, k: int) -> list[tuple[int, float]]:
        """The `k` nearest as (place, cosine), nearest first; equal ones in their order."""
        scored = self.scores(query)
        best = sorted(range(self._count), key=lambda i: (-scored[i], i))[:k]
        return [(i, scored[i]) for i in best]


_OPENING: Final = threading.Lock()


def encoder() -> Encoder:
    """The embedded encoder, opened by whoever asks first.

    Raises:
        ConfigError: its file is missing or damaged.
    """
    with _OPENING:
        return _opened()


@cache
def _opened() -> Encoder:
    from agentflow.errors import ConfigError

    try:
        with (Path(__file__).parent / FILE).open("rb") as file:
            return Encoder(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise ConfigError("The embedded encoder's file cannot be read", fix="reinstall agentflow-gateway") from error
