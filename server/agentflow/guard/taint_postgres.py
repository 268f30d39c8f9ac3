"""What conversations have been exposed to, in PostgreSQL: shared by gateways on several machines.

The tables of `taint_store.py` in the schema `agentflow_taint`, the blobs sealed with a key that the gateways share.
Numbers of one conversation's blobs appear in their order: its writers take turns on an advisory lock, so that whoever
has read up to a number has missed none. Each gateway holds another such lock for as long as it is connected; by that
the others know whether a conversation was broken off. One connection, made anew after it broke: what did not commit is
an `AgentFlowError`, and the call is refused. A server that cannot be reached is asked again after a second, not sooner.
Session locks need a connection of one's own: not a pooler that lends it per transaction.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from agentflow.errors import AgentFlowError
from agentflow.guard.taint_store import REFRESH, Seal
from agentflow.postgres import Connection, Error, Tables, connect, place_of, said

TABLES: Final = Tables(
    "agentflow_taint",
    1,
    {
        "conversation": "CREATE TABLE conversation (id BYTEA PRIMARY KEY, owner BYTEA NOT NULL, "
        "gateway BIGINT NOT NULL, used DOUBLE PRECISION NOT NULL)",
        "conversation_owner": "CREATE INDEX conversation_owner ON conversation (owner, used)",
        "learnt": "CREATE TABLE learnt (seq BIGSERIAL PRIMARY KEY, id BYTEA NOT NULL, what BYTEA NOT NULL)",
        "learnt_id": "CREATE INDEX learnt_id ON learnt (id, seq)",
    },
)
_PAUSE: Final = 1.0  # seconds before a server that could not be reached is asked again
# The lock comes before the number is drawn: MATERIALIZED keeps the planner from turning that round.
_INSERT: Final = (
    "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(%s)) "
    "INSERT INTO learnt (id, what) SELECT %s, %s FROM turn RETURNING seq"
)
_NOTE: Final = (
    "INSERT INTO conversation VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (id) DO UPDATE SET gateway = excluded.gateway, used = excluded.used"
)
# Gateways that are connected, by the lock each of them holds.
_THERE: Final = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND granted"
)


class PostgresTaintStore:
    """The conversations in the database of `url`: a `ConversationStore`.

    Args:
        key: 32 bytes, the same in every gateway.
        ttl: seconds without use after which a conversation is forgotten.

    Raises:
        AgentFlowError: the database cannot be used.
    """

    blocking = True

    def __init__(self, url: str, key: bytes, ttl: float) -> None:
        self._url = url
        self._seal = Seal(key, "the database's schema agentflow_taint")
        self._ttl = ttl
        self._gateway = secrets.randbits(62)
        self._noted: dict[bytes, float] = {}
        self._db: Connection[Any] | None = None
        self._failed = 0.0
        with self._connected() as db:
            TABLES.prepare(db, place_of(url))
            with db.transaction():
                self._forget(db)

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        if self._db is not None:
            self._db.close()

    def changed(self) -> bool:
        """Whether another gateway may have written: it always may."""
        return True

    def append(self, conversation: bytes, owner: bytes, what: bytes) -> int:
        """Add a blob to a conversation; return its number."""
        with self._connected() as db:
            self._note(db, conversation, owner)
            return self._insert(db, conversation, what)

    def replace(self, conversation: bytes, seq: int, known: Sequence[bytes]) -> list[int]:
        """Put `known` in the place of a conversation's blobs up to number `seq`; return the numbers they get."""
        with self._connected() as db, db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_turn(conversation),))
            db.execute("DELETE FROM learnt WHERE id = %s AND seq <= %s", (conversation, seq))
            return [self._insert(db, conversation, what) for what in known]

    def after(self, conversation: bytes, seq: int = 0) -> list[tuple[int, bytes]]:
        """Return the `(number, blob)` of a conversation after number `seq`, in order."""
        with self._connected() as db:
            found = db.execute(
                "SELECT seq, what FROM learnt WHERE id = %s AND seq > %s ORDER BY seq", (conversation, seq)
            ).fetchall()
        return [(int(number), self._seal.opened(bytes(what))) for number, what in found]

    def adopt(self, conversation: bytes, owner: bytes, carry_over: float, after_restart: float) -> None:
        """Give a new conversation what its owner's broken-off ones have learnt; see `ConversationStore`."""
        now = time.time()
        with self._connected() as db, db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_turn(conversation),))
            if db.execute("SELECT 1 FROM conversation WHERE id = %s", (conversation,)).fetchone():
                return
            found = db.execute(
                "SELECT id, gateway, used FROM conversation WHERE owner = %s AND used > %s",
                (owner, now - max(carry_over, after_restart) - REFRESH),
            ).fetchall()
            there = {int(number) for (number,) in db.execute(_THERE)} if found and after_restart else set()
            # The last use is noted every few minutes only.
            left = [
                other
                for other, gateway, used in found
                if (carry_over and now - used < carry_over + REFRESH)
                or (after_restart and gateway not in there and now - used < after_restart + REFRESH)
            ]
            for other in left:
                db.execute(
                    "INSERT INTO learnt (id, what) SELECT %s, what FROM learnt WHERE id = %s ORDER BY seq",
                    (conversation, other),
                )
            if left:
                db.execute(_NOTE, (conversation, owner, self._gateway, now))

    def _insert(self, db: Connection[Any], conversation: bytes, what: bytes) -> int:
        row = db.execute(_INSERT, (_turn(conversation), conversation, self._seal.closed(what))).fetchone()
        return int(row[0]) if row else 0

    def _note(self, db: Connection[Any], conversation: bytes, owner: bytes) -> None:
        now = time.time()
        if now - self._noted.get(conversation, 0.0) < REFRESH:
            return
        if len(self._noted) > 4096:
            self._noted.clear()
            self._forget(db)
        db.execute(_NOTE, (conversation, owner, self._gateway, now))
        self._noted[conversation] = now

    def _forget(self, db: Connection[Any]) -> None:
        db.execute("DELETE FROM conversation WHERE used < %s", (time.time() - self._ttl,))
        db.execute("DELETE FROM learnt WHERE NOT EXISTS (SELECT FROM conversation WHERE conversation.id = learnt.id)")

    @contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        try:
            yield self._connection()
        except Error as error:
            raise _unusable(error) from error

    def _connection(self) -> Connection[Any]:
        if self._db is not None and not self._db.closed:
            return self._db
        if time.monotonic() - self._failed < _PAUSE:
            raise _unusable(None)
        try:
            db = connect(self._url, TABLES.schema)
            # Not waited for: where the last connection still lingers, it holds the lock for us.
            db.execute("SELECT pg_try_advisory_lock(%s)", (self._gateway,))
        except Error:
            self._failed = time.monotonic()
            raise
        self._noted.clear()  # the database may be another one now
        self._db = db
        return db


def _turn(conversation: bytes) -> int:
    """The number of the lock on which a conversation's writers take turns; negative, so that no gateway has it."""
    return -1 - (int.from_bytes(conversation[:8]) >> 1)


def _unusable(error: Exception | None) -> AgentFlowError:
    why = f": {said(error)}" if error else ""
    return AgentFlowError(
        f"What conversations have read cannot be kept in PostgreSQL{why}", fix="check guard.vault.url and its server"
    )
