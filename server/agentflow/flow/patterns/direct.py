"""AgentFlow's own loop: one step at a time, verified each time, until the verifier is content.

A model says itself what is independent (`Step.independent`), and that becomes branches; the planner by rules puts the
calls that need nothing of each other into one step, and the executor makes them side by side.
"""

from __future__ import annotations

from agentflow.flow.memory import Memory
from agentflow.flow.question import read, split
from agentflow.flow.run import Procedure, Run
from agentflow.flow.types import SolverOutput


class Direct(Procedure):
    """Plan, execute, verify, and so on; then write."""

    async def solve(self, run: Run, memory: Memory) -> SolverOutput:
        return await run.write(await run.line(memory))


def independent(query: str) -> list[str]:
    """The parts of a question, where none needs another's answer; else nothing.

    A part that spoke of another one (a pronoun) has been reworded by `split`; one that changes something keeps its
    place in the order.
    """
    parts = split(query)
    if len(parts) < 2 or any(part.rstrip("?") not in query for part in parts):
        return []
    questions = [read(part) for part in parts]
    if any(question.operation == "action" or not question.literals for question in questions):
        return []
    return parts
