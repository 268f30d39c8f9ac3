"""ReAct (arXiv 2210.03629): thought, action, observation, until the planner itself says the answer.

One request to the model for each turn, and none for verdicts or for the answer: the planner observes each result
and finishes when it can. The rules still judge: a finish without any data is refused, and its evidence has to be there.
By rules the planner finishes when it finds nothing further to call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from agentflow.flow.catalogue import catalogue_of
from agentflow.flow.memory import Memory
from agentflow.flow.port import ToolView
from agentflow.flow.prompted import ModelPlanner, grounded, wrong_call
from agentflow.flow.prompts import RULES
from agentflow.flow.types import Action, PlannerOutput, SolverOutput, Typed, VerifierOutput
from agentflow.flow.verifier import judge, veto
from agentflow.flow.writer import from_evidence

_REACT = (
    "You are a tool-using agent that works in turns: a thought, then an action, then you see its observation. Use only "
    "the listed tools and only values that occur in the question or in results. Choose a tool that changes something "
    "only if the question asks for that. When you can answer, finish: set action to null and finish to {answer, "
    "confidence (0 to 1), evidence [{tool, path, value}]}, each value you used with the tool and the JSON pointer in "
    "that tool's output. When no tool helps, set both to null. Members: thought, action {tool, arguments, purpose}, "
    "finish. "
)


class ReActStep(Typed):
    """A thought, and either an action, or the answer, or neither where nothing helps."""

    thought: Annotated[str, Field(max_length=20_000)]
    action: Action | None = None
    finish: SolverOutput | None = None


class ReActPlanner:
    """Plans by thought and action in one conversation; the answer it finishes with is kept for `ReActWriter`."""

    def __init__(self, planner: ModelPlanner) -> None:
        self._planner = planner

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        catalogue, planner = catalogue_of(tools), self._planner

        def check(step: ReActStep) -> str | None:
            if step.action is not None and step.finish is not None:
                return "action and finish cannot both be given"
            return wrong_call(step.action, catalogue, may_ask=planner.may_ask) if step.action is not None else None

        text = planner.prompt(memory, tools, f"Turn {memory.turn}: think, then act or finish.")
        step = await memory.thread.ask("planner", "planner", _REACT + RULES, text, ReActStep, check=check)
        memory.thread.finish = step.finish
        action = step.action
        return PlannerOutput(
            current_sub_goal=(action.purpose if action else "") or step.thought[:300],
            selected_tool=action.tool if action else None,
            actions=[action] if action else [],
            reasoning=step.thought,
        )


class ObservingVerifier:
    """Says by rules how a turn went; the run is complete when the planner, not the verifier, has nothing further.

    Args:
        by_model: whether the planner gives the answer itself.
    """

    def __init__(self, *, by_model: bool) -> None:
        self._by_model = by_model

    async def verify(self, memory: Memory, tools: Sequence[ToolView]) -> VerifierOutput:
        ruled = judge(memory, tools)
        if not memory.this_turn():
            if not self._by_model or memory.thread.finish is None:
                return ruled
            finished = {"verification_status": "success", "next_action": "complete"}
            said = ruled.model_copy(update={**finished, "reasoning": "the planner finished"})
            return veto(said, memory, tools, ruled)
        if ruled.next_action in ("retry", "escalate"):
            return ruled
        return ruled.model_copy(update={"next_action": "continue"})


class ReActWriter:
    """The answer that the planner finished with, held to its evidence; without one, what the results hold."""

    async def write(self, memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
        finish = memory.thread.finish
        if finish is None:
            return from_evidence(memory, tools)
        return grounded(finish, memory.executed_actions)
