"""What a heavy detector is: something that gives a second opinion on texts, in batches, and may take milliseconds.

It runs in the process of `worker.py`, never in the gateway's. A detector that cannot be loaded says so when it is
built, with what to install or configure; one that fails on a text raises, and the caller refuses the message.
A score below 0, above 1 or no number at all is such a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

FLAG: Final = 0.4
BLOCK: Final = 0.8
LOCAL: Final = frozenset(
    {"neural", "stackone", "prompt_guard", "llm_guard"}
)  # kinds that need no network, and get none


class Judgement(NamedTuple):
    """An opinion on one text.

    Attributes:
        score: 0..1 on the scale of the always-on detectors: 0.4 flags, 0.8 blocks at the shipped thresholds.
        start, end: characters of the text that the opinion is about; the whole text where the detector does not say.
    """

    score: float
    start: int
    end: int


class HeavyDetector(Protocol):
    """A judge of texts."""

    def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """Return one judgement per text, in order."""
        ...


class DetectorUnavailable(Exception):
    """A detector cannot be loaded; the text says what to do."""


class DetectorFailed(Exception):
    """A detector could not judge a text; this one's text says why, and holds nothing of what was asked about."""


class Spec(NamedTuple):
    """Which detector, and how it is set: what crosses to the worker."""

    kind: str
    options: dict[str, Any]


def scaled(score: float, threshold: float) -> float:
    """Put a score with a threshold of its own (both 0..1) on our scale."""
    if score <= threshold:
        return FLAG * score / threshold if threshold else FLAG
    above = (score - threshold) / (1 - threshold) if threshold < 1 else 1.0
    return FLAG + (BLOCK - FLAG) * 2 * above if above < 0.5 else BLOCK + (1 - BLOCK) * (2 * above - 1)


def located(text: str, quote: str, score: float) -> Judgement:
    """Return a judgement on the place of a quote in a text, or on all of it where it is not there word for word."""
    at = text.find(quote) if quote else -1
    return Judgement(score, at, at + len(quote)) if at >= 0 else Judgement(score, 0, len(text))
