"""The offline planner: no model, no network.

Reads a question into a program (lookups, functions, arithmetic, comparison), evaluates it on the results so far, and
plans the calls that bring it further: BM25 search over the catalogue, arguments filled by type and schema, results
chained to arguments. It never chooses a tool that writes unless the question is an imperative with a writing verb,
and it rather gives no answer than one that leaves part of the question out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentflow.flow.answer import Answer
from agentflow.flow.catalogue import Catalogue
from agentflow.flow.evaluate import Evaluation, Outcome
from agentflow.flow.functions import Functions, functions_of
from agentflow.flow.memory import Memory
from agentflow.flow.port import ToolView
from agentflow.flow.program import Lookup, Node
from agentflow.flow.question import Question, read, split
from agentflow.flow.reader import Reader, in_order
from agentflow.flow.types import Action, ActionResult, PlannerOutput

_MOST_CALLS = 20
LONGEST = 4_000  # characters of a question that is read by rules: reading takes time by the square of its length


def programs(query: str, functions: Functions) -> list[tuple[str, Node]]:
    """The parts of a question, each with its program."""
    reader = Reader(functions)
    joined = in_order(query)
    if joined != query and not isinstance(node := reader.read(joined), Lookup):
        return [(query, node)]
    return [(part, reader.read(part)) for part in split(query)]


def answers(
    query: str, results: Sequence[ActionResult], tools: Sequence[ToolView]
) -> list[tuple[Question, Answer | None]]:
    """The parts of a question, each with the best answer the results hold for it."""
    if len(query) > LONGEST:
        return [(read(query[:80]), None)]
    functions = functions_of(tools)
    evaluation = Evaluation(functions, results)
    return [(read(part), evaluation.value(node).answer) for part, node in programs(query, functions)]


class OfflinePlanner:
    """Plans by reading, search, slot filling and backward chaining."""

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        if len(memory.query) > LONGEST:
            why = f"without a model only questions of up to {LONGEST} characters are read"
            return PlannerOutput(current_sub_goal=f"{memory.query[:80]}…", reasoning=why)
        functions = functions_of(tools)
        evaluation = Evaluation(functions, memory.executed_actions, memory.knowledge, planning=True)
        stuck: list[str] = []
        going: list[tuple[str, Node, Outcome]] = []
        for part, node in programs(memory.query, functions):
            outcome = evaluation.value(node)
            if outcome.actions:
                going.append((part, node, outcome))
            elif outcome.answer is None:
                stuck.append(f"{part} ({outcome.reason})" if outcome.reason else part)
        if going:
            return _step(going, functions.catalogue)
        if stuck:
            why = f"no tool at hand brings this further: {'; '.join(stuck)}"
            return PlannerOutput(current_sub_goal=stuck[0], reasoning=why)
        return PlannerOutput(current_sub_goal="write the answer", reasoning="the results account for the question")


def _step(going: list[tuple[str, Node, Outcome]], catalogue: Catalogue) -> PlannerOutput:
    """The calls of every part side by side; of parts that write only the first."""
    part, node, outcome = going[0]
    actions = list(outcome.actions)
    for _, _, other in going[1:]:
        if all(_reads(a, catalogue) for a in (*actions, *other.actions)):
            actions += other.actions
    unique = {json.dumps([a.tool, a.arguments], sort_keys=True, default=str): a for a in actions}
    actions = list(unique.values())[:_MOST_CALLS]
    first = catalogue.tool(actions[0].tool)
    said = (
        (first.view.description or first.name).strip().splitlines()[0][:120] if first is not None else actions[0].tool
    )
    return PlannerOutput(
        current_sub_goal=f"{part} – {said}",
        selected_tool=actions[0].tool,
        required_skills=_skills(part, node, actions, catalogue),
        actions=actions,
        reasoning=f"this brings the question further: {', '.join(dict.fromkeys(a.tool for a in actions))}",
    )


def _reads(action: Action, catalogue: Catalogue) -> bool:
    tool = catalogue.tool(action.tool)
    return tool is not None and tool.read_only


def _skills(part: str, node: Node, actions: Sequence[Action], catalogue: Catalogue) -> list[str]:
    tool = catalogue.tool(actions[0].tool)
    skills = ["action"] if tool is None or not tool.read_only else ["search"] if tool.many else ["lookup"]
    skills += [] if isinstance(node, Lookup) else [type(node).__name__.lower()]
    operation: Any = read(part).operation
    return skills + ([operation] if operation in ("count", "sum", "average") else [])
