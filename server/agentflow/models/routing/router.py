"""Which model serves a request, and what is learnt from how it went.

It promises a choice in microseconds, out of memory; that every finished call counts as one pull of its arm, whatever is
reported of it how often; that failures a request has itself to blame for count against no model; and that a model which
failed several times in a row is left alone while another can serve. It refuses (`ModelUnavailable`, which says why)
what no model may serve. Called from one thread; nothing here waits.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agentflow.config_models import RoutingConfig, Strategy
from agentflow.errors import ModelUnavailable
from agentflow.models.fleet import Deployment
from agentflow.models.routing import reward as rewards
from agentflow.models.routing import strategies
from agentflow.models.routing.arm_store import ArmStore
from agentflow.models.routing.arms import EVERYTHING
from agentflow.models.routing.candidates import (
    Candidate,
    Excluded,
    bound,
    candidate,
    dearest,
    named,
    scored,
    slowest,
    sorted_out,
)
from agentflow.models.routing.changes import Pull
from agentflow.models.routing.cooldown import Cooldowns
from agentflow.models.routing.request import RouteRequest, routing_request
from agentflow.models.routing.route import (
    Alternative,
    ArmView,
    Considered,
    ErrorKind,
    Explanation,
    Outcome,
    Route,
    counted,
    timed,
    worth,
)

__all__ = [
    "Alternative", "ArmStore", "ArmView", "Considered", "ErrorKind", "Explanation", "Outcome", "Route", "RouteRequest",
    "Router", "routing_request", "worth",
]  # fmt: skip

_REQUEST_FAULTS: Final = frozenset({"content_filter", "context_window", "bad_request", "cancelled", "budget"})
_LASTING: Final = frozenset({"auth", "not_found"})  # does not pass by itself: no use in asking three times
_REMEMBERED: Final = 10_000  # decisions that feedback can still reach
_RECENT: Final = 128  # latencies of an arm, for its 95th percentile


@dataclass(slots=True)
class _Decision:
    route: Route
    begun: bool = False
    done: bool = False
    success: bool = False
    outcome: float = 0.0  # reward of the call itself
    pull: Pull | None = None
    feedback: float | None = None


@dataclass(slots=True)
class _Recent:
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    first_tokens: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))


class Router:
    """Chooses among the deployments that `fleet()` returns.

    Args:
        arms: what was learnt; started and closed by its owner.
        rng: of Thompson sampling; clock: monotonic seconds.
    """

    def __init__(
        self,
        config: RoutingConfig,
        fleet: Callable[[], Sequence[Deployment]],
        arms: ArmStore,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._fleet = fleet
        self._arms = arms
        self._rng = rng or random.Random()  # noqa: S311 - exploration, not a secret
        self._rests = Cooldowns(config.failures, config.cooldown, clock)
        self._busy: Counter[str] = Counter()
        self._decisions: OrderedDict[str, _Decision] = OrderedDict()
        self._recent: dict[str, _Recent] = {}

    def route(self, request: RouteRequest, exclude: Collection[str] = ()) -> Route:
        """Choose a model.

        Args:
            exclude: keys (`provider:model`) that were tried for this request already.

        Raises:
            ModelUnavailable: nothing may serve it; `data.reason` is `unknown_model`, `none_configured`,
                `not_eligible` or `resting` (then with `retry_after`, seconds).
        """
        route = self._chosen(request, exclude, secrets.token_hex(8))
        self._decisions[route.id] = _Decision(route)
        if len(self._decisions) > _REMEMBERED:
            _, oldest = self._decisions.popitem(last=False)
            self._leave(oldest)
        return route

    def started(self, route: Route) -> None:
        """The request is on its way there."""
        decision = self._decisions.get(route.id)
        if decision is not None and not decision.begun and not decision.done:
            decision.begun = True
            self._busy[route.deployment.key] += 1

    def abandoned(self, route: Route) -> None:
        """The call is not waited for any more (cancelled, or a hedge that came second): nothing is learnt of it."""
        self.finished(route, Outcome(False, 0.0, error="cancelled"))

    def finished(self, route: Route, outcome: Outcome) -> None:
        """How the call went: one pull of its arm, however often this is said."""
        decision = self._decisions.get(route.id)
        if decision is None or decision.done:
            return
        self._leave(decision)
        decision.done = True
        key = route.deployment.key
        if outcome.success:
            self._rests.served(key)
        elif outcome.error in _REQUEST_FAULTS:
            return
        else:
            self._rests.failed(key, retry_after=outcome.retry_after, at_once=outcome.error in _LASTING)
        decision.success, decision.outcome = outcome.success, worth(route, outcome)
        decision.pull = self._arms.pull(route.context, key, counted(route, outcome, decision.outcome))
        if outcome.success and timed(outcome):
            recent = self._recent.setdefault(key, _Recent())
            recent.latencies.append(outcome.latency)
            if outcome.first_token is not None:
                recent.first_tokens.append(outcome.first_token)
        if decision.feedback is not None:
            self._judge(decision, decision.feedback)

    def reward(self, route_ids: Sequence[str], reward: float) -> None:
        """Say how answers served, -1 (not at all) to 2, where 1 is as expected: their pulls count that much instead.

        Of a call that is still under way it counts once that is finished; unknown ids are ignored.
        """
        if reward != reward:  # NaN
            return
        for name in route_ids:
            decision = self._decisions.get(name)
            if decision is None:
                continue
            decision.feedback = rewards.clamped(reward)
            if decision.done:
                self._judge(decision, decision.feedback)

    def cooldowns(self) -> dict[str, float]:
        """Seconds that models are left alone for, by key."""
        return self._rests.all()

    def busy(self) -> dict[str, int]:
        """Requests under way, by key."""
        return {key: count for key, count in sorted(self._busy.items()) if count > 0}

    def forget(self, key: str | None = None) -> None:
        """Begin anew with one arm, or with all."""
        self._arms.forget(key)

    def explain(self, request: RouteRequest, exclude: Collection[str] = ()) -> Explanation:
        """What `route` would choose, and how every model stands. Changes nothing."""
        tier = request.tier or self._config.default_tier
        strategy = request.strategy or self._config.strategy
        rng = self._rng.getstate()
        try:
            chosen, error = self._chosen(request, exclude, ""), ""
        except ModelUnavailable as refused:
            chosen, error = None, refused.message
        self._rng.setstate(rng)
        may, out = sorted_out(request, self._fleet(), self._config, exclude)
        order = self._order(request, may, strategy)
        self._rng.setstate(rng)
        rows = [_row(each, rank) for rank, each in enumerate(sorted(order, key=_awake), 1)]
        return Explanation(request, tier, strategy, chosen, (*rows, *(self._out(each, request) for each in out)), error)

    def arms(self) -> list[ArmView]:
        """Every model's record, seen or not."""
        keys = {each.key for each in self._fleet()} | set(self._arms.scopes().get(EVERYTHING, ()))
        return [self._view(key) for key in sorted(keys)]

    def _chosen(self, request: RouteRequest, exclude: Collection[str], name: str) -> Route:
        fleet = self._fleet()
        may, out = sorted_out(request, fleet, self._config, exclude)
        strategy = request.strategy or self._config.strategy
        if not may:
            raise _refusal(request, request.tier or self._config.default_tier, fleet, out)
        order = self._order(request, may, strategy)
        awake = [each for each in order if not each.candidate.resting]
        note, resting = "", False
        if not awake:
            awake, resting, note = [self._last_resort(order)], True, ", which rests after failures: nothing else can"
        elif request.max_latency is not None:
            quick = [each for each in awake if each.candidate.expected_latency <= request.max_latency]
            note = "" if quick else f", though none is expected within {request.max_latency:g} s"
            awake = quick or sorted(awake, key=lambda each: each.candidate.expected_latency)
        first = awake[0]
        every = [each.candidate for each in order]
        return Route(
            id=name,
            deployment=first.candidate.deployment,
            score=first.candidate.score,
            value=_finite(first.value),
            expected_cost=first.candidate.expected_cost,
            bound=bound(first.candidate.deployment, request),
            full=first.candidate.full or 0.0,
            expected_latency=first.candidate.expected_latency,
            confidence=strategies.confidence(strategy, request, awake),
            reason=f"{strategy}: {first.why}, of {len(order)} that may serve{note}",
            strategy=strategy,
            context=request.context,
            alternatives=tuple(_alternative(each) for each in [e for e in order if e is not first][:2]),
            resting=resting,
            reference_cost=dearest(every),
            reference_latency=request.max_latency or slowest(every),
        )

    def _order(self, request: RouteRequest, may: Sequence[Deployment], strategy: Strategy) -> list[strategies.Ranked]:
        context = request.context
        found: list[Candidate] = []
        for each in may:
            belief = self._arms.belief(context, each.key)
            found.append(
                candidate(each, request, belief, busy=self._busy[each.key], resting=self._rests.left(each.key))
            )
        return strategies.ranked(strategy, request, scored(found), self._config, self._rng)

    def _last_resort(self, order: Sequence[strategies.Ranked]) -> strategies.Ranked:
        """Of models that all rest the one that is back first, if nobody is trying it already."""
        soonest = sorted(order, key=lambda each: each.candidate.resting)
        for each in soonest:
            if not each.candidate.busy and not self._rests.ordered(each.candidate.key):
                return each
        left = soonest[0].candidate.resting
        raise ModelUnavailable(
            f"Every model that may serve this rests after failures; the first is back in {left:.0f} s",
            fix="try again then, or configure another model in models.providers",
            reason="resting",
            retry_after=round(left, 1),
        )

    def _judge(self, decision: _Decision, feedback: float) -> None:
        pull = decision.pull
        if pull is None or not decision.success:
            return
        value, quality = rewards.judged(decision.outcome, feedback), rewards.served(feedback)
        judged = replace(
            pull.outcome, reward=value, square=value * value, successes=quality, quality=quality, judged=1.0
        )
        self._arms.correct(pull, judged)

    def _leave(self, decision: _Decision) -> None:
        if decision.begun and not decision.done:
            self._busy[decision.route.deployment.key] -= 1

    def _out(self, each: Excluded, request: RouteRequest) -> Considered:
        shown = candidate(each.deployment, request, self._arms.belief(request.context, each.deployment.key))
        belief = shown.belief
        return Considered(
            each.deployment, 0, "", each.why, 0.0, None, shown.expected_cost, shown.expected_latency, shown.quality,
            belief.pulls, belief.success, self._rests.left(each.deployment.key),
        )  # fmt: skip

    def _view(self, key: str) -> ArmView:
        belief = self._arms.belief(EVERYTHING, key)
        recent = self._recent.get(key, _Recent())
        latencies = sorted(recent.latencies)
        p95 = latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))] if latencies else None
        first = sum(recent.first_tokens) / len(recent.first_tokens) if recent.first_tokens else None
        return ArmView(
            key, belief.pulls, belief.mean, belief.success, belief.latency, p95, first, belief.quality,
            self._busy[key], self._rests.left(key),
        )  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _awake(each: strategies.Ranked) -> bool:
    return each.candidate.resting > 0


