"""The memory of a run."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agentflow.flow.memory import ExecutedAction, Memory
from agentflow.flow.types import Action, ActionResult, ExecutorOutput, PlannerOutput, VerifierOutput


def _turn(memory: Memory, number: int, status: str = "success") -> None:
    step = PlannerOutput(
        current_sub_goal=f"goal {number}", selected_tool="t", actions=[Action(tool="t", arguments={"n": number})]
    )
    memory.plan(step)
    memory.execute(
        ExecutorOutput(results=[ActionResult(tool="t", arguments={"n": number}, success=True, output={"v": number})])
    )
    verdict = VerifierOutput(
        execution_analysis="", memory_analysis="", verification_status=status, next_action="continue"
    )  # type: ignore[arg-type]
    memory.verify(step, verdict)


def test_a_clone_shares_nothing_with_its_original() -> None:
    first = Memory(query="q", knowledge={"list": [1]})
    second = first.clone_for_next_turn()
    second.knowledge["list"].append(2)
    _turn(second, 1)
    assert first.knowledge == {"list": [1]}
    assert first.executed_actions == []
    assert (first.turn, second.turn) == (1, 2)


def test_old_turns_are_archived_once_and_their_results_stay() -> None:
    memory = Memory(query="q")
    for number in range(1, 6):
        _turn(memory, number)
        memory = memory.clone_for_next_turn()
    assert [old.turn for old in memory.context_history] == [1, 2, 3, 4]
    assert {a.turn for a in memory.planned_actions} == {5}
    assert {v.turn for v in memory.verifications} == {5}
    assert [a.output["v"] for a in memory.executed_actions] == [1, 2, 3, 4, 5]


def test_sub_goals_move_from_pending_to_completed_unless_they_failed() -> None:
    memory = Memory(query="q")
    _turn(memory, 1)
    _turn(memory, 2, "failure")
    assert memory.sub_goals.completed == ["goal 1"]
    assert memory.sub_goals.pending == ["goal 2"]


def test_the_summary_tells_the_run_and_keeps_its_bound() -> None:
    memory = Memory(query="What?")
    _turn(memory, 1)
    summary = memory.get_context_summary()
    assert "What?" in summary
    assert '"v": 1' in summary
    assert len(memory.get_context_summary(50)) <= 50


def test_it_travels_as_json_and_refuses_what_it_does_not_know() -> None:
    memory = Memory(query="q")
    _turn(memory, 1)
    assert Memory.model_validate_json(memory.model_dump_json()) == memory
    with pytest.raises(ValidationError):
        Memory.model_validate({"query": "q", "secret": 1})


@pytest.mark.parametrize("calls", [12, 400])
def test_of_too_many_results_the_summary_keeps_the_newest(calls: int) -> None:
    memory = Memory(query="What?")
    for number in range(calls):
        found = ExecutedAction(tool=f"get_{number}", success=True, output={"text": f"n{number} " + "long " * 900})
        memory.executed_actions.append(found)
    summary = memory.get_context_summary(6000)
    assert len(summary) <= 6000
    assert f'get_{calls - 1}({{}}) = {{"text": "n{calls - 1} ' in summary
    assert ("get_0(" in summary) is (calls == 12)
    assert ("earlier calls are left out" in summary) is (calls == 400)


@pytest.mark.parametrize(
    "more", [{"turn": 10**9}, {"executed_actions": [{"tool": "t", "success": True}] * 3_000}], ids=["turn", "calls"]
)
def test_a_memory_that_no_run_could_have_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Memory.model_validate({"query": "q", **more})
