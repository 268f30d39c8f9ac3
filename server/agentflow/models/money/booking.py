"""The ledger's transactions: what is reserved, used and given back in one go, whole or not at all.

It promises that whatever processes share the database, the reservations and costs of a period never exceed the limit
that was in force when each was made; that a cost is counted once, however often it is told; and that what processes
held that have ended is given back. Costs beyond what was reserved for them are counted too: nothing is hidden.

The clock is the database's (PostgreSQL), so that machines whose clocks differ count alike, or this machine's (SQLite).
Needs SQLAlchemy: imported in the ledger's thread once there is a database.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from agentflow.errors import AgentFlowError, StoreUnavailable
from agentflow.models.money import clock as clocks
from agentflow.models.money.counters import Counters, Kind, Spend
from agentflow.models.money.entries import Ask, BudgetWarning, Charge, Entry, Place, Usage
from agentflow.models.money.periods import Window, level, window
from agentflow.models.money.refusals import spent_out, too_fast, unpriced
from agentflow.models.money.rules import EACH, Budget, applying
from agentflow.store.database import Database
from agentflow.store.tables import (
    BUDGET_ALERTS,
    BUDGET_SPENDS,
    BUDGETS,
    MODEL_USAGE,
    RESERVATION_HOLDERS,
    RESERVATIONS,
)

T = TypeVar("T")
ABANDONED: Final = "abandoned"  # outcome of what a process was doing when it ended
_AGAIN: Final = {"40P01", "40001", "23503", "23505"}  # PostgreSQL: somebody else was first; it is right the next time
_RUNS: Final = 7  # days that what a run has spent of a budget for each run is remembered
_UNKNOWN: Final = -1  # the beat of a holder that has never said that it lives
_CONCURRENT: Final = 1.0  # seconds after which one of several requests under way may have ended
_USED: Final = ("tenant", "project", "principal", "run", "purpose", "provider", "model", "name", "tier", "fingerprint")
_IDS: Final[Any] = sa.bindparam("ids", expanding=True)
_BUDGETS: Final = sa.select(BUDGETS).where(BUDGETS.c.tenant.in_(sa.bindparam("tenants", expanding=True)))
_OUTCOMES: Final = sa.select(MODEL_USAGE.c.id, MODEL_USAGE.c.outcome).where(MODEL_USAGE.c.id.in_(_IDS))
_HELD: Final = sa.select(RESERVATIONS).where(RESERVATIONS.c.id.in_(_IDS)).order_by(RESERVATIONS.c.id).with_for_update()
_GIVE_BACK: Final = sa.delete(RESERVATIONS).where(RESERVATIONS.c.id.in_(_IDS))


class Book:
    """The books in one database, as one process writes them. Used by one thread at a time.

    Args:
        holder: the name under which this process holds reservations.
        clock: epoch seconds; by default the database's clock, or this machine's where it is a file.
        beat: seconds within which a second sign of life says nothing new.
    """

    def __init__(
        self, database: Database, holder: str, clock: Callable[[], float] | None = None, beat: float = 1.0
    ) -> None:
        self._database = database
        self._holder = holder
        self._clock = clock
        self._budgeted: set[str] = set()  # tenants that had a budget at the last look
        self._beat, self._beaten = beat, -math.inf
        self.warnings: list[BudgetWarning] = []  # new ones, for who takes them

    def applies(self, asks: Sequence[Ask]) -> bool:
        """Whether a budget may apply to one of them; without, `apply` has nothing to write.

        Raises:
            StoreUnavailable: it cannot be known.
        """
        tenants = {ask.charge.tenant for ask in asks}
        if tenants & self._budgeted:
            return True
        with self._database.read() as connection:
            budgets = self.budgets(connection, tenants)
        return any(applying(budgets, ask.charge) for ask in asks)

    def apply(
        self, asks: Sequence[Ask] = (), entries: Sequence[Entry] = (), undo: Sequence[str] = ()
    ) -> list[tuple[Place, ...] | AgentFlowError]:
        """Book what has ended, give back the reservations of `undo`, then make room for `asks`, in this order.

        Returns:
            For each ask the counters that it is held in (none: no budget applies), or why it is refused.

        Raises:
            StoreUnavailable: nothing was booked, or it is not known whether it was.
        """
        return self._repeated(lambda connection: _Turn(connection, self, asks, entries, undo).done())

    def beat(self) -> None:
        """Say that this process lives.

        Raises:
            StoreUnavailable: it could not be said.
        """
        self._repeated(lambda connection: self.alive(connection, self.now(connection)))

    def holders(self) -> dict[str, int]:
        """The other processes that hold something, each with its beat.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        held, columns = sa.select(RESERVATIONS.c.holder).distinct().subquery(), RESERVATION_HOLDERS.c
        joined = held.outerjoin(RESERVATION_HOLDERS, columns.id == held.c.holder)
        with self._database.read() as connection:
            rows = connection.execute(sa.select(held.c.holder, columns.beat).select_from(joined))
            return {name: _UNKNOWN if beat is None else beat for name, beat in rows if name != self._holder}

    def reap(self, ended: Mapping[str, int]) -> int:
        """Give back what processes held whose beat is still the one given; how many requests that was.

        Raises:
            StoreUnavailable: nothing was given back.
        """
        return sum(self._repeated(partial(self._reaped, holder=name, beat=beat)) for name, beat in ended.items())

    def forget(self, days: float) -> None:
        """Remove usage, ended periods and alerts that are older, and what runs have spent after a week.

        Raises:
            StoreUnavailable: nothing was removed.
        """

        def forgotten(connection: sa.Connection) -> None:
            before = self.now(connection) - days * 86_400
            connection.execute(sa.delete(MODEL_USAGE).where(MODEL_USAGE.c.time < before))
            connection.execute(sa.delete(BUDGET_ALERTS).where(BUDGET_ALERTS.c.time < before))
            spends, week = BUDGET_SPENDS.c, self.now(connection) - _RUNS * 86_400
            run = sa.and_(spends.ends.is_(None), spends.starts < max(week, before))
            old = sa.or_(run, spends.ends < before)
            connection.execute(sa.delete(BUDGET_SPENDS).where(old, spends.reserved == 0))
            silent, held = RESERVATION_HOLDERS.c, sa.select(RESERVATIONS.c.holder)
            connection.execute(sa.delete(RESERVATION_HOLDERS).where(silent.updated < before, silent.id.not_in(held)))

        self._repeated(forgotten)

    def now(self, connection: sa.Connection) -> float:
        """The time that counts, epoch seconds."""
        return self._clock() if self._clock is not None else clocks.now(self._database, connection)

    def alive(self, connection: sa.Connection, now: float) -> None:
        """Count this process's beat."""
        if time.monotonic() - self._beaten < self._beat:
            return
        columns = RESERVATION_HOLDERS.c
        counted = sa.update(RESERVATION_HOLDERS).where(columns.id == self._holder)
        if not connection.execute(counted.values(beat=columns.beat + 1, updated=now)).rowcount:
            connection.execute(sa.insert(RESERVATION_HOLDERS).values(id=self._holder, beat=1, updated=now))
        self._beaten = time.monotonic()

    def budgets(self, connection: sa.Connection, tenants: set[str]) -> list[Budget]:
        """Every budget that may apply to requests of these tenants, as it is now."""
        rows = connection.execute(_BUDGETS, {"tenants": [*sorted(tenants), EACH]}).mappings()
        found = [Budget.of_row(row) for row in rows]
        theirs = {budget.tenant for budget in found}
        self._budgeted -= tenants
        self._budgeted |= tenants if EACH in theirs else tenants & theirs
        return found

    @property
    def holder(self) -> str:
        """Under which name this process holds."""
        return self._holder

    def _reaped(self, connection: sa.Connection, holder: str, beat: int) -> int:
        columns = RESERVATION_HOLDERS.c
        if beat == _UNKNOWN:
            if connection.scalar(sa.select(columns.id).where(columns.id == holder)) is not None:
                return 0
        elif not connection.execute(
            sa.delete(RESERVATION_HOLDERS).where(columns.id == holder, columns.beat == beat)
        ).rowcount:
            return 0
        held = sa.select(RESERVATIONS).where(RESERVATIONS.c.holder == holder).with_for_update()
        rows = list(connection.execute(held).mappings())
        ended = Usage(success=False, error=ABANDONED)
        entries = [
            Entry(row["id"], Charge(**row["charge"]), ended, tuple(Place(*each) for each in row["held"]), row["nano"],
                  row["tokens"])
            for row in rows
        ]  # fmt: skip
        _Turn(connection, self, (), entries, ()).done()
        return len(rows)

    def _repeated(self, work: Callable[[sa.Connection], T]) -> T:
        for left in (2, 1, 0):
            try:
                with self._database.begin() as connection:
                    return work(connection)
            except StoreUnavailable as error:
                state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None)
                if not left or state not in _AGAIN:
                    raise
        raise AssertionError("unreachable")


