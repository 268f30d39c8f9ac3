"""Waits for people's answers, wherever they are given: the command line, another gateway, the page of this one.

It promises one look at the store for all that wait, every 0.3 seconds, and none while nothing waits. A store that
cannot be reached keeps them waiting; it never answers for anybody. What expires is noted within a few seconds,
whether anybody waits for it or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

from agentflow.errors import AgentFlowError
from agentflow.policy.approvals import Approval, Approvals, State

log = logging.getLogger(__name__)
EVERY: Final = 0.3  # seconds
EXPIRY: Final = 3.0  # seconds

Look = Callable[[Collection[str]], Mapping[str, Approval]]


async def expire_forever(approvals: Callable[[], Approvals], every: float = EXPIRY) -> None:
    """Note what has expired, until cancelled. Where that cannot be done now, it counts for nothing all the same."""
    while True:
        await asyncio.sleep(every)
        with contextlib.suppress(AgentFlowError):
            await asyncio.to_thread(approvals().expire)


class Watch:
    """The waiting of one event loop. `look` is called in a thread."""

    def __init__(self, look: Look, every: float = EVERY) -> None:
        self._look, self._every = look, every
        self._waiting: dict[str, set[asyncio.Future[Approval]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def settled(self, id: str, seconds: float) -> Approval | None:
        """The approval once it is no longer open, or None if it still was after so many seconds."""
        answer: asyncio.Future[Approval] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(id, set())
        waiting.add(answer)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._keep_looking())
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            return None
        finally:
            waiting.discard(answer)
            if not waiting:
                self._waiting.pop(id, None)

    async def _keep_looking(self) -> None:
        said = False
        while self._waiting:
            await asyncio.sleep(self._every)
            try:
                found = await asyncio.to_thread(self._look, list(self._waiting))
            except Exception as error:  # whatever it is, those who wait go on waiting
                if not said:
                    why = error.message if isinstance(error, AgentFlowError) else type(error).__name__
                    log.warning("approvals cannot be looked at: %s", why)
                said = True
                continue
            said = False
            for approval in found.values():
                if approval.state is not State.OPEN:
                    for answer in self._waiting.get(approval.id, ()):
                        if not answer.done():
                            answer.set_result(approval)
