"""The trained injection model, read: how much a text looks as if it held an injected instruction, and where.

A text's evidence is a number per token (`features`), summed over every stretch of a few sizes; the highest sum,
measured against what harmless texts of that length reach, is the score. 0.4 is what one in 200 harmless texts
reaches, 0.8 what one in 1,250 does; see MODEL_CARD.md. Nothing is imported that is not in the standard library, a
kilobyte takes some 0.3 ms, and equal texts get equal scores on every platform.

The file: one line of JSON (the header), then zlib streams: the vocabulary's bits, and each head's weights (int8).
"""

from __future__ import annotations

import json
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import accumulate
from operator import sub
from typing import Any, Final, Literal

from agentflow.guard.injection_model.features import (
    KNOWN_BITS,
    MASK,
    PLANES,
    joined,
    looked_up,
    offsets,
    picked,
    split,
    tokens,
)

MAGIC: Final = "agentflow-injection-2"
FEWEST: Final = 4  # tokens below which nothing is said
FLAG: Final = 0.4
BLOCK: Final = 0.8


@dataclass(frozen=True, slots=True)
class Calibration:
    """Sums against what harmless texts reach.

    Attributes:
        windows: sizes of the stretches, in tokens.
        lengths: lengths of texts, in tokens, ascending.
        levels: for each length, for each window, the sum that 0.4 stands for.
        steps: for each length, how much more 0.8 stands for.
    """

    windows: tuple[int, ...]
    lengths: tuple[float, ...]
    levels: tuple[tuple[float, ...], ...]
    steps: tuple[float, ...]

    def at(self, count: int) -> tuple[list[float], float]:
        """Levels and step for a text of `count` tokens, between the nearest two lengths (on a log scale beforehand)."""
        index = bisect_right(self.lengths, count)
        if index == 0 or index == len(self.lengths):
            row = min(index, len(self.lengths) - 1)
            return list(self.levels[row]), self.steps[row]
        low, high = self.lengths[index - 1], self.lengths[index]
        share = (count - low) / (high - low)
        near, far = self.levels[index - 1], self.levels[index]
        levels = [a + (b - a) * share for a, b in zip(near, far, strict=True)]
        return levels, self.steps[index - 1] + (self.steps[index] - self.steps[index - 1]) * share

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Calibration:
        return cls(tuple(raw["windows"]), tuple(raw["lengths"]), tuple(map(tuple, raw["levels"])), tuple(raw["steps"]))


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The most suspicious stretch of a text: score in 0..1, and where it stands, in characters; 0, 0: not looked up."""

    score: float
    start: int
    end: int


_NOTHING: Final = Suspicion(0.0, 0, 0)
_UNSIGNED: Final = bytes((value + 128) & 255 for value in range(256))  # of a signed byte, for `translate`
_ZERO: Final = 128 * PLANES  # what no evidence sums up to


class Head:
    """The weights (int8) and the calibration of one surface.

    Raises:
        ValueError: the windows are longer than sums of 16 bits hold (42 tokens).
    """

    def __init__(self, known: bytes, weights: bytes, calibration: Calibration) -> None:
        if calibration.windows[-1] * PLANES * 255 >= 1 << 16:
            raise ValueError("the windows of the injection model are too long")
        self._known = known
        self._weights = weights.translate(_UNSIGNED)
        self._calibration = calibration

    def evidence(self, text: str) -> list[int]:
        """Evidence at every token, in steps of the weights' quantisation."""
        found = tokens(text)
        return self._apart(self._summed(found), len(found))

    def _summed(self, found: Sequence[bytes]) -> int:
        """The weights at every token and `_ZERO`, 16 bits each, side by side in one integer (`features.joined`)."""
        count = len(found) + 1 & ~1
        bytewise = int.from_bytes(b"\xff\0" * (count // 2), "little")
        even = odd = 0
        for place in looked_up(found, self._known):
            weights = int.from_bytes(picked(self._weights, place), "little")
            even += weights & bytewise
            odd += weights >> 8 & bytewise
        both = array("H", bytes(2 * count))
        both[0::2], both[1::2] = split("H", even, count // 2), split("H", odd, count // 2)
        return joined(both)

    @staticmethod
    def _apart(summed: int, count: int) -> list[int]:
        return [value - _ZERO for value in split("H", summed, count)]

    def _peaks(self, summed: int, count: int) -> list[int]:
        """The highest sum over a stretch of each window's size; over the whole of a shorter text."""
        found = []
        for size in self._calibration.windows:
            stretches = covered = 0
            doubled, reach = summed, 1  # sums over 1, 2, 4 … tokens from every one on
            while reach <= size:
                if size & reach:
                    stretches += doubled >> 16 * covered
                    covered += reach
                doubled += doubled >> 16 * reach
                reach *= 2
            whole = max(1, count - size + 1)
            found.append(max(split("H", stretches, count)[:whole]) - _ZERO * min(size, count))
        return found

    def judge(self, peaks: Sequence[float], count: int) -> float:
        """Peaks of a text of `count` tokens as a score in 0..1."""
        levels, step = self._calibration.at(count)
        excess: float = max(map(sub, peaks, levels)) / step
        return min(0.99, FLAG + (BLOCK - FLAG) * excess) if excess >= 0 else max(0.0, FLAG * (1 + excess))

    def suspicion(self, text: str, least: float = FLAG) -> Suspicion:
        """The score of a text, and its most suspicious stretch if it scores at least `least`."""
        found = tokens(text)
        if len(found) < FEWEST:
            return _NOTHING
        summed = self._summed(found)
        score = self.judge(self._peaks(summed, len(found)), len(found))
        if score < least:
            return Suspicion(score, 0, 0)
        first, last = self._stretch(self._apart(summed, len(found)))
        where = offsets(text)
        return Suspicion(score, where[first][0], where[last - 1][1])

    def _stretch(self, evidence: Sequence[int]) -> tuple[int, int]:
        """The tokens that weigh most: the best run of any length within reach of the best window."""
        size = min(self._calibration.windows[-1] * 2, len(evidence))
        sums = [0, *accumulate(evidence)]
        scores = list(map(sub, sums[size:], sums))
        at = scores.index(max(scores))
        best, low, first, last = -(1 << 60), at, at, at + size
        for end in range(at + 1, at + size + 1):
            if sums[end] - sums[low] > best:
                best, first, last = sums[end] - sums[low], low, end
            if sums[end] < sums[low]:
                low = end
        begin, finish, slack = sums[first], sums[last], best // 20  # what each end may lose for a tighter stretch
        while last - first > 1 and sums[first + 1] - begin <= slack:
            first += 1
        while last - first > 1 and finish - sums[last - 1] <= slack:
            last -= 1
        return first, last


Surface = Literal["content", "description"]
SURFACES: Final[tuple[Surface, ...]] = ("content", "description")


@dataclass(frozen=True, slots=True)
class Model:
    """Both heads: `content` for what tools return and are given, `description` for how they present themselves."""

    content: Head
    description: Head
    header: dict[str, Any]


def pack(header: dict[str, Any], known: bytes, weights: Sequence[bytes]) -> bytes:
    """The file of a model: `known` has a byte for each bit of the vocabulary, `weights` are int8, one per head."""
    bits = bytes(sum(known[i + bit] << bit for bit in range(8)) for i in range(0, len(known), 8))
    streams = [zlib.compress(stream, 9) for stream in (bits, *weights)]
    whole = {"format": MAGIC, "streams": [len(stream) for stream in streams], **header}
    line = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
    return line + b"\n" + b"".join(streams)


def unpack(data: bytes) -> Model:
    """Read a model's file.

    Raises:
        ValueError: it is no such file, or is damaged.
    """
    return Model(_head(data, "content"), _head(data, "description"), _header(data))


def _header(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(data.partition(b"\n")[0])
    if header.get("format") != MAGIC:
        raise ValueError(f"not an injection model ({MAGIC})")
    if header.get("planes") != PLANES or len(header.get("streams", ())) != 1 + len(SURFACES):
        raise ValueError("the injection model is of another size")
    return header


def _head(data: bytes, name: Surface) -> Head:
    """One head; the other one's weights are not even looked at."""
    header = _header(data)
    ends = [*accumulate(header["streams"], initial=data.index(b"\n") + 1)]
    at = 1 + SURFACES.index(name)
    known = _table(_stream(data[ends[0] : ends[1]], 1 << (KNOWN_BITS - 3)))
    return Head(known, _stream(data[ends[at] : ends[at + 1]], MASK + 1), Calibration.read(header[name]))


def _stream(packed: bytes, size: int) -> bytes:
    try:
        plain = zlib.decompress(packed, bufsize=size)
    except zlib.error as error:
        raise ValueError(f"the injection model is damaged ({error})") from None
    if len(plain) != size:
        raise ValueError("the injection model is of another size")
    return plain


@lru_cache(maxsize=1)
def _table(bits: bytes) -> bytes:
    """A byte for each bit, the lowest first."""
    spread = [bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256)]
    return b"".join(map(spread.__getitem__, bits))


@cache
def shipped(name: Surface) -> Head:
    """A head of the model of this package, read once per process: a megabyte that stays."""
    return _head(files("agentflow.guard.injection_model").joinpath("injection.model").read_bytes(), name)
