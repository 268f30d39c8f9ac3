"""The evolving memory of one run (FEATURES P08).

One `Memory` belongs to one run and is never shared: nothing of an earlier question can leak into the next.
Results stay complete, because later calls take their arguments from them; what was planned and judged in
turns older than the last `RECENT` is archived into one line each.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from agentflow.flow.types import Action, ActionResult, ExecutorOutput, PlannerOutput, Typed, VerifierOutput

RECENT = 2


class SubGoals(Typed):
    """What has been reached and what is still open, as sentences."""

    completed: list[str] = Field(default_factory=list)
    pending: list[str] = Field(default_factory=list)


class PlannedAction(Action):
    """An action with the turn that planned it."""

    turn: int = 1


class ExecutedAction(ActionResult):
    """A result with the turn that produced it."""

    turn: int = 1


class Verification(VerifierOutput):
    """A verdict with the turn it judged."""

    turn: int = 1


class ArchivedTurn(Typed):
    """An old turn in one line."""

    turn: int
    summary: str


class Memory(Typed):
    """Everything a run knows.

    Attributes:
        turn: the current turn, from 1.
        knowledge: facts a caller brings along, or the run established, by name.
        context_history: archived turns, oldest first.
    """

    turn: Annotated[int, Field(ge=1)] = 1
    query: str
    knowledge: dict[str, Any] = Field(default_factory=dict)
    sub_goals: SubGoals = Field(default_factory=SubGoals)
    planned_actions: list[PlannedAction] = Field(default_factory=list)
    executed_actions: list[ExecutedAction] = Field(default_factory=list)
    verifications: list[Verification] = Field(default_factory=list)
    context_history: list[ArchivedTurn] = Field(default_factory=list)

    def plan(self, step: PlannerOutput) -> None:
        """Record what the planner wants in this turn."""
        if step.current_sub_goal and step.current_sub_goal not in self.sub_goals.pending:
            self.sub_goals.pending.append(step.current_sub_goal)
        self.planned_actions += [PlannedAction(turn=self.turn, **a.model_dump()) for a in step.actions]

    def execute(self, outcome: ExecutorOutput) -> None:
        """Record what the executor really got in this turn."""
        self.executed_actions += [ExecutedAction(turn=self.turn, **r.model_dump()) for r in outcome.results]

    def verify(self, step: PlannerOutput, verdict: VerifierOutput) -> None:
        """Record the verdict; a sub-goal that was not a failure is completed."""
        self.verifications.append(Verification(turn=self.turn, **verdict.model_dump()))
        goal = step.current_sub_goal
        if verdict.verification_status != "failure" and goal in self.sub_goals.pending:
            self.sub_goals.pending.remove(goal)
            self.sub_goals.completed.append(goal)

    def this_turn(self) -> list[ExecutedAction]:
        """The results of the current turn."""
        return [a for a in self.executed_actions if a.turn == self.turn]

    def clone_for_next_turn(self) -> Memory:
        """Return an independent copy for the next turn; turns older than the last `RECENT` are archived in it."""
        clone = self.model_copy(deep=True)
        clone.turn = self.turn + 1
        archived = {old.turn for old in clone.context_history}
        for turn in range(1, clone.turn - RECENT + 1):
            if turn not in archived:
                clone.context_history.append(ArchivedTurn(turn=turn, summary=self._line(turn)))
        oldest = clone.turn - RECENT
        clone.planned_actions = [a for a in clone.planned_actions if a.turn > oldest]
        clone.verifications = [v for v in clone.verifications if v.turn > oldest]
        return clone

    def _line(self, turn: int) -> str:
        calls = [
            f"{a.tool}({', '.join(a.arguments)}) {'ok' if a.success else 'failed: ' + _kind(a)}"
            for a in self.executed_actions
            if a.turn == turn
        ]
        verdict = next((v for v in self.verifications if v.turn == turn), None)
        judged = f" → {verdict.verification_status}, {verdict.next_action}" if verdict else ""
        return ("; ".join(calls) or "no call") + judged

    def get_context_summary(self, limit: int = 6000) -> str:
        """Describe the run so far in at most `limit` characters; tool output is shortened, never interpreted."""
        lines = [f"turn: {self.turn}", f"query: {self.query}"]
        if self.knowledge:
            lines.append(f"knowledge: {_short(self.knowledge, 800)}")
        lines += [f"completed: {goal}" for goal in self.sub_goals.completed]
        lines += [f"pending: {goal}" for goal in self.sub_goals.pending]
        lines += [f"turn {old.turn} (archived): {old.summary}" for old in self.context_history]
        for action in self.executed_actions:
            result = _short(action.output, 1200) if action.success else f"FAILED {_kind(action)}"
            lines.append(f"turn {action.turn}: {action.tool}({_short(action.arguments, 300)}) = {result}")
        lines += [
            f"turn {v.turn} verdict: {v.verification_status}, {v.next_action}: {v.reasoning}"
            for v in self.verifications
        ]
        text = "\n".join(lines)
        return text if len(text) <= limit else text[: limit - 1] + "…"


def _kind(action: ActionResult) -> str:
    return f"{action.error.kind}: {action.error.message}"[:200] if action.error else ""


def _short(value: Any, limit: int) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"
