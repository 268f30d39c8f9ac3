"""From a score to a verdict: the one place where the thresholds are applied."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentflow.config_guard import GuardConfig
from agentflow.guard.injection import Screening

# Content of a trusted server is acted on from here on only, by the rules alone: several overt findings or a hidden one.
BEYOND_DOUBT = 0.95


class Outcome(StrEnum):
    """What a score means: nothing, worth a note, or reason to act."""

    ALLOW = "allow"
    FLAG = "flag"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores (0..1) from which content is flagged and from which it is acted on."""

    flag: float
    block: float

    @classmethod
    def of(cls, config: GuardConfig) -> Thresholds:
        return cls(config.flag_threshold, config.block_threshold)

    def verdict(self, screening: Screening, *, trusted: bool = False, refusable: bool = True) -> Outcome:
        """Return the verdict on a screening.

        Args:
            trusted: it is content (not a definition) of a server that the operator declared trusted.
            refusable: False for what a person typed: it is flagged at most.
        """
        if screening.score < self.flag:
            return Outcome.ALLOW
        if not refusable or screening.score < self.block or (trusted and screening.overt < BEYOND_DOUBT):
            return Outcome.FLAG
        return Outcome.BLOCK
