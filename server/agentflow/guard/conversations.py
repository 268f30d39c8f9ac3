"""The traces of the conversations in use, and their copy in the store.

It promises that what one gateway has remembered is known to every other that uses the store at its next call of the
same conversation, and over restarts; that memory is bounded by the traces in use (`live`, the least recently used
dropped: the store has them); and that without a store everything works in one process. A store that may wait for a
network is used in one thread of its own, through `apart` and `keep_soon`, so that nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import orjson

from agentflow.guard.taint_store import ConversationStore
from agentflow.guard.trace import Delta, Trace
from agentflow.pipeline.call import Session

_logger = logging.getLogger(__name__)

T = TypeVar("T")

_LABELS = b"L"
_DELTA = b"D"
_MOST_ROWS = 256  # of one conversation, before they are put together


class _Live:
    __slots__ = ("labels", "own", "rows", "seen", "seq", "trace")

    def __init__(self) -> None:
        self.trace = Trace()
        self.seen = 0  # the state of the store at which it was read
        self.seq = 0  # up to here it has been read; between here and its own rows there may be another gateway's
        self.own: set[int] = set()  # rows written here since: known already
        self.rows = 0  # in the store
        self.labels: frozenset[str] = frozenset()


class Conversations:
    """Traces by conversation.

    Args:
        store: where they are kept, or None.
        live: how many are held in memory (typically 15 to 70 KB each, 150 KB at most).
        carry_over: seconds in which a new client session takes over from the last one of the same principal and client.
        after_restart: the same for sessions that a gateway held which is gone.
    """

    def __init__(
        self,
        store: ConversationStore | None = None,
        live: int = 32,
        carry_over: float = 0.0,
        after_restart: float = 1800.0,
    ) -> None:
        self._store = store
        self.bound(live, carry_over, after_restart)
        self._live: OrderedDict[bytes, _Live] = OrderedDict()
        self._state = 0  # counts the changes that other gateways made to the store
        self.blocking = store is not None and store.blocking
        self._thread = ThreadPoolExecutor(1, "agentflow-taint") if self.blocking else None

    def bound(self, live: int, carry_over: float, after_restart: float) -> None:
        """Change the settings; they count from the next call on."""
        self._most, self._carry_over, self._after_restart = live, carry_over, after_restart

    def close(self) -> None:
        """Close the store. What is on its way to it is written before."""
        if self._thread is not None:
            self._thread.shutdown()
        if self._store is not None:
            self._store.close()

    async def apart(self, work: Callable[[], T]) -> T:
        """Do `work`, which uses `trace` and `keep`: where the store may wait, on its thread."""
        if self._thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def keep_soon(self, session: Session) -> None:
        """Keep the labels of a call that has ended; a blocking store has them after this returns.

        Raises:
            AgentFlowError: the store cannot be written; of a blocking one that is logged, and the next call is refused.
        """
        if self._thread is None:
            self.keep(session)
        else:
            self._thread.submit(self.keep, session).add_done_callback(_report)

    def trace(self, session: Session) -> Trace:
        """Return what this conversation has read, up to date; its labels are brought up to date in `session`.

        Raises:
            AgentFlowError: the store cannot be read.
        """
        if self._store is not None and self._store.changed():
            self._state += 1
        live = self._of(session)
        if live.seen != self._state:
            self._read(session.conversation, live)
        if not live.labels <= session.taint:
            session.taint |= live.labels
        return live.trace

    def keep(self, session: Session, *deltas: Delta) -> None:
        """Store what was new, and the labels that were.

        Raises:
            AgentFlowError: the store cannot be written.
        """
        live = self._of(session)
        fresh = [_DELTA + delta.pack() for delta in deltas if delta]
        labels = live.labels.union(session.taint)
        if labels != live.labels:
            fresh.append(_LABELS + orjson.dumps(sorted(session.taint)))
        if self._store is not None:
            for what in fresh:
                live.own.add(self._store.append(session.conversation, session.owner, what))
                live.rows += 1
        live.labels = labels  # not before they are written: else they would not be written again
        if live.rows > _MOST_ROWS:
            self._compact(session.conversation, live)

    def _compact(self, conversation: bytes, live: _Live) -> None:
        """Put one copy of what is known in the place of many rows, so that nothing is lost however long it lasts."""
        if self._store is None:
            return
        self._read(conversation, live)  # what other gateways have added since
        known = [_DELTA + delta.pack() for delta in live.trace.snapshot() if delta]
        known.append(_LABELS + orjson.dumps(sorted(live.labels)))
        live.own.update(self._store.replace(conversation, live.seq, known))
        live.rows = len(known)

    def _of(self, session: Session) -> _Live:
        live = self._live.get(session.conversation)
        if live is None:
            live = _Live()
            if self._store is not None and session.resumes:
                self._store.adopt(session.conversation, session.owner, self._carry_over, self._after_restart)
            self._read(session.conversation, live)
            self._live[session.conversation] = live
            while len(self._live) > self._most:
                self._live.popitem(last=False)
        else:
            self._live.move_to_end(session.conversation)
        return live

    def _read(self, conversation: bytes, live: _Live) -> None:
        if self._store is None:
            return
        state = self._state
        for seq, what in self._store.after(conversation, live.seq):
            live.seq = seq
            if seq in live.own:
                continue
            live.rows += 1
            if what[:1] == _LABELS:
                live.labels = live.labels.union(orjson.loads(what[1:]))
            else:
                live.trace.absorb(Delta.unpack(what[1:]))
        live.own = {seq for seq in live.own if seq > live.seq}
        live.seen = state


def _report(kept: Future[None]) -> None:
    error = kept.exception()
    if error is not None:
        _logger.error("what a conversation was exposed to is not kept: %s", error)
