"""The vault's tables in PostgreSQL: for several gateways on several machines.

One connection, made anew after it broke; what did not commit is refused, never guessed. Writers of one tenant take
turns on an advisory lock, so that two gateways that name the same value at once give it the same token. Needs psycopg
(the extra `postgres`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard.vault.store import SqlStore
from agentflow.postgres import Connection, Error, connect, ensure, place_of, said

SCHEMA: Final = "agentflow_vault"
TABLES: Final = {
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL)",
    "keys": "CREATE TABLE keys (tenant TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, "
    "master TEXT NOT NULL, wrapped BYTEA NOT NULL, PRIMARY KEY (tenant, kind, number))",
    "tokens": 'CREATE TABLE tokens (tenant TEXT COLLATE "C" NOT NULL, scope TEXT COLLATE "C" NOT NULL, '
    'token TEXT COLLATE "C" NOT NULL, key INTEGER NOT NULL, sealed BYTEA NOT NULL, expires DOUBLE PRECISION NOT NULL, '
    "PRIMARY KEY (tenant, scope, token))",
    "tokens_expires": "CREATE INDEX tokens_expires ON tokens (expires)",
}


class PostgresStore(SqlStore):
    """A connection to the database of `url`.

    Raises:
        ConfigError: it cannot be reached.
    """

    blocking = True

    def __init__(self, url: str) -> None:
        self._url = url
        self.place = place_of(url)
        self._db: Connection[Any] | None = None
        try:
            self._connection()
        except (Error, ValueError) as error:
            raise ConfigError(
                f"The PII vault's database {self.place} cannot be used: {said(error)}",
                fix="check guard.vault.url, and that the server runs",
            ) from error

    def version(self) -> int:
        if self.rows("SELECT to_regclass(?)", (f"{SCHEMA}.meta",))[0][0] is None:
            return 0
        return int(self.meta("version") or b"0")

    def prepare(self) -> None:
        try:
            ensure(self._connection(), SCHEMA, TABLES)
        except Error as error:
            raise self._unavailable(error) from error

    @contextmanager
    def transaction(self, tenant: str) -> Iterator[None]:
        try:
            db = self._connection()
            with db.transaction():
                # Whoever takes them all keeps out those who take one.
                one = tenant != ""
                lock = "pg_advisory_xact_lock_shared" if one else "pg_advisory_xact_lock"
                db.execute(f"SELECT {lock}(%s)", (_lock_number(""),))
                if one:
                    db.execute("SELECT pg_advisory_xact_lock(%s)", (_lock_number(tenant),))
                yield
        except Error as error:
            raise self._unavailable(error) from error

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._connection().execute(_dialect(sql), parameters).fetchall()
        except (Error, UnicodeError) as error:
            raise self._unavailable(error) from error

    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        try:
            with self._connection().cursor() as cursor:
                cursor.executemany(_dialect(sql), parameters)
        except (Error, UnicodeError) as error:
            raise self._unavailable(error) from error

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        try:
            return self._connection().execute(_dialect(sql), parameters).rowcount
        except (Error, UnicodeError) as error:
            raise self._unavailable(error) from error

    def scrub(self) -> bool:
        """Reclaim dead rows now; what backups and archived logs hold is the operator's."""
        try:
            self.changed("VACUUM tokens")
            self.changed("VACUUM keys")
        except VaultUnavailable:
            return False
        return True

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _connection(self) -> Connection[Any]:
        if self._db is None or self._db.broken:
            self._db = connect(self._url, SCHEMA)
        return self._db

    def _unavailable(self, error: Exception) -> VaultUnavailable:
        return VaultUnavailable(
            f"The PII vault cannot be used: {said(error)}", fix=f"check the PostgreSQL database {self.place}"
        )


@lru_cache(maxsize=256)
def _dialect(sql: str) -> Any:
    return sql.replace("?", "%s")


def _lock_number(tenant: str) -> int:
    return int.from_bytes(hashlib.sha256(b"agentflow vault " + tenant.encode()).digest()[:8], signed=True)
