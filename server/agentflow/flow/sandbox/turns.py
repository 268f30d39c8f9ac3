"""Turns at a few places, principal by principal: nobody's many keep another's one waiting.

Promises: no more than `places` are taken at a time; of those who wait, each principal is served in turn, and in its own
order; nobody has more than `each` waiting and none more than `most` wait in all. For one event loop at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from agentflow.errors import LimitExceeded


class Turns:
    """The places, and who waits for one."""

    def __init__(self, places: int, each: int, most: int) -> None:
        self._free, self._each, self._most = places, each, most
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, owner: str) -> None:
        """Wait for a place. Who got one gives it back.

        Raises:
            LimitExceeded: too many wait already, or too many of this principal.
        """
        if self._free:
            self._free -= 1
            return
        line = self._lines.get(owner, ())
        if len(line) >= self._each or sum(map(len, self._lines.values())) >= self._most:
            raise LimitExceeded("Too many programs are waiting to be run", fix="try again in some seconds")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            elif (mine := self._lines.get(owner)) is not None and turn in mine:
                mine.remove(turn)
                if not mine:
                    del self._lines[owner]
            raise

    def give(self) -> None:
        """Give a place back: the next principal's next gets it."""
        while self._lines:
            owner, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[owner] = line
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
