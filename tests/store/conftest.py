"""Every test of the store runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentflow.store.database import Database


@dataclass
class Place:
    """Where a store may be; each `open` is another process's, as far as the database can tell."""

    data_dir: Path
    url: str | None
    opened: list[Database] = field(default_factory=list)

    def open(self, *, prepared: bool = True) -> Database:
        self.opened.append(Database(self.data_dir, self.url, prepared=prepared))
        return self.opened[-1]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    where = Place(tmp_path, request.getfixturevalue("database") if request.param == "postgres" else None)
    yield where
    for database in where.opened:
        database.close()


@pytest.fixture
def store(place: Place) -> Database:
    return place.open()
