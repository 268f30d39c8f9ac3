"""A store in either database, and key rings on it as several processes would have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agentflow.audit.events import Event
from agentflow.config import StoreConfig
from agentflow.identity.keys import KeyRing
from agentflow.store.opened import Store

HASHING = b"h" * 32


class World:
    """One database, and what was recorded by whoever uses it."""

    def __init__(self, data_dir: Path, url: str | None) -> None:
        self.data_dir = data_dir
        self.url = url
        self.events: list[Event] = []
        self._stores: list[Store] = []

    def store(self) -> Store:
        """Another process's."""
        made = Store(self.data_dir, StoreConfig(url=SecretStr(self.url) if self.url else None))
        self._stores.append(made)
        return made

    def ring(
        self, hashing: bytes = HASHING, record: Callable[[Event], Any] | None = None, store: Store | None = None
    ) -> KeyRing:
        """Another process's."""
        return KeyRing(store or self.store(), lambda: hashing, record or self.events.append)

    @asynccontextmanager
    async def following(self, **more: Any) -> AsyncIterator[KeyRing]:
        """A gateway's, which follows changes while the block lasts."""
        ring = self.ring(**more)
        await asyncio.to_thread(ring.begin, required=False)
        task = asyncio.ensure_future(ring.follow())
        try:
            yield ring
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def said(self) -> list[tuple[str, str, str]]:
        """`(event, subject, outcome)` of what was recorded."""
        return [(each.event, each.subject, each.outcome) for each in self.events]

    def close(self) -> None:
        for store in self._stores:
            store.close()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so.

    Raises:
        AssertionError: it was not within 20 seconds.
    """
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"gave up waiting for {what}")
