"""What models do wrong in a run of the solver, through a real gateway, its pipeline and its model worker.

A model endpoint answers as planner, verifier and writer; the tool is one of the examples. Whatever happens, the run
ends with an answer or one clear reason, its money adds up, and its record is complete.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from agentflow.config import StoreConfig
from agentflow.models.money.budgets import Budgets, NewBudget
from agentflow.models.money.rules import EACH
from agentflow.store.opened import Store
from agentflow.store.tables import MODEL_USAGE
from tests.gateway_process import REPOSITORY, Gateway, running_gateway, wait_until
from tests.model_servers import (
    EMPTY,
    GARBAGE,
    INJECTION,
    MEGABYTE,
    UNKNOWN_TOOL,
    Asked,
    Cut,
    Hang,
    OpenAIServer,
    Refuse,
    Reply,
    Say,
)

JSON = dict[str, Any]
COST = 25_000  # nano-dollars for 11 tokens of prompt and 7 of answer
SPARE = 100_000 * COST  # so dear that it is never the cheapest, whatever is learnt of the other
QUESTION = "Write 42 as a Roman numeral for ann@example.com."


class Thinking:
    """A model in each of its three roles; `faults` are what it gives first, by role, instead of an answer."""

    def __init__(self, **faults: list[Reply]) -> None:
        self.faults = faults
        self.asked: list[str] = []

    def __call__(self, asked: Asked) -> Reply:
        rules = str(asked.body["messages"][0]["content"])
        roles = {"You are the planner": "planner", "You are the verifier": "verifier", "You write the final": "writer"}
        role = next(name for words, name in roles.items() if words in rules)
        self.asked.append(role)
        if self.faults.get(role):
            return self.faults[role].pop(0)
        return Say(ANSWERS[role])


ANSWERS: dict[str, JSON] = {
    "planner": {
        "current_sub_goal": "write 42 as a Roman numeral",
        "selected_tool": "roman_numeral",
        "required_skills": [],
        "actions": [{"tool": "roman_numeral", "arguments": {"number": 42}, "purpose": "to know it"}],
        "reasoning": "as asked",
    },
    "verifier": {
        "execution_analysis": "it worked",
        "memory_analysis": "enough",
        "verification_status": "success",
        "next_action": "complete",
        "reasoning": "the numeral is there",
    },
    "writer": {
        "answer": "XLII",
        "confidence": 0.9,
        "evidence": [{"tool": "roman_numeral", "path": "/roman", "value": "XLII"}],
    },
}
WRONG_SCHEMA: JSON = {"current_sub_goal": 7, "selected_tool": ["roman_numeral"], "extra": True}
UNKNOWN: JSON = {
    **ANSWERS["planner"],
    "selected_tool": "no_such_tool",
    "actions": [{"tool": "no_such_tool", "arguments": {}, "purpose": ""}],
}


class World:
    """A gateway, the endpoint that is asked first, the spare one."""

    def __init__(self, gateway: Gateway, main: OpenAIServer, spare: OpenAIServer) -> None:
        self.gateway = gateway
        self.main = main
        self.spare = spare

    def solve(self, **faults: list[Reply]) -> tuple[JSON, JSON]:
        """The solution of a run whose model does so, and the run's record: there is exactly one."""
        self.main.otherwise = Thinking(**faults)
        before = len(self.records())
        answer = self.gateway.call("solver", {"query": QUESTION})
        solution = answer["result"]["structuredContent"]
        records = self.records()[before:]
        assert [record["data_id"] for record in records] == [solution["run"]]
        assert records[0]["answer"] == solution["answer"]
        assert "ann@example.com" not in json.dumps(records)
        return solution, records[0]

    def records(self) -> list[JSON]:
        """The records of runs so far."""
        files = sorted((self.gateway.data_dir / "trajectories").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def asked(self, server: OpenAIServer) -> list[str]:
        """The roles that a server was asked in, in order."""
        found: list[str] = getattr(server.otherwise, "asked", [])
        return found

    def paid(self, run: str, nano: int) -> None:
        """A run's requests to models cost exactly so much, by the rows of usage, which are written a moment later."""
        store = Store(self.gateway.data_dir, StoreConfig())
        asked = sa.select(sa.func.sum(MODEL_USAGE.c.nano)).where(MODEL_USAGE.c.run == run)

        def sums() -> int:
            with store.database().read() as connection:
                return int(connection.execute(asked).scalar() or 0)

        try:
            wait_until(lambda: sums() >= nano, f"{nano} nano-dollars of usage", 30, lambda: str(sums()))
            assert sums() == nano
        finally:
            store.close()


def exchanges(record: JSON) -> list[JSON]:
    """Every request to a model that a record has."""
    return [e for turn in record["turns"] for e in turn["exchanges"]] + list(record["exchanges"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with OpenAIServer("main") as main, OpenAIServer("spare") as spare:
        providers = {
            server.models[0]: {
                "kind": "openai_compatible",
                "base_url": server.base_url,
                "retries": 0,
                "timeout": 5.0,
                "models": [{"model": server.models[0], "price": price}],
            }
            for server, price in ((main, {"input": 1, "output": 2}), (spare, {"input": 100_000, "output": 200_000}))
        }
        utilities = REPOSITORY / "examples" / "utilities" / "server.py"
        config = {
            "mcpServers": {"utilities": {"command": sys.executable, "args": [str(utilities)], "namespace": ""}},
            "models": {
                "providers": providers,
                "routing": {"strategy": "cheapest", "failures": 1000, "cooldown": 0.001},
                "cache": {"enabled": False},
            },
            "flow": {"memory": {"enabled": False}, "max_turns": 3},
        }
        with running_gateway(config, tmp_path_factory.mktemp("flow")) as gateway:
            gateway.wait_for_tools("roman_numeral", "solver")
            yield World(gateway, main, spare)


@pytest.fixture
def world(running: World) -> World:
    running.main.reset()
    running.spare.reset()
    running.spare.otherwise = Thinking()
    return running


def test_a_run_s_record_has_every_prompt_answer_and_cost(world: World) -> None:
    solution, record = world.solve()
    assert (solution["status"], solution["answer"]) == ("complete", "XLII")
    assert world.asked(world.main) == ["planner", "verifier", "writer"]
    assert [e["purpose"] for e in exchanges(record)] == ["planner", "verifier", "solver"]
    assert all(e["prompt"] and e["output"] and e["cost"] == COST for e in exchanges(record))
    assert solution["cost"] == pytest.approx(3 * COST / 1e9)
    assert record["turns"][0]["observations"][0]["output"] == {"number": 42, "roman": "XLII"}
    world.paid(solution["run"], 3 * COST)


@pytest.mark.parametrize("role", ["planner", "verifier", "writer"])
@pytest.mark.parametrize(
    "fault",
    [Refuse("rate_limit"), Refuse("server_error"), Refuse("context_length"), Cut(after=2), GARBAGE],
    ids=["429", "500", "too long", "half an answer", "garbage"],
)
def test_where_one_provider_fails_the_other_thinks_on(world: World, role: str, fault: Reply) -> None:
    solution, record = world.solve(**{role: [fault]})
    assert (solution["status"], solution["answer"], solution["reason"]) == ("complete", "XLII", "")
    assert world.asked(world.spare) == [role]
    assert sum(e["cost"] for e in exchanges(record)) == 2 * COST + SPARE
    world.paid(solution["run"], 2 * COST + SPARE)


@pytest.mark.parametrize("fault", [Hang(), EMPTY, UNKNOWN_TOOL], ids=["hang", "no choices", "unknown tool call"])
def test_a_provider_that_hangs_or_writes_nonsense_is_left_for_the_other(world: World, fault: Reply) -> None:
    solution, _ = world.solve(verifier=[fault])
    assert (solution["status"], solution["answer"], solution["reason"]) == ("complete", "XLII", "")
    assert world.asked(world.spare) == ["verifier"]
    world.paid(solution["run"], 2 * COST + SPARE + (0 if isinstance(fault, Hang) else COST))


@pytest.mark.parametrize("answer", [WRONG_SCHEMA, UNKNOWN, "no JSON at all"], ids=["schema", "unknown tool", "prose"])
def test_an_answer_that_does_not_fit_is_asked_for_once_more(world: World, answer: Any) -> None:
    solution, record = world.solve(planner=[Say(answer)])
    assert (solution["status"], solution["answer"], solution["reason"]) == ("complete", "XLII", "")
    assert world.asked(world.main) == ["planner", "planner", "verifier", "writer"]
    assert [e["valid"] for e in exchanges(record)] == [False, True, True, True]
    world.paid(solution["run"], 4 * COST)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(WRONG_SCHEMA, "current_sub_goal"), (UNKNOWN, "no_such_tool"), ("no JSON at all", "no JSON")],
    ids=["schema", "unknown tool", "prose"],
)
def test_one_that_never_fits_is_given_up_with_the_reason(world: World, answer: Any, reason: str) -> None:
    solution, record = world.solve(planner=[Say(answer)] * 9)
    assert reason in solution["reason"]
    assert [e["valid"] for e in exchanges(record)] == [False, False]
    assert "no_such_tool" not in json.dumps([turn["calls"] for turn in record["turns"]])
    world.paid(solution["run"], 2 * COST)


@pytest.mark.parametrize("role", ["planner", "verifier", "writer"])
def test_all_providers_down_is_one_reason_that_names_them(world: World, role: str) -> None:
    world.spare.otherwise = Refuse("overloaded")
    solution, record = world.solve(**{role: [Refuse("server_error")] * 9})
    for told in ("main:main: it failed (500)", "spare:spare: it failed (503)"):
        assert told in solution["reason"]
    before = {"planner": 0, "verifier": 1, "writer": 2}[role]
    assert sum(e["cost"] for e in exchanges(record)) == before * COST
    world.paid(solution["run"], before * COST)


@pytest.mark.parametrize("role", ["planner", "verifier", "writer"])
def test_an_injection_in_what_a_model_wrote_changes_nothing(world: World, role: str) -> None:
    said = Say({**ANSWERS[role], "answer": INJECTION.text}) if role == "writer" else INJECTION
    solution, record = world.solve(**{role: [said] * 9})
    assert "evil.example" not in json.dumps([solution["answer"], solution["evidence"]])
    assert {call["tool"] for turn in record["turns"] for call in turn["calls"]} <= {"roman_numeral"}


def test_a_megabyte_is_no_plan(world: World) -> None:
    solution, _ = world.solve(planner=[MEGABYTE])
    assert (solution["status"], solution["answer"]) == ("complete", "XLII")


def test_a_budget_that_ends_in_the_middle_of_a_run_is_its_reason(world: World) -> None:
    store = Store(world.gateway.data_dir, StoreConfig())
    budgets = Budgets(store)
    made = budgets.create(NewBudget(tenant=EACH, scope="run", period="run", nano=40_000_000, name="a-run"), "test")
    try:
        dear = Say(ANSWERS["planner"], usage=(11, 18_000))
        solution, record = world.solve(planner=[dear])
        assert "a-run" in solution["reason"]
        assert world.asked(world.main) == ["planner"]
        assert world.asked(world.spare) == []
        cost = 11 * 1000 + 18_000 * 2000
        assert [e["cost"] for e in exchanges(record)] == [cost]
        world.paid(solution["run"], cost)
    finally:
        budgets.delete(made)
        store.close()


def test_a_worker_killed_in_the_middle_of_a_run_is_one_reason_and_the_next_run_has_another(world: World) -> None:
    found: list[Any] = []
    world.spare.otherwise = Hang()
    run = threading.Thread(target=lambda: found.append(world.solve(verifier=[Hang()] * 9)))
    run.start()
    wait_until(
        lambda: "verifier" in world.asked(world.main), "the verifier to be asked", evidence=world.gateway.log_text
    )
    for child in psutil.Process(world.gateway.pid).children(recursive=True):
        if "models.worker.process" in " ".join(child.cmdline()):
            child.kill()
    run.join(60)
    solution, record = found[0]
    assert "the model worker ended" in solution["reason"]
    assert [e["purpose"] for e in exchanges(record)] == ["planner"]
    world.main.reset()
    solution, _ = world.solve()
    assert (solution["status"], solution["answer"], solution["reason"]) == ("complete", "XLII", "")
