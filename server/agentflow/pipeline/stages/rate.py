"""rate: how often one caller may make calls of the class that policy counts them in (obligation `rate_class`).

It comes after the decision, which names the class, and before anybody is asked about the call. A class that
`limits.classes` does not define is a refusal: to let the call through uncounted would be to fail open.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, Literal

from agentflow.config import LimitsConfig
from agentflow.errors import PolicyDenied
from agentflow.pipeline.call import Call, Direction, Message
from agentflow.pipeline.rates import Rates, Taken
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.pipeline.stages.limit import too_often


class Rate:
    """The stage."""

    name: ClassVar[str] = "rate"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.INBOUND})

    def __init__(self, config: LimitsConfig, rates: Rates) -> None:
        self._classes = config.classes
        self._rates = rates

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Count a decided call in its class.

        Raises:
            LimitExceeded: there were too many of it.
            PolicyDenied: nobody has said how many there may be.
            StoreUnavailable: it cannot be counted.
        """
        if message.surface != call.surface:
            return SKIPPED
        name = call.decision.obligations.rate_class if call.decision is not None else None
        if name is None:
            return PASS
        limit = self._classes.get(name)
        if limit is None:
            raise _undefined(name, call)
        taken = self._rates.take(f"{call.principal.key}\0{name}", limit.calls_per_minute)
        if isinstance(taken, Taken):
            return _counted(name, limit.calls_per_minute, taken)
        return _awaited(name, limit.calls_per_minute, taken)


async def _awaited(name: str, rate: int, taking: Awaitable[Taken]) -> Note:
    return _counted(name, rate, await taking)


def _counted(name: str, rate: int, taken: Taken) -> Note:
    if taken.wait:
        raise too_often(rate, taken.wait, f"{name} ", limit="rate_class", rate_class=name)
    return Note(detail={"rate_class": name})


def _undefined(name: str, call: Call) -> PolicyDenied:
    text = f"policy counts this call in the rate class {name}, which limits.classes does not define"
    return PolicyDenied(
        f"Denied: {text}",
        fix="have the administrator define it, or take it out of the policy",
        reasons=[{"code": "rate_class_unknown", "message": text}],
        revision=call.decision.revision if call.decision else "",
    )
