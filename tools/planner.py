"""`planner`: the next step towards an answer, without taking it."""

from __future__ import annotations

from typing import Annotated

from fastmcp.tools import tool
from pydantic import Field

from agentflow.flow import service
from agentflow.flow.memory import Memory
from agentflow.flow.types import PlannerOutput


@tool(
    # Not a docstring: to read one, FastMCP imports griffe, 2 MB.
    description=(
        "Choose the next sub-goal, the tool for it and complete arguments, from the tools you may call.\n\n"
        "Calls nothing. `selected_tool` is null when no (further) call is needed or possible."
    ),
    annotations={"title": "Planner", "readOnlyHint": True, "openWorldHint": False},
)
async def planner(
    query: Annotated[str, Field(min_length=1, max_length=20_000, description="The question or task.")],
    memory: Annotated[Memory | None, Field(description="What an earlier turn left; omit for a first step.")] = None,
) -> PlannerOutput:
    return await service.plan(query, memory)
