"""Open `subscriptions/listen` streams (2026-07-28), each known by whose it is.

It promises that an event is told to those streams alone whom it concerns: what changes for one tenant is no other's
business, also where both listen for the same address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio.lowlevel
from mcp.server.subscriptions import ServerEvent

from agentflow.gateway.client import ClientEnd

log = logging.getLogger(__name__)
_WHOSE: ContextVar[ClientEnd] = ContextVar("agentflow_listener")


class Listeners:
    """The SDK's `SubscriptionBus`, which hands on an event to whom it is for."""

    def __init__(self) -> None:
        self._open: dict[object, tuple[ClientEnd, Callable[[ServerEvent], None]]] = {}

    @contextmanager
    def of(self, client: ClientEnd) -> Iterator[None]:
        """Streams that are opened within are this client's."""
        before = _WHOSE.set(client)
        try:
            yield
        finally:
            _WHOSE.reset(before)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Take a stream; what is returned takes it away again, and may be called twice."""
        own = object()
        self._open[own] = _WHOSE.get(), listener
        return lambda: self._open.pop(own, None) and None

    async def publish(self, event: ServerEvent) -> None:
        """Tell every stream."""
        await self.tell(event, lambda _: True)

    async def tell(self, event: ServerEvent, concerned: Callable[[ClientEnd], bool]) -> None:
        """Tell the streams of those clients; a burst lets them drain in between."""
        for client, listener in list(self._open.values()):
            if not concerned(client):
                continue
            try:
                listener(event)
            except Exception as error:  # one of them must not starve the others
                log.error("a listen stream could not be told: %s", type(error).__name__, exc_info=error)
        await anyio.lowlevel.checkpoint()
