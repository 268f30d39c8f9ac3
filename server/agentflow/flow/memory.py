"""The evolving memory of one run (FEATURES P08).

One `Memory` belongs to one run and is never shared: nothing of an earlier question can leak into the next.
Results stay complete, because later calls take their arguments from them; what was planned and judged in
turns older than the last `RECENT` is archived into one line each.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field, PrivateAttr

from agentflow.flow.transcript import Thread
from agentflow.flow.types import Action, ActionResult, ExecutorOutput, PlannerOutput, Typed, VerifierOutput

RECENT = 2
MOST = 2_500  # calls in a memory that is given to a module
_LEAST = 120  # characters of a result in a summary
_CALL = 60  # characters of a call in a summary, about


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
        knowledge: facts a caller brings along, a person gave, or the run established, by name.
        context_history: archived turns, oldest first.
        thread: the run's conversations with models; not part of what is sent or stored.
    """

    turn: Annotated[int, Field(ge=1, le=10_000)] = 1
    query: str
    knowledge: dict[str, Any] = Field(default_factory=dict)
    sub_goals: SubGoals = Field(default_factory=SubGoals)
    planned_actions: list[PlannedAction] = Field(default_factory=list, max_length=MOST)
    executed_actions: list[ExecutedAction] = Field(default_factory=list, max_length=MOST)
    verifications: list[Verification] = Field(default_factory=list, max_length=MOST)
    context_history: list[ArchivedTurn] = Field(default_factory=list, max_length=MOST)
    _thread: Thread = PrivateAttr(default_factory=Thread)

    def __eq__(self, other: object) -> bool:
        # By what it holds: conversations are not part of it.
        return isinstance(other, Memory) and self.__dict__ == other.__dict__

    @property
    def thread(self) -> Thread:
        return self._thread

    def on(self, thread: Thread) -> Memory:
        """This memory, its conversations on another thread."""
        self._thread = thread
        return self

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

    def fork(self, query: str | None = None) -> Memory:
        """An independent copy for a line of its own, which works on `query` alone where one is given."""
        copy = self.model_copy(deep=True)
        if query is not None:
            copy.query = query
            copy.sub_goals = SubGoals()
        return copy.on(self._thread.fork(query or ""))

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
        """Describe the run so far in at most `limit` characters; tool output is shortened, never interpreted.

        Where not everything fits, the newest results stay.
        """
        lines = [f"turn: {self.turn}", f"query: {self.query}"]
        if self.knowledge:
            lines.append(f"knowledge: {shorten(self.knowledge, 800)}")
        lines += [f"completed: {goal}" for goal in self.sub_goals.completed]
        lines += [f"pending: {goal}" for goal in self.sub_goals.pending]
        lines += [f"turn {old.turn} (archived): {old.summary}" for old in self.context_history]
        verdicts = [
            f"turn {v.turn} verdict: {v.verification_status}, {v.next_action}: {v.reasoning}"
            for v in self.verifications
        ]
        begun = _cut("\n".join(lines), limit // 2)
        ended = _cut("\n".join(verdicts), limit // 4)
        return "\n".join(part for part in (begun, *self._results(limit - len(begun) - len(ended) - 2), ended) if part)

    def _results(self, limit: int) -> list[str]:
        """The calls and what they gave, in `limit` characters, each its share; of too many the newest."""
        actions = self.executed_actions
        room = max(limit // max(len(actions), 1) - _CALL, _LEAST)
        found: list[str] = []
        for place in range(len(actions) - 1, -1, -1):
            line = described(actions[place], room)
            limit -= len(line) + 1
            if limit < _LEAST and found:
                return [f"({place + 1} earlier calls are left out)", *reversed(found)]
            found.append(_cut(line, limit + len(line)))
        return found[::-1]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def described(action: ExecutedAction, limit: int) -> str:
    """A call and what it gave, in one line of about `limit` characters."""
    result = shorten(action.output, limit) if action.success else f"FAILED {_kind(action)}"
    return f"turn {action.turn}: {action.tool}({shorten(action.arguments, 300)}) = {result}"


def _kind(action: ActionResult) -> str:
    return f"{action.error.kind}: {action.error.message}"[:200] if action.error else ""


def shorten(value: Any, limit: int) -> str:
    """JSON of a value in about `limit` characters; of a long list the first whole items and how many more there are."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= limit:
        return text
    if isinstance(value, list):
        items, size = [], 0
        for item in value:
            one = json.dumps(item, ensure_ascii=False, default=str)
            size += len(one) + 2
            if size > limit:
                break
            items.append(one)
        if items:
            return f"[{', '.join(items)}, … {len(value) - len(items)} more of {len(value)} items]"
    return text[: limit - 1] + "…"
