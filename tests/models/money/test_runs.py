"""The limits that a run brings along: kept for its requests together, whichever way it tells them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentflow.errors import BudgetExceeded
from agentflow.models.money.entries import Charge
from agentflow.models.money.ledger import Ledger
from agentflow.models.money.runs import RunLimits
from tests.models.money.conftest import CENT, Till, refused, used

RUN = Charge("acme", run="r1", run_cost=10 * CENT, run_tokens=1000)


async def test_branches_of_a_run_share_its_money(till: Till) -> None:
    ledger = till.open()
    held = [await ledger.reserve(RUN, 4 * CENT, 10) for _ in range(2)]
    error = await refused(ledger.reserve(RUN, 4 * CENT, 10))
    assert isinstance(error, BudgetExceeded) and "The run has $0.02 left" in error.message
    assert error.data | {"budget": "run", "run": "r1", "left": 2 * CENT} == error.data
    for each in held:
        await ledger.settle(each, used(CENT))
    assert ledger.room(RUN)[0] == 8 * CENT
    await ledger.reserve(RUN, 8 * CENT, 10)


async def test_tokens_of_a_run_run_out_too(till: Till) -> None:
    ledger = till.open()
    await ledger.settle(await ledger.reserve(RUN, CENT, 900), used(CENT, prompt=500, completion=200))
    error = await refused(ledger.reserve(RUN, CENT, 400))
    assert "The run has 300 tokens left" in error.message and error.data["what"] == "tokens"
    await ledger.reserve(RUN, CENT, 300)


async def test_what_is_refused_elsewhere_is_not_counted_in_the_run(till: Till) -> None:
    ledger = till.open()
    till.budget(1)
    for _ in range(5):
        assert await refused(ledger.reserve(RUN, 9 * CENT, 900))
    assert ledger.room(RUN) == (10 * CENT, 1000)


def test_a_run_that_tells_what_is_left_is_not_believed_what_it_has_not_seen_yet() -> None:
    runs = RunLimits()
    assert runs.admit(RUN, 6 * CENT, 10)
    runs.end(RUN, (6 * CENT, 10), (6 * CENT, 10))
    with pytest.raises(BudgetExceeded):
        runs.admit(RUN, 6 * CENT, 10)  # the answer is still on its way to the run
    seen = replace(RUN, run_cost=4 * CENT)
    assert runs.admit(seen, 4 * CENT, 10)


def test_a_run_can_lower_its_limit_and_not_raise_it() -> None:
    runs = RunLimits()
    assert runs.admit(RUN, CENT, 10)
    assert runs.admit(replace(RUN, run_cost=3 * CENT), 2 * CENT, 10)
    with pytest.raises(BudgetExceeded):
        runs.admit(replace(RUN, run_cost=50 * CENT), CENT, 10)


def test_runs_of_two_tenants_are_two_and_without_a_run_nothing_is_counted() -> None:
    runs = RunLimits()
    assert runs.admit(RUN, 10 * CENT, 10) and runs.admit(replace(RUN, tenant="other"), 10 * CENT, 10)
    assert not runs.admit(replace(RUN, run=""), 99 * CENT, 10)
    with pytest.raises(BudgetExceeded, match="price"):
        runs.admit(replace(RUN, run="r2"), None, 10)


def test_many_runs_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentflow.models.money.runs._KEPT", 10)
    runs = RunLimits()
    runs.admit(RUN, CENT, 10)
    for number in range(100):
        other = replace(RUN, run=f"x{number}")
        runs.admit(other, CENT, 10)
        runs.end(other, (CENT, 10), (CENT, 10))
    assert len(runs._runs) <= 11 and runs.room(RUN) == (9 * CENT, 990), "what is under way stays"


async def test_the_ledger_of_a_run_is_the_processes_own(till: Till) -> None:
    one: Ledger = till.open()
    await one.settle(await one.reserve(RUN, 10 * CENT, 10), used(10 * CENT))
    assert await refused(one.reserve(RUN, CENT, 10))
