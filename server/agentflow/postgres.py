"""What every store in PostgreSQL shares: a schema of our own with its tables, the connection, what an error may say.

Tables are looked for before they are made, so that a role which may only read and write their rows can use what a
role with more rights has made (`agentflow db upgrade`): `CREATE … IF NOT EXISTS` asks for the right to create first.

Importing it needs psycopg (the extra `postgres`); without it a `ConfigError` says so, and therefore stores take
`Connection` and `Error` from here. What becomes of an error is the store's to say: each refuses in its own terms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agentflow.errors import ConfigError

try:
    import psycopg
    from psycopg import Connection, Error
except ImportError as error:
    raise ConfigError(
        "The configuration names a PostgreSQL database, but psycopg is not installed",
        fix="pip install 'agentflow-gateway[postgres]'",
    ) from error


__all__ = ["Connection", "Error", "Tables", "connect", "ensure", "lock_of", "place_of", "said"]


def connect(url: str, schema: str, statement_seconds: int = 5) -> Connection[Any]:
    """Connect, in autocommit, to the tables of `schema`, which need not be there yet.

    No statement runs longer than `statement_seconds`, or waits longer than 3 s for a lock.

    Raises:
        psycopg.Error: the server cannot be reached, or `url` is none.
    """
    settings = f"-c search_path={schema} -c statement_timeout={statement_seconds * 1000} -c lock_timeout=3000"
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=3,
        options=f"{settings} -c idle_in_transaction_session_timeout=10000",
        # A server that vanished without a word is given up after 10 s, not after the system's quarter of an hour.
        tcp_user_timeout=10_000,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        application_name=schema.replace("_", " "),
    )


def said(error: Exception) -> str:
    """What an error says without what it quotes: a failed statement's parameters, a connection string's password."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}{f' ({state})' if state else ''}"


def place_of(url: str) -> str:
    """Host and database of an address, without credentials; of what is no address, nothing that it says."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    if not url.startswith(("postgresql://", "postgres://")) or "@" in parts.path:
        return "an address that is none"
    return f"{parts.hostname or 'local'}{parts.path}"


def lock_of(schema: str) -> int:
    """The number of the advisory lock under which the tables of a schema are made."""
    return int.from_bytes(hashlib.sha256(f"agentflow tables {schema}".encode()).digest()[:8], signed=True)


def ensure(db: Connection[Any], schema: str, statements: Mapping[str, str]) -> bool:
    """Make what is missing of a schema: each statement makes the relation it stands under. Returns whether any was.

    Raises:
        psycopg.Error: this role may not, or the server is gone.
    """
    made = False
    if _scalar(db, "SELECT to_regnamespace(%s)", schema) is None:
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        made = True
    for relation, statement in statements.items():
        if _scalar(db, "SELECT to_regclass(%s)", f"{schema}.{relation}") is None:
            db.execute(statement)
            made = True
    return made


@dataclass(frozen=True)
class Tables:
    """The tables of one store, in one version, which the table `version` beside them states.

    Attributes:
        statements: what makes each relation, in order.
        first: a statement that fills new ones.
    """

    schema: str
    version: int
    statements: Mapping[str, str]
    first: str = ""

    def found(self, db: Connection[Any]) -> int | None:
        """The version that is there, or None.

        Raises:
            psycopg.Error: it cannot be read.
        """
        if _scalar(db, "SELECT to_regclass(%s)", f"{self.schema}.version") is None:
            return None
        number = _scalar(db, f"SELECT number FROM {self.schema}.version")  # noqa: S608 - a constant of ours
        return None if number is None else int(number)

    def prepare(self, db: Connection[Any], place: str) -> bool:
        """Make the tables where there are none; several who do so at once take turns. Returns whether they were made.

        Args:
            place: the database, for the error.

        Raises:
            ConfigError: they are of another version.
            psycopg.Error: this role may not make them, or the server is gone.
        """
        if self._there(db, place):
            return False
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (lock_of(self.schema),))
            if self._there(db, place):
                return False
            ensure(db, self.schema, {"version": "CREATE TABLE version (number INTEGER NOT NULL)", **self.statements})
            db.execute("INSERT INTO version VALUES (%s)", (self.version,))
            if self.first:
                db.execute(self.first)
        return True

    def _there(self, db: Connection[Any], place: str) -> bool:
        found = self.found(db)
        if found is not None and found != self.version:
            which = "newer" if found > self.version else "older"
            raise ConfigError(
                f"The tables {self.schema} in {place} are a {which} AgentFlow's (version {found}, here {self.version})",
                fix="upgrade this installation" if which == "newer" else f"drop the schema {self.schema}",
            )
        return found is not None


def _scalar(db: Connection[Any], sql: str, *parameters: Any) -> Any:
    row = db.execute(sql, parameters or None).fetchone()
    return row[0] if row else None
