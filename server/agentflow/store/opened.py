"""The store as a running gateway has it: opened when something first has to be kept or looked up, and not before.

SQLAlchemy costs a process some 18 MB; a gateway that keeps nothing in the store never imports it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentflow.config import StoreConfig

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

    @property
    def begun(self) -> bool:
        """Whether there may be something in it: a look that imports nothing."""
        return self._url is not None or self._database is not None or (self._data_dir / _FILE).exists()

    @property
    def shared(self) -> bool:
        """Whether gateways on other machines may be using it."""
        return self._url is not None

    def database(self) -> Database:
        """The open database; opened, and its tables made, by whoever asks first. May take a second: not on the loop.

        Raises:
            ConfigError: SQLAlchemy is not installed, or the database is of another version.
            StoreUnavailable: it cannot be reached or read; the next call tries again.
        """
        with self._mutex:
            if self._database is None:
                from agentflow.store.database import Database

                self._database = Database(self._data_dir, self._url)
            return self._database

    def close(self) -> None:
        """Let go of it. Idempotent; a later `database()` would open it again."""
        with self._mutex:
            if self._database is not None:
                self._database.close()
                self._database = None
