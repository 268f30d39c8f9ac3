"""Which time counts: the database's where it is a server, so that machines whose clocks differ count alike."""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa

from agentflow.store.database import Database

_NOW: Final = sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")


def now(database: Database, connection: sa.Connection) -> float:
    """Epoch seconds."""
    return float(connection.scalar(_NOW) or 0.0) if database.shared else time.time()
