"""A store on both databases, with credentials in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentflow.audit.events import Event
from agentflow.config import StoreConfig
from agentflow.identity.authorizations import Authorizations
from agentflow.identity.credentials import Credentials
from agentflow.store.opened import Store

KEY = b"k" * 32


@dataclass
class Kept:
    """Credentials of one installation; `another()` is a second gateway on the same database."""

    folder: Path
    url: str | None
    events: list[Event] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)

    def store(self) -> Store:
        made = Store(self.folder, StoreConfig(url=SecretStr(self.url) if self.url else None))
        self.stores.append(made)
        return made

    def credentials(self, key: bytes = KEY) -> Credentials:
        return Credentials(self.store(), lambda: key, self.events.append)

    def authorizations(self) -> Authorizations:
        return Authorizations(self.store(), lambda: KEY)

    def names(self) -> list[str]:
        return [event.event for event in self.events]


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    url = request.getfixturevalue("database") if request.param == "postgresql" else None
    made = Kept(tmp_path, url)
    yield made
    for store in made.stores:
        store.close()
