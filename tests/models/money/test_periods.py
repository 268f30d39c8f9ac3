"""Periods begin and end by the clock, and no jump of it lets one spend more than its limit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.models.money.periods import Period, level, status, window, written
from agentflow.store.tables import BUDGET_SPENDS
from tests.models.money.conftest import ADA, CENT, NOON, Till, refused, spend, used

DAY = 86_400.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "now", "key", "ends"),
    [
        ("daily", "2026-11-20T23:59:59.999", "2026-11-20", "2026-11-21"),
        ("daily", "2026-11-21T00:00:00", "2026-11-21", "2026-11-22"),
        ("weekly", "2026-11-22T23:59:59", "2026-11-16", "2026-11-23"),
        ("weekly", "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        ("weekly", "2027-01-02T12:00:00", "2026-12-28", "2027-01-04"),
        ("monthly", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("monthly", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_weeks_begin_on_monday_and_months_as_the_calendar_has_them(
    period: Period, now: str, key: str, ends: str
) -> None:
    found = window(period, at(now))
    assert found.key == key and found.starts == at(key) and found.ends == at(ends)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["daily", "weekly", "monthly"]))
def test_every_moment_is_in_one_period(now: float, period: Period) -> None:
    found = window(period, now)
    assert found.ends is not None and found.starts < found.ends
    if 0 <= now <= 2e11:
        assert found.starts <= now < found.ends
        assert window(period, found.ends).starts == found.ends
        assert written(now).endswith("Z")


def test_a_run_is_a_period_without_an_end() -> None:
    assert window("run", NOON, "r1").ends is None and window("run", NOON, "r1").key == "run:r1"


@pytest.mark.parametrize(
    ("spent", "told"),
    [(0, "healthy"), (749, "healthy"), (750, "warning"), (899, "warning"), (900, "critical"), (999, "critical"),
     (1000, "exceeded"), (5000, "exceeded")],
)  # fmt: skip
def test_the_status_is_by_what_is_spent(spent: int, told: str) -> None:
    assert status(spent, 1000) == told


def test_without_a_limit_there_is_no_share_and_with_none_left_it_is_exceeded() -> None:
    assert (status(10, None), status(0, 0), level(10, 0)) == ("healthy", "exceeded", 0)


async def test_a_new_day_is_a_new_budget(till: Till) -> None:
    ledger = till.open()
    till.budget(10)
    await spend(ledger, 10)
    assert await refused(ledger.reserve(ADA, CENT, 30))
    till.clock.now += DAY
    await spend(ledger, 10)
    assert [row["spent"] for row in till.rows(BUDGET_SPENDS)] == [10 * CENT, 10 * CENT]


async def test_what_was_reserved_before_midnight_is_settled_in_the_day_it_was_reserved_in(till: Till) -> None:
    ledger = till.open()
    till.budget(10)
    till.clock.now = at("2026-11-20T23:59:59")
    made = await ledger.reserve(ADA, 8 * CENT, 30)
    till.clock.now += 2
    await spend(ledger, 10)
    await ledger.settle(made, used(7 * CENT))
    assert {row["period"]: row["spent"] for row in till.rows(BUDGET_SPENDS)} == {
        "2026-11-20": 7 * CENT, "2026-11-21": 10 * CENT,
    }  # fmt: skip
    till.quiet()


async def test_a_clock_that_is_set_back_finds_what_was_spent(till: Till) -> None:
    ledger = till.open()
    till.budget(10)
    till.clock.now = at("2026-11-20T23:59:00")
    await spend(ledger, 9)
    till.clock.now += 120
    await spend(ledger, 10)
    till.clock.now -= 120
    assert await refused(ledger.reserve(ADA, 2 * CENT, 30))
    await spend(ledger, 1)
    till.clock.now += 120
    assert await refused(ledger.reserve(ADA, CENT, 30))


async def test_a_clock_that_was_years_ahead_for_a_while_changes_nothing_of_today(till: Till) -> None:
    ledger = till.open()
    till.budget(10)
    await spend(ledger, 6)
    made = await ledger.reserve(ADA, 2 * CENT, 30)
    till.clock.now += 5000 * DAY
    await spend(ledger, 3)
    till.clock.now -= 5000 * DAY
    assert await refused(ledger.reserve(ADA, 3 * CENT, 30)), "what is promised stays promised"
    await ledger.settle(made, used(2 * CENT))
    await spend(ledger, 2)
    assert await refused(ledger.reserve(ADA, CENT, 30))
    till.clock.now += 5000 * DAY
    assert await refused(ledger.reserve(ADA, 8 * CENT, 30)), "and then, too"


async def test_a_clock_that_jumps_gives_no_more_than_a_minutes_quota(till: Till) -> None:
    ledger = till.open()
    till.budget(None, requests_per_minute=3)

    async def let(jump: float) -> int:
        till.clock.now += jump
        found = [await asyncio.gather(spend(ledger, 1), return_exceptions=True) for _ in range(5)]
        return sum(each == [None] for each in found)

    assert [await let(jump) for jump in (0.0, 5 * DAY, -30 * DAY, 20.0)] == [3, 3, 0, 1]
