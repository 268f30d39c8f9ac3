"""The store's tables over time: Alembic's migrations, run on a database of ours.

A SQLite file is one gateway's machine's: it is made and brought up to date when it is opened. A PostgreSQL database
may be in use by gateways of another version: there the tables are made where there are none, and otherwise left to
`agentflow db upgrade`. Gateways that open a database at once take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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


def differences(database: Database) -> list[str]:
    """What the tables lack of what this AgentFlow expects, or have beyond it, one line each."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from agentflow.store.tables import METADATA

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        return [str(each) for each in compare_metadata(context, METADATA)]


def _run(database: Database, what: Callable[[Any, Any], None]) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with database.begin() as connection:
        if database.shared:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
            connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS agentflow"))
        config.attributes["connection"] = connection
        what(command, config)
