"""The planner port: one step at a time, from a question, a memory and the tools the principal may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentflow.flow.memory import Memory
from agentflow.flow.port import ToolView
from agentflow.flow.types import PlannerOutput


class Planner(Protocol):
    """Chooses the next sub-goal, tool and actions. `OfflinePlanner` and `ModelPlanner` implement it."""

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        """Return the next step; no actions when nothing (more) is to be called.

        Raises:
            AgentFlowError: no plan could be made (the model is away, or wrote twice what is not valid).
        """
        ...
