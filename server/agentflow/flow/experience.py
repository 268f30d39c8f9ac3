"""What a run takes from the long-term memory of its principal, and what it leaves there.

Promises: only the ways of runs that answered their question are left, as names of tools and arguments, never a value;
only a planner that reads prompts is shown any, and no value of an earlier question with it (a run must not take one
for its own); without a memory nothing changes.
"""

from __future__ import annotations

import re

from agentflow.flow.long_term.port import LONG_TERM, LONGEST_TASK, MOST_STEPS, Experience, Step
from agentflow.flow.memory import Memory
from agentflow.flow.question import read
from agentflow.flow.types import SolverOutput


async def recall(memory: Memory) -> list[str]:
    """Put what helped with like questions before the planner; returns the ids of those memories."""
    long_term = LONG_TERM.get(None)
    if long_term is None:
        return []
    found = await long_term.recall(memory.query[:LONGEST_TASK])
    thread = memory.thread
    lines = [(" ".join(_kind_of(m.task).split()), " then ".join(map(str, m.steps))) for m in found]
    thread.memories = "\n".join(f"{task}: {way}" for task, way in lines)
    thread.known_tools = tuple(dict.fromkeys(step.tool for m in found for step in m.steps))
    return [m.id for m in found]


def _kind_of(task: str) -> str:
    """An earlier question without its values (names, ids, numbers, dates, quotes): what was asked for, not of what."""
    values = sorted({literal.text for literal in read(task).literals}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, values)), "…", task) if values else task


async def remember(memory: Memory, written: SolverOutput, run: str, planner: str) -> None:
    """Leave the way that led to an answer."""
    long_term = LONG_TERM.get(None)
    steps = [Step(a.tool, tuple(sorted(a.arguments))) for a in memory.executed_actions if a.success]
    way = tuple(dict.fromkeys(steps))[:MOST_STEPS]
    if long_term is None or not way:
        return
    await long_term.remember(Experience(memory.query[:LONGEST_TASK], way, run, planner, written.confidence))
