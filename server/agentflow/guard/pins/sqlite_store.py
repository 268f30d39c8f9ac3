"""The pins in one SQLite file: for one machine, and the default.

Write-ahead log with every commit on disk before it returns; mode 0600. Several processes may open the same file;
writers take turns, for up to three seconds. It refuses a damaged file and leaves it untouched.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from agentflow.errors import ConfigError, StoreUnavailable
from agentflow.guard.pins.store import VERSION, PinStore, Sensitive
from agentflow.paths import private_dir

FILE: Final = "pins.db"
_BUSY: Final = 3.0  # seconds that a writer waits for its turn
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    server TEXT NOT NULL, source TEXT NOT NULL, label TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (server, source)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (
    server TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    pinned BLOB NOT NULL, body BLOB NOT NULL, how TEXT NOT NULL, since REAL NOT NULL,
    held BLOB NOT NULL, held_since REAL NOT NULL, reasons TEXT NOT NULL, flags TEXT NOT NULL, rejected BLOB NOT NULL,
    definition TEXT NOT NULL, proposed TEXT NOT NULL, label TEXT NOT NULL,
    PRIMARY KEY (server, source, kind, name));
"""


class SqlitePins(PinStore):
    """An open file.

    Args:
        path: made (mode 0600) when absent.

    Raises:
        ConfigError: it cannot be opened, is damaged, or of a newer AgentFlow.
    """

    blocking = False

    def __init__(self, path: Path, sensitive: Callable[[], Sensitive] | None = None) -> None:
        super().__init__(sensitive)
        self._path = path
        db: sqlite3.Connection | None = None
        try:
            private_dir(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            self._db = db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY)
            self._key = self._prepared()
        except (OSError, sqlite3.Error) as error:
            if db is not None:
                db.close()
            raise ConfigError(
                f"The pinned definitions in {path} cannot be read: {error}",
                fix="check its permissions and disk; if it is damaged, move it away: every server is then seen anew",
            ) from error
        except ConfigError:
            self._db.close()
            raise

    def _prepared(self) -> bytes:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise ConfigError(f"{self._path} was made by a newer AgentFlow", fix="upgrade this installation")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        if version != VERSION:
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?)", (secrets.token_bytes(32),))
        return bytes(self._db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def changed(self) -> bool:
        """Whether another process or connection has written since `load` looked last; some 5 µs."""
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
        with self._lock:
            self._rows("BEGIN IMMEDIATE")
            try:
                yield
                self._rows("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._rows("ROLLBACK")
                raise

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        try:
            self._db.executemany(sql, parameters)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _now(self) -> int:
        return int(self._rows("PRAGMA data_version")[0][0])

    def _unusable(self, error: sqlite3.Error) -> StoreUnavailable:
        return StoreUnavailable(
            f"The pinned definitions cannot be kept: {error}",
            fix=f"check that {self._path} is writable and its disk not full",
        )
