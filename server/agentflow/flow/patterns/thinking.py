"""Chain of thought: first the reasoning, written down by itself; then the step, chosen in view of it.

Two requests to the model for each step: the thoughts (what is known, what is missing, how to get from one to the
other), and the decision. By rules the same is read off the question and the results. A thought is no plan: what it
says is missing decides nothing until a step has been checked against the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from agentflow.flow.memory import Memory, shorten
from agentflow.flow.offline import answers
from agentflow.flow.planner import Planner
from agentflow.flow.port import ToolView
from agentflow.flow.prompted import ModelPlanner
from agentflow.flow.prompts import PLAN, RULES
from agentflow.flow.question import read, split
from agentflow.flow.types import PlannerOutput, Typed

_THINK = (
    "Before you choose the step, think: list what is known, what is missing for the answer, and the steps of reasoning "
    "that lead from one to the other, one short sentence each. Members: known, missing, steps, conclusion. "
    "Choose no tool yet."
)
Sentences = Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=40)]


class Thoughts(Typed):
    """A reasoning, before anything is decided."""

    known: Sentences = Field(default_factory=list)
    missing: Sentences = Field(default_factory=list)
    steps: Annotated[Sentences, Field(min_length=1)]
    conclusion: str


class Thinker(Protocol):
    """Reasons about a run. `ModelThinker` and `RuleThinker` implement it."""

    async def think(self, memory: Memory, tools: Sequence[ToolView]) -> Thoughts:
        """Return the thoughts. Raises AgentFlowError where the model gives none."""
        ...


class ModelThinker:
    """Thinks in the planner's own conversation, so that the decision follows the thought."""

    def __init__(self, planner: ModelPlanner) -> None:
        self._planner = planner

    async def think(self, memory: Memory, tools: Sequence[ToolView]) -> Thoughts:
        text = self._planner.prompt(memory, tools, _THINK)
        return await memory.thread.ask("planner", "planner", PLAN + RULES, text, Thoughts)


class RuleThinker:
    """Reads the thoughts off the question and what is accounted for."""

    async def think(self, memory: Memory, tools: Sequence[ToolView]) -> Thoughts:
        known = [f"{name} is {shorten(value, 80)}" for name, value in memory.knowledge.items()]
        known += [
            f"the question names {literal.text}" for part in split(memory.query) for literal in read(part).literals
        ]
        known += [f"{a.tool} has answered" for a in memory.executed_actions if a.success]
        missing, steps = [], []
        for question, answer in answers(memory.query, memory.executed_actions, tools):
            if answer is not None and answer.complete:
                known.append(f"answered: {question.text}")
                continue
            lacks = answer.missing if answer is not None else question.words
            missing += [f"{word}" for word in lacks if not word.startswith("=")]
            steps.append(
                f"find {', '.join(question.head) or question.implied or question.verb or 'it'}: {question.text}"
            )
        return Thoughts(
            known=known[:40],
            missing=list(dict.fromkeys(missing))[:40],
            steps=steps[:40] or ["write the answer"],
            conclusion=steps[0] if steps else "the results account for the question",
        )


class ChainOfThought:
    """A planner that thinks before it plans; the thoughts stand in the step's reasoning."""

    def __init__(self, planner: Planner, thinker: Thinker) -> None:
        self._planner, self._thinker = planner, thinker

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        thoughts = await self._thinker.think(memory, tools)
        step = await self._planner.plan(memory, tools)
        derived = "\n".join(f"{n}. {line}" for n, line in enumerate([*thoughts.steps, thoughts.conclusion], 1))
        return step.model_copy(update={"reasoning": f"{derived}\n{step.reasoning}".strip()})
