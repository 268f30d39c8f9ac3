"""Budgets and usage over the REST interface: made, changed and seen by whom they concern, and by nobody else."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from admin.conftest import Headquarters

from agentflow.config import StoreConfig
from agentflow.models.money.entries import Charge, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.store.opened import Store

NANO = 1_000_000_000
_number = itertools.count(1)


def named() -> str:
    return f"budget-{next(_number)}"


def spend(folder: Path, charge: Charge, dollars: int, count: int = 1) -> None:
    """What the gateway's model worker does, in another process than the gateway's as well."""

    async def spent() -> None:
        store = Store(folder, StoreConfig())
        ledger = Ledger(store, folder / "models")
        for _ in range(count):
            made = await ledger.reserve(charge, dollars * NANO, 100)
            await ledger.settle(made, Usage(40, 60, 0, dollars * NANO, 0.5))
        await ledger.close()
        store.close()

    asyncio.run(spent())


def test_a_budget_is_made_changed_seen_and_deleted_and_each_is_recorded(yard: Headquarters) -> None:
    root, name = yard.office("ROOT"), named()
    wish = {"name": name, "scope": "project", "subject": "p1", "limit": "12.50", "max_concurrent": 4}
    made = root.ask("POST", "/budgets", wish)
    assert made.status == 201
    budget = made.json
    assert (budget["limit_usd"], budget["limit_nano"], budget["tenant"]) == ("12.50", 12_500_000_000, "default")
    assert [(s["subject"], s["spent_nano"], s["status"]) for s in budget["states"]] == [("p1", 0, "healthy")]
    path = f"/budgets/{budget['id']}"
    changed = root.good("PATCH", path, {"limit": 20, "max_concurrent": None})
    assert (changed["limit_usd"], changed["max_concurrent"], changed["name"]) == ("20.00", None, name)
    assert root.good("GET", path) == changed
    assert name in [each["name"] for each in root.good("GET", "/budgets?limit=1000")["items"]]
    assert root.good("DELETE", path) is None and root.get(path).status == 404
    events = root.records(kind="admin", limit="10")
    told = [event["event"] for event in events if event.get("subject") == budget["id"]]
    assert told == ["budget_deleted", "budget_updated", "budget_created"]


def test_what_was_spent_shows_in_state_forecast_alerts_and_usage(yard: Headquarters) -> None:
    root, name = yard.office("ROOT"), named()
    made = root.good("POST", "/budgets", {"name": name, "scope": "principal", "subject": "ada", "limit": 10})
    charge = Charge("default", "", "ada", provider="openai", model="gpt-4o", tool="planner", tier="gold")
    spend(yard.gateway.data_dir, charge, 1, 8)
    state = root.good("GET", f"/budgets/{made['id']}")["states"][0]
    assert (state["spent_usd"], state["left_usd"], state["status"], state["used"]) == ("8.00", "2.00", "warning", 0.8)
    (expected,) = root.good("GET", f"/budgets/{made['id']}/forecast")
    assert expected["expected_nano"] >= state["spent_nano"] and expected["runs_out"]
    assert [(a["budget"], a["level"]) for a in root.good("GET", "/budgets/alerts")] == [(name, 75)]
    assert len(root.good("GET", f"/budgets/{made['id']}/history")) == 1
    used = root.good("GET", "/usage?by=tool&principal=ada")
    assert [(row["key"], row["requests"], row["cost_usd"]) for row in used["usage"]] == [("planner", 8, "8.00")]
    assert used["total"]["prompt"] == 320
    assert root.good("GET", "/usage/suggestions") == []


def test_a_tenants_administrator_sets_what_is_within_the_tenant_and_sees_no_other(yard: Headquarters) -> None:
    root, acme = yard.office("ROOT"), yard.office("ACME")
    whole = root.good("POST", "/budgets", {"name": named(), "tenant": "acme", "limit": 100})
    every = root.good("POST", "/budgets", {"name": named(), "tenant": "*", "limit": 1000})
    theirs = root.good("POST", "/budgets", {"name": named(), "limit": 100})
    own = acme.good("POST", "/budgets", {"name": named(), "scope": "principal", "subject": "*", "limit": 5})
    assert own["tenant"] == "acme"
    seen = {each["id"] for each in acme.good("GET", "/budgets")["items"]}
    assert {whole["id"], every["id"], own["id"]} <= seen and theirs["id"] not in seen
    assert acme.get(f"/budgets/{theirs['id']}").status == 404
    for budget in (whole, every):
        assert acme.ask("PATCH", f"/budgets/{budget['id']}", {"limit": 1_000_000}).status == 403
        assert acme.ask("DELETE", f"/budgets/{budget['id']}").status == 403
    for wish in ({"limit": 5}, {"limit": 5, "tenant": "*"}, {"limit": 5, "tenant": "default", "scope": "run"}):
        assert acme.post("/budgets", wish).status == 403, wish
    spend(yard.gateway.data_dir, Charge("acme", principal="zoe"), 1)
    spend(yard.gateway.data_dir, Charge("default", principal="eve"), 1)
    keys = {row["key"] for row in acme.good("GET", "/usage?by=principal")["usage"]}
    assert keys == {"acme/zoe"}
    assert acme.get("/usage?tenant=default").status == 404
    assert {state["tenant"] for state in acme.good("GET", f"/budgets/{every['id']}")["states"]} == {"acme"}


@pytest.mark.parametrize(
    "wish",
    [
        {}, {"limit": -1}, {"limit": "1e400"}, {"limit": "0.0000000001"}, {"limit": "NaN"}, {"limit": True},
        {"limit": 5, "scope": "run"}, {"limit": 5, "period": "run"}, {"limit": 5, "scope": "project"},
        {"limit": 5, "subject": "x"},
        {"limit": 5, "name": "../x"}, {"limit": 5, "name": "a\u0000"}, {"max_concurrent": 0},
        {"limit": 5, "period": "yearly"}, {"limit": 5, "surprise": 1}, {"limit": 5, "tenant": "a\nb"},
    ],
    ids=str,
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused(house: Headquarters, wish: dict[str, Any]) -> None:
    answer = house.office("ROOT").post("/budgets", wish)
    assert (answer.status, answer.kind) == (422, "invalid_arguments"), answer.body


def test_two_of_a_name_are_a_conflict(yard: Headquarters) -> None:
    root, name = yard.office("ROOT"), named()
    root.good("POST", "/budgets", {"name": name, "limit": 1})
    assert root.post("/budgets", {"name": name, "limit": 2}).status == 409
    other = root.good("POST", "/budgets", {"name": named(), "limit": 1})
    assert root.ask("PATCH", f"/budgets/{other['id']}", {"name": name}).status == 409
    assert root.ask("PATCH", f"/budgets/{other['id']}", {"limit": None}).status == 422, "it would bound nothing"
