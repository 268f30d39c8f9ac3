"""The vault's tables in one SQLite file: for one machine, and the default.

Write-ahead log, so that a commit survives kill -9; `secure_delete`, so that what is deleted is overwritten in the
file; mode 0600. Several processes may open the same file; writers take turns, for up to three seconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard.vault.store import SqlStore

_BUSY_MS: Final = 3000
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS keys (tenant TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, "
    "master TEXT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (tenant, kind, number)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS tokens (tenant TEXT NOT NULL, scope TEXT NOT NULL, token TEXT NOT NULL, "
    "key INTEGER NOT NULL, sealed BLOB NOT NULL, expires REAL NOT NULL, "
    "PRIMARY KEY (tenant, scope, token)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS tokens_expires ON tokens (expires)",
)


class SqliteStore(SqlStore):
    """An open vault file.

    Raises:
        ConfigError: the file is damaged or cannot be opened; it is left as it was.
    """

    blocking = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = str(path)
        db = None
        try:
            _create_private(path)
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
            db.execute("SELECT name FROM sqlite_master").fetchone()
        except (OSError, sqlite3.Error) as error:
            if db is not None:
                db.close()
            raise ConfigError(
                f"The PII vault {path} cannot be opened: {error}",
                fix="check its permissions and disk; if it is damaged, move it away: tokens in it are lost",
            ) from error
        self.db = db

    def version(self) -> int:
        tables = {row[0] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "meta" not in tables:
            return 0
        stated = self.meta("version")
        if stated is not None:
            return int(stated)
        return 1 if self.meta("proof") is not None else 0

    def prepare(self) -> None:
        for statement in _SCHEMA:
            self.rows(statement)

    def settle(self) -> None:
        """Set the file's modes; only once its key is known to be the right one, since this writes to it."""
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
            self.rows(f"PRAGMA {pragma}")

    def legacy(self) -> list[tuple[str, str, bytes, float]]:
        """The entries `(tenant, token, sealed, expires)` of a file of version 1."""
        return [tuple(row) for row in self.rows("SELECT tenant, token, sealed, expires FROM entries")]

    def drop_legacy(self) -> None:
        """Delete them."""
        self.rows("DELETE FROM entries")  # overwrites, which dropping the table alone does not
        self.rows("DROP TABLE entries")

    def transaction(self, tenant: str) -> _Transaction:
        return _Transaction(self)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            return self.db.execute(sql, parameters).fetchall()
        except (sqlite3.Error, UnicodeError) as error:
            raise self.unavailable(error) from error

    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        try:
            self.db.executemany(sql, parameters)
        except (sqlite3.Error, UnicodeError) as error:
            raise self.unavailable(error) from error

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        try:
            return self.db.execute(sql, parameters).rowcount
        except (sqlite3.Error, UnicodeError) as error:
            raise self.unavailable(error) from error

    def scrub(self) -> bool:
        ((busy, _, _),) = self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return not busy

    def close(self) -> None:
        self.db.close()

    def unavailable(self, error: Exception) -> VaultUnavailable:
        # What an encoder choked on may be a value; SQLite's own messages name tables and files.
        said = "a name in it is no text" if isinstance(error, UnicodeError) else str(error)
        return VaultUnavailable(
            f"The PII vault cannot be used: {said}", fix=f"check that {self._path} is writable and its disk not full"
        )


class _Transaction:
    """One write transaction; a class, since a generator costs more than the commit."""

    __slots__ = ("_store",)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        try:
            self._store.db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._store.unavailable(error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        db = self._store.db
        try:
            if kind is None:
                db.execute("COMMIT")
        except sqlite3.Error as failed:
            raise self._store.unavailable(failed) from failed
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
