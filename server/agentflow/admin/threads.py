"""Threads in which the administration waits for disks, databases and other processes: its own, never the calls'.

It promises that no call waits for a thread because administrators are busy, that what takes minutes holds up neither
other administrators nor the end of the process, and that only a few such things run at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from agentflow.errors import LimitExceeded
from agentflow.gateway.service import Service

T = TypeVar("T")
_AT_ONCE: Final = 4
_QUEUE: Final = 8  # what takes long, waiting for its turn

_pool: Final = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="admin")


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """What takes a moment, in one of a few threads."""
    told = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool, partial(told.run, work, *args))


async def in_background(work: Callable[[], T]) -> T:
    """What may take minutes, in a thread of its own that the end of the process does not wait for."""
    result: Future[T] = Future()
    told = contextvars.copy_context()

    def run() -> None:
        try:
            found = told.run(work)
        except BaseException as error:
            failed: BaseException | None = error
        else:
            failed = None
        if not result.set_running_or_notify_cancel():
            return  # nobody waits any more
        if failed is None:
            result.set_result(found)
        else:
            result.set_exception(failed)

    threading.Thread(target=run, name="admin-long", daemon=True).start()
    return await asyncio.wrap_future(result)


class Long:
    """A place where one thing that takes long is done at a time; a few others wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def done(self, work: Callable[[], T]) -> T:
        """What takes long, in a thread that the end of the process does not wait for.

        Raises:
            LimitExceeded: too many wait already.
        """
        if self._waiting >= _QUEUE:
            raise LimitExceeded("Too much is being tried at once", fix="Try again later", retry_after=10)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()

        def worked() -> T:
            try:
                return work()
            finally:  # whoever asked may have left: the work keeps its turn until it has ended
                _soon(loop, self._turn.release)

        return await in_background(worked)


_long: weakref.WeakKeyDictionary[Service, Long] = weakref.WeakKeyDictionary()


def long_of(service: Service) -> Long:
    """Where a gateway does what takes long."""
    return _long.setdefault(service, Long())


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:  # the loop has ended, and nobody waits
        return
