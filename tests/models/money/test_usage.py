"""Sums, forecasts and suggestions out of the requests that were made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentflow.models.money.entries import Charge, Usage
from agentflow.models.money.forecast import forecast
from agentflow.models.money.suggestions import suggestions
from agentflow.models.money.usage import Filter, report
from tests.models.money.conftest import ADA, CENT, NOON, Till, used

DAY = 86_400.0
CHEAP = replace(ADA, provider="azure", model="gpt-4o-eu")


async def made(till: Till, charge: Charge, usages: list[Usage]) -> None:
    """Requests of this moment."""
    ledger = till.open()
    for each in usages:
        ledger.record(charge, each)
    await ledger.close()


async def test_latencies_are_those_of_answers_that_a_provider_gave(till: Till) -> None:
    usages = [used(CENT, latency=number / 100) for number in range(1, 101)]
    await made(till, ADA, [*usages, used(0, latency=60.0, success=False, error="timeout"), used(0, from_cache=True)])
    (row,) = report(till.store(), "model", Filter())
    assert row.key == "openai:gpt-4o" and row.p95 == 0.95 and row.latency == pytest.approx(0.505)
    assert (row.requests, row.errors, row.from_cache, row.nano) == (102, 1, 1, 100 * CENT)


async def test_days_come_in_their_order_and_filters_fit_exactly(till: Till) -> None:
    for day in (2, 0, 1):
        till.clock.now = NOON + day * DAY
        await made(till, ADA, [used((day + 1) * CENT)])
    days = report(till.store(), "day", Filter())
    assert [(day.key, day.nano // CENT) for day in days] == [("2026-11-20", 1), ("2026-11-21", 2), ("2026-11-22", 3)]
    since = Filter(since=NOON + DAY - 60, until=NOON + 2 * DAY - 60)
    assert [row.nano // CENT for row in report(till.store(), None, since)] == [2]
    assert report(till.store(), "model", Filter(tenant="' OR 1=1")) == []


async def test_a_forecast_goes_on_as_the_days_went(till: Till) -> None:
    start = NOON - 20 * DAY
    for day in range(20):
        till.clock.now = start + day * DAY
        await made(till, ADA, [used(100 * CENT)])
    budget = till.budget(3000, period="monthly")
    till.clock.now = NOON
    (state,) = till.budgets.states([budget])
    assert state.spent == 1900 * CENT, "of November; the first day was in October"
    (told,) = forecast(till.store(), [state], NOON)
    assert abs(told.expected - 2930 * CENT) < 120 * CENT and told.confidence == "high"
    assert told.low <= told.expected <= told.high and told.runs_out is None
    till.budgets.update(budget, {"nano": 2400 * CENT}, "test")
    (state,) = till.budgets.states(till.budgets.all())
    (told,) = forecast(till.store(), [state], NOON)
    assert told.runs_out is not None and NOON + 4 * DAY < told.runs_out < NOON + 7 * DAY
    assert told.share is not None and told.share > 1


async def test_a_forecast_of_which_nothing_is_known_says_so(till: Till) -> None:
    till.budget(100)
    (state,) = till.budgets.states(till.budgets.all())
    (told,) = forecast(till.store(), [state], NOON)
    assert (told.expected, told.confidence, told.runs_out) == (0, "low", None)


async def test_the_same_model_is_suggested_where_it_is_cheaper_and_as_reliable(till: Till) -> None:
    await made(till, ADA, [used(2 * CENT)] * 40)
    await made(till, CHEAP, [used(CENT)] * 40)
    await made(till, replace(ADA, provider="flaky"), [used(CENT // 10, success=n % 2 == 0) for n in range(40)])
    (told,) = suggestions(till.store(), Filter())
    assert (told.kind, told.saving, told.impact) == ("provider_switch", 40 * CENT, "high")
    assert "azure" in told.what and "models.providers.openai" in told.do and 0.5 < told.confidence < 1


async def test_short_answers_are_suggested_from_a_smaller_model(till: Till) -> None:
    await made(till, replace(ADA, purpose="verifier"), [used(5 * CENT)] * 30)
    small = replace(ADA, provider="groq", model="llama", name="llama", tier="bronze", purpose="verifier")
    await made(till, small, [used(CENT)] * 30)
    (told,) = suggestions(till.store(), Filter())
    assert told.kind == "model_downgrade" and told.saving == 120 * CENT and "tier bronze" in told.do


async def test_what_was_paid_for_twice_is_suggested_to_be_cached(till: Till) -> None:
    await made(till, replace(ADA, fingerprint="same"), [used(3 * CENT, completion=900)] * 11)
    told = {each.kind: each for each in suggestions(till.store(), Filter())}
    assert told["caching"].saving == 30 * CENT and "10 requests" in told["caching"].what


async def test_embeddings_that_came_together_and_judgements_are_suggested_as_batches(till: Till) -> None:
    await made(till, ADA, [used(2 * CENT, completion=0)] * 11)
    await made(till, replace(ADA, purpose="judge"), [used(4 * CENT, completion=500)] * 5)
    told = {each.kind: each.saving for each in suggestions(till.store(), Filter())}
    assert told == {"batching": 10 * CENT, "scheduling": 10 * CENT}


async def test_nothing_used_is_nothing_to_suggest(till: Till) -> None:
    assert suggestions(till.store(), Filter()) == []
