"""What a budget's period will have cost at its end, by what was spent so far and in the four weeks before.

The rate is that of the period itself and, the younger it is, the more that of the days before it; the range holds what
80 of 100 ends are expected in, by how much the days differed. A period of which little is known says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Final, Literal

from agentflow.models.money.budgets import State
from agentflow.models.money.periods import window
from agentflow.models.money.rules import Budget
from agentflow.models.money.usage import Filter, report
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY: Final = 86_400.0
_BEFORE: Final = 28  # days looked at before the period
_WEIGHT: Final = 2.0  # days that have to pass until the period's own rate counts as much as that of the days before
_LEAST: Final = 3  # days before the period that have to be known for their spread to say something
_Z: Final = 1.2816  # of the normal distribution: 10 % are above
_HOUR: Final = 1 / 24


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of one period; nano-dollars.

    Attributes:
        expected: spent at its end; low, high: in 80 of 100 cases between them.
        a_day: what is being spent in a day.
        runs_out: epoch seconds when the limit is reached, if that is before the period ends.
        confidence: by how many days are known: `high` from two weeks, `medium` from three days, else `low`.
    """

    state: State
    expected: int
    low: int
    high: int
    a_day: int
    runs_out: float | None
    confidence: Literal["low", "medium", "high"]

    @property
    def share(self) -> float | None:
        """What is expected as a share of the limit; None without one."""
        limit = self.state.budget.nano
        return self.expected / limit if limit else None


def forecast(store: Store, states: Sequence[State], now: float) -> list[Forecast]:
    """One for each period that has an end.

    Raises:
        StoreUnavailable: what was used cannot be read.
    """
    return [_forecast(state, _days(store, state), now) for state in states if state.ends is not None]


def _days(store: Store, state: State) -> list[int]:
    """What each whole day before the period cost, from the first that had a request."""
    since = state.starts - _BEFORE * _DAY
    which = Filter(since, state.starts, state.tenant, **_whose(state.budget, state.subject))
    known = {used.key: used.nano for used in report(store, "day", which)}
    keys = [window("daily", since + number * _DAY).key for number in range(_BEFORE)]
    first = next((number for number, key in enumerate(keys) if key in known), len(keys))
    return [known.get(key, 0) for key in keys[first:]]


def _whose(budget: Budget, subject: str) -> dict[str, Any]:
    return {budget.scope: subject} if budget.scope in ("project", "principal") else {}


def _forecast(state: State, days: list[int], now: float) -> Forecast:
    ends = state.ends or now
    passed = max((min(now, ends) - state.starts) / _DAY, 0.0)
    left = max((ends - now) / _DAY, 0.0)
    own = state.spent / max(passed, _HOUR)
    weight = passed / (passed + _WEIGHT) if days else 1.0
    rate = weight * own + (1 - weight) * (mean(days) if days else 0.0)
    spread = stdev(days) * math.sqrt(left) if len(days) >= _LEAST else rate * left / 2
    more = rate * left
    limit, runs_out = state.budget.nano, None
    if limit is not None and state.spent >= limit:
        runs_out = now
    elif limit is not None and rate > 0 and (limit - state.spent) / rate < left:
        runs_out = now + (limit - state.spent) / rate * _DAY
    known = len(days) + (passed if state.spent else 0.0)
    return Forecast(
        state,
        expected=state.spent + round(more),
        low=state.spent + round(max(more - _Z * spread, 0.0)),
        high=state.spent + round(more + _Z * spread),
        a_day=round(rate),
        runs_out=runs_out,
        confidence="high" if known >= 14 else "medium" if known >= _LEAST else "low",
    )
