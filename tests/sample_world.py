"""The sample world as `make serve` starts it: `examples/serve.py`, with state of the test's own."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_process import REPOSITORY, Gateway, free_port, gateway_from

EXAMPLES = REPOSITORY / "examples"


@dataclass(frozen=True)
class SampleWorld:
    """The gateway with both samples behind it, and the file the help-desk writes to."""

    gateway: Gateway
    database: Path

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is really in the help-desk's database, past every guard."""
        db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()


@contextmanager
def sample_world(folder: Path) -> Iterator[SampleWorld]:
    """Run `examples/serve.py` while the block lasts; both samples are connected when it is entered."""
    port = free_port()
    database = folder / "helpdesk.db"
    command = [sys.executable, str(EXAMPLES / "serve.py"), "--port", str(port)]
    env = {"HELPDESK_DB": str(database)}
    with gateway_from(command, EXAMPLES / "agentflow.yaml", folder, port, env) as gateway:
        gateway.wait_for_tools("helpdesk__find_customer", "webnotes__fetch_page")
        yield SampleWorld(gateway, database)
