"""The store's tables over time: Alembic's migrations, run on a database of ours.

A SQLite file is one gateway's machine's: it is made and brought up to date when it is opened. A PostgreSQL database
may be in use by gateways of another version: there the tables are made where there are none, and otherwise left to
`agentflow db upgrade`. Gateways that open a database at once take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from agentflow.errors import ConfigError

if TYPE_CHECKING:
    from agentflow.store.database import Database

_HERE: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x6166_7374_6F72_6500  # of the advisory lock under which tables are made


@cache
def revisions() -> tuple[str, ...]:
    """Every revision, oldest first: what the files' names begin with."""
    return tuple(sorted(path.name.partition("_")[0] for path in (_HERE / "versions").glob("[0-9]*.py")))


def prepare(database: Database) -> None:
    """Make the tables where there are none; bring those of a SQLite file up to date.

    Raises:
        ConfigError: they are newer than this AgentFlow, or older and perhaps in use.
        StoreUnavailable: the database cannot be used.
    """
    found, head = current(database), revisions()[-1]
    if found == head:
        return
    if found is not None and found not in revisions():
        raise ConfigError(
            f"The database {database.place} is of a newer AgentFlow (revision {found}, here {head})",
            fix="upgrade this one, or `agentflow db downgrade` with the newer",
        )
    if found is not None and database.shared:
        raise ConfigError(
            f"The database {database.place} is of an older AgentFlow (revision {found}, here {head})",
            fix="stop the gateways of the older version and run `agentflow db upgrade`",
        )
    upgrade(database)


def current(database: Database) -> str | None:
    """The revision that the tables are of, or None where there are none.

    Raises:
        StoreUnavailable: the database cannot be read.
    """
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return found


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the tables to revision `to`. Whole or not at all."""
    _run(database, lambda command, config: command.upgrade(config, to))


def downgrade(database: Database, to: str) -> None:
    """Take the tables back to revision `to` (`base`: none); what only later ones hold is lost."""
    _run(database, lambda command, config: command.downgrade(config, to))


class Lost(NamedTuple):
    """A table, or one column of a table, that goes with a downgrade, and how many rows it has."""

    table: str
    column: str
    rows: int

    def __str__(self) -> str:
        what = f"{self.table}.{self.column}" if self.column else self.table
        return f"{what} ({self.rows} {'row' if self.rows == 1 else 'rows'})"


def losses(database: Database, to: str) -> list[Lost]:
    """What a downgrade to revision `to` would take away, found out by trying it in a transaction that is undone."""
    lost: list[Lost] = []

    def tried(connection: sa.Connection, what: Callable[[], None]) -> None:
        before = {name: _rows(connection, name) for name in _columns(connection)}
        columns = _columns(connection)
        what()
        left = _columns(connection)
        for name in sorted(columns):
            gone = columns[name] - left[name] if name in left else {""}
            lost.extend(Lost(name, column, before[name]) for column in sorted(gone))
        raise _Undone

    with suppress(_Undone):
        _run(database, lambda command, config: command.downgrade(config, to), tried)
    return lost


class _Undone(Exception):
    """Ends a transaction that is to leave nothing behind."""


def _columns(connection: sa.Connection) -> dict[str, set[str]]:
    looked = sa.inspect(connection)
    names = [name for name in looked.get_table_names() if name != "alembic_version"]
    return {name: {column["name"] for column in looked.get_columns(name)} for name in names}


def _rows(connection: sa.Connection, table: str) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) or 0)


def differences(database: Database) -> list[str]:
    """What the tables lack of what this AgentFlow expects, or have beyond it, one line each."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from agentflow.store.tables import METADATA

    with database.read() as connection:
        # How SQLite writes a default differs from how it is told.
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": database.shared}
        )
        return [_told(each) for each in compare_metadata(context, METADATA)]


def _told(change: Any) -> str:
    """A difference as Alembic's autogenerate has it, in words: what would have to be done to make it as expected."""
    if isinstance(change, list):  # what of one column is another
        kind, _, table, column = change[0][:4]
        return f"{kind.removeprefix('modify_')} of {table}.{column} is another"
    kind, *what = change
    verb, _, noun = kind.partition("_")
    name = f"{what[1]}.{what[2].name}" if noun == "column" else what[0].name
    return f"{'lacks' if verb == 'add' else 'has beyond'} {noun} {name}"


def _run(
    database: Database,
    what: Callable[[Any, Any], None],
    around: Callable[[sa.Connection, Callable[[], None]], None] = lambda _, run: run(),
) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with database.begin() as connection:
        if database.shared:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))  # a large table takes its time
            if connection.scalar(sa.text("SELECT to_regnamespace('agentflow')")) is None:
                connection.execute(sa.text("CREATE SCHEMA agentflow"))
        config.attributes["connection"] = connection
        try:
            around(connection, lambda: what(command, config))
        except CommandError as error:  # its own notes on what there is contradict each other
            raise ConfigError(
                f"The tables of {database.place} cannot be migrated: {error}", fix="restore the database from a copy"
            ) from error
