"""Reflection: a draft, a critique of it, and where the critique finds something, a second draft that answers to it.

Of the plan of every turn and of the answer: two requests to the model where the critic has nothing to say, three where
it has. The critic sees what the rules found as well, and what they found always counts: a call made before, a value
that nobody has given, a change that nobody asked for. By rules alone a draft is planned again without the tool that was
found wrong. Source: Self-Refine (arXiv 2303.17651), with grounded checks beside the model's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field

from agentflow.flow.catalogue import catalogue_of, without
from agentflow.flow.memory import Memory
from agentflow.flow.planner import Planner
from agentflow.flow.port import ToolView
from agentflow.flow.prompted import ModelPlanner, begun
from agentflow.flow.prompts import RULES
from agentflow.flow.question import read, split
from agentflow.flow.types import PlannerOutput, SolverOutput, Typed
from agentflow.flow.writer import Writer

_CRITIC = (
    "You are the critic of a tool-using agent. You see the question, the results so far and a draft: a planned step, "
    "or an answer. Name every concrete problem: a wrong tool, wrong or invented arguments, a needless call, a "
    "statement that the results do not bear, a part of the question left out. Set revise to true only if there is a "
    "problem worth a second draft, and say in advice what it should do differently. Members: problems, revise, advice. "
)
_INVENTED = 3  # characters from which a text argument has to come from somewhere


class Critique(Typed):
    """What is wrong with a draft, and whether it is to be written again."""

    problems: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=20)] = Field(
        default_factory=list
    )
    revise: bool
    advice: Annotated[str, Field(max_length=4000)] = ""


class Critic(Protocol):
    """Judges drafts. `ModelCritic` and `RuleCritic` implement it."""

    async def step(self, memory: Memory, tools: Sequence[ToolView], draft: PlannerOutput) -> Critique:
        """What is wrong with a step. Raises AgentFlowError where the model does not say."""
        ...

    async def answer(self, memory: Memory, draft: SolverOutput) -> Critique:
        """What is wrong with an answer. Raises likewise."""
        ...


def faults(memory: Memory, tools: Sequence[ToolView], step: PlannerOutput) -> list[str]:
    """What the rules find wrong with a step."""
    catalogue, found = catalogue_of(tools), []
    made = {_key(a.tool, a.arguments): a for a in memory.executed_actions}
    known = json.dumps(
        [memory.query, memory.knowledge, [a.output for a in memory.executed_actions]], ensure_ascii=False, default=str
    ).casefold()
    acting = any(read(part).operation == "action" for part in split(memory.query))
    for action in step.actions:
        earlier = made.get(_key(action.tool, action.arguments))
        if earlier is not None and not (earlier.error is not None and earlier.error.retryable):
            ended = "gave a result" if earlier.success else "failed"
            found.append(f"{action.tool} was called with these very arguments in turn {earlier.turn} and {ended}")
        tool = catalogue.tool(action.tool)
        if tool is not None and not tool.read_only and not acting:
            found.append(f"{action.tool} changes something, and the question does not ask for a change")
        if tool is not None and not tool.read_only:
            found += [
                f"{action.tool}: the value of {name} occurs neither in the question nor in a result"
                for name, value in action.arguments.items()
                if isinstance(value, str) and len(value) >= _INVENTED and _literal(value) not in known
            ]
    return found


def _literal(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1].casefold()


def _key(tool: str, arguments: dict[str, Any]) -> str:
    return json.dumps([tool, arguments], sort_keys=True, default=str)


class RuleCritic:
    """Finds fault by rules alone."""

    async def step(self, memory: Memory, tools: Sequence[ToolView], draft: PlannerOutput) -> Critique:
        found = faults(memory, tools, draft)
        return Critique(problems=found, revise=bool(found), advice="another call" if found else "")

    async def answer(self, memory: Memory, draft: SolverOutput) -> Critique:
        return Critique(revise=False)


class ModelCritic:
    """A model as critic, in a conversation of its own; what the rules found is not for it to forgive."""

    async def step(self, memory: Memory, tools: Sequence[ToolView], draft: PlannerOutput) -> Critique:
        found = faults(memory, tools, draft)
        shown = memory.thread.shown or tuple(tools)[:20]
        about = {view.name: view.description[:300] for view in shown}
        tool_list = memory.thread.data(json.dumps(about, ensure_ascii=False))
        said = f"Tools:\n{tool_list}\n\nDrafted step:\n{memory.thread.data(draft.model_dump_json())}"
        critique = await self._ask(memory, said, found, memory.turn - 1)
        return Critique(
            problems=[*found, *critique.problems][:20], revise=critique.revise or bool(found), advice=critique.advice
        )

    async def answer(self, memory: Memory, draft: SolverOutput) -> Critique:
        return await self._ask(
            memory, f"Drafted answer:\n{memory.thread.data(draft.model_dump_json())}", [], memory.turn
        )

    @staticmethod
    async def _ask(memory: Memory, draft: str, found: Sequence[str], upto: int) -> Critique:
        text = begun(memory, "judge", None, upto)
        checks = "Checks by rule found: " + ("; ".join(found) if found else "nothing") + "."
        prompt = "\n\n".join(part for part in (text, draft, memory.thread.data(checks), "Criticise the draft.") if part)
        return await memory.thread.ask("judge", "judge", _CRITIC + RULES, prompt, Critique)


class ReflectivePlanner:
    """Plans, has the plan criticised, and plans once more where the critic asks for it."""

    def __init__(self, planner: Planner, critic: Critic) -> None:
        self._planner, self._critic = planner, critic

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        draft = await self._planner.plan(memory, tools)
        critique = await self._critic.step(memory, tools, draft)
        if not critique.revise:
            return draft
        problems = "; ".join(critique.problems) or critique.advice
        if isinstance(self._planner, ModelPlanner):
            advised = memory.thread.data(f"{problems}\n{critique.advice}")
            memory.thread.advice.append(f"A critic says of this step:\n{advised}")
            second = await self._planner.plan(memory, tools)
        else:
            second = await self._planner.plan(memory, without(tools, draft.selected_tool or ""))
        return second.model_copy(update={"reasoning": f"{second.reasoning} (second draft: {problems})".strip()})


class ReflectiveWriter:
    """Writes, has the answer criticised, and writes once more where the critic asks for it."""

    def __init__(self, writer: Writer, critic: Critic) -> None:
        self._writer, self._critic = writer, critic

    async def write(self, memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
        draft = await self._writer.write(memory, tools)
        critique = await self._critic.answer(memory, draft)
        if not critique.revise:
            return draft
        advised = memory.thread.data("; ".join([*critique.problems, critique.advice]))
        memory.thread.advice.append(f"A critic says of this answer:\n{advised}")
        return await self._writer.write(memory, tools)
