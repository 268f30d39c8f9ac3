"""Making, changing and looking at budgets, for the command line and the administration.

What is changed here counts for the next request of every gateway on the same database. A budget that is made in the
middle of a period counts what was used in it before. Everything waits for a database: not on an event loop.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentflow.errors import Conflict, InvalidArguments, NotFound
from agentflow.models.money.amounts import MOST, dollars
from agentflow.models.money.entries import Key
from agentflow.models.money.periods import Period, Status, level, status, window
from agentflow.models.money.rules import EACH, Budget, Scope
from agentflow.store.opened import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

Clock = Callable[[], float]
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}")
_QUOTAS: Final = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
_LARGEST: Final = 2_147_483_647
_RUNS: Final = 20  # runs that are shown of a budget for each run


@dataclass(frozen=True, slots=True)
class NewBudget:
    """A budget to be made; see `rules.Budget`. Without a name it gets one from what it says."""

    tenant: str = "default"
    scope: Scope = "tenant"
    subject: str = ""
    period: Period = "monthly"
    nano: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How a budget is, for one of those it counts separately, in its present period.

    Attributes:
        tenant, subject: whose money, where the budget stands for several.
        starts, ends: epoch seconds; `ends` is None of a run.
        spent, reserved: nano-dollars; requests: how many were made; running: how many are under way.
    """

    budget: Budget
    tenant: str
    subject: str
    period: str
    starts: float
    ends: float | None
    spent: int
    reserved: int
    requests: int
    running: int

    @property
    def status(self) -> Status:
        """By what is spent."""
        return status(self.spent, self.budget.nano)

    @property
    def left(self) -> int | None:
        """Nano-dollars that may still be promised; None without a limit."""
        return None if self.budget.nano is None else max(self.budget.nano - self.spent - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class Alert:
    """A share of a limit that was reached."""

    budget: str
    tenant: str
    subject: str
    period: str
    level: int
    time: float
    spent: int
    limit: int


class Budgets:
    """The budgets in a store.

    Args:
        clock: epoch seconds, for tests.
    """

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store, self._clock = store, clock

    def all(self, tenant: str | None = None) -> list[Budget]:
        """All, or those that a tenant's requests meet, by tenant and name.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        if not self._store.holds("budget"):
            return []
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGETS

        asked = sa.select(BUDGETS).order_by(BUDGETS.c.tenant, BUDGETS.c.name)
        if tenant is not None:
            asked = asked.where(BUDGETS.c.tenant.in_([tenant, EACH]))
        with self._store.database().read() as connection:
            return [Budget.of_row(row) for row in connection.execute(asked).mappings()]

    def find(self, name: str, tenant: str | None = None) -> Budget:
        """One, by its id or its name.

        Raises:
            NotFound: there is none. Conflict: several tenants have one of that name.
        """
        found = [each for each in self.all() if each.id == name or each.name == name]
        fitting = [each for each in found if tenant is None or each.tenant == tenant]
        if not fitting:
            raise NotFound("There is no such budget", fix="`agentflow budget list` shows them")
        if len(fitting) > 1:
            tenants = ", ".join(each.tenant for each in fitting)
            raise Conflict(f"Several tenants have a budget of that name: {tenants}", fix="say whose, or give its id")
        return fitting[0]

    def create(self, wish: NewBudget, by: str) -> Budget:
        """Make one.

        Raises:
            InvalidArguments: it says something that cannot be. Conflict: the tenant has one of that name.
            StoreUnavailable: it was not made.
        """
        _check(wish)
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGETS

        database, columns = self._store.database(), BUDGETS.c
        with database.begin() as connection:
            taken = set(connection.scalars(sa.select(columns.name).where(columns.tenant == wish.tenant)))
            name = wish.name or _named(wish, taken)
            if name in taken:
                raise Conflict(f"Tenant {wish.tenant} has a budget {name!r}", fix="update it, or choose another name")
            now = self._now(connection)
            values: dict[str, Any] = {
                "id": uuid.uuid4().hex[:12], "name": name, "tenant": wish.tenant, "scope": wish.scope,
                "subject": wish.subject, "period": wish.period, "nano": wish.nano, "created": now, "created_by": by,
                "updated": now, "updated_by": by, **{quota: getattr(wish, quota) for quota in _QUOTAS},
            }  # fmt: skip
            connection.execute(sa.insert(BUDGETS).values(values))
        return Budget.of_row(values)

    def update(self, budget: Budget, changes: Mapping[str, Any], by: str) -> Budget:
        """Change its `name`, limit (`nano`) or quotas; requests under way keep what was reserved for them.

        Raises:
            InvalidArguments: it would say something that cannot be. Conflict: the name is taken.
            NotFound: it is gone by now. StoreUnavailable: nothing was changed.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGET_SPENDS, BUDGETS

        columns = BUDGETS.c
        with self._store.database().begin() as connection:
            found = connection.execute(
                sa.select(BUDGETS).where(columns.id == budget.id).with_for_update(key_share=True)
            )
            before = found.mappings().one_or_none()
            if before is None:
                raise NotFound("There is no such budget any more")
            now = self._now(connection)
            after = {**before, **changes, "updated": now, "updated_by": by}
            _check(NewBudget(**{name: after[name] for name in NewBudget.__dataclass_fields__}))
            same = sa.select(columns.id).where(
                columns.tenant == after["tenant"], columns.name == after["name"], columns.id != budget.id
            )
            if connection.scalar(same) is not None:
                raise Conflict(f"Tenant {after['tenant']} has a budget {after['name']!r}", fix="choose another name")
            told = {name: value for name, value in after.items() if name != "id"}
            connection.execute(sa.update(BUDGETS).where(columns.id == budget.id).values(told))
            if after["nano"] != before["nano"]:  # what was warned of was a share of the old limit
                spends = BUDGET_SPENDS.c
                live = sa.or_(spends.ends.is_(None), spends.ends > now)
                rows = sa.select(BUDGET_SPENDS).where(spends.budget == budget.id, live).with_for_update()
                for each in list(connection.execute(rows).mappings()):
                    key = [spends[name] == each[name] for name in ("budget", "tenant", "subject", "period")]
                    reached = level(each["spent"], after["nano"])
                    connection.execute(sa.update(BUDGET_SPENDS).where(*key).values(warned=reached))
        return Budget.of_row(after)

    def delete(self, budget: Budget) -> None:
        """Remove it, with its periods and alerts; what was used stays known.

        Raises:
            NotFound: it is gone already. StoreUnavailable: it is still there.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGETS

        with self._store.database().begin() as connection:
            if not connection.execute(sa.delete(BUDGETS).where(BUDGETS.c.id == budget.id)).rowcount:
                raise NotFound("There is no such budget any more")

    def states(self, budgets: Sequence[Budget], tenant: str | None = None) -> list[State]:
        """How they are now; of one that counts several separately, each that has used something. A run's are its last.

        Args:
            tenant: only this one's money.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        if not budgets:
            return []
        with self._store.database().read() as connection:
            now = self._now(connection)
            found = [state for budget in budgets for state in self._states(connection, budget, now)]
        return [state for state in found if tenant is None or state.tenant == tenant]

    def history(self, budget: Budget, limit: int = 12, tenant: str | None = None) -> list[State]:
        """Its periods, the newest first.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGET_SPENDS

        columns = BUDGET_SPENDS.c
        asked = sa.select(BUDGET_SPENDS).where(columns.budget == budget.id)
        if tenant is not None:
            asked = asked.where(columns.tenant == tenant)
        with self._store.database().read() as connection:
            rows = connection.execute(asked.order_by(columns.starts.desc(), columns.subject).limit(limit)).mappings()
            return [_state(budget, row, 0) for row in rows]

    def alerts(self, budgets: Iterable[Budget], limit: int = 50, tenant: str | None = None) -> list[Alert]:
        """What was reached of their limits, the newest first.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        names = {budget.id: budget.name for budget in budgets}
        if not names:
            return []
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGET_ALERTS

        columns = BUDGET_ALERTS.c
        asked = sa.select(BUDGET_ALERTS).where(columns.budget.in_(list(names))).order_by(columns.time.desc())
        if tenant is not None:
            asked = asked.where(columns.tenant == tenant)
        with self._store.database().read() as connection:
            return [
                Alert(names[row["budget"]], row["tenant"], row["subject"], row["period"], row["level"], row["time"],
                      row["spent"], row["nano"])
                for row in connection.execute(asked.limit(limit)).mappings()
            ]  # fmt: skip

    def _now(self, connection: sa.Connection) -> float:
        from agentflow.models.money.clock import now

        return self._clock() if self._clock is not None else now(self._store.database(), connection)

    def _states(self, connection: sa.Connection, budget: Budget, now: float) -> list[State]:
        import sqlalchemy as sa

        from agentflow.store.tables import BUDGET_QUOTAS, BUDGET_SPENDS

        spends, quotas, present = BUDGET_SPENDS.c, BUDGET_QUOTAS.c, window(budget.period, now)
        running = {
            Key(row.budget, row.tenant, row.subject): row.running
            for row in connection.execute(sa.select(BUDGET_QUOTAS).where(quotas.budget == budget.id))
        }
        asked = sa.select(BUDGET_SPENDS).where(spends.budget == budget.id)
        if budget.period == "run":
            asked = asked.order_by(spends.starts.desc()).limit(_RUNS)
        else:
            asked = asked.where(spends.period == present.key).order_by(spends.tenant, spends.subject)
        found = []
        for row in connection.execute(asked).mappings():
            key = Key(row["budget"], row["tenant"], row["subject"])
            found.append(_state(budget, row, 0 if budget.period == "run" else running.get(key, 0)))
        if present.ends is not None:
            there = {(state.tenant, state.subject) for state in found}
            for tenant, subject, spent, requests in _used(connection, budget, present.starts, present.ends):
                if (tenant, subject) not in there:
                    starts, ends = present.starts, present.ends
                    found.append(State(budget, tenant, subject, present.key, starts, ends, spent, 0, requests, 0))
        return found


def _used(connection: sa.Connection, budget: Budget, since: float, until: float) -> list[tuple[str, str, int, int]]:
    """What those that a budget counts have used, whether it has counted it or not: tenant, subject, nano, requests."""
    import sqlalchemy as sa

    from agentflow.store.tables import MODEL_USAGE

    columns = MODEL_USAGE.c
    subject = columns[budget.scope] if budget.scope in ("project", "principal") else sa.literal("")
    fits = [columns.time >= since, columns.time < until]
    if budget.tenant != EACH:
        fits.append(columns.tenant == budget.tenant)
    if budget.scope in ("project", "principal"):
        fits.append(subject != "" if budget.subject == EACH else subject == budget.subject)
    asked = sa.select(columns.tenant, subject, sa.func.sum(columns.nano), sa.func.count()).where(*fits)
    rows = [
        (tenant, whose, int(spent or 0), int(count))
        for tenant, whose, spent, count in connection.execute(asked.group_by(columns.tenant, subject))
    ]
    if not rows and budget.tenant != EACH and budget.subject != EACH:
        rows = [(budget.tenant, budget.subject, 0, 0)]
    return sorted(rows)


def _state(budget: Budget, row: Mapping[Any, Any], running: int) -> State:
    names = ("tenant", "subject", "period", "starts", "ends", "spent", "reserved", "requests")
    return State(budget, **{name: row[name] for name in names}, running=running)


def _check(wish: NewBudget) -> None:
    if wish.name and not _NAME.fullmatch(wish.name):
        raise InvalidArguments(
            f"{wish.name!r} cannot be the name of a budget", fix="use letters, digits and . _ @ / -, 128 at most"
        )
    for name in ("tenant", "subject"):
        value = getattr(wish, name)
        if len(value) > 200 or not value.isprintable() or (name == "tenant" and not value):
            raise InvalidArguments(f"the {name} is none")
    if wish.scope in ("project", "principal") and not wish.subject:
        raise InvalidArguments(f"a budget of a {wish.scope} needs its name, or * for each one")
    if wish.scope in ("tenant", "run") and wish.subject:
        raise InvalidArguments(f"a budget of a {wish.scope} has no subject")
    if (wish.scope == "run") != (wish.period == "run"):
        raise InvalidArguments("a budget for each run has the period `run`, and no other has")
    if wish.nano is None and all(getattr(wish, quota) is None for quota in _QUOTAS):
        raise InvalidArguments("a budget needs a limit or a quota")
    if wish.nano is not None and not 0 <= wish.nano <= MOST:
        raise InvalidArguments(f"the limit must be between nothing and {dollars(MOST)}")
    for quota in _QUOTAS:
        value = getattr(wish, quota)
        if value is not None and not 1 <= value <= _LARGEST:
            raise InvalidArguments(f"{quota} must be a whole number from 1")


def _named(wish: NewBudget, taken: set[str]) -> str:
    whose = {"tenant": "", "run": ""}.get(wish.scope, "each" if wish.subject == EACH else wish.subject)
    kind = wish.scope if wish.subject == EACH else ""
    words = [re.sub(r"[^A-Za-z0-9._@-]+", "-", word).strip("-._@") for word in (whose, kind, wish.period)]
    plain = "-".join(word for word in words if word)[:100] or f"budget-{time.strftime('%Y%m%d')}"
    return next(name for n in range(1, len(taken) + 2) if (name := plain if n == 1 else f"{plain}-{n}") not in taken)
