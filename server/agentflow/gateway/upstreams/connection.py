"""The seam inside an upstream: a connector knows a transport, `managed.ManagedUpstream` knows when to use it.

A `Connection` is one established protocol session for one client identity in one era. A `Connector` makes them.
Reconnecting, listing, pooling, breakers and health are the managed upstream's business, never a connection's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from agentflow.gateway.upstreams.port import ClientIdentity, Era, Exchange

JSON = dict[str, Any]

# (method, params): a notification that belongs to no call in flight.
OnNotification = Callable[[str, JSON], None]


class Connection(Protocol):
    """One protocol session with an upstream.

    Attributes:
        era, protocol: what was negotiated, e.g. `legacy`/`2025-11-25`.
        capabilities, server_info, instructions: from `initialize` or `server/discover`.
        stateful: whether it must not be shared between principals (a session id, or a child process).
        closed: set once the connection can serve nothing more; `reason` then says why.
    """

    era: Era
    protocol: str
    capabilities: JSON
    server_info: JSON
    instructions: str
    stateful: bool
    closed: asyncio.Event
    reason: str

    async def request(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        """As `port.Upstream.request`. `exchange` is None for the gateway's own requests (listings, ping)."""
        ...

    async def notify(self, method: str, params: JSON) -> None: ...

    async def close(self) -> None: ...


class Connector(Protocol):
    """Makes connections of one transport."""

    async def connect(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Connection:
        """Establish a session.

        Args:
            era: the era to speak, or None for the newest that the upstream accepts
                (`server/discover` first, then `initialize`).

        Raises:
            Unsupported: the upstream does not speak that era.
            UpstreamUnavailable: it cannot be reached; the message says why and what to do.
            UpstreamProtocolError: it answered something that is not MCP.
            UpstreamTimeout: it did not answer in time.
        """
        ...

    async def close(self) -> None:
        """Free what connections share (sockets, TLS context)."""
        ...