class _Turn:
    """One transaction."""

    def __init__(
        self, connection: sa.Connection, book: Book, asks: Sequence[Ask], entries: Sequence[Entry], undo: Sequence[str]
    ) -> None:
        self._connection, self._book = connection, book
        self._asks, self._entries = asks, entries
        self._now = book.now(connection)
        tenants = {ask.charge.tenant for ask in asks} | {entry.charge.tenant for entry in entries}
        self._budgets = {b.id: b for b in book.budgets(connection, tenants)} if tenants else {}
        self._held = self._reservations([*(entry.id for entry in entries if entry.held), *undo])
        self._told = self._outcomes()
        self._undone = [self._held[each] for each in undo if each in self._held]
        self._new: list[dict[str, Any]] = []
        wanted, known = self._places()
        self._counters = Counters(connection, wanted, known, self._now)

    def done(self) -> list[tuple[Place, ...] | AgentFlowError]:
        """Book it."""
        rows = [row for entry in self._entries if (row := self._booked(entry)) is not None]
        for each in self._undone:
            self._given_back(tuple(Place(*place) for place in each["held"]), each["nano"], each["tokens"], 0)
        outcomes = [self._admitted(ask) for ask in self._asks]
        alerts = self._alerts()
        self._counters.write()
        self._written(rows, alerts)
        return outcomes

    def _outcomes(self) -> dict[str, str]:
        """What was told before of those that may have been: whatever is told twice counts once."""
        ids = [each.id for each in self._entries if each.again or (each.held and each.id not in self._held)]
        return dict(map(tuple, self._connection.execute(_OUTCOMES, {"ids": ids}))) if ids else {}

    def _reservations(self, ids: list[str]) -> dict[str, Mapping[str, Any]]:
        """Those that are still held."""
        if not ids:
            return {}
        return {row["id"]: dict(row) for row in self._connection.execute(_HELD, {"ids": ids}).mappings()}

    def _places(self) -> tuple[dict[Place, tuple[Budget, Window]], set[Place]]:
        wanted: dict[Place, tuple[Budget, Window]] = {}
        for ask in self._asks:
            wanted.update(self._applying(ask.charge, ask.id, self._now))
        known = {place for entry in self._entries for place in entry.held}
        known |= {Place(*place) for each in self._undone for place in each["held"]}
        for entry in self._entries:
            if not entry.held and entry.usage.nano:
                known |= set(self._applying(entry.charge, entry.id, self._time(entry)))
        return wanted, known

    def _applying(self, charge: Charge, id: str, now: float) -> dict[Place, tuple[Budget, Window]]:
        found = {}
        for budget, key in applying(self._budgets.values(), charge):
            period = window(budget.period, now, charge.run or id)
            found[Place(*key, period.key)] = budget, period
        return found

    def _time(self, entry: Entry) -> float:
        return self._now - max(time.monotonic() - entry.at, 0.0)

    def _booked(self, entry: Entry) -> dict[str, Any] | None:
        """Count what a request used; its row, or None where it was told before."""
        told = self._told.get(entry.id)
        if told not in (None, ABANDONED):
            return None
        usage = entry.usage
        if entry.held:
            there = entry.id in self._held
            self._given_back(entry.held, entry.nano if there else 0, entry.tokens if there else 0, usage.nano, there)
            if there:
                self._refunded(entry.held, entry.tokens - usage.prompt - usage.completion)
        elif usage.nano:
            for place in self._applying(entry.charge, entry.id, self._time(entry)):
                self._charged(place, usage.nano)
        if told == ABANDONED:
            if usage.error == ABANDONED:
                return None
            self._connection.execute(sa.delete(MODEL_USAGE).where(MODEL_USAGE.c.id == entry.id))
        return self._row(entry)

    def _row(self, entry: Entry) -> dict[str, Any]:
        usage, charge = entry.usage, entry.charge
        return {
            "id": entry.id, "time": self._time(entry), **{name: getattr(charge, name) for name in _USED},
            "tool": charge.tool or charge.purpose, "prompt": usage.prompt, "completion": usage.completion,
            "cached": usage.cached, "nano": usage.nano, "saved": usage.saved, "latency": usage.latency,
            "outcome": "ok" if usage.success else (usage.error or "failed")[:32], "from_cache": usage.from_cache,
        }  # fmt: skip

    def _charged(self, place: Place, nano: int) -> None:
        if (spend := self._counters.spends.get(place)) is not None:
            spend.spent += nano
            spend.requests += 1
            spend.changed = True

    def _given_back(self, held: Iterable[Place], nano: int, tokens: int, spent: int, running: bool = True) -> None:
        for place in held:
            if (spend := self._counters.spends.get(place)) is not None:
                spend.reserved -= nano
                spend.spent += spent
                spend.changed = True
            if running and (quota := self._counters.quotas.get(place.key)) is not None:
                quota.running = max(quota.running - 1, 0)
                quota.changed = True

    def _refunded(self, held: Iterable[Place], tokens: int) -> None:
        """Tokens of the minute that were taken and not used."""
        for place in held:
            budget, quota = self._budgets.get(place.budget), self._counters.quotas.get(place.key)
            if budget is not None and quota is not None and budget.tokens_per_minute is not None:
                quota.refill(budget, self._now)
                quota.take(0, -tokens)

    def _admitted(self, ask: Ask) -> tuple[Place, ...] | AgentFlowError:
        places = self._applying(ask.charge, ask.id, self._now)
        if not places:
            return ()
        refused = [error for place, (b, w) in places.items() if (error := self._refusal(ask, place, b, w)) is not None]
        if refused:
            return max(refused, key=lambda error: error.data.get("retry_after", float("inf")))
        for place in places:
            self._taken(ask, place)
        held = tuple(places)
        self._new.append(
            {"id": ask.id, "holder": self._book.holder, "made": self._now, "nano": ask.nano or 0, "tokens": ask.tokens,
             "held": [list(place) for place in held], "charge": asdict(ask.charge)}
        )  # fmt: skip
        return held

    def _refusal(self, ask: Ask, place: Place, budget: Budget, period: Window) -> AgentFlowError | None:
        spend, quota = self._counters.spends[place], self._counters.quotas[place.key]
        if budget.nano is not None:
            if ask.nano is None:
                return unpriced(budget.name, ask.charge)
            if ask.nano and spend.spent + spend.reserved + ask.nano > budget.nano:
                return spent_out(budget, period, ask.nano, spend.spent, spend.reserved, self._now)
        if budget.max_concurrent is not None and quota.running >= budget.max_concurrent:
            return too_fast(budget, "concurrent", budget.max_concurrent, _CONCURRENT)
        quota.refill(budget, self._now)
        bounds: tuple[tuple[Kind, int | None, int], ...] = (
            ("requests", budget.requests_per_minute, 1),
            ("tokens", budget.tokens_per_minute, ask.tokens),
        )
        for kind, rate, asked in bounds:
            if rate is not None and (wait := quota.wait(kind, rate, asked)):
                return too_fast(budget, kind, rate, wait)
        return None

    def _taken(self, ask: Ask, place: Place) -> None:
        spend, quota = self._counters.spends[place], self._counters.quotas[place.key]
        spend.reserved += ask.nano or 0
        spend.requests += 1
        spend.changed = True
        quota.running += 1
        quota.take(1, ask.tokens)

    def _alerts(self) -> list[dict[str, Any]]:
        found = []
        for spend in self._counters.spends.values():
            budget = self._budgets.get(spend.place.budget)
            if budget is None or not spend.changed:
                continue
            reached = level(spend.spent, budget.nano)
            if reached > spend.warned:
                spend.warned = reached
                found.append(self._alert(budget, spend, reached))
        return found

    def _alert(self, budget: Budget, spend: Spend, reached: int) -> dict[str, Any]:
        place, limit = spend.place, budget.nano or 0
        self._book.warnings.append(
            BudgetWarning(budget.name, place.tenant, place.subject, reached, spend.spent, limit, spend.ends)
        )
        return {**place._asdict(), "level": reached, "time": self._now, "spent": spend.spent, "nano": limit}

    def _written(self, rows: list[dict[str, Any]], alerts: list[dict[str, Any]]) -> None:
        gone = [*(entry.id for entry in self._entries if entry.id in self._held), *(u["id"] for u in self._undone)]
        if gone:
            self._connection.execute(_GIVE_BACK, {"ids": gone})
        if self._new:
            self._connection.execute(sa.insert(RESERVATIONS), self._new)
            self._book.alive(self._connection, self._now)
        if rows:
            self._connection.execute(sa.insert(MODEL_USAGE), rows)
        for alert in alerts:  # one that was there, of a limit that was raised meanwhile, is told again
            columns = BUDGET_ALERTS.c
            same = [columns[name] == alert[name] for name in ("budget", "tenant", "subject", "period", "level")]
            self._connection.execute(sa.delete(BUDGET_ALERTS).where(*same))
            self._connection.execute(sa.insert(BUDGET_ALERTS).values(alert))
