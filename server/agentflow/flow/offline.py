"""The offline planner: no model, no network.

Searches the catalogue (BM25), fills arguments by type and schema, chains results to arguments, and stops when
the results account for the question. It never chooses a tool that writes unless the question is an imperative
with a writing verb.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.flow.answer import Answer, best_answer
from agentflow.flow.catalogue import Catalogue
from agentflow.flow.chain import Chain, Chainer, describe, gain
from agentflow.flow.facts import Facts
from agentflow.flow.memory import Memory
from agentflow.flow.port import ToolView
from agentflow.flow.question import Question, read, split
from agentflow.flow.types import Action, ActionResult, PlannerOutput


def answers(
    query: str, results: Sequence[ActionResult], tools: Sequence[ToolView]
) -> list[tuple[Question, Answer | None]]:
    """The parts of a question, each with the best answer the results hold for it."""
    catalogue = Catalogue(tools)
    facts = Facts(results, catalogue)
    return [(question, best_answer(question, facts)) for question in (read(part) for part in split(query))]


class OfflinePlanner:
    """Plans by search, slot filling and backward chaining."""

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        catalogue = Catalogue(tools)
        facts = Facts(memory.executed_actions, catalogue)
        stuck: list[str] = []
        for part in split(memory.query):
            question = read(part)
            answer = best_answer(question, facts)
            if answer is not None and answer.complete:
                continue
            chainer = Chainer(question, catalogue, facts, memory.knowledge)
            chain = chainer.best()
            if chain is None or not gain(chain, chainer.worth(answer)):
                chain = chainer.explore()
            if chain is not None:
                return self._step(question, chain, chainer.actions(chain.first()), answer)
            if answer is None:
                stuck.append(part)
        if stuck:
            why = f"no tool at hand brings this further: {'; '.join(stuck)}"
            return PlannerOutput(current_sub_goal=stuck[0], reasoning=why)
        return PlannerOutput(current_sub_goal="write the answer", reasoning="the results account for the question")

    @staticmethod
    def _step(question: Question, chain: Chain, actions: list[Action], answer: Answer | None) -> PlannerOutput:
        tool = chain.first().tool
        goal = f"{question.text} – {(tool.view.description or tool.name).strip().splitlines()[0][:120]}"
        skills = ["search" if tool.many else "lookup"] if tool.read_only else ["action"]
        skills += ["chaining"] if chain.needs or any(f.actions for f in chain.arguments.values()) else []
        skills += [question.operation] if question.operation in ("count", "sum", "average") else []
        return PlannerOutput(
            current_sub_goal=goal,
            selected_tool=tool.name,
            required_skills=skills,
            actions=actions,
            reasoning=describe(chain, answer.missing if answer else ()),
        )
