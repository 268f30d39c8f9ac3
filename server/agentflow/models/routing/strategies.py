"""How one of several models that may serve a request is chosen: by rule, or by what was learnt.

The learning strategies are contextual and discounted: their counts are those of the request's scope, and old outcomes
fade. Untried models come first; requests under way count as pulls, so that many at once do not all try the same one.

- `ucb1` (Auer, Cesa-Bianchi and Fischer 2002): mean + c · s · sqrt(ln N / n) + 0.3 · routing score, c = 1.414. `s` is
  the standard deviation of the leading model's rewards, 1 until that is known and at most: what a model would have to
  be to lead varies no more than the one that does, and a bonus for the whole range of rewards explores several times
  too much (UCB1-tuned in the same paper takes each arm's own variance; KL-UCB, Garivier and Cappé 2011, says why the
  leader's is the one that counts).
- `thompson`: the chance that an answer serves is drawn from its Beta posterior (Chapelle and Li 2011), times what
  answers that served were worth.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agentflow.config_models import RoutingConfig, Strategy
from agentflow.models.routing.candidates import Candidate
from agentflow.models.routing.request import COMPLEX, RouteRequest
from agentflow.models.routing.reward import LOWEST, SUCCESS

SCORE_WEIGHT: Final = 0.3
_NEGLIGIBLE: Final = 1e-6  # pulls that have faded to less count as none
_PRIOR: Final = 2.0  # pulls that the configured quality weighs as much as
_SHARP: Final = 1.5  # outcomes count so many times: explores less (Chapelle and Li 2011, posterior reshaping)
_DOUBT: Final = 10.0  # pulls that the standard deviation of 1 weighs as much as
_SERVED: Final = SUCCESS + 0.3 - LOWEST  # by how much a usual answer that served is above a failure


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate, the value it was ranked by (higher is better), and that value in words."""

    candidate: Candidate
    value: float
    why: str


def ranked(
    strategy: Strategy,
    request: RouteRequest,
    candidates: Sequence[Candidate],
    config: RoutingConfig,
    rng: random.Random,
) -> list[Ranked]:
    """The candidates, best first. Equal ones are in the order of their scores, then of their keys."""
    rules: dict[Strategy, Callable[[], list[Ranked]]] = {
        "simple-complex": lambda: _simple_complex(request, candidates),
        "cheapest": lambda: [_cheap(each) for each in candidates],
        "fastest": lambda: [_fast(each) for each in candidates],
        "least-busy": lambda: [Ranked(c, -float(c.busy), f"{c.busy} under way") for c in candidates],
        "ucb1": lambda: _ucb1(candidates, config.exploration),
        "thompson": lambda: [_thompson(each, rng) for each in candidates],
    }
    return sorted(rules[strategy](), key=lambda each: (-each.value, -each.candidate.score, each.candidate.key))


def tried(candidate: Candidate) -> float:
    """Pulls, those under way included."""
    return candidate.belief.pulls + candidate.busy


def exploration(c: float, total: float, pulls: float) -> float:
    """UCB1's bonus: c · sqrt(ln N / n)."""
    return c * math.sqrt(math.log(max(1.0, total)) / pulls)


def _cheap(candidate: Candidate) -> Ranked:
    cost = candidate.expected_cost
    if cost is None:
        return Ranked(candidate, -math.inf, "no price")
    return Ranked(candidate, -float(cost), f"about ${cost / 1e9:.6f}")


def _fast(candidate: Candidate) -> Ranked:
    if tried(candidate) < _NEGLIGIBLE:
        return Ranked(candidate, math.inf, "not timed yet")
    return Ranked(candidate, -candidate.expected_latency, f"about {candidate.expected_latency:.2f} s")


def _simple_complex(request: RouteRequest, candidates: Sequence[Candidate]) -> list[Ranked]:
    if request.complexity < COMPLEX:
        return [Ranked(each.candidate, each.value, f"simple: {each.why}") for each in map(_cheap, candidates)]
    return [Ranked(each, each.quality, f"complex: quality {each.quality:.2f}") for each in candidates]


