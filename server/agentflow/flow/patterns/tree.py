"""Tree of thoughts (arXiv 2305.10601): a best-first search over steps, with scores and a budget of nodes.

A node is a step that was thought of; its path from the root is what has been done to get there. Each expansion thinks
of up to `BREADTH` different next steps (one request) and scores them (one more); the best open node of the whole tree
is carried out next, whichever branch it is on, so that a branch that disappoints is left for a better one. Promises: no
more than `bounds.nodes` nodes are thought of; a path is at most `bounds.turns` long; a call made on a path is not made
on it again; once a node has changed something, the search goes on below it only, because that cannot be taken back.
By rules the candidates are the planner's own choices with each tool taken away in turn, and a node is worth what its
results account for.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from pydantic import Field

from agentflow.flow.catalogue import catalogue_of, without
from agentflow.flow.memory import Memory
from agentflow.flow.offline import answers
from agentflow.flow.planner import Planner
from agentflow.flow.port import ToolView
from agentflow.flow.prompted import ModelPlanner, begun, wrong
from agentflow.flow.prompts import PLAN, RULES
from agentflow.flow.run import Escalation, Procedure, Run
from agentflow.flow.types import PlannerOutput, SolverOutput, Typed

BREADTH = 3
_JUDGE = (
    "You are the judge of a tree search. You see a question, the results on one path, and candidate next steps. Score "
    "each candidate from 0 to 1: how likely it is, from here, to lead to the answer with few further calls. Members: "
    "scores, one number per candidate in the order given. "
)

State = Literal["open", "done", "failed", "goal"]


class Candidates(Typed):
    """Different next steps, none of them decided on."""

    candidates: Annotated[list[PlannerOutput], Field(min_length=1, max_length=8)]


class Scores(Typed):
    """One score per candidate."""

    scores: list[Annotated[float, Field(ge=0, le=1)]]


@dataclass(slots=True)
class Node:
    """A step that was thought of.

    Attributes:
        memory: what is known after it; None until it is carried out.
        value: what its path was worth when it was thought of.
    """

    number: int
    parent: int
    depth: int
    step: PlannerOutput
    score: float
    value: float = 0.0
    state: State = "open"
    memory: Memory | None = None


class Proposer(Protocol):
    """Thinks of next steps. `ModelProposer` and `RuleProposer` implement it."""

    async def propose(self, memory: Memory, tools: Sequence[ToolView], most: int) -> list[PlannerOutput]:
        """At most `most` different steps. Raises AgentFlowError where the model gives none."""
        ...

    async def score(self, memory: Memory, steps: Sequence[PlannerOutput]) -> list[float]:
        """How promising each is, 0 to 1. Raises likewise."""
        ...


class ModelProposer:
    """A model thinks of the steps in the planner's conversation; as judge it scores them in one of its own."""

    def __init__(self, planner: ModelPlanner) -> None:
        self._planner = planner

    async def propose(self, memory: Memory, tools: Sequence[ToolView], most: int) -> list[PlannerOutput]:
        catalogue, planner = catalogue_of(tools), self._planner

        def check(found: Candidates) -> str | None:
            problems = [wrong(step, catalogue, may_ask=planner.may_ask) for step in found.candidates]
            return next((p for p in problems if p), None) if all(problems) else None

        order = f"Think of up to {most} different next steps for turn {memory.turn}. Members: candidates [step]."
        text = planner.prompt(memory, tools, order)
        found = await memory.thread.ask(
            "planner", "planner", PLAN + RULES, text, Candidates, check=check, temperature=0.7
        )
        return [s for s in found.candidates if wrong(s, catalogue, may_ask=planner.may_ask) is None][:most]

    async def score(self, memory: Memory, steps: Sequence[PlannerOutput]) -> list[float]:
        text = begun(memory, "judge", None, memory.turn - 1)
        listed = memory.thread.data("\n".join(f"{n}. {step.model_dump_json()}" for n, step in enumerate(steps, 1)))

        def check(found: Scores) -> str | None:
            return None if len(found.scores) == len(steps) else f"there are {len(steps)} candidates"

        prompt = "\n\n".join(part for part in (text, f"Candidates:\n{listed}", "Score the candidates.") if part)
        return (await memory.thread.ask("judge", "judge", _JUDGE + RULES, prompt, Scores, check=check)).scores


