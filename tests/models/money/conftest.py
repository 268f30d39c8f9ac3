"""Tests of money run on SQLite and on PostgreSQL, with a clock that a test may turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from agentflow.config import StoreConfig
from agentflow.models.money.budgets import Budgets, NewBudget
from agentflow.models.money.entries import Charge, Reservation, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.models.money.rules import Budget
from agentflow.models.port import NANO
from agentflow.store.opened import Store
from agentflow.store.tables import BUDGET_QUOTAS, BUDGET_SPENDS, MODEL_USAGE, RESERVATIONS

CENT = NANO // 100
NOON = 1_795_176_000.0  # 2026-11-20T12:00:00Z, a Friday
ADA = Charge("acme", "apollo", "ada", provider="openai", model="gpt-4o", name="gpt-4o", tier="gold")


@dataclass
class Clock:
    """A clock that a test turns."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Till:
    """Where money is: each `open` is another process's ledger, as far as the database can tell."""

    folder: Path
    url: str | None
    clock: Clock = field(default_factory=Clock)
    stores: list[Store] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)

    def store(self) -> Store:
        config = StoreConfig(url=SecretStr(self.url) if self.url else None)
        self.stores.append(Store(self.folder, config))
        return self.stores[-1]

    def open(self, **more: Any) -> Ledger:
        self.ledgers.append(Ledger(self.store(), self.folder / "models", **{"clock": self.clock, **more}))
        return self.ledgers[-1]

    @property
    def budgets(self) -> Budgets:
        return Budgets(self.stores[0] if self.stores else self.store(), self.clock)

    def budget(self, cents: int | None = 100, **more: Any) -> Budget:
        limit = None if cents is None else cents * CENT
        return self.budgets.create(NewBudget(**{"tenant": "acme", "period": "daily", "nano": limit, **more}), "test")

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        store = self.stores[0] if self.stores else self.store()
        with store.database().read() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    @property
    def spent(self) -> int:
        return sum(row["spent"] for row in self.rows(BUDGET_SPENDS))

    @property
    def reserved(self) -> int:
        return sum(row["reserved"] for row in self.rows(BUDGET_SPENDS))

    @property
    def used(self) -> list[dict[str, Any]]:
        return self.rows(MODEL_USAGE)

    def quiet(self) -> None:
        """Nothing is promised, or counted as under way, that is not."""
        assert self.rows(RESERVATIONS) == []
        assert {row["reserved"] for row in self.rows(BUDGET_SPENDS)} <= {0}
        assert {row["running"] for row in self.rows(BUDGET_QUOTAS)} <= {0}


@pytest.fixture(params=["sqlite", "postgres"])
async def till(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Till]:
    where = Till(tmp_path, request.getfixturevalue("database") if request.param == "postgres" else None)
    async with AsyncExitStack() as stack:
        yield where
        for store in where.stores:
            stack.callback(store.close)
        for ledger in where.ledgers:
            stack.push_async_callback(ledger.close)


@pytest.fixture
def ledger(till: Till) -> Ledger:
    return till.open()


def used(nano: int, **more: Any) -> Usage:
    return Usage(**{"prompt": 10, "completion": 20, "nano": nano, "latency": 0.25, **more})


async def spend(ledger: Ledger, cents: int, charge: Charge = ADA) -> None:
    """One request that costs what was reserved for it."""
    await ledger.settle(await ledger.reserve(charge, cents * CENT, 30), used(cents * CENT))


async def refused(work: Any) -> Any:
    """The error that an awaitable raises."""
    try:
        found = await work
    except Exception as error:
        return error
    assert isinstance(found, Reservation)
    raise AssertionError("it was let through")


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return once it holds.

    Raises:
        AssertionError: it does not within half a minute.
    """
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        await asyncio.sleep(0.05)
