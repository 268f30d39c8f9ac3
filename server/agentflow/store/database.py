"""One database of what has to last: SQLite in the data directory, or PostgreSQL where several gateways share it.

It promises that a transaction is on disk, whole or not at all, before `begin` lets go of it; that writers of one row
take turns, in one process and across processes; and that every failure of the database is a `StoreUnavailable`, whose
text quotes neither values nor passwords. It opens no database that another version of AgentFlow has made newer, and
makes or migrates one that is missing or older (`ConfigError` where that is left to the administrator).

Everything here waits for a disk or a network: from the event loop, call it in a thread. Importing this module needs
SQLAlchemy (the extra `store`); the gateway does so only once something has to be kept or looked up.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from agentflow.errors import ConfigError, StoreUnavailable
from agentflow.paths import private_dir

try:
    import sqlalchemy as sa
except ImportError as error:
    raise ConfigError(
        "Keys, approvals and credentials are kept in a database, but SQLAlchemy is not installed",
        fix="pip install 'agentflow-gateway[store]'",
    ) from error

FILE: Final = "agentflow.db"
SCHEMA: Final = "agentflow"  # in PostgreSQL
_BUSY: Final = 5.0  # seconds that a writer waits for its turn
_SLOW: Final = 5.0  # seconds for one statement in PostgreSQL
_WRITTEN: Final = "agentflow_begin"  # execution option: how a transaction begins in SQLite


class Database:
    """An open database.

    Args:
        data_dir: where `agentflow.db` lies, unless `url` says otherwise.
        url: `postgresql://…`, or None.
        prepared: make the tables that are missing, and refuse what is of another version; without, for who looks after
            the tables themselves.

    Raises:
        ConfigError: the tables are of a newer version, or older in a PostgreSQL that others may be using.
        StoreUnavailable: it cannot be reached or read.
    """

    def __init__(self, data_dir: Path, url: str | None = None, *, prepared: bool = True) -> None:
        from agentflow.store import migrate

        self.url = url
        self.engine = _sqlite(private_dir(data_dir) / FILE) if url is None else _postgres(url)
        self.place = str(data_dir / FILE) if url is None else _place(url)
        try:
            if prepared:
                migrate.prepare(self)
        except BaseException:
            self.engine.dispose()
            raise

    @staticmethod
    def file(data_dir: Path) -> Path:
        """Where it is kept without a `url`."""
        return data_dir / FILE

    @property
    def shared(self) -> bool:
        """Whether gateways on other machines may be using it: then a look at it waits for a network."""
        return self.url is not None

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction that writes: committed when the block ends, rolled back when it raises.

        In SQLite it has the database for itself; in PostgreSQL select `with_for_update()` what must not change.

        Raises:
            StoreUnavailable: nothing has been written.
        """
        options = {_WRITTEN: "IMMEDIATE"}
        with self._translated(), self.engine.connect() as connection, connection.execution_options(**options).begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads.

        Raises:
            StoreUnavailable: it cannot be read now.
        """
        with self._translated(), self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Let go of every connection. Idempotent."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error, UnicodeError) as error:
            raise StoreUnavailable(
                f"The database {self.place} cannot be used: {_said(error)}",
                fix="check its server" if self.shared else _fix(error),
            ) from error


def _sqlite(path: Path) -> sa.Engine:
    if path.exists() and not path.is_file():
        raise StoreUnavailable(f"The database {path} is no file", fix="move it away")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"The database {path} cannot be opened: {error.strerror}", fix="check its permissions"
        ) from error
    control: Any = {}
    if hasattr(sqlite3, "LEGACY_TRANSACTION_CONTROL"):
        control = {"autocommit": sqlite3.LEGACY_TRANSACTION_CONTROL}

    def connected() -> sqlite3.Connection:
        there = f"{path.absolute().as_uri()}?mode=rw"  # one that has vanished is not begun anew
        db: sqlite3.Connection = sqlite3.connect(there, uri=True, timeout=_BUSY, check_same_thread=False, **control)
        db.isolation_level = None  # transactions begin where we say so
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            db.execute(f"PRAGMA {pragma}")
        return db

    engine = sa.create_engine(
        "sqlite://", creator=connected, poolclass=sa.QueuePool, pool_size=2, max_overflow=6, pool_timeout=_BUSY
    )

    @sa.event.listens_for(engine, "connect")
    def opened(_: Any, entry: Any) -> None:
        entry.info["file"] = _identity(path)

    @sa.event.listens_for(engine, "checkout")
    def lent(_: Any, entry: Any, __: Any) -> None:
        if entry.info["file"] != _identity(path):
            raise sa.exc.DisconnectionError("another file is there now")  # connects anew

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_WRITTEN, '')}")

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there: a database that was restored from a copy is another one of the same name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgres(url: str) -> sa.Engine:
    from agentflow.postgres import connect

    return sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _transactional(connect(url, SCHEMA, int(_SLOW))),
        pool_size=2,
        max_overflow=6,
        pool_pre_ping=True,
        pool_timeout=_BUSY,
    )


def _place(url: str) -> str:
    from agentflow.postgres import place_of

    return place_of(url)


def _transactional(db: Any) -> Any:
    db.autocommit = False
    return db


def _fix(error: Exception) -> str:
    """What to do about an error of a file."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return "it is damaged: stop the gateway and restore it from a copy"
    if code == sqlite3.SQLITE_BUSY:
        return "another process is writing: try again"
    return "check that it is writable and its disk not full"


def _said(error: Exception) -> str:
    """What went wrong, without the statement's parameters."""
    from_driver = getattr(error, "orig", None) or error
    if isinstance(from_driver, sqlite3.Error):
        return str(from_driver)  # SQLite's own messages name tables and files
    state = getattr(from_driver, "sqlstate", None)
    return f"{type(from_driver).__name__}{f' ({state})' if state else ''}"
