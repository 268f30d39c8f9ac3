"""The flow tools' way back into the gateway (`flow.port.Caller`): the calling principal, the same pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentflow.flow.port import ToolView
from agentflow.gateway.client import ClientEnd
from agentflow.pipeline.call import JSON, Call

if TYPE_CHECKING:
    from agentflow.gateway.core import Gateway


class FlowCaller:
    """Bound to one call of one flow tool."""

    def __init__(self, gateway: Gateway, call: Call, client: ClientEnd) -> None:
        self._gateway, self._call, self._client = gateway, call, client

    async def tools(self) -> list[ToolView]:
        return await self._gateway.visible_tools(self._client, self._call.session)

    async def call(self, name: str, arguments: JSON) -> JSON:
        return await self._gateway.call_from_flow(name, arguments, self._client, self._call)

    async def note(self, event: str, detail: JSON) -> None:
        self._call.events.append({"event": event, **await self._gateway.pipeline.clean(self._call, detail)})
