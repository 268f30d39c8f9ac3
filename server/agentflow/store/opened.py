"""The store as a running gateway has it: opened when something first has to be kept or looked up, and not before.

SQLAlchemy costs a process some 18 MB; a gateway that keeps nothing in the store never imports it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentflow.config import StoreConfig
from agentflow.errors import AgentFlowError, ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from agentflow.store.database import Database

_FILE: Final = "agentflow.db"


class Store:
    """The database of a configuration, perhaps not opened yet.

    Args:
        data_dir: where the default database lies.
        config: says whether it is another one.
    """

    def __init__(self, data_dir: Path, config: StoreConfig) -> None:
        self._data_dir = data_dir
        self._url = config.url.get_secret_value() if config.url else None
        self._mutex = threading.Lock()
        self._database: Database | None = None
        self._failed = 0.0  # when opening it failed last
        self._why: AgentFlowError = StoreUnavailable("")

    @property
    def begun(self) -> bool:
        """Whether there may be something in it: a look that imports nothing."""
        return self._url is not None or self._database is not None or (self._data_dir / _FILE).exists()

    @property
    def shared(self) -> bool:
        """Whether gateways on other machines may be using it."""
        return self._url is not None

    @property
    def url(self) -> str | None:
        """The address of a shared database, with its password; None of a file."""
        return self._url

    def holds(self, table: str) -> bool:
        """Whether `table` may have a row, looked up in a SQLite file without importing SQLAlchemy. Waits for a disk."""
        if self._url is not None or self._database is not None:
            return True
        if not self.begun:
            return False
        try:
            with closing(sqlite3.connect(f"{(self._data_dir / _FILE).absolute().as_uri()}?mode=ro", uri=True)) as db:
                return db.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() is not None  # noqa: S608 - a name
        except sqlite3.Error as error:  # where it cannot be told, there may be one: whoever opens it says what is wrong
            return "no such table" not in str(error)

    def database(self) -> Database:
        """The open database; opened, and its tables made, by whoever asks first. May take a second: not on the loop.

        Raises:
            ConfigError: SQLAlchemy is not installed, or the database is of another version.
            StoreUnavailable: it cannot be reached or read; whoever asks after that tries again.
        """
        asked = time.monotonic()
        with self._mutex:
            if self._database is None:
                if self._failed > asked:  # while this one waited: a server that is silent costs them 3 s once, not each
                    raise type(self._why)(self._why.message, fix=self._why.fix)
                self._database = self._opened()
            return self._database

    def _opened(self) -> Database:
        from agentflow.store.database import Database

        try:
            return Database(self._data_dir, self._url)
        except (ConfigError, StoreUnavailable) as error:
            self._failed, self._why = time.monotonic(), error
            raise

    def close(self) -> None:
        """Let go of it. Idempotent; a later `database()` would open it again."""
        with self._mutex:
            if self._database is not None:
                self._database.close()
                self._database = None
