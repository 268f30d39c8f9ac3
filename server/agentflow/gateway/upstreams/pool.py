"""The connections of one upstream, one per client identity, shared by that client's calls.

Promises: an identity has one connection at most and is connected once however many calls wait for it; the number
of connections is bounded, the longest idle one making room; a call waits for room rather than failing at once.
Which identities may share a connection is decided by whoever makes the keys.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field

from agentflow.errors import AgentFlowError
from agentflow.gateway.upstreams.connection import Connection
from agentflow.gateway.upstreams.port import ClientIdentity


@dataclass(slots=True, eq=False)
class Slot:
    """One client's place at an upstream; it outlives the connections in it.

    Attributes:
        users: calls that hold it.
        subscribed: the resources subscribed to, each with the sessions and listen streams that want it.
        level: the log level it was set to, or None.
        carried: what the connection was begun with of the client's own, and lasts no longer than.
    """

    key: Hashable
    identity: ClientIdentity
    connection: Connection | None = None
    opening: asyncio.Task[Connection] | None = None
    users: int = 0
    last_used: float = 0.0
    subscribed: dict[str, frozenset[str]] = field(default_factory=dict)
    level: str | None = None
    carried: object = None
    subscribing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Pool:
    """See the module.

    Args:
        connect: opens the connection of a slot.
        most: how many slots there may be.
        idle: seconds after which an unused slot is given up.
    """

    def __init__(self, connect: Callable[[Slot], Awaitable[Connection]], *, most: int, idle: float) -> None:
        self._connect = connect
        self._most = most
        self._idle = idle
        self._slots: OrderedDict[Hashable, Slot] = OrderedDict()  # longest unused first
        self._room = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Slot]:
        return iter(tuple(self._slots.values()))

    def __len__(self) -> int:
        return len(self._slots)

    def find(self, key: Hashable) -> Slot | None:
        """The slot under `key`, if there is one."""
        return self._slots.get(key)

    async def take(self, key: Hashable, identity: ClientIdentity, carried: object = None) -> tuple[Slot, Connection]:
        """Return the slot of `key` with an open connection; give it back with `give`.

        Args:
            carried: what the connection has to be begun with; one that was begun with something else is ended.

        Raises:
            AgentFlowError: it could not be connected.
        """
        while (slot := self._slots.get(key)) is None:
            if len(self._slots) < self._most or self._make_room():
                slot = self._slots[key] = Slot(key, identity)
                break
            self._room.clear()
            await self._room.wait()
        slot.users += 1
        try:
            while slot.carried != carried and slot.opening is not None:  # it was begun with something else
                await asyncio.wait([slot.opening])
            if slot.carried != carried and slot.connection is not None:
                await slot.connection.close()
            slot.carried = carried
            return slot, await self._connected(slot)
        except BaseException:
            self.give(slot)
            raise

    def give(self, slot: Slot) -> None:
        """End one use of a slot."""
        slot.users -= 1
        slot.last_used = asyncio.get_running_loop().time()
        if slot.key in self._slots:
            if slot.users == 0 and slot.connection is None and not slot.subscribed:
                del self._slots[slot.key]
            else:
                self._slots.move_to_end(slot.key)
        if slot.users == 0:
            self._room.set()

    def rename(self, slot: Slot, key: Hashable) -> None:
        """Put a slot under another key, unless that one is taken: its client's next call shall find it."""
        if key not in self._slots and self._slots.get(slot.key) is slot:
            del self._slots[slot.key]
            slot.key = key
            self._slots[key] = slot

    async def _connected(self, slot: Slot) -> Connection:
        if slot.connection is not None and not slot.connection.closed.is_set():
            return slot.connection
        # A caller that gives up does not take the others' connection with it.
        return await asyncio.shield(self._begin(slot))

    def _begin(self, slot: Slot) -> asyncio.Task[Connection]:
        if slot.opening is None:
            slot.opening = asyncio.get_running_loop().create_task(self._open(slot))
            slot.opening.add_done_callback(_seen)
        return slot.opening

    async def _open(self, slot: Slot) -> Connection:
        try:
            if slot.connection is not None:
                await slot.connection.close()
                slot.connection = None
            slot.connection = await self._connect(slot)
            return slot.connection
        finally:
            slot.opening = None

    def _make_room(self) -> bool:
        """Give up the longest unused slot, one without subscriptions if possible; False if all are in use."""
        unused = [slot for slot in self._slots.values() if slot.users == 0 and slot.opening is None]
        victim = next((slot for slot in unused if not slot.subscribed), unused[0] if unused else None)
        if victim is None:
            return False
        self._drop(victim)
        return True

    def _drop(self, slot: Slot) -> None:
        del self._slots[slot.key]
        if slot.connection is not None:
            task = asyncio.get_running_loop().create_task(_close(slot.connection))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def sweep(self) -> None:
        """Give up slots that nobody used for long; subscribers stay, and are connected again if they must be."""
        oldest = asyncio.get_running_loop().time() - self._idle
        for slot in self:
            if slot.subscribed and (slot.connection is None or slot.connection.closed.is_set()):
                self._begin(slot)
            elif slot.users == 0 and slot.opening is None and not slot.subscribed and slot.last_used < oldest:
                self._drop(slot)

    async def close(self) -> None:
        """End every connection."""
        opening = [slot.opening for slot in self if slot.opening is not None]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for slot in self:
            self._drop(slot)
        await asyncio.gather(*self._ending, return_exceptions=True)


async def _close(connection: Connection) -> None:
    with contextlib.suppress(AgentFlowError):
        await connection.close()


def _seen(task: asyncio.Task[Connection]) -> None:
    """Everyone who waited may have given up; then nobody but us looks at how it ended."""
    if not task.cancelled():
        task.exception()
