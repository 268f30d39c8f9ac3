"""What a choice of a model is, how a call that was routed went, and what the choice looks like to people."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from agentflow.config_models import Strategy
from agentflow.models.fleet import Deployment
from agentflow.models.routing import reward as rewards
from agentflow.models.routing.arms import Sums
from agentflow.models.routing.request import RouteRequest

# As `models.worker.provider.FailureKind` has them, and two of ours.
ErrorKind = Literal[
    "rate_limit",
    "unreachable",
    "server",
    "timeout",
    "protocol",
    "context_window",
    "content_filter",
    "auth",
    "not_found",
    "bad_request",
    "cancelled",  # nobody waits for it any more
    "budget",  # it was never sent
]


@dataclass(frozen=True, slots=True)
class Alternative:
    """A model that would have been next."""

    deployment: Deployment
    score: float
    expected_cost: int | None
    expected_latency: float
    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """A choice (FEATURES M05).

    Attributes:
        id: names the choice, for `Router.reward`.
        score: the routing score, 0 to 1; value: what the strategy ranked it by, None where that is first or last.
        expected_cost: nano-dollars, None without a price; bound: the most it can cost; full: with an answer as long as
            it may be; expected_latency: seconds.
        confidence: how sure the choice is, 0 to 1.
        reason: why this one, for people.
        alternatives: the two next best.
        resting: whether it should be left alone, and only nothing else could serve.
    """

    id: str
    deployment: Deployment
    score: float
    value: float | None
    expected_cost: int | None
    bound: int | None
    expected_latency: float
    confidence: float
    reason: str
    strategy: Strategy
    context: str
    alternatives: tuple[Alternative, ...] = ()
    resting: bool = False
    full: float = 0.0
    reference_cost: float = 0.0
    reference_latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call went.

    Attributes:
        latency: seconds until the whole answer was there; first_token: until its first part.
        cost: nano-dollars, None where nobody knows.
        quality: 0 to 1, where somebody judged at once.
        error: of a call that failed; the request's own faults count against no model.
        retry_after: seconds, where the provider said so.
    """

    success: bool
    latency: float
    first_token: float | None = None
    cost: int | None = None
    quality: float | None = None
    error: ErrorKind | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Considered:
    """One row of an explanation: a model, and how it stands. `why_not` is "" where it may serve."""

    deployment: Deployment
    rank: int
    why: str
    why_not: str
    score: float
    value: float | None
    expected_cost: int | None
    expected_latency: float
    quality: float
    pulls: float
    success_rate: float
    resting: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request would go where it would go now. `chosen` is None where nothing may serve it; `error` says why."""

    request: RouteRequest
    tier: str
    strategy: Strategy
    chosen: Route | None
    rows: tuple[Considered, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class ArmView:
    """A model's record (FEATURES B07): latencies in seconds, None where nothing was seen; p95 since the start."""

    key: str
    pulls: float
    mean_reward: float
    success_rate: float
    latency: float | None
    latency_p95: float | None
    first_token: float | None
    quality: float | None
    busy: int
    resting: float


def worth(route: Route, outcome: Outcome) -> float:
    """The reward of a call that was routed so and went so. Without a price, cost counts neither for nor against."""
    cost_accuracy, savings = 0.5, 0.0
    if route.expected_cost is not None and outcome.cost is not None:
        cost_accuracy = rewards.accuracy(outcome.cost, route.expected_cost)
        savings = rewards.saved(outcome.cost, route.reference_cost)
    latency_accuracy, speedup = 0.5, 0.0
    if timed(outcome):
        latency_accuracy = rewards.accuracy(outcome.latency, route.expected_latency)
        speedup = rewards.saved(outcome.latency, route.reference_latency)
    return rewards.reward(outcome.success, cost_accuracy, latency_accuracy, savings, speedup, outcome.quality)


def timed(outcome: Outcome) -> bool:
    """Whether its latency can be one."""
    return math.isfinite(outcome.latency) and outcome.latency >= 0


def counted(route: Route, outcome: Outcome, value: float) -> Sums:
    """What one pull adds to its arm."""
    sums = Sums(pulls=1.0, reward=value, square=value * value, successes=float(outcome.success))
    if not outcome.success:
        return sums
    if outcome.cost is not None and route.full:
        sums = replace(sums, ratio=outcome.cost / route.full, costed=1.0)
    if timed(outcome):
        sums = replace(sums, latency=outcome.latency, timed=1.0)
    if outcome.quality is not None:
        quality = min(1.0, max(0.0, outcome.quality))
        sums = replace(sums, successes=quality, quality=quality, judged=1.0)
    return sums
