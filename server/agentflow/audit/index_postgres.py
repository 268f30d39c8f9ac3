"""The index of the audit log in PostgreSQL, where several gateways keep theirs side by side.

Tables in the schema `agentflow_audit`; each row belongs to one data directory, known by a random name in
`audit/index.name`. Derived data: tables of another version are dropped and made anew.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from agentflow.audit import chain
from agentflow.audit.index import COLUMNS, VERSION, IndexUnusable, Mark, Place, Row
from agentflow.postgres import Error, Tables, connect, said

_NAME: Final = "index.name"
_LOCK: Final = 0x6166_6175_6469_7400  # of the advisory lock under which tables of another version are dropped
TABLES: Final = Tables(
    "agentflow_audit",
    VERSION,
    {
        "record": """CREATE TABLE record (
          place TEXT NOT NULL, chain TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL, segment BIGINT NOT NULL,
          start BIGINT NOT NULL, size BIGINT NOT NULL, time DOUBLE PRECISION NOT NULL, id TEXT, kind TEXT, event TEXT,
          tenant TEXT, principal TEXT, surface TEXT, server TEXT, name TEXT, target TEXT, outcome TEXT, decision TEXT,
          reasons TEXT, pii TEXT, score DOUBLE PRECISION NOT NULL, PRIMARY KEY (place, chain, segment, start))""",
        "record_time": "CREATE INDEX record_time ON record (place, time)",
        "record_id": "CREATE INDEX record_id ON record (place, id)",
        "record_principal": "CREATE INDEX record_principal ON record (place, principal, time)",
        "record_name": "CREATE INDEX record_name ON record (place, name)",
        "record_target": "CREATE INDEX record_target ON record (place, target)",
        "mark": """CREATE TABLE mark (
          place TEXT NOT NULL, chain TEXT NOT NULL, seq BIGINT, segment BIGINT, start BIGINT,
          PRIMARY KEY (place, chain))""",
    },
)
_CHANGED: Final = ", ".join(
    f"{name} = excluded.{name}" for name in COLUMNS if name not in ("chain", "segment", "start")
)


def own_name(data_dir: Path) -> str:
    """The name of a data directory's rows, drawn at the first time.

    Raises:
        OSError: it cannot be kept.
    """
    path = chain.audit_dir(data_dir) / _NAME
    with suppress(FileExistsError), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(16))
    return path.read_text("ascii").strip()


class PostgresIndex:
    """The rows of one data directory: an `IndexStore`.

    Raises:
        IndexUnusable: the database cannot be used now.
    """

    def __init__(self, url: str, place: str) -> None:
        self._place = place
        with _clear_words():
            self._db = connect(url, TABLES.schema, statement_seconds=30)
            try:
                self._set_up()
            except BaseException:
                self._db.close()
                raise

    def _set_up(self) -> None:
        if TABLES.found(self._db) not in (None, VERSION):
            with self._db.transaction():
                self._db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                if TABLES.found(self._db) not in (None, VERSION):
                    self._db.execute("DROP TABLE IF EXISTS record, mark, version")
        TABLES.prepare(self._db, "PostgreSQL")

    def marks(self) -> dict[str, Mark]:
        with _clear_words():
            rows = self._db.execute("SELECT chain, seq, segment, start FROM mark WHERE place = %s", (self._place,))
            return {name: Mark(*mark) for name, *mark in rows.fetchall()}

    def add(self, name: str, rows: Sequence[Row], mark: Mark) -> None:
        places = ", ".join(["%s"] * (len(COLUMNS) + 1))
        with _clear_words(), self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO record (place, {', '.join(COLUMNS)}) VALUES ({places}) "  # noqa: S608 - our own text
                f"ON CONFLICT (place, chain, segment, start) DO UPDATE SET {_CHANGED}",
                [(self._place, *map(_storable, row)) for row in rows],
            )
            cursor.execute(
                "INSERT INTO mark VALUES (%s, %s, %s, %s, %s) ON CONFLICT (place, chain) DO UPDATE "
                "SET seq = excluded.seq, segment = excluded.segment, start = excluded.start",
                (self._place, name, mark.seq, mark.segment, mark.offset),
            )

    def drop(self, name: str, upto: int | None) -> None:
        own = (self._place, name)
        with _clear_words(), self._db.transaction():
            if upto is None:
                self._db.execute("DELETE FROM record WHERE place = %s AND chain = %s", own)
                self._db.execute("DELETE FROM mark WHERE place = %s AND chain = %s", own)
            else:
                self._db.execute("DELETE FROM record WHERE place = %s AND chain = %s AND segment <= %s", (*own, upto))

    def clear(self) -> None:
        with _clear_words(), self._db.transaction():
            self._db.execute("DELETE FROM record WHERE place = %s", (self._place,))
            self._db.execute("DELETE FROM mark WHERE place = %s", (self._place,))

    def places(self, condition: str, values: Sequence[Any]) -> Iterator[Place]:
        statement = (
            "SELECT chain, seq, segment, start, size FROM record "  # noqa: S608 - our own text
            f"WHERE place = %s AND {condition.replace('?', '%s')} ORDER BY time DESC, chain DESC, seq DESC"
        )
        with _clear_words(), self._db.transaction(), self._db.cursor("places") as cursor:
            cursor.itersize = 500
            cursor.execute(statement, (self._place, *map(_storable, values)))
            for row in cursor:
                yield Place(*row)

    def close(self) -> None:
        self._db.close()


def _storable(value: Any) -> Any:
    """PostgreSQL holds no NUL; what is asked for is changed in the same way."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


@contextmanager
def _clear_words() -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise IndexUnusable(f"PostgreSQL: {said(error)}") from None
