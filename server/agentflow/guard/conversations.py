"""The traces of the conversations in use, and their copy in the store.

It promises that what one gateway on the machine has remembered is known to every other at its next call of the same
conversation, and over restarts; that memory is bounded by the traces in use (`live`, the least recently used dropped:
the store has them); and that without a store everything works in one process.
"""

from __future__ import annotations

from collections import OrderedDict

import orjson

from agentflow.guard.taint_store import TaintStore
from agentflow.guard.trace import Delta, Trace
from agentflow.pipeline.call import Session

_LABELS = b"L"
_DELTA = b"D"
_MOST_ROWS = 256  # of one conversation, before they are put together


class _Live:
    __slots__ = ("labels", "own", "rows", "seq", "trace")

    def __init__(self) -> None:
        self.trace = Trace()
        self.seq = 0  # up to here it has been read; between here and its own rows there may be another gateway's
        self.own: set[int] = set()  # rows written here since: known already
        self.rows = 0  # in the store
        self.labels: frozenset[str] = frozenset()


class Conversations:
    """Traces by conversation.

    Args:
        store: where they are kept, or None.
        live: how many are held in memory (typically 20 to 100 KB each, 0.5 MB at most).
    """

    def __init__(self, store: TaintStore | None = None, live: int = 32) -> None:
        self._store = store
        self._most = live
        self._live: OrderedDict[bytes, _Live] = OrderedDict()

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def trace(self, session: Session) -> Trace:
        """Return what this conversation has read, up to date; its labels are brought up to date in `session`.

        Raises:
            AgentFlowError: the store cannot be read.
        """
        if self._store is not None and self._store.changed():
            for name, live in self._live.items():
                self._read(name, live)
        live = self._of(session)
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
        if not session.taint <= live.labels:
            live.labels = live.labels | session.taint
            fresh.append(_LABELS + orjson.dumps(sorted(session.taint)))
        if self._store is not None:
            for what in fresh:
                live.own.add(self._store.append(session.conversation, session.owner, what))
                live.rows += 1
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
            live = self._live[session.conversation] = _Live()
            self._read(session.conversation, live)
            if len(self._live) > self._most:
                self._live.popitem(last=False)
        else:
            self._live.move_to_end(session.conversation)
        return live

    def _read(self, conversation: bytes, live: _Live) -> None:
        if self._store is None:
            return
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
