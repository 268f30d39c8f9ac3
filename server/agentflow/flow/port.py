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


@dataclass(frozen=True, slots=True)
class Who:
    """Whose run it is, as far as the flow has to know: what is remembered is kept apart by it."""

    tenant: str = ""
    principal: str = ""


class Caller(Protocol):
    """The calling principal's way to the downstream tools."""

    @property
    def who(self) -> Who:
        """Whose call this is."""
        ...

    @property
    def can_ask(self) -> bool:
        """Whether the person at the client can be asked anything."""
        ...

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

    async def ask(self, message: str, schema: JSON) -> JSON | None:
        """Put a question to the person at the client, in either protocol era.

        Args:
            schema: JSON schema of the answer: an object whose members are strings, numbers, booleans or enums.

        Returns:
            The answer; None where the person declined, or nobody can be asked here.
        """
        ...


CALLER: ContextVar[Caller] = ContextVar("agentflow_caller")
