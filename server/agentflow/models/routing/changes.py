"""Whether an arm has lately done much worse than it used to: then what was seen of it before counts no longer.

Forgetting by half-life is slow where one model serves nearly everything: thousands of good answers outweigh a bad hour.
So the last outcomes are compared with all that is remembered, after each one; a fall by three standard errors is taken
for a change (as in CUSUM-UCB, Liu et al. 2018). A rise is not looked for: an arm that does better keeps being chosen,
and feedback that is still to come would look like one.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from agentflow.models.routing.arms import Sums

RECENT: Final = 24  # outcomes that are compared
ERRORS: Final = 3.0  # standard errors that are taken for a change
_LEAST_VARIANCE: Final = 0.25  # an arm that never failed so far may, now and then


@dataclass(slots=True)
class Pull:
    """One outcome as it counts now, where it was recorded (scope, arm), and both clocks at the time."""

    scope: str
    arm: str
    outcome: Sums
    clocks: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Watch:
    """The last outcomes of one arm in one scope."""

    last: deque[Pull] = field(default_factory=lambda: deque(maxlen=RECENT))

    def fallen(self, known: Sums) -> Sums | None:
        """What of `known`, the arm's sums with the last outcomes in them, is still to count; None: all of it.

        What its calls cost and took stays known: prices and seconds do not follow from how good answers are.
        """
        if len(self.last) < RECENT or known.pulls < 1.5 * RECENT:
            return None
        mean = known.reward / known.pulls
        variance = max(_LEAST_VARIANCE, known.square / known.pulls - mean * mean)
        late = sum(pull.outcome.reward for pull in self.last) / RECENT
        if late - mean > -ERRORS * math.sqrt(variance / RECENT):
            return None
        kept = replace(known, pulls=0.0, reward=0.0, square=0.0, successes=0.0)
        for pull in self.last:
            kept.pulls += 1
            kept.reward += pull.outcome.reward
            kept.square += pull.outcome.square
            kept.successes += pull.outcome.successes
        self.last.clear()
        return kept
