"""Models to choose from, for tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agentflow.config_models import ModelTier, RoutingConfig
from agentflow.models.fleet import Deployment, Price
from agentflow.models.routing.arm_store import ArmStore
from agentflow.models.routing.router import Outcome, Route, Router, RouteRequest

QUALITY = {"gold": 0.9, "silver": 0.7, "bronze": 0.5}


def model(name: str, tier: ModelTier = "silver", dollars: float | None = 1.0, **more: Any) -> Deployment:
    """A chat model of a provider of the same name; `dollars` for a million tokens, in or out."""
    nano = None if dollars is None else Fraction(round(dollars * 1000))
    price = None if nano is None else Price(nano, nano, nano)
    known: dict[str, Any] = {"quality": QUALITY[tier], "price": price, "kind": "chat", **more}
    return Deployment(provider=name, model="m", name=name, tier=tier, **known)


FLEET = (model("big", "gold", 10.0), model("mid", "silver", 2.0), model("small", "bronze", 0.5))


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def router(fleet: Sequence[Deployment] = FLEET, clock: Clock | None = None, **settings: Any) -> Router:
    """A router with an empty memory."""
    config = RoutingConfig(**settings)
    return Router(config, lambda: fleet, ArmStore(config.half_life), rng=random.Random(7), clock=clock or Clock())


def asked(**more: Any) -> RouteRequest:
    return RouteRequest(**{"prompt_tokens": 1_000, "max_tokens": 500, **more})


def served(router: Router, route: Route, success: bool = True, **more: Any) -> None:
    """The whole life of a routed call."""
    router.started(route)
    more = {"latency": 1.0, "cost": (route.bound or 0) // 4, **more}
    router.finished(route, Outcome(success, error=None if success else more.pop("error", "server"), **more))
