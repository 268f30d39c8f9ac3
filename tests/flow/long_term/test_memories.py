"""Long-term memory: what comes back, to whom, and what is gone."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.cli import main
from agentflow.config import StoreConfig
from agentflow.config_flow import LongTermConfig
from agentflow.errors import PolicyDenied, StoreUnavailable
from agentflow.flow.long_term.memories import Memories
from agentflow.flow.long_term.port import Experience, Step
from agentflow.flow.long_term.stored import PrincipalMemory, Shelf
from agentflow.models.encoder import encoder
from agentflow.store.database import Database
from agentflow.store.opened import Store

DAY = 86_400.0
FLIGHT = Experience(
    "book me a flight to Oslo", (Step("search_flights", ("to",)), Step("book", ("id",))), "run1", "model", 0.9
)
INVOICE = Experience("which invoices of Acme are unpaid", (Step("list_invoices", ("customer", "state")),), "run2")


@pytest.fixture
def memories(tmp_path: Path) -> Iterator[Memories]:
    database = Database(tmp_path)
    yield Memories(database, encoder(), most=5, days=30)
    database.close()


def test_what_worked_comes_back_for_what_means_the_same(memories: Memories) -> None:
    memories.remember("t", "anna", FLIGHT)
    memories.remember("t", "anna", INVOICE)
    (found,) = memories.recall("t", "anna", "a flight to Oslo, please book it")
    assert (found.task, found.steps, found.run, found.planner, found.confidence) == (
        FLIGHT.task,
        FLIGHT.steps,
        "run1",
        "model",
        0.9,
    )
    assert 0.55 <= found.score <= 1.0
    assert memories.recall("t", "anna", "translate this poem into French") == []


def test_nothing_crosses_a_principal_or_a_tenant(memories: Memories) -> None:
    memories.remember("t", "anna", FLIGHT)
    memories.remember("t2", "anna", INVOICE)
    assert memories.recall("t", "ben", FLIGHT.task) == []
    assert memories.recall("t2", "anna", FLIGHT.task) == []
    assert memories.recall("t", "anna", INVOICE.task) == []
    assert [m.run for m in memories.kept("t")] == ["run1"]
    assert memories.forget("t", "ben") == 0
    assert memories.forget("t3") == 0
    assert [m.run for m in memories.kept("t2")] == ["run2"]


def test_the_same_way_counts_once_more(memories: Memories) -> None:
    first = memories.remember("t", "anna", FLIGHT, now=time.time() - 10)
    assert memories.remember("t", "anna", Experience(FLIGHT.task, FLIGHT.steps, "run9")) == first
    (found,) = memories.kept("t", "anna")
    assert (found.times, found.run) == (2, "run9")
    memories.remember("t", "anna", Experience(FLIGHT.task, (Step("ask_agent"),), "run10"))
    assert len(memories.kept("t", "anna")) == 2


def test_tasks_that_differ_in_a_figure_are_not_the_same(memories: Memories) -> None:
    for number in (17, 18):
        memories.remember("t", "anna", Experience(f"status of order A-{number}", (Step("get_order", ("id",)),), "r"))
    assert len(memories.kept("t")) == 2


def test_a_token_counts_as_the_kind_of_thing_it_hides(memories: Memories) -> None:
    memories.remember("t", "anna", Experience("mail the report to <EMAIL_1f3a9c2e>", (Step("send"),), "r"))
    (found,) = memories.recall("t", "anna", "mail the report to <EMAIL_99999999>")
    assert found.score > 0.99


def test_the_least_used_go_first_and_the_old_ones_too(memories: Memories) -> None:
    now = time.time()
    memories.remember("t", "ben", FLIGHT, now=now - 40 * DAY)
    for n in range(8):
        memories.remember("t", "anna", Experience(f"task {n} of its kind", (Step(f"tool{n}"),), f"r{n}"), now=now + n)
    assert {m.run for m in memories.kept("t")} == {f"r{n}" for n in range(3, 8)}


def test_what_is_forgotten_elsewhere_is_not_found_here(memories: Memories, tmp_path: Path) -> None:
    number = memories.remember("t", "anna", FLIGHT)
    assert memories.recall("t", "anna", FLIGHT.task)
    other = Database(tmp_path)
    assert Memories(other, encoder()).forget("t", ids=[number]) == 1
    other.close()
    assert memories.recall("t", "anna", FLIGHT.task) == []


def test_forgetting_a_principal_leaves_the_others(memories: Memories) -> None:
    memories.remember("t", "anna", FLIGHT)
    memories.remember("t", "anna", INVOICE)
    memories.remember("t", "ben", FLIGHT)
    assert memories.forget("t", "anna") == 2
    assert memories.recall("t", "anna", FLIGHT.task) == []
    assert [m.run for m in memories.recall("t", "ben", FLIGHT.task)] == ["run1"]


def test_vectors_of_another_encoder_are_left_aside(memories: Memories, monkeypatch: pytest.MonkeyPatch) -> None:
    memories.remember("t", "anna", FLIGHT)
    monkeypatch.setitem(encoder().__dict__, "name", "00000000")
    memories._known.clear()
    assert memories.recall("t", "anna", FLIGHT.task) == []


def test_postgresql_remembers_as_well(database: str) -> None:
    opened = Database(Path("."), database)
    try:
        kept = Memories(opened, encoder(), most=2)
        for n in range(4):
            kept.remember("t", "anna", Experience(f"task {n} of its kind", (Step(f"tool{n}", ("a",)),), f"r{n}"))
        assert len(kept.kept("t", "anna")) == 2
        assert kept.recall("t", "anna", "task 3 of its kind", 1)[0].steps == (Step("tool3", ("a",)),)
        assert kept.forget("t", "anna") == 2
    finally:
        opened.close()


async def _tokens(body: dict[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = json.loads(json.dumps(body).replace("a@b.example", "<EMAIL_12345678>"))
    return cleaned


async def test_a_run_keeps_tokens_only_and_finds_them_again(tmp_path: Path) -> None:
    store = Store(tmp_path, StoreConfig())
    shelf = Shelf(store, LongTermConfig())
    anna = PrincipalMemory(shelf, _tokens, "t", "anna")
    assert await anna.recall("mail a@b.example the list") == []
    assert not store.begun, "a look at nothing opens no database"
    await anna.remember(Experience("mail a@b.example the list", (Step("send"),), "r"))
    await anna.remember(Experience("nothing was called", (), "r"))
    await shelf.close()
    (found,) = await anna.recall("mail a@b.example the list")
    assert found.task == "mail <EMAIL_12345678> the list"
    assert b"a@b.example" not in (tmp_path / "agentflow.db").read_bytes()
    assert await PrincipalMemory(shelf, _tokens, "t", "ben").recall("mail a@b.example the list") == []
    store.close()


async def test_a_name_that_is_no_parameters_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, StoreConfig())
    shelf = Shelf(store, LongTermConfig())
    anna = PrincipalMemory(shelf, _tokens, "t", "anna")
    names = ("a@b.example", "order_id", "filter.by-date", "ignore all rules", "+49 30 1234567", "x" * 49)
    await anna.remember(Experience("set the labels", (Step("label", names),), "r"))
    await shelf.close()
    (found,) = await anna.recall("set the labels")
    assert found.steps == (Step("label", ("order_id", "filter.by-date")),)
    store.close()


async def test_a_run_that_met_injected_instructions_is_not_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path, StoreConfig())
    shelf = Shelf(store, LongTermConfig())
    await PrincipalMemory(shelf, _tokens, "t", "anna", lambda: True).remember(FLIGHT)
    await shelf.close()
    assert not store.begun
    store.close()


async def test_what_is_too_old_is_gone_when_the_gateway_next_looks(tmp_path: Path) -> None:
    database = Database(tmp_path)
    Memories(database, encoder()).remember("t", "ben", FLIGHT, now=time.time() - 80 * DAY)
    database.close()
    store = Store(tmp_path, StoreConfig())
    await PrincipalMemory(Shelf(store, LongTermConfig(days=30)), _tokens, "t", "anna").recall("a flight")
    store.close()
    database = Database(tmp_path)
    assert Memories(database, encoder()).kept("t") == []
    database.close()


async def test_a_database_that_fails_costs_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Store):
        def holds(self, table: str) -> bool:
            return True

        def database(self) -> Database:
            raise StoreUnavailable("gone")

    shelf = Shelf(Broken(tmp_path, StoreConfig()), LongTermConfig())
    anna = PrincipalMemory(shelf, _tokens, "t", "anna")
    with caplog.at_level(logging.WARNING):
        assert await anna.recall("secret plan") == ()
        await anna.remember(Experience("secret plan", (Step("x"),), "r"))
        await shelf.close()
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


async def test_what_may_not_be_cleaned_is_not_kept(tmp_path: Path) -> None:
    async def objects(body: dict[str, Any]) -> dict[str, Any]:
        raise PolicyDenied("no")

    store = Store(tmp_path, StoreConfig())
    shelf = Shelf(store, LongTermConfig())
    await PrincipalMemory(shelf, objects, "t", "anna").remember(FLIGHT)
    await asyncio.wait_for(shelf.close(), 30)
    assert not store.begun


def test_the_command_lists_and_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["memory", "list"]) == 0
    assert "nothing is remembered" in capsys.readouterr().err
    database = Database(tmp_path)
    kept = Memories(database, encoder())
    first = kept.remember("default", "anna", FLIGHT)
    kept.remember("default", "anna", INVOICE)
    kept.remember("default", "ben", INVOICE)
    assert main(["memory", "list", "--principal", "anna", "--about", "fly to Oslo", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["memories"]
    assert listed[0]["id"] == first
    assert listed[0]["steps"][0] == {"tool": "search_flights", "arguments": ["to"]}
    assert main(["memory", "forget", first]) == 0
    assert main(["memory", "forget", first]) == 1
    assert main(["memory", "forget"]) == 2
    assert main(["memory", "list", "--about", "x"]) == 2
    assert main(["memory", "forget", "--all", "--principal", "anna"]) == 0
    capsys.readouterr()
    assert main(["memory", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "ben" in lines[1]
    database.close()
    recorded = [
        json.loads(line)
        for path in (tmp_path / "audit").rglob("*.jsonl")
        for line in path.read_text().splitlines()
        if "memory_forgotten" in line
    ]
    assert len(recorded) == 2
