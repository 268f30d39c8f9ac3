"""From sums of evidence to promises: what harmless texts reach, by their length.

For texts of several lengths the sum that a nominal share of them reaches is taken from an exponential fit to the
tail (peaks over threshold), since the sources that matter are the ones not seen. Lengths beyond those at hand go on
along the tail: a text ten times as long has ten times as many stretches.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentflow.guard.training.harvest import Document

Floats = NDArray[np.float64]

LENGTHS: Final = (12, 30, 70, 160, 400, 1000, 2200)
_BEYOND: Final = (22_000, 220_000)
_TAIL: Final = 0.03
_FEWEST: Final = 200  # stretches of a length that a level can be taken from
_IGNORED: Final = frozenset({"about", "user_security"})
_WEIGHTS: Final = {
    "trigger": 2.0,
    "twin": 1.0,
    "twinned": 0.5,
    "user": 0.4,
    "tweets": 1.0,
    "gen_bank": 0.3,
    "gen_csv": 0.3,
}


# In short texts, sentences of chats and manuals are what there is; a third of the share may reach a level.
_SENTENCES: Final = 70
_SHORT: Final = {**_WEIGHTS, "tweets": 2.0, "trigger": 8.0, "twin": 3.0, "manual": 2.0}


def calibrate(
    documents: Sequence[Document],
    evidence: Sequence[Floats],
    windows: Sequence[int],
    flag: float,
    block: float,
    seed: int = 3,
) -> dict[str, Any]:
    """The calibration of a head: levels that a share `flag` of harmless texts reaches, steps up to a share `block`.

    Args:
        documents: harmless texts that were not trained on.
        evidence: for each, the evidence at every token.
    """
    random = np.random.RandomState(seed)
    lengths, levels, steps = [], [], []
    for length in LENGTHS:
        peaks, weights = _sample(documents, evidence, windows, length, random)
        if len(peaks) < _FEWEST:
            break
        lengths.append(length)
        share = flag / 3 if length <= _SENTENCES else flag
        one = np.array([_level(peaks[:, k], weights, share)[0] for k in range(len(windows))])
        excess = (peaks - one).max(1)
        shift, scale = _level(excess, weights, share)
        levels.append(one + shift)
        steps.append(scale * math.log(flag / block))
    smooth = _smoothed(np.array(levels))
    scale = float(np.mean(steps[-2:])) / math.log(flag / block)
    for longer in _BEYOND:
        smooth.append([value + scale * math.log(longer / lengths[-1]) for value in smooth[len(lengths) - 1]])
    even = float(np.mean(steps))
    return {
        "windows": list(windows),
        "lengths": [*lengths, *_BEYOND],
        "levels": [[round(value, 1) for value in row] for row in smooth],
        "steps": [round((even + step) / 2, 1) for step in (*steps, *[steps[-1]] * len(_BEYOND))],
    }


def peaks_of(evidence: Floats, windows: Sequence[int]) -> list[float]:
    """The highest sum over a stretch of each size."""
    sums = np.concatenate([[0.0], np.cumsum(evidence)])
    return [float((sums[size:] - sums[:-size]).max()) if len(sums) > size else float(sums[-1]) for size in windows]


def _sample(
    documents: Sequence[Document],
    evidence: Sequence[Floats],
    windows: Sequence[int],
    length: int,
    random: np.random.RandomState,
) -> tuple[Floats, Floats]:
    """Peaks of stretches of about `length` tokens, and how much each counts: even over kinds, then sources."""
    chosen = [
        index
        for index, document in enumerate(documents)
        if document.kind not in _IGNORED and len(evidence[index]) >= length * 0.6
    ]
    kinds = {documents[index].kind for index in chosen}
    by_source = Counter((documents[index].kind, documents[index].source) for index in chosen)
    sources = Counter(kind for kind, _ in by_source)
    peaks, weights = [], []
    for index in chosen:
        kind, count = documents[index].kind, len(evidence[index])
        draws = min(4, 1 + count // (2 * length))
        weight = (
            (_SHORT if length <= _SENTENCES else _WEIGHTS).get(kind, 1.0)
            / sources[kind]
            / by_source[kind, documents[index].source]
            / draws
        )
        for _ in range(draws):
            start = random.randint(0, max(1, count - length + 1))
            peaks.append(peaks_of(evidence[index][start : start + length], windows))
            weights.append(min(weight, 3.0 / len(chosen) * len(kinds) / max(1, draws)))
    total = np.array(weights)
    return np.array(peaks).reshape(-1, len(windows)), total / max(total.sum(), 1e-9)


def _level(values: Floats, weights: Floats, share: float) -> tuple[float, float]:
    """The value that `share` of the weight exceeds, and the scale of the tail."""
    order = np.argsort(-values)
    above = np.cumsum(weights[order])
    last = max(8, int(np.searchsorted(above, _TAIL)))
    threshold = values[order[min(last, len(order) - 1)]]
    tail = order[:last]
    scale = max(1.0, float(np.average(values[tail] - threshold, weights=weights[tail])))
    return float(threshold + scale * math.log(max(above[last - 1], share * 1.01) / share)), scale


def _smoothed(levels: Floats) -> list[list[float]]:
    """Levels that never fall with length: a longer text holds the shorter one."""
    return [[float(value) for value in row] for row in np.maximum.accumulate(levels, axis=0)]
