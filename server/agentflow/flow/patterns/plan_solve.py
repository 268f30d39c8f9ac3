"""Plan and solve (arXiv 2305.04091): first the whole plan, then its sub-goals, then the answer.

One request makes the outline: sub-goals, and which of them need which. Sub-goals whose needs are met are worked on side
by side, each by the loop with turns of its own; what they found is handed to those that need it. Where one fails, what
is left is outlined anew with the reason, at most `bounds.replans` times. By rules the outline is the question's parts,
in order, those that need nothing of each other side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field

from agentflow.flow.memory import Memory
from agentflow.flow.patterns.direct import independent
from agentflow.flow.port import ToolView
from agentflow.flow.prompted import ModelPlanner
from agentflow.flow.prompts import PLAN, RULES
from agentflow.flow.question import split
from agentflow.flow.run import Branch, Escalation, Procedure, Run
from agentflow.flow.types import Action, ExecutorOutput, PlannerOutput, SolverOutput, Typed, VerifierOutput

MAX_GOALS = 8
_OUTLINE = (
    "First make the whole plan, before any step: the fewest sub-goals that together answer the question, each as a "
    f"full question that can be understood alone, at most {MAX_GOALS}. `needs` names the sub-goals whose results one "
    "needs; those without are worked on side by side. Members: goals [{id, goal, needs}]. Choose no tool yet."
)


class Goal(Typed):
    """A sub-goal of the plan."""

    id: Annotated[str, Field(min_length=1, max_length=40)]
    goal: Annotated[str, Field(min_length=1, max_length=4000)]
    needs: list[str] = Field(default_factory=list)


class Outline(Typed):
    """The whole plan."""

    goals: Annotated[list[Goal], Field(min_length=1, max_length=MAX_GOALS)]


class Outliner(Protocol):
    """Makes the whole plan. `ModelOutliner` and `RuleOutliner` implement it."""

    async def outline(self, memory: Memory, tools: Sequence[ToolView]) -> Outline:
        """Return what is (still) to be reached. Raises AgentFlowError where the model gives no plan."""
        ...


def circular(outline: Outline) -> str | None:
    """What is wrong with an outline's needs, or None."""
    ids = [goal.id for goal in outline.goals]
    if len(set(ids)) != len(ids):
        return "two goals have one id"
    unknown = {need for goal in outline.goals for need in goal.needs} - set(ids)
    if unknown:
        return f"no goal has the id {sorted(unknown)[0]!r}"
    met: set[str] = set()
    while len(met) < len(ids):
        ready = {goal.id for goal in outline.goals if goal.id not in met and met.issuperset(goal.needs)}
        if not ready:
            return "the goals need each other in a circle"
        met |= ready
    return None


class ModelOutliner:
    """A model makes the outline, in the planner's conversation."""

    def __init__(self, planner: ModelPlanner) -> None:
        self._planner = planner

    async def outline(self, memory: Memory, tools: Sequence[ToolView]) -> Outline:
        text = self._planner.prompt(memory, tools, _OUTLINE)
        return await memory.thread.ask("planner", "planner", PLAN + RULES, text, Outline, check=circular)


class RuleOutliner:
    """The parts of the question; in order, unless none needs another."""

    async def outline(self, memory: Memory, tools: Sequence[ToolView]) -> Outline:
        parts = split(memory.query)[:MAX_GOALS]
        free = bool(independent(memory.query))
        goals = [
            Goal(id=str(n), goal=part, needs=[str(n - 1)] if n > 1 and not free else [])
            for n, part in enumerate(parts, 1)
        ]
        return Outline(goals=goals)


@dataclass(slots=True)
class PlanAndSolve(Procedure):
    """The plan, its sub-goals in waves, and the answer.

    Attributes:
        by_parts: the goals are the question's own parts, so that their answers together are the answer.
    """

    outliner: Outliner
    by_parts: bool = False

    async def solve(self, run: Run, memory: Memory) -> SolverOutput:
        replans, done, reached = 0, set[str](), list[Branch]()
        outline = await self.outliner.outline(memory, run.tools)
        await run.caller.note("flow.outline", outline.model_dump(mode="json"))
        while wave := [g for g in outline.goals if g.id not in done and done.issuperset(g.needs)]:
            memory, branches = await self._wave(run, memory, wave)
            failed = [b for b in branches if b.reason]
            reached += [b for b in branches if not b.reason]
            done |= {goal.id for goal, branch in zip(wave, branches, strict=True) if not branch.reason}
            if not failed:
                continue
            replans += 1
            diagnosis = "; ".join(f"{b.goal}: {b.reason}" for b in failed)
            if run.answered(memory):
                break
            if replans > run.bounds.replans:
                raise Escalation(f"{run.bounds.replans} new plans led nowhere: {diagnosis}")
            again = memory.thread.data(diagnosis)
            memory.thread.advice.append(f"These sub-goals were not reached; plan what is left in another way:\n{again}")
            before = [goal.goal for goal in outline.goals if goal.id not in done]
            outline, done = await self.outliner.outline(memory, run.tools), set()
            if [goal.goal for goal in outline.goals] == before:
                raise Escalation(diagnosis)
            await run.caller.note("flow.outline", outline.model_dump(mode="json"))
        if self.by_parts and not replans:
            return _joined([await run.parts.writer.write(branch.memory, run.tools) for branch in reached])
        return await self._answer(run, memory)

    async def _wave(self, run: Run, memory: Memory, wave: Sequence[Goal]) -> tuple[Memory, list[Branch]]:
        """Work on the goals that need nothing more, and take what they found into the memory."""
        limit = memory.turn + run.bounds.turns - 1
        branches = await run.branch_out(memory, [(goal.goal, None) for goal in wave], last=limit)
        for goal, branch in zip(wave, branches, strict=True):
            memory.plan(PlannerOutput(current_sub_goal=goal.goal))
            status = "failure" if branch.reason else "success"
            memory.verify(
                PlannerOutput(current_sub_goal=goal.goal),
                VerifierOutput.model_validate(
                    {
                        "execution_analysis": f"{len(branch.results)} calls",
                        "memory_analysis": "",
                        "verification_status": status,
                        "next_action": "continue",
                        "reasoning": branch.reason or f"reached: {goal.goal}",
                    }
                ),
            )
        results = [result for branch in branches for result in branch.results]
        commands = [Action(tool=r.tool, arguments=r.arguments) for r in results if r.success]
        memory.execute(ExecutorOutput(commands=commands, results=results))
        run.lines[0] = memory
        return memory.clone_for_next_turn(), branches

    @staticmethod
    async def _answer(run: Run, memory: Memory) -> SolverOutput:
        """Write, where the results account for the whole question; else let the loop look for what is missing."""
        verdict = await run.parts.verifier.verify(memory, run.tools)
        if verdict.next_action != "complete" and not run.answered(memory):
            memory = await run.line(memory, last=memory.turn + run.bounds.turns - 1)
        return await run.write(memory)


def _joined(parts: Sequence[SolverOutput]) -> SolverOutput:
    return SolverOutput(
        answer="; ".join(part.answer for part in parts),
        confidence=min((part.confidence for part in parts), default=0.0),
        evidence=[item for part in parts for item in part.evidence][:100],
    )
