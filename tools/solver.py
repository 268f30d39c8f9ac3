"""`solver`: answers a question by planning, calling and verifying, turn by turn."""

from __future__ import annotations

from typing import Annotated, Any

from fastmcp import Context
from fastmcp.tools import tool
from pydantic import Field

from agentflow.flow import service
from agentflow.flow.types import Solution


@tool(
    # Not a docstring: to read one, FastMCP imports griffe, 2 MB.
    description=(
        "Answer a question with the tools you may call, and with evidence for the answer.\n\n"
        "Writes (create, send, delete …) only if the question asks for it. "
        "`status` is `escalated`, with a reason, where\nno answer could be had; the answer is then empty."
    ),
    annotations={"title": "Solver", "readOnlyHint": False, "destructiveHint": True, "openWorldHint": True},
)
async def solver(
    query: Annotated[str, Field(min_length=1, max_length=20_000, description="The question or task.")],
    ctx: Context,
    max_turns: Annotated[
        int | None,
        Field(ge=1, le=50, description="Turns before a person is asked; the gateway's setting (5) if absent."),
    ] = None,
    knowledge: Annotated[
        dict[str, Any] | None, Field(description='Facts you bring along, by name, e.g. {"customer_id": "C-1"}.')
    ] = None,
) -> Solution:
    async def progress(turn: int, of: int, message: str) -> None:
        await ctx.report_progress(turn, of, message)

    return await service.solve(query, max_turns=max_turns, knowledge=knowledge, progress=progress)