class RuleProposer:
    """The planner's choice, then its choice without the tools it chose already; earlier choices score higher."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    async def propose(self, memory: Memory, tools: Sequence[ToolView], most: int) -> list[PlannerOutput]:
        found: list[PlannerOutput] = []
        left = tools
        while len(found) < most:
            step = await self._planner.plan(memory, left)
            if step.selected_tool is None:
                break
            found.append(step)
            left = without(left, step.selected_tool)
        return found

    async def score(self, memory: Memory, steps: Sequence[PlannerOutput]) -> list[float]:
        return [round(1.0 - 0.2 * place, 2) for place in range(len(steps))]


@dataclass(frozen=True, slots=True)
class TreeOfThought(Procedure):
    """The search; its tree is noted when it ends (`flow.search`)."""

    proposer: Proposer

    async def solve(self, run: Run, memory: Memory) -> SolverOutput:
        search = _Search(self.proposer, run)
        try:
            found = await search.from_root(memory)
        finally:
            tree = [_shown(node) for node in search.nodes]
            await run.caller.note("flow.search", {"budget": run.bounds.nodes, "nodes": tree})
        return await run.write(found)


@dataclass(slots=True)
class _Search:
    """One search: its tree, in the order in which the nodes were thought of, and the open ones, best first."""

    proposer: Proposer
    run: Run
    nodes: list[Node] = field(default_factory=list)
    frontier: list[tuple[float, int]] = field(default_factory=list)

    async def from_root(self, memory: Memory) -> Memory:
        run, last = self.run, "no step came to mind"
        await self._expand(memory, None)
        if not self.frontier:
            await run.stuck(memory, last, 0)  # a person may know what is missing
            await self._expand(memory, None)
        while self.frontier:
            node = self.nodes[heapq.heappop(self.frontier)[1]]
            before = self.nodes[node.parent - 1].memory if node.parent else memory
            assert before is not None
            after = node.memory = _below(before)
            turn = await run.turn(after, node.step)
            last = turn.verdict.reasoning
            if turn.verdict.next_action == "complete":
                node.state = "goal"
                return after
            failed = turn.verdict.verification_status == "failure" or turn.verdict.next_action == "escalate"
            node.state = "failed" if failed else "done"
            if _changes(run, node.step) and any(r.success for r in turn.outcome.results):
                self.frontier.clear()
            if not failed and node.depth < run.bounds.turns:
                node.memory = after.clone_for_next_turn()
                await self._expand(node.memory, node)
        thought, budget = len(self.nodes), run.bounds.nodes
        raise Escalation(f"the search thought of {thought} steps (budget {budget}) and found no answer: {last}")

    async def _expand(self, memory: Memory, above: Node | None) -> None:
        """Think of the next steps below a node, score them, and put them among the open ones."""
        most = min(BREADTH, self.run.bounds.nodes - len(self.nodes))
        if most <= 0:
            return
        steps = [s for s in await self.proposer.propose(memory, self.run.tools, most) if _new(memory, s)]
        if not steps:
            return
        scores = await self.proposer.score(memory, steps)
        value = progress(memory, self.run.tools)
        parent, depth = (above.number, above.depth) if above is not None else (0, 0)
        for step, score in zip(steps, scores, strict=True):
            node = Node(len(self.nodes) + 1, parent, depth + 1, step, round(score, 3), value)
            self.nodes.append(node)
            # What a path has reached counts as much as what is hoped of the step.
            heapq.heappush(self.frontier, (-(score + value) / 2, node.number - 1))


def progress(memory: Memory, tools: Sequence[ToolView]) -> float:
    """How much of the question the results account for, 0 to 1."""
    parts = answers(memory.query, memory.executed_actions, tools)
    return sum(a.coverage for _, a in parts if a is not None) / len(parts) if parts else 0.0


def _below(before: Memory) -> Memory:
    child = before.fork()
    child.thread.exchanges = before.thread.exchanges  # one search, one record
    return child


def _new(memory: Memory, step: PlannerOutput) -> bool:
    made = {json.dumps([a.tool, a.arguments], sort_keys=True, default=str) for a in memory.executed_actions}
    wanted = [json.dumps([a.tool, a.arguments], sort_keys=True, default=str) for a in step.actions]
    return not wanted or any(key not in made for key in wanted)


def _changes(run: Run, step: PlannerOutput) -> bool:
    tools = [run.catalogue.tool(action.tool) for action in step.actions]
    return any(tool is not None and not tool.read_only for tool in tools)


def _shown(node: Node) -> dict[str, object]:
    return {
        "number": node.number,
        "parent": node.parent,
        "tool": node.step.selected_tool,
        "sub_goal": node.step.current_sub_goal[:300],
        "score": node.score,
        "state": node.state,
    }
