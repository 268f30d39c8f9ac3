"""`executor`: makes planned calls, with your own permissions."""

from __future__ import annotations

from typing import Annotated

from fastmcp import Context
from fastmcp.tools import tool
from pydantic import Field

from agentflow.flow import service
from agentflow.flow.types import Action, ExecutorOutput


@tool(
    # Not a docstring: to read one, FastMCP imports griffe, 2 MB.
    description=(
        "Check each action against its tool's input schema, call the tool, and report success or failure per action."
        "\n\n"
        "Every call goes through the gateway's whole pipeline. A failed action does not stop the others."
    ),
    annotations={"title": "Executor", "readOnlyHint": False, "destructiveHint": True, "openWorldHint": True},
)
async def executor(
    actions: Annotated[list[Action], Field(min_length=1, max_length=50, description="Calls to make, in order.")],
    ctx: Context,
) -> ExecutorOutput:
    await ctx.report_progress(0, len(actions), f"{len(actions)} actions")
    outcome = await service.execute(actions)
    await ctx.report_progress(len(actions), len(actions), "done")
    return outcome
