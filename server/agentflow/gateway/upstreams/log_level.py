"""How much a handshake server logs to the connection of a client.

Several sessions may share a connection, so it is only ever made to say more: what is too much for one of them is held
back on the way to it.
"""

from __future__ import annotations

import contextlib

from agentflow.errors import AgentFlowError
from agentflow.gateway.upstreams.connection import Connection
from agentflow.gateway.upstreams.pool import Slot
from agentflow.gateway.upstreams.port import LOG_LEVELS

_SECONDS = 5.0
_USUAL = LOG_LEVELS.index("info")  # what a server says of its own accord, as far as anybody can know


async def ask(slot: Slot, connection: Connection, level: str | None) -> None:
    """Have the server log what its client wants to hear; one that refuses is left as it is."""
    if level not in LOG_LEVELS or connection.era != "legacy" or not connection.stateful:
        return
    if "logging" not in connection.capabilities:
        return
    wanted = LOG_LEVELS[min(LOG_LEVELS.index(level), _USUAL)]
    if slot.level is not None and LOG_LEVELS.index(slot.level) <= LOG_LEVELS.index(wanted):
        return
    slot.level = wanted
    with contextlib.suppress(AgentFlowError):  # the call itself will tell whether the connection is any good
        await connection.request("logging/setLevel", {"level": wanted}, None, _SECONDS)
