"""What a heavy detector is: something that gives a second opinion on texts, in batches, and may take milliseconds.

It runs in the process of `worker.py`, never in the gateway's. A detector that cannot be loaded says so when it is
built, with what to install or configure; one that fails on a text raises, and the caller refuses the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


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


class Spec(NamedTuple):
    """Which detector, and how it is set: what crosses to the worker."""

    kind: str
    options: dict[str, Any]
