"""limit: how deep, how large, how many at once and how often one caller may ask.

Every refusal says which limit it was and, where waiting helps, for how long (`retry_after`, seconds). It looks at
requests, at what clients answer in the middle of one (those only for depth and size), and at results where the
decision bounds their size (`max_result_bytes`); the general bound on results is kept where they are read.

How often, is counted by `rates`: in this process, or together with the gateways that share its store. What policy
counts apart (`rate_class`) is the business of the stage `rate`, after the decision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable
from typing import Any, ClassVar, Final, Literal

from agentflow.config import LimitsConfig
from agentflow.errors import LimitExceeded
from agentflow.pipeline.call import Call, Direction, Message
from agentflow.pipeline.rates import LocalRates, Rates, Taken
from agentflow.pipeline.stage import PASS, Note

_BUSY_RETRY: Final = 1.0


class Limit:
    """The limit stage. The chain gives a call's slot back with `release`."""

    name: ClassVar[str] = "limit"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)

    def __init__(self, config: LimitsConfig, rates: Rates | None = None) -> None:
        self._config = config
        self._rates: Rates = rates or LocalRates()
        self._running: dict[str, str] = {}  # call id → principal key
        self._per_principal: dict[str, int] = {}

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Admit a message. Awaits only where the caller's calls are counted elsewhere, and none were taken ahead.

        Raises:
            LimitExceeded: too deep, too large, too many at once, or too often.
            StoreUnavailable: how often, cannot be counted.
        """
        if message.direction is Direction.OUTBOUND:
            return _bounded(call, message)
        self._measure(message.body)
        if message.surface == call.surface and call.id not in self._running:
            key, rate = call.principal.key, self._config.calls_per_minute
            self._admit(key)
            taken = self._rates.take(key, rate) if rate else None
            if isinstance(taken, Taken):
                self._count(call, taken)
            self._running[call.id] = key
            self._per_principal[key] = self._per_principal.get(key, 0) + 1
            if taken is not None and not isinstance(taken, Taken):
                return self._counted(call, taken)
        return PASS

    def release(self, call: Call) -> None:
        """Give back the slot of a call that has ended; a call that holds none is no error."""
        key = self._running.pop(call.id, None)
        if key is None:
            return
        left = self._per_principal[key] - 1
        if left:
            self._per_principal[key] = left
        else:
            del self._per_principal[key]

    def _measure(self, body: dict[str, Any]) -> None:
        limits = self._config
        if _measured(body, limits.max_depth) > limits.max_body:
            raise LimitExceeded(
                f"The request is larger than {limits.max_body} bytes", limit="max_body", max=limits.max_body
            )

    def _admit(self, key: str) -> None:
        limits = self._config
        if len(self._running) >= limits.max_concurrent:
            raise LimitExceeded(
                f"{limits.max_concurrent} calls are running; try again shortly",
                limit="max_concurrent",
                max=limits.max_concurrent,
                retry_after=_BUSY_RETRY,
            )
        if self._per_principal.get(key, 0) >= limits.max_concurrent_per_principal:
            raise LimitExceeded(
                f"{limits.max_concurrent_per_principal} calls of yours are running; wait for one to end",
                limit="max_concurrent_per_principal",
                max=limits.max_concurrent_per_principal,
                retry_after=_BUSY_RETRY,
            )

    async def _counted(self, call: Call, taking: Awaitable[Taken]) -> Note:
        try:
            self._count(call, await taking)
        except BaseException:
            self.release(call)
            raise
        return PASS

    def _count(self, call: Call, taken: Taken) -> None:
        if taken.wait:
            raise too_often(self._config.calls_per_minute, taken.wait, limit="calls_per_minute")
        call.calls_left = taken.left


def too_often(rate: int, wait: float, of: str = "", **data: str) -> LimitExceeded:
    """The refusal of a call beyond `rate` a minute, which may come again in `wait` seconds.

    Args:
        of: what kind of calls, for the sentence.
    """
    return LimitExceeded(
        f"More than {rate} {of}calls per minute; try again in {wait:.1f} s",
        max=rate,
        retry_after=math.ceil(wait * 1000) / 1000,  # never 0: who comes again at once is refused again
        **data,
    )


def _bounded(call: Call, message: Message) -> Note:
    bound = call.decision.obligations.max_result_bytes if call.decision else None
    if bound is None or message.surface != call.surface:
        return PASS
    if len(json.dumps(message.body, ensure_ascii=False).encode("utf-8", "replace")) > bound:
        raise LimitExceeded(
            f"The result is larger than the {bound} bytes that policy allows here",
            fix="ask for less, or have the administrator raise max_result_bytes",
            limit="max_result_bytes",
            max=bound,
        )
    return PASS


def _measured(body: Any, max_depth: int) -> int:
    """Count the characters of all keys and strings, and one for each other value; iterative.

    Raises:
        LimitExceeded: containers are nested deeper than `max_depth`.
    """
    size, depth, level = 0, 0, [body]
    while level:
        depth += 1
        if depth > max_depth:
            raise LimitExceeded(
                f"The request is nested deeper than {max_depth} levels", limit="max_depth", max=max_depth
            )
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                size += sum(map(len, container))
                values: Any = container.values()
            else:
                values = container
            for value in values:
                kind = type(value)
                if kind is str:
                    size += len(value)
                elif kind is dict or kind is list:
                    below.append(value)
                else:
                    size += 1
        level = below
    return size
