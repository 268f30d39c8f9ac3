"""Long-term memory, as a run sees it: what worked for this principal before, and a place for what worked now.

A memory is the question and the way to its answer: which tools, with which arguments by name. It holds no argument's
value and nothing that a tool returned, so that neither can come back as a stranger's order in a later run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

LONGEST_TASK = 2_000  # characters
MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the way: the tool's name, and the names of the arguments it was given."""

    tool: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.tool}({', '.join(self.arguments)})"


@dataclass(frozen=True, slots=True)
class Experience:
    """A run that answered its question.

    Attributes:
        task: the question; steps: the calls that succeeded, in order.
        run: the run's id (`Trajectory.data_id`); planner: `offline`, `model` or `local`.
    """

    task: str
    steps: tuple[Step, ...]
    run: str
    planner: str = "offline"
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that fits, with where it comes from.

    Attributes:
        score: how near its task is in meaning, 0 to 1.
        created, used: epoch seconds; times: how many runs went that way.
    """

    id: str
    task: str
    steps: tuple[Step, ...]
    run: str
    planner: str
    confidence: float
    created: float
    used: float
    times: int
    score: float = 0.0


class LongTerm(Protocol):
    """The memory of the calling principal. Nothing here ever fails a run: without a database it is empty."""

    async def recall(self, task: str, k: int = 3) -> Sequence[Recalled]:
        """Up to `k` memories of the nearest tasks, nearest first; none that is not near."""
        ...

    async def remember(self, experience: Experience) -> None:
        """Keep what worked; returns before it is on disk. One that is known already counts once more."""
        ...


LONG_TERM: ContextVar[LongTerm] = ContextVar("agentflow_long_term")
