"""Keys on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from identity.key_world import World


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    url = request.getfixturevalue("database") if request.param == "postgresql" else None
    made = World(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def sqlite_world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, None)
    yield made
    made.close()