def _alternative(each: strategies.Ranked) -> Alternative:
    one = each.candidate
    return Alternative(one.deployment, one.score, one.expected_cost, one.expected_latency, each.why)


def _row(each: strategies.Ranked, rank: int) -> Considered:
    one = each.candidate
    return Considered(
        one.deployment, rank, each.why, "", one.score, _finite(each.value), one.expected_cost, one.expected_latency,
        one.quality, one.belief.pulls, one.belief.success, one.resting,
    )  # fmt: skip


def _refusal(
    request: RouteRequest, tier: str, fleet: Sequence[Deployment], out: Sequence[Excluded]
) -> ModelUnavailable:
    """Why nothing may serve a request."""
    of_kind = [each for each in fleet if each.kind == request.kind]
    if not of_kind:
        return ModelUnavailable(
            f"No {request.kind} model is configured",
            fix="add one to models.providers",
            reason="none_configured",
        )
    asked = request.model
    if asked is not None and not any(named(each, asked) for each in of_kind):
        return ModelUnavailable(
            f"No model is called {asked[:100]!r}", fix="see `agentflow models list`", reason="unknown_model"
        )
    considered = [each for each in out if each.deployment.kind == request.kind]
    if asked is not None:
        considered = [each for each in considered if named(each.deployment, asked)]
    why = "; ".join(f"{each.deployment.key} {each.why}" for each in considered[:5])
    more = f"; and {len(considered) - 5} more" if len(considered) > 5 else ""
    return ModelUnavailable(
        f"No model may serve this {tier} request: {why}{more}",
        fix="configure one that may, ask for a lower tier, or allow more cost",
        reason="not_eligible",
    )
