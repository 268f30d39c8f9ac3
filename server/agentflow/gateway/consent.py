"""How a client is told that its person has to connect to a server first (MCP, elicitation in URL mode).

A 2025-11-25 client that can show an address gets the error that was made for this (-32042); a 2026-07-28 one is asked
in the middle of its call, which goes on once its person has connected. Every other one gets the error as it is: its
text says what to do. Nothing of the call has been processed by then, so that sending it again is no second time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mcp_types import URL_ELICITATION_REQUIRED

from agentflow.errors import CredentialRequired
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.upstreams.port import Exchange

JSON = dict[str, Any]
_LOOK: Final = 1.0  # seconds between two looks at whether the person has connected
_PATIENCE: Final = 120.0  # seconds that a call waits for its person


def _shows_addresses(client: ClientEnd) -> bool:
    can = client.capabilities.get("elicitation")
    return isinstance(can, dict) and isinstance(can.get("url"), dict)


def _question(error: CredentialRequired) -> JSON:
    server = error.data["server"]
    message = f"{server} acts in your name, and needs you to connect your account there first."
    return {"mode": "url", "url": error.data["connect_url"], "message": message}


def as_elicitation(error: Exception, client: ClientEnd) -> tuple[int, str, JSON] | None:
    """`(code, message, data)` for a client that knows this error as one; None where it goes out as it is."""
    if not isinstance(error, CredentialRequired) or "connect_url" not in error.data:
        return None
    if client.protocol != "2025-11-25" or not _shows_addresses(client):
        return None
    question = {**_question(error), "elicitationId": secrets.token_urlsafe(16)}
    return URL_ELICITATION_REQUIRED, error.message, {**error.payload(), "elicitations": [question]}


async def connected_first(send: Callable[[], Awaitable[JSON]], exchange: Exchange, client: ClientEnd) -> JSON:
    """Send a request; where it needs its person to connect first, ask for that, wait for it and send it then.

    Raises:
        CredentialRequired: the person cannot be asked, declined, or took too long.
        AgentFlowError: as `send`.
    """
    try:
        return await send()
    except CredentialRequired as error:
        if client.era != "modern" or "connect_url" not in error.data or not _shows_addresses(client):
            raise
        answer = await exchange.server_request("elicitation/create", _question(error))
        if answer.get("action") != "accept":
            raise
    end = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        try:
            return await send()
        except CredentialRequired:
            if asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(_LOOK)
