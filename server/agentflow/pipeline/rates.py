"""How often a caller may ask: buckets that hold a minute's worth of calls and refill evenly.

`LocalRates` counts in this process; `SharedRates` in the store, together with every other gateway that uses it. The
latter promises never to admit more than the limit over all gateways: tokens leave the shared bucket before they are
used. Of a large limit some are taken ahead, half a second's worth, so that few calls wait for the database; what is
not used by then is dropped, and the bucket is that much smaller. A limit below `_EXACT` calls a minute is counted call
by call. While the store cannot be reached, calls are refused once what was taken ahead is used up.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from agentflow.errors import AgentFlowError, StoreUnavailable
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from agentflow.store.limits import Buckets, Grant

log = logging.getLogger(__name__)

_MAX_BUCKETS: Final = 10_000  # remembered in this process
_EXACT: Final = 600
_MINUTE: Final = 60.0
_SLOW: Final = 5.0  # seconds that a call waits for the database
_PAUSE: Final = 1.0  # seconds in which a store that failed is not asked again
_TIDY: Final = 600.0  # seconds between two looks for rows nobody needs


class Taken(NamedTuple):
    """Whether a call is admitted (`wait` is 0) or after how many seconds it might be; whole calls `left` after it."""

    wait: float
    left: int


class Rates(Protocol):
    """Where calls are counted."""

    def take(self, key: str, rate: int) -> Taken | Awaitable[Taken]:
        """Count one call of `key`, which may make `rate` of them in a minute.

        Raises:
            StoreUnavailable: it cannot be counted.
        """
        ...

    def close(self) -> None: ...


class LocalRates:
    """Buckets in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → (tokens, when)

    def take(self, key: str, rate: int) -> Taken:
        """Count one call."""
        now = self._clock()
        tokens, then = self._buckets.pop(key, (float(rate), now))
        tokens = min(float(rate), tokens + (now - then) * rate / _MINUTE)
        refused = tokens < 1
        self._buckets[key] = (tokens if refused else tokens - 1, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return Taken((1 - tokens) * _MINUTE / rate, 0) if refused else Taken(0.0, int(tokens - 1))

    def close(self) -> None:
        """There is nothing to let go of."""


@dataclass(slots=True)
class _Lease:
    """What is known of one shared bucket. Times are those of the process's clock."""

    rate: int
    tokens: int  # taken ahead and not used
    until: float  # when they are
    left: int  # in the bucket, when it was last asked
    empty: float  # until when it is known to have none


@dataclass(slots=True)
class _Queue:
    """Who waits for one bucket to be asked, in the order of coming."""

    rate: int
    calls: list[asyncio.Future[Taken]]


class SharedRates:
    """Buckets in the store. Of one event loop; no more than one thread of it is at the database."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._buckets: Buckets | None = None
        self._at_database = threading.Lock()
        self._closed = False
        self._clock = clock
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._queues: dict[str, _Queue] = {}
        self._asking: asyncio.Task[None] | None = None
        self._tidy = clock() + _TIDY
        self._resume = clock()  # until then the store, which has failed, is not asked again
        self._why = AgentFlowError("")

    def take(self, key: str, rate: int) -> Taken | Awaitable[Taken]:
        """Count one call: at once from what was taken ahead, or where the bucket is known to be empty."""
        lease = self._leases.get(key)
        if lease is not None and lease.rate == rate and key not in self._queues:
            now = self._clock()
            if lease.tokens and now < lease.until:
                lease.tokens -= 1
                return Taken(0.0, lease.left + lease.tokens)
            if now < lease.empty:
                return Taken(lease.empty - now, 0)
        return self._queued(key, rate)

    def close(self) -> None:
        """Ask no more; whoever waits is refused. Idempotent."""
        if self._asking is not None:
            self._asking.cancel()
        self._closed = True
        if self._at_database.acquire(blocking=False):  # otherwise the thread that is there closes it
            try:
                if self._buckets is not None:
                    self._buckets.close()
            finally:
                self._at_database.release()

    async def _queued(self, key: str, rate: int) -> Taken:
        if self._clock() < self._resume:
            raise _uncounted(self._why)
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Taken] = loop.create_future()
        queue = self._queues.setdefault(key, _Queue(rate, []))
        queue.rate = rate
        queue.calls.append(mine)
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask())
        try:
            async with asyncio.timeout(_SLOW):
                return await mine
        except TimeoutError:
            self._fail(StoreUnavailable("its database does not answer", fix="check store.url and its server"))
            raise _uncounted(self._why) from None

    async def _ask(self) -> None:
        """Serve queues until there are none. Calls that come meanwhile are in the next lot."""
        while self._queues:
            queues, self._queues = self._queues, {}
            try:
                await self._serve(queues)
            except BaseException as error:
                self._fail(error if isinstance(error, AgentFlowError) else StoreUnavailable(type(error).__name__))
                for queue in (*queues.values(), *self._queues.values()):
                    for call in queue.calls:
                        if not call.done():
                            call.set_exception(_uncounted(self._why))
                self._queues = {}
                if not isinstance(error, Exception):
                    raise
                if not isinstance(error, AgentFlowError):
                    log.error("calls cannot be counted", exc_info=error)

    async def _serve(self, queues: Mapping[str, _Queue]) -> None:
        """Draw for everybody who waits, in one transaction, and hand out what was given."""
        began = self._clock()
        granted = await asyncio.to_thread(
            self._draw, {key: (each.rate, len(each.calls)) for key, each in queues.items()}
        )
        for key, queue in queues.items():
            self._hand_out(key, queue, granted[_name(key)], began)

    def _draw(self, wanted: Mapping[str, tuple[int, int]]) -> dict[str, Grant]:
        """Ask the database; in a thread.

        Raises:
            StoreUnavailable, ConfigError: it cannot be used, or is another version's.
        """
        from agentflow.store.limits import Ask, Buckets  # needs psycopg

        with self._at_database:
            if self._buckets is None:
                self._store.database()  # makes the tables, or refuses those of another version
                self._buckets = Buckets(self._store.url or "")
            try:
                asks = {_name(key): Ask(rate, calls, _ahead(rate)) for key, (rate, calls) in wanted.items()}
                granted = self._buckets.draw(asks)
                if self._clock() >= self._tidy:
                    self._tidy = self._clock() + _TIDY
                    self._buckets.forget()
                return granted
            finally:
                if self._closed:
                    self._buckets.close()

    def _hand_out(self, key: str, queue: _Queue, grant: Grant, began: float) -> None:
        tokens, left, wait = grant
        for call in queue.calls:
            if call.done():
                continue  # its caller has left
            if tokens:
                tokens -= 1
                call.set_result(Taken(0.0, left + tokens))
            else:
                call.set_result(Taken(wait, 0))
        until = began + _ahead(queue.rate) * _MINUTE / queue.rate
        self._leases.pop(key, None)
        self._leases[key] = _Lease(queue.rate, tokens, until, left, self._clock() + wait)
        if len(self._leases) > _MAX_BUCKETS:
            self._leases.popitem(last=False)

    def _fail(self, error: AgentFlowError) -> None:
        self._why, self._resume = error, self._clock() + _PAUSE


def _ahead(rate: int) -> int:
    """Calls taken ahead of a limit: half a second's worth, none of a small one."""
    return rate // 120 if rate >= _EXACT else 0


def _name(key: str) -> str:
    """The name of a shared bucket, which says nothing of whose it is."""
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _uncounted(why: AgentFlowError) -> StoreUnavailable:
    """An error of its own for each call: the pipeline writes into it."""
    return StoreUnavailable(
        f"The call cannot be counted: {why.message}",
        fix=why.fix or "check store.url and its server",
        retry_after=_PAUSE,
    )
