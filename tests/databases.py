"""What tests do to the PostgreSQL server of a database (a URL) from outside."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg


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