def _ucb1(candidates: Sequence[Candidate], c: float) -> list[Ranked]:
    total = sum(tried(each) for each in candidates)
    spread = leading_spread(candidates)
    found = []
    for each in candidates:
        pulls, extra = tried(each), SCORE_WEIGHT * each.score
        if pulls < _NEGLIGIBLE:
            found.append(Ranked(each, math.inf, "not tried yet"))
            continue
        mean = each.belief.mean if each.belief.pulls >= _NEGLIGIBLE else prior_mean(each)
        bonus = exploration(c * spread, total, pulls)
        why = f"mean {mean:.3f} + exploration {bonus:.3f} + {SCORE_WEIGHT:g} x score {each.score:.3f}"
        found.append(Ranked(each, mean + bonus + extra, why))
    return found


def leading_spread(candidates: Sequence[Candidate]) -> float:
    """Standard deviation of the rewards of the candidate whose mean is highest, less its own error; 1 at most."""
    known = [each.belief for each in candidates if each.belief.pulls > 1]
    if not known:
        return 1.0
    leader = max(known, key=lambda belief: belief.mean - 1 / math.sqrt(belief.pulls))
    return min(1.0, math.sqrt((leader.pulls * leader.variance + _DOUBT) / (leader.pulls + _DOUBT)))


def prior_mean(candidate: Candidate) -> float:
    """The reward that is expected of a model nobody tried."""
    return LOWEST + candidate.quality * _SERVED


def posterior(candidate: Candidate) -> tuple[float, float, float]:
    """The Beta distribution's two parameters for the chance that an answer serves, and what one that does is worth
    above a failure."""
    belief = candidate.belief
    good = belief.successes + _PRIOR * candidate.quality
    bad = max(0.0, belief.pulls - belief.successes) + _PRIOR * (1 - candidate.quality)
    worth = (belief.pulls * (belief.mean - LOWEST) + _SERVED) / (belief.successes + 1)
    return max(_NEGLIGIBLE, good), max(_NEGLIGIBLE, bad), worth


def _thompson(candidate: Candidate, rng: random.Random) -> Ranked:
    if tried(candidate) < _NEGLIGIBLE:
        return Ranked(candidate, math.inf, "not tried yet")
    good, bad, worth = posterior(candidate)
    chance = rng.betavariate(_SHARP * good, _SHARP * bad)
    value = LOWEST + chance * worth
    known = f"{candidate.belief.pulls:.0f} outcomes, {good / (good + bad):.2f} of them good"
    return Ranked(candidate, value, f"drew {value:.3f} (chance {chance:.2f} x worth {worth:.2f} - 1) from {known}")


def confidence(strategy: Strategy, request: RouteRequest, order: Sequence[Ranked]) -> float:
    """How sure the choice of the first is, 0 to 1.

    Of the learning strategies: the chance that its mean reward is above the runner-up's. Of the others: how well that
    is known by which the strategy chooses.
    """
    if len(order) < 2:
        return 1.0
    first, second = order[0].candidate, order[1].candidate
    if strategy == "simple-complex":
        return min(1.0, 2 * abs(request.complexity - COMPLEX))
    if strategy == "least-busy":
        return 1.0
    if strategy == "cheapest":
        return 0.0 if first.expected_cost is None else 1.0 if second.expected_cost is None else _known(first)
    if strategy == "fastest":
        return _known(first)
    (m1, s1), (m2, s2) = (_estimate(each) for each in (first, second))
    return 0.5 * (1 + math.erf((m1 - m2) / math.sqrt(2 * max(1e-12, s1 + s2))))


def _known(candidate: Candidate) -> float:
    return candidate.belief.pulls / (candidate.belief.pulls + 5)


def _estimate(candidate: Candidate) -> tuple[float, float]:
    """Mean of the reward, and the variance of that mean."""
    good, bad, worth = posterior(candidate)
    chance = good / (good + bad)
    return LOWEST + chance * worth, worth**2 * chance * (1 - chance) / (good + bad + 1)
