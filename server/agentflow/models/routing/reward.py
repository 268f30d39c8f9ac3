"""What a call was worth to the bandit, and how a model scores before it is asked (FEATURES.md, "Exact formats").

Reward: -1 on failure, else 1 + 0.6 (cost accuracy - 0.5) + 0.6 (latency accuracy - 0.5) + 0.2 savings + 0.2 speed-up,
clamped to [-1, 2]. Routing score: 0.4 cost + 0.3 quality + 0.2 latency + 0.1 reliability. Every part is from 0 to 1.
"""

from __future__ import annotations

from typing import Final

LOWEST: Final = -1.0
HIGHEST: Final = 2.0
SUCCESS: Final = 1.0  # what success counts before cost and latency


def accuracy(actual: float, expected: float) -> float:
    """How near `actual` came to what was expected of it: 1 at best, 0 where it is off by its own size or more."""
    if expected <= 0:
        return 1.0 if actual <= 0 else 0.0
    return max(0.0, 1 - abs(actual - expected) / expected)


def saved(actual: float, reference: float) -> float:
    """The part of `reference` (what the dearest or slowest that might have served would take) that was not used."""
    return min(1.0, max(0.0, 1 - actual / reference)) if reference > 0 else 0.0


def reward(
    success: bool,
    cost_accuracy: float = 0.0,
    latency_accuracy: float = 0.0,
    savings: float = 0.0,
    speedup: float = 0.0,
    quality: float | None = None,
) -> float:
    """The reward of one call.

    Args:
        quality: how good the answer was, 0 to 1, where somebody judged: the reward then lies that far between a
            failure's and a success's.
    """
    if not success:
        return LOWEST
    value = SUCCESS + 0.6 * (cost_accuracy - 0.5) + 0.6 * (latency_accuracy - 0.5) + 0.2 * savings + 0.2 * speedup
    if quality is not None:
        value = LOWEST + min(1.0, max(0.0, quality)) * (value - LOWEST)
    return clamped(value)


def judged(outcome: float, feedback: float) -> float:
    """The reward of a call once it is known how its answer served.

    `feedback` of 1 changes nothing; less lies that far between a failure's reward and the call's, more is added to it.
    """
    feedback = clamped(feedback)
    if feedback > SUCCESS:
        return clamped(outcome + feedback - SUCCESS)
    return clamped(LOWEST + served(feedback) * (outcome - LOWEST))


def served(feedback: float) -> float:
    """How good an answer was, 0 to 1, as feedback has it."""
    return min(1.0, (clamped(feedback) - LOWEST) / (SUCCESS - LOWEST))


def clamped(value: float) -> float:
    """`value`, within [-1, 2]."""
    return min(HIGHEST, max(LOWEST, value))


def score(cost: float, quality: float, latency: float, reliability: float) -> float:
    """The routing score, 0 to 1, of parts from 0 (worst) to 1 (best)."""
    return 0.4 * cost + 0.3 * quality + 0.2 * latency + 0.1 * reliability


def to_best(value: float, best: float) -> float:
    """A cost or latency as a part of the score: 1 for the least there is, a half for twice that."""
    return 1.0 if value <= best or value <= 0 else max(0.0, best) / value
