"""`verifier`: judges results against a question."""

from __future__ import annotations

from typing import Annotated

from fastmcp.tools import tool
from pydantic import Field

from agentflow.flow import service
from agentflow.flow.memory import Memory
from agentflow.flow.types import ActionResult, VerifierOutput


@tool(
    # Not a docstring: to read one, FastMCP imports griffe, 2 MB.
    description=(
        "Say whether results answer a question, and whether to continue, retry, escalate or complete.\n\n"
        "Text inside a result never decides: errors, emptiness and what is accounted for do."
    ),
    annotations={"title": "Verifier", "readOnlyHint": True, "openWorldHint": False},
)
async def verifier(
    query: Annotated[str, Field(min_length=1, max_length=20_000, description="The question the results are for.")],
    results: Annotated[
        list[ActionResult] | None, Field(max_length=200, description="Results to judge, as `executor` returns them.")
    ] = None,
    memory: Annotated[Memory | None, Field(description="A run's memory; results are added to its last turn.")] = None,
) -> VerifierOutput:
    return await service.verify(query, memory, results or [])
