"""`agentflow budget` and `agentflow usage`: what they print, what they refuse, and that a running ledger follows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from commands_run import Run

from agentflow.audit.read import entries
from agentflow.config import StoreConfig
from agentflow.errors import BudgetExceeded
from agentflow.models.money.entries import Charge, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.store.opened import Store

CENT = 10_000_000


async def spent(folder: Path, *charges: tuple[Charge, int]) -> None:
    store = Store(folder / "data", StoreConfig())
    ledger = Ledger(store, folder / "data" / "models")
    for charge, cents in charges:
        made = await ledger.reserve(charge, cents * CENT, 50)
        await ledger.settle(made, Usage(1000, 200, 0, cents * CENT, 0.5))
    await ledger.close()
    store.close()


def spend(folder: Path, *charges: tuple[Charge, int]) -> None:
    asyncio.run(spent(folder, *charges))


def test_a_budget_is_made_listed_changed_and_deleted(run: Run, tmp_path: Path) -> None:
    made = run("budget", "create", "lab", "--tenant", "acme", "--limit", "$1,000.50", "--max-concurrent", "5")
    assert made.code == 0 and "$1,000.50 monthly, 5 at once for tenant acme" in made.out
    listed = run("budget", "list")
    assert "lab" in listed.out and "$1,000.50" in listed.out and listed.out.startswith("NAME")
    changed = run("budget", "update", "lab", "--limit", "2000", "--max-concurrent", "none", "--rename", "attic")
    assert "$1,000.50 monthly, 5 at once → $2,000.00 monthly for tenant acme" in changed.out
    gone = run("budget", "delete", "attic", "--json").json
    assert gone["deleted"]["limit_usd"] == "2000.00"
    assert "no budget" in run("budget", "list").err
    told = [each.record for each in entries(tmp_path / "data") if each.record["kind"] == "admin"]
    assert [each["event"] for each in told] == ["budget_created", "budget_updated", "budget_deleted"]
    assert all(each["by"] and each["tenant"] == "acme" for each in told)


@pytest.mark.parametrize(
    ("words", "whose", "name"),
    [
        (("--principal", "ada", "--period", "daily"), "principal ada of tenant default", "ada-daily"),
        (("--principal", "*", "--period", "weekly"), "each principal of tenant default", "each-principal-weekly"),
        (("--project", "apollo"), "project apollo of tenant default", "apollo-monthly"),
        (("--tenant", "*"), "each tenant", "monthly"),
        (("--period", "run"), "each run of tenant default", "run"),
    ],
    ids=["principal", "each", "project", "tenants", "run"],
)
def test_a_budget_says_whose_it_is_and_has_a_name(run: Run, words: tuple[str, ...], whose: str, name: str) -> None:
    said = run("budget", "create", "--limit", "5", *words)
    assert said.code == 0 and said.out.endswith(f"for {whose}\n") and said.out.startswith(f"{name} (")
    assert run("budget", "create", "--limit", "5", *words).out.startswith(f"{name}-2 (")


@pytest.mark.parametrize(
    "words",
    [
        ("create", "lab"), ("create", "lab", "--limit", "-5"), ("create", "lab", "--limit", "1e3"),
        ("create", "lab", "--limit", "0.0000000001"), ("create", "--limit", "99999999999"),
        ("create", "a b", "--limit", "5"), ("create", "--limit", "5", "--period", "run", "--project", "x"),
        ("create", "--max-concurrent", "0"), ("create", "--max-concurrent", "many"), ("update", "lab"),
        ("create", "--limit", "5", "--period", "yearly"),
        ("create", "--limit", "5", "--project", "a", "--principal", "b"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_is_wrong_usage_and_one_line(run: Run, words: tuple[str, ...]) -> None:
    said = run("budget", *words)
    assert said.code == 2 and "Traceback" not in said.err and said.out == ""


def test_a_name_that_is_taken_unknown_or_of_several_is_an_error(run: Run) -> None:
    for tenant in ("acme", "other"):
        assert run("budget", "create", "lab", "--tenant", tenant, "--limit", "5").code == 0
    assert run("budget", "create", "lab", "--tenant", "acme", "--limit", "5").code == 1
    assert "Several tenants" in run("budget", "delete", "lab").err
    assert run("budget", "delete", "lab", "--tenant", "other").code == 0
    assert run("budget", "status", "nope").code == 1


def test_status_and_forecast_show_dollars_and_cents_and_when_it_resets(run: Run, tmp_path: Path) -> None:
    run("budget", "create", "lab", "--limit", "10", "--period", "daily")
    spend(tmp_path, (Charge("default", principal="ada"), 750), (Charge("default", principal="bob"), 175))
    said = run("budget", "status").out
    assert "$9.25" in said and "$10.00" in said and "critical" in said and "92 %" in said and "UTC" in said
    assert "75 %" in said and "90 %" in said, "what was reached"
    (state,) = run("budget", "status", "lab", "--json").json["budgets"]
    assert (state["spent_usd"], state["spent_nano"], state["left_usd"]) == ("9.25", 925 * CENT, "0.75")
    assert len(run("budget", "status", "lab", "--history", "3", "--json").json["history"]) == 1
    told = run("budget", "forecast").out
    assert "EXPECTED" in told and "RUNS OUT" in told and "lab" in told
    (expected,) = run("budget", "forecast", "lab", "--json").json["forecasts"]
    assert expected["low_nano"] <= expected["expected_nano"] <= expected["high_nano"]


async def test_a_change_counts_in_a_ledger_that_is_running(run: Run, tmp_path: Path) -> None:
    store = Store(tmp_path / "data", StoreConfig())
    ledger = Ledger(store, tmp_path / "data" / "models")
    ada = Charge("default", principal="ada")

    async def goes() -> bool:
        try:
            made = await ledger.reserve(ada, 100 * CENT, 50)
        except BudgetExceeded:
            return False
        await ledger.settle(made, Usage(1, 1, 0, 100 * CENT, 0.1))
        return True

    assert await goes()
    run("budget", "create", "lab", "--limit", "2")
    assert [await goes(), await goes()] == [True, False], "what was used before it was made counts"
    run("budget", "update", "lab", "--limit", "3.00")
    assert [await goes(), await goes()] == [True, False]
    run("budget", "delete", "lab")
    assert await goes()
    await ledger.close()
    store.close()


def test_usage_is_summed_by_what_is_asked_for(run: Run, tmp_path: Path) -> None:
    one = Charge("default", "apollo", "ada", "r1", None, None, "openai", "gpt-4o", "gold", "planner", tool="solver")
    two = Charge("default", "", "bob", "", None, None, "anthropic", "claude", "silver", "chat")
    spend(tmp_path, (one, 10), (one, 20), (two, 5))
    expected = {
        "provider": {"openai": 30, "anthropic": 5}, "model": {"openai:gpt-4o": 30, "anthropic:claude": 5},
        "principal": {"default/ada": 30, "default/bob": 5}, "tool": {"solver": 30, "chat": 5},
        "project": {"apollo": 30, "": 5}, "tier": {"gold": 30, "silver": 5}, "run": {"r1": 30, "": 5},
        "purpose": {"planner": 30, "chat": 5}, "tenant": {"default": 35},
    }  # fmt: skip
    for by, sums in expected.items():
        told = run("usage", "--by", by, "--json").json
        assert {row["key"]: row["cost_nano"] // CENT for row in told["usage"]} == sums, by
        assert told["total"]["cost_usd"] == "0.35" and told["total"]["requests"] == 3
    table = run("usage", "--by", "provider").out.splitlines()
    assert table[0].split()[:2] == ["PROVIDER", "REQUESTS"] and table[1].startswith("openai") and "$0.30" in table[1]
    assert table[-1].startswith("total") and "$0.35" in table[-1]
    assert run("usage", "--principal", "bob", "--json").json["total"]["cost_usd"] == "0.05"
    assert len(run("usage", "--by", "day", "--json").json["usage"]) == 1
    assert run("usage", "--by", "shoe").code == 2


def test_with_nothing_used_it_says_so_and_makes_no_database(run: Run, tmp_path: Path) -> None:
    said = run("usage")
    assert said.code == 0 and "no model was used" in said.err
    assert run("usage", "--suggest").code == run("budget", "status").code == 0
    assert not (tmp_path / "data" / "agentflow.db").exists()
