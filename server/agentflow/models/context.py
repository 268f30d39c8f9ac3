"""Who asks a model, for what, and within which bounds: the member `agentflow` of a request to the model worker.

It holds no clear value and no key: names, numbers and settings only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from agentflow.config_models import ModelTier, Privacy, Strategy
from agentflow.errors import InvalidArguments
from agentflow.models.port import Purpose


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the worker has to know of a request beside the request itself.

    Attributes:
        principal, tenant, project: who is charged, and whose cached answers may be reused.
        tool: the tool on whose behalf a model is asked, as its caller knows it (`solver`); "" for the purpose.
        run: the run it belongs to; run_tokens, run_cost: what that run may still spend (tokens, nano-dollars).
        max_cost: most nano-dollars this request may cost; max_latency: seconds that routing aims at.
        timeout: seconds after which the caller has gone; fail-over and retries end by then.
        cache: whether a stored answer will do; privacy: who may share this one (None: as configured).
        models: names of the models that may serve it, by policy; None: all. Fail-over keeps to them, too.
        most: the strongest tier that may serve it, by policy (obligation `model_tier`); None: any.
    """

    principal: str = ""
    tenant: str = ""
    project: str = ""
    tool: str = ""
    run: str = ""
    run_tokens: int | None = None
    run_cost: int | None = None
    purpose: Purpose = "chat"
    tier: ModelTier | None = None
    strategy: Strategy | None = None
    max_cost: int | None = None
    max_latency: float | None = None
    timeout: float | None = None
    cache: bool = True
    privacy: Privacy | None = None
    models: tuple[str, ...] | None = None
    most: ModelTier | None = None

    def admits(self, name: str, tier: ModelTier) -> bool:
        """Whether policy lets a model of that name and tier serve the request."""
        named = self.models is None or name in self.models
        return named and (self.most is None or _TIERS.index(tier) <= _TIERS.index(self.most))

    def as_json(self) -> dict[str, Any]:
        """The member `agentflow`: what differs from the defaults."""
        return {f.name: v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) != f.default}

    @classmethod
    def parse(cls, member: object) -> RequestContext:
        """Read the member `agentflow`.

        Raises:
            InvalidArguments: it has a member that is unknown, or of another type.
        """
        if member is None:
            return cls()
        if not isinstance(member, Mapping):
            raise InvalidArguments("`agentflow` must be an object")
        for name, value in member.items():
            if name not in _FITS or not _FITS[name](value):
                raise InvalidArguments(f"`agentflow.{str(name)[:40]}` is unknown or malformed")
        models = member.get("models")
        return cls(**{**member, "models": None if models is None else tuple(models)})


_TIERS = get_args(ModelTier)  # weakest first


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 500


def _whole(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _seconds(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_FITS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("principal", "tenant", "project", "tool", "run"), _text),
    **dict.fromkeys(("run_tokens", "run_cost", "max_cost"), _whole),
    **dict.fromkeys(("max_latency", "timeout"), _seconds),
    "purpose": lambda value: value in get_args(Purpose),
    "tier": lambda value: value is None or value in get_args(ModelTier),
    "strategy": lambda value: value is None or value in get_args(Strategy),
    "cache": _flag,
    "privacy": lambda value: value is None or value in get_args(Privacy),
    "models": lambda value: value is None or (isinstance(value, (list, tuple)) and all(map(_text, value))),
    "most": lambda value: value is None or value in get_args(ModelTier),
}
