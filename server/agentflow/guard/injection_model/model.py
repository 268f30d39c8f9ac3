"""The trained injection model, read: how much a text looks as if it held an injected instruction, and where.

A text's evidence is a number per token (`features`), summed over every stretch of a few sizes; the highest sum,
measured against what harmless texts of that length reach, is the score. 0.4 is what one in 200 harmless texts
reaches, 0.8 what one in 1,250 does; see MODEL_CARD.md. Nothing is imported that is not in the standard library, a
kilobyte takes some 0.3 ms, and equal texts get equal scores on every platform.

The file: one line of JSON (`Header`), then a zlib stream of the vocabulary's bits and each head's weights (int8).
"""

from __future__ import annotations

import json
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate, pairwise
from operator import add, sub
from typing import Any, Final

from agentflow.guard.injection_model.features import KNOWN_BITS, MASK, PLANES, numbers, offsets, places, tokens

MAGIC: Final = "agentflow-injection-1"
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


class Head:
    """The weights and the calibration of one surface."""

    def __init__(self, known: bytes, weights: array[int], calibration: Calibration) -> None:
        self._known = known
        self._weight = weights.__getitem__
        self._calibration = calibration

    def evidence(self, text: str) -> list[int]:
        """Evidence at every token, in steps of the weights' quantisation."""
        words = numbers(tokens(text), self._known)
        kinds = [map(self._weight, place) for place in places(words)]
        total = map(add, kinds[0], kinds[1])
        for more in kinds[2:]:
            total = map(add, total, more)
        return list(total)

    def peaks(self, evidence: Sequence[int]) -> list[int]:
        """The highest sum over a stretch of each window's size; over the whole of a shorter text."""
        sums = [0, *accumulate(evidence)]
        return [max(map(sub, sums[size:], sums), default=sums[-1]) for size in self._calibration.windows]

    def judge(self, peaks: Sequence[float], count: int) -> float:
        """Peaks of a text of `count` tokens as a score in 0..1."""
        levels, step = self._calibration.at(count)
        excess: float = max(map(sub, peaks, levels)) / step
        return min(0.99, FLAG + (BLOCK - FLAG) * excess) if excess >= 0 else max(0.0, FLAG * (1 + excess))

    def suspicion(self, text: str, least: float = FLAG) -> Suspicion:
        """The score of a text, and its most suspicious stretch if it scores at least `least`."""
        evidence = self.evidence(text)
        if len(evidence) < FEWEST:
            return Suspicion(0.0, 0, 0)
        score = self.judge(self.peaks(evidence), len(evidence))
        if score < least:
            return Suspicion(score, 0, 0)
        first, last = self._stretch(evidence)
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


@dataclass(frozen=True, slots=True)
class Model:
    """Both heads: `content` for what tools return and are given, `description` for how they present themselves."""

    content: Head
    description: Head
    header: dict[str, Any]


def pack(header: dict[str, Any], known: bytes, weights: Sequence[bytes]) -> bytes:
    """The file of a model: `known` has a byte for each bit of the vocabulary, `weights` are int8, one per head."""
    bits = bytes(sum(known[i + bit] << bit for bit in range(8)) for i in range(0, len(known), 8))
    line = json.dumps({"format": MAGIC, **header}, sort_keys=True, separators=(",", ":")).encode()
    return line + b"\n" + zlib.compress(bits + b"".join(weights), 9)


def unpack(data: bytes) -> Model:
    """Read a model's file.

    Raises:
        ValueError: it is no such file, or is damaged.
    """
    line, _, body = data.partition(b"\n")
    header = json.loads(line)
    if header.get("format") != MAGIC:
        raise ValueError(f"not an injection model ({MAGIC})")
    try:
        plain = zlib.decompress(body)
    except zlib.error as error:
        raise ValueError(f"the injection model is damaged ({error})") from None
    size = 1 << (KNOWN_BITS - 3)
    if len(plain) != size + 2 * (MASK + 1) or header.get("planes") != PLANES:
        raise ValueError("the injection model is of another size")
    known = bytes(byte >> bit & 1 for byte in plain[:size] for bit in range(8))
    heads = []
    for name, (start, end) in zip(
        ("content", "description"), pairwise((size, size + MASK + 1, len(plain))), strict=True
    ):
        weights = array("b")
        weights.frombytes(plain[start:end])
        heads.append(Head(known, weights, Calibration.read(header[name])))
    return Model(heads[0], heads[1], header)


@cache
def shipped() -> Model:
    """The model of this package, read once per process."""
    return unpack(files("agentflow.guard.injection_model").joinpath("injection.model").read_bytes())
