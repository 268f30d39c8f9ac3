"""Which models may serve a request, what each is expected to cost and take, and how it scores.

It promises that a model below the tier's quality floor, too small for the prompt, or able to cost more than `max_cost`
is never a candidate (the floor does not bind who names a model), and says of each that is out why it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from agentflow.config_models import ModelTier, RoutingConfig
from agentflow.models.fleet import Deployment
from agentflow.models.routing.arms import Belief
from agentflow.models.routing.request import RouteRequest
from agentflow.models.routing.reward import score, to_best

_USED: Final = 0.4  # of the most it could cost, before anything was paid
_SECONDS: Final[dict[ModelTier, float]] = {"bronze": 1.2, "silver": 2.5, "gold": 5.0}  # before anything was timed
_STRENGTH: Final[dict[ModelTier, int]] = {"bronze": 0, "silver": 1, "gold": 2}
_TRUSTED: Final = 20.0  # judgements that weigh as much as the configured quality


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may serve a request.

    Attributes:
        full, expected_cost: nano-dollars for an answer as long as it may be, and as experience has it; None without a
            price.
        expected_latency: seconds.
        quality: as configured, moved by judgements.
        busy: requests under way; resting: seconds that it should be left alone.
        score: the routing score among the candidates of this request, 0 to 1.
    """

    deployment: Deployment
    belief: Belief
    full: float | None
    expected_cost: int | None
    expected_latency: float
    quality: float
    busy: int = 0
    resting: float = 0.0
    score: float = 0.0

    @property
    def key(self) -> str:
        return self.deployment.key


@dataclass(frozen=True, slots=True)
class Excluded:
    """A model that may not serve a request, and why: for people."""

    deployment: Deployment
    why: str


def sorted_out(
    request: RouteRequest, fleet: Sequence[Deployment], config: RoutingConfig, exclude: Collection[str]
) -> tuple[list[Deployment], list[Excluded]]:
    """Divide the fleet into those that may serve the request and those that may not."""
    may: list[Deployment] = []
    out: list[Excluded] = []
    for deployment in fleet:
        why = _why_not(deployment, request, config, exclude)
        if why is None:
            may.append(deployment)
        else:
            out.append(Excluded(deployment, why))
    if request.needs_schema and request.model is None and any(each.json_schema for each in may):
        out += [Excluded(each, "cannot be held to a JSON schema") for each in may if not each.json_schema]
        may = [each for each in may if each.json_schema]
    return may, out


def named(deployment: Deployment, model: str) -> bool:
    """Whether `model` means this deployment."""
    return model in (deployment.name, deployment.key, deployment.model)


def _why_not(
    deployment: Deployment, request: RouteRequest, config: RoutingConfig, exclude: Collection[str]
) -> str | None:
    if deployment.kind != request.kind:
        return f"is for {deployment.kind}"
    if request.model is not None and not named(deployment, request.model):
        return "another model was named"
    if request.allowed is not None and not any(named(deployment, each) for each in request.allowed):
        return "policy does not allow it here"
    if request.most is not None and _STRENGTH[deployment.tier] > _STRENGTH[request.most]:
        return f"policy allows {request.most} at most here"
    if deployment.key in exclude:
        return "was tried for this request"
    tier = request.tier or config.default_tier
    floor: float = getattr(config.floors, tier)
    if request.model is None and request.kind == "chat" and deployment.quality < floor:
        return f"quality {deployment.quality:g} is below {tier}'s floor of {floor:g}"
    window = deployment.context_window
    if window is not None and request.prompt_tokens + 1 > window:
        return f"about {request.prompt_tokens} tokens do not fit its {window}"
    if request.max_cost is not None:
        most = bound(deployment, request)
        if most is None:
            return "has no price, and a limit of cost has to be kept"
        if most > request.max_cost:
            return f"could cost ${most / 1e9:.6f}, more than ${request.max_cost / 1e9:.6f}"
    return None


def bound(deployment: Deployment, request: RouteRequest) -> int | None:
    """Nano-dollars that the request can cost there at the very most; None without a price."""
    if deployment.price is None:
        return None
    prompt = max(request.prompt_tokens, request.prompt_bound or 0)
    return deployment.price.most(prompt, _written(deployment, request))


def _written(deployment: Deployment, request: RouteRequest) -> int:
    most = request.max_tokens
    if deployment.max_output is not None:
        most = min(most, deployment.max_output)
    return most * request.choices


def _full(deployment: Deployment, request: RouteRequest) -> float | None:
    """Nano-dollars for as many tokens as the answer may have; quick and not exact."""
    price = deployment.price
    if price is None:
        return None
    if price.beyond is not None and price.dearer is not None and request.prompt_tokens > price.beyond:
        price = price.dearer
    sent = price.input.numerator / price.input.denominator * request.prompt_tokens
    written = price.output.numerator / price.output.denominator * _written(deployment, request)
    return sent + written + price.request.numerator / price.request.denominator


def candidate(
    deployment: Deployment, request: RouteRequest, belief: Belief, *, busy: int = 0, resting: float = 0.0
) -> Candidate:
    """What is expected of one model; its `score` comes with `scored`."""
    full = _full(deployment, request)
    ratio = _USED if belief.ratio is None else belief.ratio
    seconds = _SECONDS[deployment.tier] if request.kind == "chat" else 0.3
    quality = deployment.quality
    if belief.quality is not None:
        quality = (quality * _TRUSTED + belief.quality * belief.judged) / (_TRUSTED + belief.judged)
    return Candidate(
        deployment=deployment,
        belief=belief,
        full=full,
        expected_cost=None if full is None else round(full * ratio),
        expected_latency=seconds if belief.latency is None else belief.latency,
        quality=quality,
        busy=busy,
        resting=resting,
    )


def scored(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with their routing scores: cost and latency against the best of them. Without a price: dearest."""
    costs = [each.expected_cost for each in candidates if each.expected_cost is not None]
    cheapest, dearest = min(costs, default=0), max(costs, default=0)
    fastest = min((each.expected_latency for each in candidates), default=0.0)

    def part(each: Candidate) -> float:
        cost = dearest if each.expected_cost is None else each.expected_cost
        latency = to_best(each.expected_latency, fastest)
        return score(to_best(cost, cheapest), each.quality, latency, each.belief.success)

    return [_with_score(each, part) for each in candidates]


def _with_score(each: Candidate, part: Callable[[Candidate], float]) -> Candidate:
    return Candidate(
        each.deployment, each.belief, each.full, each.expected_cost, each.expected_latency, each.quality, each.busy,
        each.resting, part(each),
    )  # fmt: skip


def dearest(candidates: Sequence[Candidate]) -> float:
    """Nano-dollars expected of the dearest candidate."""
    return max((float(each.expected_cost) for each in candidates if each.expected_cost is not None), default=0.0)


def slowest(candidates: Sequence[Candidate]) -> float:
    """Seconds expected of the slowest candidate."""
    return max((each.expected_latency for each in candidates), default=0.0)
