"""What is reserved, settled and given back: never more than a budget has, never counted twice, never lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from agentflow.errors import BudgetExceeded, LimitExceeded
from agentflow.models.money.entries import Charge, Reservation, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.store.tables import BUDGET_ALERTS, BUDGET_SPENDS
from tests.models.money.conftest import ADA, CENT, NOON, Till, eventually, refused, spend, used


async def many(ledger: Ledger, count: int, cents: int = 1) -> list[Reservation]:
    found = await asyncio.gather(*(ledger.reserve(ADA, cents * CENT, 30) for _ in range(count)), return_exceptions=True)
    assert all(isinstance(each, Reservation | BudgetExceeded) for each in found), found
    return [each for each in found if isinstance(each, Reservation)]


async def test_without_a_budget_everything_goes_and_nothing_is_written_before_the_answer(
    till: Till, ledger: Ledger
) -> None:
    made = await ledger.reserve(ADA, 5 * CENT, 30)
    assert made.held == () and (till.url is not None or not till.stores[0].begun)
    await ledger.settle(made, used(3 * CENT))
    await ledger.close()
    (row,) = till.used
    assert (row["nano"], row["prompt"], row["completion"], row["outcome"]) == (3 * CENT, 10, 20, "ok")
    assert (row["tenant"], row["project"], row["principal"], row["tool"]) == ("acme", "apollo", "ada", "chat")


async def test_requests_at_once_get_as_much_as_there_is_and_not_a_cent_more(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    held = await many(ledger, 40)
    assert len(held) == 10 and till.reserved == 10 * CENT
    await asyncio.gather(*(ledger.settle(each, used(CENT)) for each in held))
    assert till.spent == 10 * CENT
    till.quiet()


async def test_what_was_not_needed_is_there_for_the_next(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    held = await many(ledger, 40)
    await asyncio.gather(*(ledger.settle(each, used(CENT // 4)) for each in held))
    assert len(await many(ledger, 40)) == 7, "7.5 cents were left"


async def test_what_failed_costs_nothing_and_is_known(till: Till, ledger: Ledger) -> None:
    till.budget(1)
    await ledger.release(await ledger.reserve(ADA, CENT, 30), "timeout", latency=2.0)
    till.quiet()
    assert till.spent == 0 and till.used[0]["outcome"] == "timeout"
    assert len(await many(ledger, 5)) == 1


async def test_a_refusal_says_which_budget_what_is_left_and_until_when(till: Till, ledger: Ledger) -> None:
    till.budget(100, name="lab")
    await spend(ledger, 90)
    error = await refused(ledger.reserve(ADA, 20 * CENT, 30))
    assert isinstance(error, BudgetExceeded)
    assert "'lab' (tenant acme, $1.00 daily)" in error.message and "$0.10 left" in error.message
    assert "up to $0.20" in error.message and "resets at 2026-11-21T00:00:00Z" in error.message
    data = {"budget": "lab", "left": 10 * CENT, "resets": "2026-11-21T00:00:00Z", "retry_after": 12 * 3600}
    assert data.items() <= error.payload().items()


async def test_a_refusal_because_of_others_under_way_says_so(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    held = await ledger.reserve(ADA, 8 * CENT, 30)
    error = await refused(ledger.reserve(ADA, 5 * CENT, 30))
    assert "$0.08 is reserved by requests under way" in error.message and error.data["retry_after"] == 1.0
    await ledger.settle(held, used(CENT))
    assert (await ledger.reserve(ADA, 5 * CENT, 30)).held


async def test_a_change_counts_for_the_next_request(till: Till, ledger: Ledger) -> None:
    budget = till.budget(10)
    await spend(ledger, 10)
    assert await refused(ledger.reserve(ADA, CENT, 30))
    till.budgets.update(budget, {"nano": 11 * CENT}, "test")
    await spend(ledger, 1)
    assert await refused(ledger.reserve(ADA, CENT, 30))
    till.budgets.delete(budget)
    await spend(ledger, 1)


async def test_a_budget_that_goes_while_a_request_is_under_way_harms_nothing(till: Till, ledger: Ledger) -> None:
    budget = till.budget(10)
    made = await ledger.reserve(ADA, CENT, 30)
    till.budgets.delete(budget)
    await ledger.settle(made, used(CENT))
    assert till.rows(BUDGET_SPENDS) == [] and till.used[0]["nano"] == CENT


async def test_a_new_budget_knows_what_was_used_in_its_period(till: Till, ledger: Ledger) -> None:
    await spend(ledger, 8)
    await spend(ledger, 50, Charge("other"))
    await ledger.close()
    till.budget(10)
    again = till.open()
    assert (await refused(again.reserve(ADA, 3 * CENT, 30))).data["left"] == 2 * CENT
    await spend(again, 2)
    assert till.spent == 10 * CENT


async def test_what_was_under_way_without_a_budget_counts_in_the_one_that_came(till: Till, ledger: Ledger) -> None:
    loose = await ledger.reserve(ADA, 6 * CENT, 30)
    till.budget(10)
    await spend(ledger, 2)
    await ledger.settle(loose, used(6 * CENT))
    await eventually(lambda: till.spent == 8 * CENT, "the request that nobody had reserved for")


async def test_settling_twice_counts_once(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    made = await ledger.reserve(ADA, CENT, 30)
    await asyncio.gather(*(ledger.settle(made, used(CENT)) for _ in range(5)))
    await ledger.release(made, "late")
    assert till.spent == CENT and len(till.used) == 1


async def test_more_than_was_reserved_is_counted_too(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    await ledger.settle(await ledger.reserve(ADA, CENT, 30), used(12 * CENT))
    assert till.spent == 12 * CENT
    assert await refused(ledger.reserve(ADA, 1, 30))
    free = await ledger.reserve(ADA, 0, 30)
    await ledger.settle(free, used(0))


async def test_counts_that_make_no_sense_are_not_believed(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    await ledger.settle(await ledger.reserve(ADA, CENT, 30), used(-5 * CENT, prompt=-1, completion=10**30))
    assert till.spent == 0 and till.used[0]["prompt"] == 0
    charge = Charge("acme", project="a\0b\ud800", principal="ada", run="\n")
    await ledger.settle(await ledger.reserve(charge, CENT, 30), used(CENT))
    assert {row["project"] for row in till.used} == {"apollo", "a?b?"}


async def test_a_price_that_nobody_knows_is_refused_where_money_is_counted(till: Till, ledger: Ledger) -> None:
    await ledger.release(await ledger.reserve(ADA, None, 30), "tried")
    till.budget(None, max_concurrent=5, name="quota")
    await ledger.release(await ledger.reserve(ADA, None, 30), "tried")
    till.budget(10, name="money")
    error = await refused(ledger.reserve(ADA, None, 30))
    assert isinstance(error, BudgetExceeded) and "price of openai:gpt-4o is not known" in error.message
    assert error.data["unpriced"] and "models.providers.openai.models[].price" in error.fix


SCOPES: Sequence[tuple[dict[str, Any], Charge, Charge]] = [
    ({"scope": "tenant"}, ADA, Charge("other")),
    ({"tenant": "*", "scope": "tenant"}, ADA, Charge("other")),
    ({"scope": "project", "subject": "apollo"}, ADA, Charge("acme", "gemini", "ada")),
    ({"scope": "project", "subject": "*"}, ADA, Charge("acme", "gemini", "ada")),
    ({"scope": "project", "subject": "*"}, ADA, Charge("acme", "", "ada")),
    ({"scope": "principal", "subject": "ada"}, ADA, Charge("acme", "apollo", "bob")),
    ({"scope": "principal", "subject": "*"}, ADA, Charge("acme", "apollo", "bob")),
    ({"scope": "run", "period": "run"}, Charge("acme", run="one"), Charge("acme", run="two")),
    ({"scope": "run", "period": "run"}, Charge("acme", run="one"), Charge("acme")),
]


@pytest.mark.parametrize(
    ("told", "mine", "others"),
    SCOPES,
    ids=[
        "tenant",
        "each-tenant",
        "project",
        "each-project",
        "no-project",
        "principal",
        "each-principal",
        "run",
        "alone",
    ],
)
async def test_a_budget_counts_those_that_it_is_for_and_each_one_separately(
    till: Till, ledger: Ledger, told: dict[str, Any], mine: Charge, others: Charge
) -> None:
    till.budget(10, **told)
    await spend(ledger, 9, mine)
    assert await refused(ledger.reserve(mine, 2 * CENT, 30))
    await spend(ledger, 9, others)


async def test_of_several_budgets_all_have_to_have_room(till: Till, ledger: Ledger) -> None:
    till.budget(100, name="all")
    till.budget(10, name="hers", scope="principal", subject="ada")
    await spend(ledger, 9)
    assert (await refused(ledger.reserve(ADA, 2 * CENT, 30))).data["budget"] == "hers"
    await spend(ledger, 90, Charge("acme", principal="bob"))
    assert (await refused(ledger.reserve(ADA, 2 * CENT, 30))).data["budget"] in ("hers", "all")
    assert (await refused(ledger.reserve(Charge("acme"), 2 * CENT, 30))).data["budget"] == "all"
    assert till.reserved == 0, "a refused request leaves nothing reserved in a budget that had room"


async def test_warnings_come_once_at_each_share(till: Till, ledger: Ledger) -> None:
    budget = till.budget(100)
    for _ in range(100):
        await spend(ledger, 1)
    assert [(each.level, each.spent) for each in ledger.warnings] == [
        (75, 75 * CENT),
        (90, 90 * CENT),
        (100, 100 * CENT),
    ]
    assert sorted(row["level"] for row in till.rows(BUDGET_ALERTS)) == [75, 90, 100]
    till.clock.now += 60
    till.budgets.update(budget, {"nano": 200 * CENT}, "test")
    await spend(ledger, 60)
    assert [each.level for each in ledger.warnings] == [75, 90, 100, 75]
    newest = till.budgets.alerts([budget])[0]
    assert (newest.level, newest.limit) == (75, 200 * CENT)


async def test_requests_a_minute_run_out_and_come_back(till: Till, ledger: Ledger) -> None:
    till.budget(None, requests_per_minute=6)
    for _ in range(6):
        await spend(ledger, 1)
    error = await refused(ledger.reserve(ADA, CENT, 30))
    assert isinstance(error, LimitExceeded) and error.data["limit"] == "requests"
    assert error.data["retry_after"] == 10.0
    till.clock.now += 10
    await spend(ledger, 1)
    assert await refused(ledger.reserve(ADA, CENT, 30))


async def test_tokens_a_minute_count_what_was_used(till: Till, ledger: Ledger) -> None:
    till.budget(None, tokens_per_minute=600)
    held = await ledger.reserve(ADA, CENT, 500)
    assert (await refused(ledger.reserve(ADA, CENT, 500))).data["retry_after"] == 40.0
    await ledger.settle(held, used(CENT, prompt=50, completion=50))
    await spend(ledger, 1)
    never = await refused(ledger.reserve(ADA, CENT, 601))
    assert "retry_after" not in never.data and "fewer tokens" in never.fix


async def test_so_many_at_once_and_no_more(till: Till, ledger: Ledger) -> None:
    till.budget(None, max_concurrent=3)
    held = [await ledger.reserve(ADA, CENT, 30) for _ in range(3)]
    assert (await refused(ledger.reserve(ADA, CENT, 30))).data["limit"] == "concurrent"
    await ledger.release(held[0], "failed")
    assert await ledger.reserve(ADA, CENT, 30)
    assert isinstance(await refused(ledger.reserve(ADA, CENT, 30)), LimitExceeded)


async def test_a_caller_that_leaves_while_it_waits_leaves_nothing_reserved(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    await spend(ledger, 1)
    tasks = [asyncio.ensure_future(ledger.reserve(ADA, CENT, 30)) for _ in range(6)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await eventually(lambda: till.reserved == 0, "what was reserved for nobody to be given back")
    assert len(await many(ledger, 20)) == 9


async def test_an_orderly_end_leaves_nothing_reserved_and_loses_nothing(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    await ledger.reserve(ADA, 5 * CENT, 30)
    ledger.record(ADA, Usage(3, 4, from_cache=True, saved=CENT))
    await ledger.close()
    await ledger.close()
    till.quiet()
    assert till.spent == 0
    assert sorted((row["outcome"], row["saved"]) for row in till.used) == [("abandoned", 0), ("ok", CENT)]


async def test_nothing_that_is_kept_of_a_request_is_said_in_it(till: Till, ledger: Ledger) -> None:
    till.budget(10)
    await spend(ledger, 1)
    assert set(till.used[0]) == {
        "id", "time", "tenant", "project", "principal", "run", "tool", "purpose", "provider", "model", "name", "tier",
        "fingerprint", "prompt", "completion", "cached", "nano", "saved", "latency", "outcome", "from_cache",
    }  # fmt: skip
    assert json.dumps(till.rows(BUDGET_SPENDS))


async def test_what_is_older_than_usage_is_kept_is_removed_and_runs_after_a_week(till: Till) -> None:
    first = till.open(days=30)
    till.budget(10)
    till.budget(10, scope="run", period="run")
    run = Charge("acme", run="r1")
    await spend(first, 1, run)
    till.clock.now += 10 * 86_400
    await spend(first, 1)
    await first.close()
    second = till.open(days=30, beat=0.1)
    await spend(second, 1, Charge("other"))
    await eventually(lambda: not any(row["period"] == "run:r1" for row in till.rows(BUDGET_SPENDS)), "the old run")
    assert len(till.used) >= 2 and {row["period"] for row in till.rows(BUDGET_SPENDS)} >= {"2026-11-20", "2026-11-30"}
    await second.close()
    till.clock.now += 25 * 86_400
    third = till.open(days=30, beat=0.1)
    await spend(third, 1, Charge("other"))
    await eventually(lambda: all(row["time"] > NOON + 86_400 for row in till.used), "the old usage to be gone")
    await eventually(lambda: "2026-11-20" not in {row["period"] for row in till.rows(BUDGET_SPENDS)}, "the old period")
