"""The limits that a run brings along: what its requests may spend together, counted in this process.

A run lives in one gateway, so its worker sees all of it. A request says what its run may still spend, or what it may
spend in all: the first one sets the limit, and a later one can only lower it, so that answers which the run has not
seen yet are not spent twice.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from agentflow.models.money.entries import Charge
from agentflow.models.money.refusals import run_spent, unpriced

_KEPT: Final = 10_000


@dataclass(slots=True)
class _Count:
    limit: int | None = None
    spent: int = 0
    held: int = 0

    def room(self, told: int | None) -> int | None:
        if told is not None:
            whole = told + self.spent
            self.limit = whole if self.limit is None else min(self.limit, whole)
        return None if self.limit is None else self.limit - self.spent - self.held


class RunLimits:
    """What runs have spent. Used on one thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str], tuple[_Count, _Count]] = OrderedDict()

    def admit(self, charge: Charge, nano: int | None, tokens: int) -> bool:
        """Take room for a request; whether it is counted. To be ended with `end`.

        Raises:
            BudgetExceeded: the run has less left, or the price is not known.
        """
        key = (charge.tenant, charge.run)
        if not charge.run or (charge.run_cost is None and charge.run_tokens is None and key not in self._runs):
            return False
        cost, count = self._runs.setdefault(key, (_Count(), _Count()))
        self._runs.move_to_end(key)
        money, room = cost.room(charge.run_cost), count.room(charge.run_tokens)
        if money is not None:
            if nano is None:
                raise unpriced("run", charge)
            if nano > money:
                raise run_spent(charge, "cost", max(money, 0), nano)
        if room is not None and tokens > room:
            raise run_spent(charge, "tokens", max(room, 0), tokens)
        cost.held += nano or 0
        count.held += tokens
        self._forget()
        return True

    def end(self, charge: Charge, held: tuple[int, int], spent: tuple[int, int]) -> None:
        """A request has ended: `held` (nano-dollars, tokens) were taken, `spent` were used."""
        found = self._runs.get((charge.tenant, charge.run))
        if found is not None:
            for each, taken, used in zip(found, held, spent, strict=True):
                each.held -= taken
                each.spent += used

    def room(self, charge: Charge) -> tuple[int | None, int | None]:
        """What the run may still take: nano-dollars and tokens, None for no limit."""
        cost, count = self._runs.get((charge.tenant, charge.run), (_Count(), _Count()))
        rooms = []
        for each, told in ((cost, charge.run_cost), (count, charge.run_tokens)):
            whole = [limit for limit in (each.limit, None if told is None else told + each.spent) if limit is not None]
            rooms.append(max(min(whole) - each.spent - each.held, 0) if whole else None)
        return rooms[0], rooms[1]

    def _forget(self) -> None:
        while len(self._runs) > _KEPT:
            oldest = next((key for key, found in self._runs.items() if not any(each.held for each in found)), None)
            if oldest is None:
                return
            del self._runs[oldest]
