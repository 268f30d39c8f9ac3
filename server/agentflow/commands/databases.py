"""What a gateway keeps beside the store: vault, taint, pins and audit index, each in a file or in PostgreSQL.

Looking at one makes nothing and needs no key. Preparing one makes its tables in PostgreSQL; files are made by whoever
needs them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from agentflow.audit import index
from agentflow.config import Config
from agentflow.errors import ConfigError
from agentflow.guard import taint_store
from agentflow.guard.pins import sqlite_store as pins_file
from agentflow.guard.pins import store as pins
from agentflow.guard.vault import layout

if TYPE_CHECKING:
    from agentflow.postgres import Connection, Tables

_META: Final = "SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE name = 'version'"
_OF_FILE: Final = "PRAGMA user_version"


@dataclass(frozen=True, slots=True)
class State:
    """What was found of one database.

    Attributes:
        name: `store`, `vault`, `taint`, `pins` or `audit index`.
        found, expected: its version or revision; `found` is empty where there is none.
        said: in words.
    """

    name: str
    place: str
    found: str
    expected: str
    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of state.

    Attributes:
        path: its file, where `url` is None.
        schema: its schema in PostgreSQL.
        in_file, in_postgres: the versions that this AgentFlow expects there.
        asked: the statement that tells a file's version.
    """

    name: str
    path: Path
    url: SecretStr | None
    schema: str
    in_file: int
    in_postgres: int
    asked: str = _OF_FILE


def kept(config: Config) -> list[Kept]:
    """Every kind beside the store, where the configuration has it."""
    here, guard = config.data_dir, config.guard
    vault, taint = layout.VERSION, here / "taint.db"
    return [
        Kept("vault", here / "vault.db", guard.vault.url, "agentflow_vault", vault, vault, _META),
        Kept("taint", taint, guard.vault.url, "agentflow_taint", taint_store.VERSION, 1),
        Kept("pins", here / pins_file.FILE, guard.pins.url, "agentflow_pins", pins.VERSION, pins.VERSION),
        Kept("audit index", here / index.FILE, config.audit.index_url, "agentflow_audit", index.VERSION, index.VERSION),
    ]


def look(each: Kept) -> State:
    """What is there."""
    return _file(each) if each.url is None else _database(each, each.url.get_secret_value())


def prepare(each: Kept) -> bool:
    """Make the tables of one in PostgreSQL that are missing; returns whether some were.

    Raises:
        ConfigError: they cannot be made.
    """
    from agentflow import postgres

    assert each.url is not None
    url = each.url.get_secret_value()
    try:
        with postgres.connect(url, each.schema) as db:
            if (tables := _tables(each)) is not None:
                return tables.prepare(db, postgres.place_of(url))
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s)", (postgres.lock_of(each.schema),))
                return postgres.ensure(db, each.schema, _statements(each))
    except (postgres.Error, ValueError) as error:
        raise ConfigError(
            f"The tables {each.schema} in {postgres.place_of(url)} cannot be made: {postgres.said(error)}",
            fix="connect with a role that may, and check that the server runs",
        ) from error


def grant(url: str, schema: str, role: str) -> None:
    """Let a role read and write the rows of a schema, and see of which version it is.

    Raises:
        ConfigError: there is no such role, or this one may not.
    """
    from psycopg.sql import SQL, Identifier

    from agentflow import postgres

    names = {"schema": Identifier(schema), "role": Identifier(role)}
    try:
        with postgres.connect(url, schema) as db, db.transaction():
            for statement in (
                "GRANT USAGE ON SCHEMA {schema} TO {role}",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
                "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
            ):
                db.execute(SQL(statement).format(**names))
            for version in ("version", "alembic_version"):
                if db.execute("SELECT to_regclass(%s)", (f"{schema}.{version}",)).fetchone() != (None,):
                    of = {**names, "table": Identifier(schema, version)}
                    db.execute(SQL("REVOKE INSERT, UPDATE, DELETE ON {table} FROM {role}").format(**of))
    except (postgres.Error, ValueError) as error:
        raise ConfigError(
            f"{role} cannot be given rights in {postgres.place_of(url)}: {postgres.said(error)}",
            fix="make the role first, and connect as the owner of the tables",
        ) from error


def _tables(each: Kept) -> Tables | None:
    """Its tables; None of the vault, which states its version beside its keys."""
    if each.name == "taint":
        from agentflow.guard import taint_postgres

        return taint_postgres.TABLES
    if each.name == "pins":
        from agentflow.guard.pins import postgres_store

        return postgres_store.TABLES
    if each.name == "audit index":
        from agentflow.audit import index_postgres

        return index_postgres.TABLES
    return None


def _statements(each: Kept) -> Mapping[str, str]:
    if (tables := _tables(each)) is not None:
        return tables.statements
    from agentflow.guard.vault import postgres_store

    return postgres_store.TABLES


def _file(each: Kept) -> State:
    expected = str(each.in_file)
    if not each.path.is_file():
        return State(each.name, str(each.path), "", expected, True, "made when it is first needed")
    try:
        with closing(sqlite3.connect(f"{each.path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute(each.asked).fetchone()
    except sqlite3.Error as error:
        return State(each.name, str(each.path), "", expected, False, f"cannot be read: {error}")
    return _judged(each, str(each.path), row[0] if row else None, each.in_file)


def _database(each: Kept, url: str) -> State:
    expected = str(each.in_postgres)
    try:
        from agentflow import postgres
    except ConfigError as error:
        return State(each.name, "", "", expected, False, error.message)
    place = postgres.place_of(url)
    try:
        with postgres.connect(url, each.schema) as db:
            statements = _statements(each)
            missing = [name for name in statements if not _there(db, each.schema, name)]
            if len(missing) == len(statements):
                return State(each.name, place, "", expected, False, "has no tables: run `agentflow db upgrade`")
            if missing:
                return State(each.name, place, "", expected, False, f"lacks {', '.join(missing)}")
            found = _version(each, db)
    except (postgres.Error, ValueError) as error:
        return State(each.name, place, "", expected, False, f"cannot be used: {postgres.said(error)}")
    if found is None and each.name == "vault":
        return State(each.name, place, "", expected, True, "prepared; a gateway makes its keys when it starts")
    return _judged(each, place, found, each.in_postgres)


def _version(each: Kept, db: Connection[Any]) -> int | None:
    if each.name == "vault":
        sql = "SELECT convert_from(value, 'UTF8')::integer FROM meta WHERE name = 'version'"
    else:
        sql = "SELECT number FROM version"
    row = db.execute(sql).fetchone()
    return row[0] if row else None


def _there(db: Connection[Any], schema: str, relation: str) -> bool:
    return db.execute("SELECT to_regclass(%s)", (f"{schema}.{relation}",)).fetchone() != (None,)


def _judged(each: Kept, place: str, found: int | None, expected: int) -> State:
    if found == expected:
        return State(each.name, place, str(found), str(expected), True, "fine")
    said = "has no version" if found is None else "of a newer AgentFlow" if found > expected else "older"
    return State(each.name, place, "" if found is None else str(found), str(expected), False, said)
