"""The client's end of a request, whatever the transport and era: who it is and how to reach it.

`ClientEnd` is what the gateway knows of the caller. `CallExchange` is what an upstream gets to see of it: each
message that it relays goes through the pipeline first, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from agentflow.errors import Unsupported
from agentflow.gateway.upstreams.port import LOG_LEVELS, ClientIdentity, Era
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Direction, Message
from agentflow.pipeline.chain import Pipeline
from agentflow.pipeline.rounds import Round

JSON = dict[str, Any]

# What a client must have declared to be asked this.
CAPABILITY_FOR = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}


class Channel(Protocol):
    """Two ways to the client: notifications on the current request's stream, and questions to it."""

    async def notify(self, method: str, params: JSON) -> None: ...

    async def ask(self, method: str, params: JSON) -> JSON:
        """Put a request to the client and return its result.

        Raises:
            UpstreamError: the client answered with an error.
            Unsupported: it cannot be asked on this transport.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClientEnd:
    """The caller of one request.

    Attributes:
        session_id: the transport's session, or None for stateless clients.
        log_level: level opted in to (2026 `_meta`, or a legacy session's `logging/setLevel`), or None.
        listener: the listen stream that this request belongs to, or None.
        round: of a request that may end with an interim answer, which its client comes back from; else None.
    """

    principal: Principal
    channel: Channel
    transport: str
    era: Era
    protocol: str
    info: JSON
    capabilities: JSON
    session_id: str | None = None
    log_level: str | None = None
    listener: str | None = None
    round: Round | None = None

    def identity(self) -> ClientIdentity:
        """The key under which upstream connections may be shared."""
        return ClientIdentity(
            self.principal.key, self.era, _canonical(self.info) if self.info else "", _canonical(self.capabilities)
        )

    def can_be_asked(self, method: str) -> bool:
        """Whether the client declared the capability that `method` needs."""
        return CAPABILITY_FOR.get(method, "") in self.capabilities

    @property
    def shows_forms(self) -> bool:
        """Whether its person can be shown a form: a client may be able to open addresses alone (MCP 2025-11-25)."""
        modes = self.capabilities.get("elicitation")
        return modes is not None and not (isinstance(modes, dict) and "url" in modes and "form" not in modes)


def _canonical(value: JSON) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


class CallExchange:
    """An upstream's view of the client during one call (`port.Exchange`)."""

    def __init__(self, call: Call, client: ClientEnd, pipeline: Pipeline) -> None:
        self._call, self._client, self._pipeline = call, client, pipeline
        self.identity = client.identity()

    @property
    def log_level(self) -> str | None:
        return self._client.log_level

    @property
    def subscriber(self) -> str:
        return self._client.listener or self._client.session_id or self.identity.principal

    async def notification(self, method: str, params: JSON) -> None:
        if method == "notifications/message" and not self._wanted(params):
            return
        message = Message(method, Direction.OUTBOUND, params)
        await self._pipeline.run(self._call, message)
        await self._client.channel.notify(method, message.body)

    def _wanted(self, params: JSON) -> bool:
        level, threshold = params.get("level"), self._client.log_level
        if threshold is None:
            # A 2026 client must not be sent what it did not opt in to; a legacy one gets everything until it
            # sets a level.
            return self._client.era == "legacy"
        return level not in LOG_LEVELS or LOG_LEVELS.index(level) >= LOG_LEVELS.index(threshold)

    async def server_request(self, method: str, params: JSON) -> JSON:
        if not self._client.can_be_asked(method):
            raise Unsupported(f"The client did not declare the capability for {method}")
        question = Message(method, Direction.OUTBOUND, params)
        await self._pipeline.run(self._call, question)
        if self._client.era == "modern":
            self._pipeline.interim(self._call)
        answer = Message(method, Direction.INBOUND, await self._client.channel.ask(method, question.body))
        await self._pipeline.run(self._call, answer)
        return answer.body
