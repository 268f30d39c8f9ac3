"""The counters of budgets, as one transaction has them: locked in one order, changed in memory, written back once.

Needs SQLAlchemy: imported only by who has a database open.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from agentflow.models.money.entries import Key, Place
from agentflow.models.money.periods import Window
from agentflow.models.money.rules import Budget
from agentflow.store.tables import BUDGET_QUOTAS, BUDGET_SPENDS, MODEL_USAGE

Kind = Literal["requests", "tokens"]
_S: Final = BUDGET_SPENDS.c
_Q: Final = BUDGET_QUOTAS.c
_U: Final = MODEL_USAGE.c


@dataclass(slots=True)
class Spend:
    """What one period of one budget has been charged, and what is promised of it."""

    place: Place
    starts: float
    ends: float | None
    spent: int
    reserved: int
    requests: int
    warned: int
    changed: bool = False


@dataclass(slots=True)
class Quota:
    """What is left of the minute, and how many requests are under way."""

    key: Key
    requests: float | None
    tokens: float | None
    running: int
    updated: float
    changed: bool = False

    def refill(self, budget: Budget, now: float) -> None:
        """What has come back by now. A clock that was set back gives nothing, one set forward a minute's worth."""
        passed = max(now - self.updated, 0.0) / 60.0
        self.requests = _refilled(self.requests, budget.requests_per_minute, passed)
        self.tokens = _refilled(self.tokens, budget.tokens_per_minute, passed)
        self.changed = self.changed or now < self.updated  # or it would wait for that time to come
        self.updated = now

    def wait(self, kind: Kind, rate: int, asked: int) -> float:
        """Seconds until `asked` are there, of what was refilled; 0: now; infinite: never."""
        held = getattr(self, kind)
        return math.inf if asked > rate else 0.0 if held >= asked else (asked - held) * 60.0 / rate

    def take(self, requests: int, tokens: int) -> None:
        """Take out; less than nothing is put back, and no more than fits the next time it is refilled."""
        if self.requests is not None:
            self.requests -= requests
        if self.tokens is not None:
            self.tokens -= tokens
        self.changed = True


def _refilled(held: float | None, rate: int | None, minutes: float) -> float | None:
    """None where nothing is counted, or nothing was so far."""
    if rate is None:
        return None
    return float(rate) if held is None else min(float(rate), held + minutes * rate)


class Counters:
    """The rows that a transaction needs.

    Args:
        wanted: rows that are made where they are missing, with what was used so far in their period.
        known: rows that are changed where they are there.
    """

    def __init__(
        self,
        connection: sa.Connection,
        wanted: Mapping[Place, tuple[Budget, Window]],
        known: Collection[Place],
        now: float,
    ) -> None:
        self._connection = connection
        self.now = now
        places = sorted({*wanted, *known})
        self._lock(places)
        if missing := {place: each for place, each in wanted.items() if not self._there(place)}:
            self._make(missing)
            self._lock(places)

    def _there(self, place: Place) -> bool:
        return place in self.spends and place.key in self.quotas

    def _lock(self, places: list[Place]) -> None:
        """In the order of their names: two who need the same ones do not wait for each other."""
        self.spends = self._locked_spends(places)
        self.quotas = self._locked_quotas(sorted({place.key for place in places}))

    def _make(self, missing: Mapping[Place, tuple[Budget, Window]]) -> None:
        for place in sorted(missing):
            budget, window = missing[place]
            values = {
                "starts": window.starts, "ends": window.ends, "spent": self._used(budget, place, window), "reserved": 0,
                "requests": 0, "warned": 0, **place._asdict(),
            }  # fmt: skip
            self._insert(BUDGET_SPENDS, values)
        for key in sorted({place.key for place in missing}):
            self._insert(BUDGET_QUOTAS, {"running": 0, "updated": self.now, **key._asdict()})

    def _insert(self, table: sa.Table, values: dict[str, Any]) -> None:
        if self._connection.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert as of_postgres

            self._connection.execute(of_postgres(table).values(values).on_conflict_do_nothing())
        else:
            from sqlalchemy.dialects.sqlite import insert as of_sqlite

            self._connection.execute(of_sqlite(table).values(values).on_conflict_do_nothing())

    def _used(self, budget: Budget, place: Place, window: Window) -> int:
        """What a budget that is new, or began to count, finds used in its period."""
        if window.ends is None:
            return 0
        fits = [_U.tenant == place.tenant, _U.time >= window.starts, _U.time < window.ends]
        if budget.scope == "project":
            fits.append(_U.project == place.subject)
        elif budget.scope == "principal":
            fits.append(_U.principal == place.subject)
        return int(self._connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(_U.nano), 0)).where(*fits)) or 0)

    def _locked_spends(self, places: list[Place]) -> dict[Place, Spend]:
        if not places:
            return {}
        found = {}
        for row in self._connection.execute(_LOCK_SPENDS, {"places": places}).mappings():
            place = Place(row["budget"], row["tenant"], row["subject"], row["period"])
            found[place] = Spend(
                place, row["starts"], row["ends"], row["spent"], row["reserved"], row["requests"], row["warned"]
            )
        return found

    def _locked_quotas(self, keys: list[Key]) -> dict[Key, Quota]:
        if not keys:
            return {}
        found = {}
        for row in self._connection.execute(_LOCK_QUOTAS, {"keys": keys}).mappings():
            whose = Key(row["budget"], row["tenant"], row["subject"])
            found[whose] = Quota(whose, row["requests"], row["tokens"], row["running"], row["updated"])
        return found

    def write(self) -> None:
        """Write back what was changed."""
        spends = [
            {**{f"b_{name}": value for name, value in each.place._asdict().items()}, "spent": each.spent,
             "reserved": each.reserved, "requests": each.requests, "warned": each.warned}
            for each in self.spends.values() if each.changed
        ]  # fmt: skip
        if spends:
            self._connection.execute(_WRITE_SPEND, spends)
        quotas = [
            {**{f"b_{name}": value for name, value in each.key._asdict().items()}, "requests": each.requests,
             "tokens": each.tokens, "running": each.running, "updated": each.updated}
            for each in self.quotas.values() if each.changed
        ]  # fmt: skip
        if quotas:
            self._connection.execute(_WRITE_QUOTA, quotas)


_PLACE: Final = (_S.budget, _S.tenant, _S.subject, _S.period)
_KEY: Final = (_Q.budget, _Q.tenant, _Q.subject)
_LOCK_SPENDS: Final = (
    sa.select(BUDGET_SPENDS)
    .where(sa.tuple_(*_PLACE).in_(sa.bindparam("places", expanding=True)))
    .order_by(*_PLACE)
    .with_for_update()
)
_LOCK_QUOTAS: Final = (
    sa.select(BUDGET_QUOTAS)
    .where(sa.tuple_(*_KEY).in_(sa.bindparam("keys", expanding=True)))
    .order_by(*_KEY)
    .with_for_update()
)
_WRITE_SPEND: Final = (
    sa.update(BUDGET_SPENDS)
    .where(*(column == sa.bindparam(f"b_{column.name}") for column in _PLACE))
    .values({name: sa.bindparam(name) for name in ("spent", "reserved", "requests", "warned")})
)
_WRITE_QUOTA: Final = (
    sa.update(BUDGET_QUOTAS)
    .where(*(column == sa.bindparam(f"b_{column.name}") for column in _KEY))
    .values({name: sa.bindparam(name) for name in ("requests", "tokens", "running", "updated")})
)
