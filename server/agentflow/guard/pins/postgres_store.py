"""The pins in PostgreSQL: for several gateways on several machines, which hold and approve together.

The tables of `sqlite_store.py` in the schema `agentflow_pins`. Every writing transaction counts up the one row of
`change`: by it writers take turns, and readers see that somebody else has written. One connection, made anew after it
broke; what did not commit is a `StoreUnavailable`. A server that cannot be reached is asked again after a second, not
sooner. Needs psycopg (the extra `postgres`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from agentflow.errors import ConfigError, StoreUnavailable
from agentflow.guard.pins.store import VERSION, PinStore, Sensitive
from agentflow.postgres import Connection, Error, Tables, connect, place_of, said

_TEXT: Final = 'TEXT COLLATE "C" NOT NULL'
TABLES: Final = Tables(
    "agentflow_pins",
    VERSION,
    {
        "change": "CREATE TABLE change (number BIGINT NOT NULL)",
        "sources": f"CREATE TABLE sources (server {_TEXT}, source {_TEXT}, label TEXT NOT NULL, "
        "seen DOUBLE PRECISION NOT NULL, PRIMARY KEY (server, source))",
        "pins": f"CREATE TABLE pins (server {_TEXT}, source {_TEXT}, kind {_TEXT}, name {_TEXT}, "
        "pinned BYTEA NOT NULL, body BYTEA NOT NULL, how TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, "
        "held BYTEA NOT NULL, held_since DOUBLE PRECISION NOT NULL, reasons TEXT NOT NULL, flags TEXT NOT NULL, "
        "rejected BYTEA NOT NULL, definition TEXT NOT NULL, proposed TEXT NOT NULL, label TEXT NOT NULL, "
        "PRIMARY KEY (server, source, kind, name))",
    },
    first="INSERT INTO change VALUES (0)",
)
_PAUSE: Final = 1.0  # seconds before a server that could not be reached is asked again


class PostgresPins(PinStore):
    """The pins in the database of `url`.

    Args:
        key: gives 32 bytes for pseudonyms, the same in every gateway; None where nothing is added.

    Raises:
        ConfigError: it cannot be reached, or is of a newer AgentFlow.
    """

    blocking = True

    def __init__(
        self, url: str, sensitive: Callable[[], Sensitive] | None = None, key: Callable[[], bytes] | None = None
    ) -> None:
        super().__init__(sensitive)
        self._url = url
        self._place = place_of(url)
        self._db: Connection[Any] | None = None
        self._failed = -_PAUSE
        self._began: int | None = None  # what `change` was before the running transaction
        self._key = key() if key is not None else secrets.token_bytes(32)
        try:
            TABLES.prepare(self._connection(), self._place)
        except (Error, ValueError) as error:
            self.close()
            raise ConfigError(
                f"The pinned definitions in {self._place} cannot be read: {said(error)}",
                fix="check guard.pins.url, and that the server runs",
            ) from error
        except ConfigError:
            self.close()
            raise

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()

    def changed(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._now() != self._version
        except StoreUnavailable:
            return False
        finally:
            self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock, self._translated():
            try:
                with self._connection().transaction():
                    (number,) = self._rows("UPDATE change SET number = number + 1 RETURNING number")[0]
                    self._began = number - 1
                    yield
                if self._version == self._began:
                    self._version = number  # what this one wrote itself is no change
            finally:
                self._began = None

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._translated():
            return self._connection().execute(_dialect(sql), parameters).fetchall()

    def _many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        with self._translated(), self._connection().cursor() as cursor:
            cursor.executemany(_dialect(sql), parameters)

    def _now(self) -> int:
        return self._began if self._began is not None else int(self._rows("SELECT number FROM change")[0][0])

    def _connection(self) -> Connection[Any]:
        if self._db is not None and not self._db.closed:
            return self._db
        if self._began is not None:
            raise self._unusable(None)  # a transaction does not go on in another connection
        if time.monotonic() - self._failed < _PAUSE:
            raise self._unusable(None)
        try:
            self._db = connect(self._url, TABLES.schema)
        except Error:
            self._failed = time.monotonic()
            raise
        return self._db

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (Error, UnicodeError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception | None) -> StoreUnavailable:
        why = f": {said(error)}" if error else ""
        return StoreUnavailable(
            f"The pinned definitions cannot be kept in {self._place}{why}", fix="check guard.pins.url and its server"
        )


@lru_cache(maxsize=64)
def _dialect(sql: str) -> Any:
    return sql.replace("?", "%s")
