"""`solver`: answers a question by planning, calling and verifying, turn by turn."""

from __future__ import annotations

from typing import Annotated, Any

from fastmcp import Context
from fastmcp.tools import tool
from pydantic import Field

from agentflow.config_flow import Pattern
from agentflow.config_models import ModelTier
from agentflow.flow import service
from agentflow.flow.telling import Telling
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
    pattern: Annotated[
        Pattern | None, Field(description="How to reason; the gateway's setting (direct) if absent.")
    ] = None,
    model: Annotated[
        str | None, Field(max_length=200, description="Model to ask, by name; as routed if absent.")
    ] = None,
    tier: Annotated[ModelTier | None, Field(description="Least strength of the models asked.")] = None,
    timeout: Annotated[
        float | None, Field(gt=0, le=86_400, description="Seconds; no more than the gateway's setting.")
    ] = None,
    max_tokens: Annotated[int | None, Field(ge=1, description="Most model tokens of the whole run.")] = None,
    max_cost: Annotated[float | None, Field(ge=0, description="Most US dollars that its models may cost.")] = None,
) -> Solution:
    options = service.RunOptions(
        max_turns=max_turns,
        pattern=pattern,
        model=model,
        tier=tier,
        timeout=timeout,
        max_tokens=max_tokens,
        max_cost=max_cost,
    )
    telling = Telling(ctx.report_progress)
    request = ctx.request_context
    # Without a progress token nobody listens, and the answer is not streamed.
    pieces = telling.piece if request is not None and "progressToken" in (request.meta or {}) else None
    return await service.solve(query, options, knowledge=knowledge, progress=telling.turn, pieces=pieces)
