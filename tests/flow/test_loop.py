"""The loop: turns, retries, deadline, cancellation, escalation, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentflow.errors import AuditUnavailable, ContentBlocked, PolicyDenied, UpstreamUnavailable
from agentflow.flow.loop import Flow
from agentflow.flow.memory import Memory
from agentflow.flow.offline import OfflinePlanner
from agentflow.flow.port import ToolView
from agentflow.flow.types import Action, PlannerOutput
from agentflow.flow.verifier import RuleVerifier
from agentflow.flow.writer import EvidenceWriter
from tests.flow.worlds import JSON, STRING, World

QUERY = "What is the status of the last order of Ada Lovelace?"


def flow(world: World, **more: Any) -> Flow:
    return Flow(more.pop("planner", OfflinePlanner()), RuleVerifier(), EvidenceWriter(), world, **more)


@dataclass
class Endless:
    """A planner that always finds one more call, and remembers the memories it was shown."""

    seen: list[Memory] = field(default_factory=list)

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        self.seen.append(memory.model_copy(deep=True))
        action = Action(tool="helpdesk__get_product", arguments={"product_id": f"P-{1 + memory.turn % 4}"})
        return PlannerOutput(current_sub_goal=f"look {memory.turn}", selected_tool=action.tool, actions=[action])


def failing(world: World, name: str, error: Exception, times: int) -> list[int]:
    """Make a tool fail that often before it works; returns a list that grows with each attempt."""
    attempts: list[int] = []
    inner = world._runs[name]

    async def run(**arguments: Any) -> Any:
        attempts.append(1)
        if len(attempts) <= times:
            raise error
        return await inner(**arguments)

    world._runs[name] = run
    return attempts


async def test_every_turn_is_noted_and_told(helpdesk: World) -> None:
    told: list[tuple[int, int, str]] = []

    async def progress(turn: int, of: int, message: str) -> None:
        told.append((turn, of, message))

    await flow(helpdesk, progress=progress).solve(QUERY)
    assert [event for event, _ in helpdesk.notes] == ["flow.turn", "flow.turn", "flow.solve"]
    first = helpdesk.notes[0][1]
    assert first["plan"]["selected_tool"] == "helpdesk__find_customer"
    assert first["execution"]["commands"][0]["arguments"] == {"query": "Ada Lovelace"}
    assert first["verdict"]["next_action"] == "continue"
    assert [(turn, of) for turn, of, _ in told] == [(1, 5), (2, 5)]


async def test_max_turns_ends_the_run_with_a_reason(helpdesk: World) -> None:
    planner = Endless()
    solution = await flow(helpdesk, planner=planner, max_turns=3).solve("Why is the sky blue for orders?")
    assert (solution.status, solution.turns, solution.answer) == ("escalated", 3, "")
    assert "3 turns" in solution.reason
    assert len(planner.seen) == 3


async def test_runs_share_no_memory(helpdesk: World) -> None:
    planner = Endless()
    shared = flow(helpdesk, planner=planner, max_turns=2)
    await shared.solve("first question")
    await shared.solve("second question")
    assert [m.query for m in planner.seen] == ["first question"] * 2 + ["second question"] * 2
    assert planner.seen[2].executed_actions == []


async def test_what_was_never_sent_is_retried(helpdesk: World) -> None:
    attempts = failing(helpdesk, "helpdesk__list_orders", UpstreamUnavailable("starting"), 1)
    assert (await flow(helpdesk).solve(QUERY)).answer == "shipped"
    assert len(attempts) == 2


async def test_the_retry_budget_is_kept(helpdesk: World) -> None:
    attempts = failing(helpdesk, "helpdesk__list_orders", UpstreamUnavailable("down for good"), 99)
    solution = await flow(helpdesk, max_turns=20, retries=2).solve(QUERY)
    assert solution.status == "escalated"
    assert "down for good" in solution.reason
    assert len(attempts) == 3


@pytest.mark.parametrize("error", [PolicyDenied("orders are not for you"), ContentBlocked("injection found")])
async def test_a_refused_call_is_never_repeated_and_ends_with_its_reason(helpdesk: World, error: Exception) -> None:
    attempts = failing(helpdesk, "helpdesk__list_orders", error, 99)
    solution = await flow(helpdesk).solve(QUERY)
    assert solution.status == "escalated"
    assert str(error) in solution.reason
    assert len(attempts) == 1


async def test_another_tool_is_tried_where_one_fails(helpdesk: World) -> None:
    async def orders_by_name(name: str) -> Any:
        return [{"order_id": "O-1", "created_at": "2025-01-01", "status": "lost"}]

    failing(helpdesk, "helpdesk__find_customer", PolicyDenied("no"), 99)
    helpdesk.add("helpdesk__search_orders", orders_by_name, "Search orders by customer name.", {"name": STRING})
    assert (await flow(helpdesk).solve(QUERY)).answer == "lost"


async def test_the_deadline_ends_the_run_and_the_call_under_way(helpdesk: World) -> None:
    ended = asyncio.Event()

    async def hang(query: str) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    helpdesk._runs["helpdesk__find_customer"] = hang
    solution = await flow(helpdesk, timeout=0.05).solve(QUERY)
    assert solution.status == "escalated"
    assert "deadline" in solution.reason
    assert ended.is_set()


async def test_cancelling_stops_the_run_and_leaves_nothing_running(helpdesk: World) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def hang(query: str) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    helpdesk._runs["helpdesk__find_customer"] = hang
    before = asyncio.all_tasks()
    task = asyncio.create_task(flow(helpdesk).solve(QUERY))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert asyncio.all_tasks() - before - {task} == set()
    assert helpdesk.notes == []


async def test_what_cannot_be_recorded_is_not_answered(helpdesk: World) -> None:
    async def full(event: str, detail: JSON) -> None:
        raise AuditUnavailable("the disk is full")

    helpdesk.note = full  # type: ignore[method-assign]
    with pytest.raises(AuditUnavailable):
        await flow(helpdesk).solve(QUERY)


async def test_a_planner_that_cannot_plan_ends_in_an_escalation(helpdesk: World) -> None:
    class Away:
        async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
            raise UpstreamUnavailable("the model is away")

    solution = await flow(helpdesk, planner=Away()).solve(QUERY)
    assert solution.status == "escalated"
    assert "the model is away" in solution.reason
