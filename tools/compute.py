"""`compute`: runs Python in a sandbox, without network and files."""

from __future__ import annotations

from typing import Annotated, Any

from fastmcp.exceptions import ToolError
from fastmcp.tools import tool
from pydantic import BaseModel, Field

from agentflow.flow import computing


class Computed(BaseModel):
    """What a program gave."""

    result: Any = Field(default=None, description="Value of the last expression, as JSON.")
    printed: str = Field(default="", description="What it printed.")
    truncated: bool = Field(default=False, description="Whether it printed more than that.")


@tool(
    # Not a docstring: to read one, FastMCP imports griffe, 2 MB.
    description=(
        "Run Python code and return the value of its last expression and what it printed: arithmetic, statistics, "
        "sorting, text and dates, over values given as `inputs`.\n\n"
        "No network, no files, limited time and memory. Standard modules such as math, json, re, datetime, decimal, "
        "itertools and collections can be imported."
    ),
    annotations={"title": "Compute", "readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
)
async def compute(
    code: Annotated[str, Field(min_length=1, max_length=100_000, description="Python source.")],
    inputs: Annotated[
        dict[str, Any] | None, Field(description='Variables that it begins with, by name, e.g. {"prices": [3, 4]}.')
    ] = None,
) -> Computed:
    ran = await computing.compute(code, inputs or {})
    if ran.fault is not None:
        line = f" (line {ran.fault.line})" if ran.fault.line else ""
        printed = f"\nPrinted before that:\n{ran.printed[-2000:]}" if ran.printed else ""
        raise ToolError(f"{ran.fault.kind}: {ran.fault.message}{line}{printed}")
    return Computed(result=ran.result, printed=ran.printed, truncated=ran.truncated)
