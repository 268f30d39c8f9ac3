"""What the flow needs of the gateway, so that the flow never imports it.

The gateway sets `CALLER` around every call of a local tool; `executor` and `solver` reach the other tools
only through it, and so as the calling principal and through the whole pipeline.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolView:
    """A tool as the calling principal sees it (denied tools are not there)."""

    name: str
    title: str
    description: str
    input_schema: JSON
    output_schema: JSON | None
    annotations: JSON
    server: str


class Caller(Protocol):
    """The calling principal's way to the downstream tools."""

    async def tools(self) -> list[ToolView]:
        """Every tool this principal may call, local flow tools left out."""
        ...

    async def call(self, name: str, arguments: JSON) -> JSON:
        """Call a tool through the pipeline; returns the `CallToolResult` object.

        Raises:
            AgentFlowError: as the pipeline or the upstream refused it.
        """
        ...

    async def note(self, event: str, detail: JSON) -> None:
        """Write a flow event (a turn, a verdict) into the call's record; `detail` is redacted before it is kept."""
        ...


CALLER: ContextVar[Caller] = ContextVar("agentflow_caller")
