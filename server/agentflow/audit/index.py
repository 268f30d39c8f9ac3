"""A database of where records are, so that a search need not read everything.

It holds places and facets, no records: what a search shows is read from the segments. It is filled after the fact,
by the running gateway or by a command, goes on where it stopped, and may be lost at any time: `rebuild` makes it anew,
and a search goes to the segments where it is missing, behind, broken or wrong.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from agentflow.audit import chain, query, signing
from agentflow.audit.query import Filter
from agentflow.audit.read import Entry
from agentflow.config import AuditConfig

FILE: Final = "audit.db"
VERSION: Final = 1
_BATCH = 500  # records in one transaction
_SEP = "\x1f"
_WILD = re.compile(r"[%_\\]")  # what LIKE takes for more than itself


class IndexUnusable(Exception):
    """The index cannot be used now; the message says why. Nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: `offset` and `size` are bytes of its line, without the newline, in the segment."""

    chain: str
    seq: int
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a chain is indexed: the last record, and where the next one begins."""

    seq: int
    segment: int
    offset: int


Row = tuple[Any, ...]
COLUMNS: Final = (
    "chain", "seq", "segment", "start", "size", "time", "id", "kind", "event", "tenant", "principal", "surface",
    "server", "name", "target", "outcome", "decision", "reasons", "pii", "score",
)  # fmt: skip


class IndexStore(Protocol):
    """A database with the rows of one data directory. Every method may raise `IndexUnusable`."""

    def marks(self) -> dict[str, Mark]:
        """How far each chain is indexed."""
        ...

    def add(self, name: str, rows: Sequence[Row], mark: Mark) -> None:
        """Put rows and the mark in at once; a row that is there already is replaced."""
        ...

    def drop(self, name: str, upto: int | None) -> None:
        """Forget a chain, or those of its segments that begin with record `upto` or before."""
        ...

    def clear(self) -> None:
        """Begin anew, whatever is there."""
        ...

    def places(self, condition: str, values: Sequence[Any]) -> Iterator[Place]:
        """Places of rows that satisfy an SQL condition with `?` for values, newest first."""
        ...

    def close(self) -> None: ...


class SqliteIndex:
    """The index in a SQLite file; a file that is no database of ours is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def marks(self) -> dict[str, Mark]:
        rows = self._tried(lambda db: db.execute("SELECT chain, seq, segment, start FROM mark").fetchall())
        return {name: Mark(*mark) for name, *mark in rows}

    def add(self, name: str, rows: Sequence[Row], mark: Mark) -> None:
        def put(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(_INSERT, rows)
                db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?)", (name, *_marked(mark)))

        self._tried(put)

    def drop(self, name: str, upto: int | None) -> None:
        def forget(db: sqlite3.Connection) -> None:
            gone = "SELECT 1 FROM record WHERE chain = ? AND segment <= ? LIMIT 1"
            if upto is not None and db.execute(gone, (name, upto)).fetchone() is None:
                return  # asked for once a second: nothing is written, and no row looked at
            with db:
                db.execute("BEGIN IMMEDIATE")
                if upto is None:
                    db.execute("DELETE FROM record WHERE chain = ?", (name,))
                    db.execute("DELETE FROM mark WHERE chain = ?", (name,))
                else:
                    db.execute("DELETE FROM record WHERE chain = ? AND segment <= ?", (name, upto))

        self._tried(forget)

    def clear(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()

    def places(self, condition: str, values: Sequence[Any]) -> Iterator[Place]:
        statement = (
            f"SELECT chain, seq, segment, start, size FROM record WHERE {condition} "  # noqa: S608 - our own text
            "ORDER BY time DESC, chain DESC, seq DESC"
        )
        try:
            for row in self._open().execute(statement, values):
                yield Place(*row)
        except sqlite3.Error as error:
            raise IndexUnusable(str(error)) from error

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _tried(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            return work(self._open())
        except sqlite3.OperationalError as error:  # locked, disk full, read-only
            self.close()
            raise IndexUnusable(str(error)) from error
        except sqlite3.DatabaseError as error:
            self.clear()  # not a database, or broken: it is made anew from the segments
            raise IndexUnusable(f"{error}; it is made anew") from error

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.touch(mode=0o600)
            db = sqlite3.connect(self._path, timeout=2.0, isolation_level=None, check_same_thread=False)
            try:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version != VERSION:
                    if version:
                        raise sqlite3.DatabaseError(f"version {version} of the index")
                    db.execute("PRAGMA journal_mode = WAL")
                    db.executescript(_SQLITE)
                db.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error:
                db.close()
                raise
            self._db = db
        return self._db


_INSERT = f"INSERT OR REPLACE INTO record VALUES ({','.join('?' * len(COLUMNS))})"  # noqa: S608 - our own text
_SQLITE = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS record (
  chain TEXT NOT NULL, seq INTEGER NOT NULL, segment INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
  time REAL NOT NULL, id TEXT, kind TEXT, event TEXT, tenant TEXT, principal TEXT, surface TEXT, server TEXT,
  name TEXT, target TEXT, outcome TEXT, decision TEXT, reasons TEXT, pii TEXT, score REAL NOT NULL,
  PRIMARY KEY (chain, segment, start)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_time ON record (time);
CREATE INDEX IF NOT EXISTS record_id ON record (id);
CREATE INDEX IF NOT EXISTS record_principal ON record (principal, time);
CREATE INDEX IF NOT EXISTS record_name ON record (name);
CREATE INDEX IF NOT EXISTS record_target ON record (target);
CREATE TABLE IF NOT EXISTS mark (chain TEXT PRIMARY KEY, seq INTEGER, segment INTEGER, start INTEGER) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
COMMIT;
"""


def _marked(mark: Mark) -> tuple[int, int, int]:
    return mark.seq, mark.segment, mark.offset


def open_index(data_dir: Path, config: AuditConfig) -> IndexStore:
    """The index that the configuration names.

    Raises:
        IndexUnusable: it cannot be used now.
        ConfigError: a PostgreSQL database is named, and psycopg is not installed.
    """
    if config.index_url is None:
        return SqliteIndex(data_dir / FILE)
    from agentflow.audit.index_postgres import PostgresIndex, own_name  # needs psycopg

    return PostgresIndex(config.index_url.get_secret_value(), own_name(data_dir))


# Filling ----------------------------------------------------------------------------------------------------


def catch_up(data_dir: Path, store: IndexStore, pause: Callable[[], None] = lambda: None) -> int:
    """Index what was written since, and forget what was retired; returns how many records were added.

    Args:
        pause: called after each batch, so that a process with other things to do can do them.

    Raises:
        IndexUnusable: the database cannot be used now; what is missing is made up for next time.
    """
    added = 0
    marks = store.marks()
    folders = chain.chains(data_dir)
    for name in marks.keys() - {folder.name for folder in folders}:
        store.drop(name, None)
    for folder in folders:
        mark = marks.get(folder.name)
        if mark is not None and not _fits(folder, mark):
            store.drop(folder.name, None)
            mark = None
        if mark is not None:
            # Whether the file is there decides, not the checkpoint: anybody might have written that.
            left = chain.segments(folder)
            store.drop(folder.name, chain.first_of(left[0]) - 1 if left else mark.seq)
        for rows, reached in _batches(folder, mark or Mark(0, 0, 0)):
            store.add(folder.name, rows, reached)
            added += len(rows)
            pause()
    return added


def rebuild(data_dir: Path, store: IndexStore) -> int:
    """Make the index anew from the segments; returns how many records are in it."""
    store.clear()
    return catch_up(data_dir, store)


def _fits(folder: Path, mark: Mark) -> bool:
    """Whether the chain still is the one that was indexed, as far as a glance can tell."""
    gone = signing.retired(folder)
    if gone is not None and mark.seq <= gone.upto:
        return True
    try:
        with (folder / chain.segment_name(mark.segment)).open("rb") as file:
            if mark.offset == 0:
                return True
            file.seek(mark.offset - 1)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return False


def _batches(folder: Path, mark: Mark) -> Iterator[tuple[list[Row], Mark]]:
    for segment in chain.segments(folder):
        first = chain.first_of(segment)
        if first < mark.segment:
            continue
        offset = mark.offset if first == mark.segment else 0
        rows: list[Row] = []
        try:
            file = segment.open("rb")
        except FileNotFoundError:  # retired meanwhile
            continue
        with closing(file):
            file.seek(offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break  # being written, or torn off by a crash
                line = chain.decode(raw[:-1])
                if line is not None:
                    rows.append(_row(line, Place(folder.name, line.seq, first, offset, len(raw) - 1)))
                    mark = Mark(line.seq, first, offset + len(raw))
                offset += len(raw)
                if len(rows) >= _BATCH:
                    yield rows, mark
                    rows = []
        if rows:
            yield rows, mark


def _row(line: chain.Line, place: Place) -> Row:
    has = query.facets(line.record)
    title, target = has.names[0] if has.names else "", has.names[1] if len(has.names) > 1 else ""
    return (
        place.chain, place.seq, place.segment, place.offset, place.size, has.time, has.id, has.kind, has.event,
        has.tenant, has.principal, has.surface, has.server, title, target, has.outcome, has.decision,
        _joined(has.reasons), _joined(has.pii), has.score,
    )  # fmt: skip


def _joined(words: Sequence[str]) -> str:
    return f"{_SEP}{_SEP.join(words)}{_SEP}" if words else ""


# Searching --------------------------------------------------------------------------------------------------


def search(
    data_dir: Path,
    wanted: Filter,
    limit: int | None,
    store: IndexStore | None,
    damaged: Callable[[Path], None] = lambda segment: None,
) -> list[Entry]:
    """The `limit` newest records that fit, in order of time: by the index, or from the segments without one.

    Args:
        damaged: as in `read.entries`; the index leaves such lines out without a word.
    """
    if store is not None:
        with suppress(IndexUnusable, OSError, ValueError):
            return _by_index(data_dir, wanted, limit, store)
    return query.newest(query.scan(data_dir, wanted, damaged), limit)


def _by_index(data_dir: Path, wanted: Filter, limit: int | None, store: IndexStore) -> list[Entry]:
    catch_up(data_dir, store)
    condition, values = _condition(wanted)
    found: list[Entry] = []
    folder = chain.audit_dir(data_dir)
    for place in store.places(condition, values):
        if limit is not None and len(found) >= limit:
            break
        entry = _read(folder, place)
        if wanted.matches(entry.record):
            found.append(entry)
    return found[::-1]


def _read(folder: Path, place: Place) -> Entry:
    with (folder / place.chain / chain.segment_name(place.segment)).open("rb") as file:
        file.seek(place.offset)
        line = chain.decode(file.read(place.size))
    if line is None or line.seq != place.seq:
        raise IndexUnusable(f"{place.chain}: record {place.seq} is not where the index has it")
    return Entry(place.chain, line.seq, line.record)


def _condition(wanted: Filter) -> tuple[str, list[Any]]:
    """An SQL condition that lets through whatever fits, and perhaps a little more."""
    terms: list[str] = ["1 = 1"]
    values: list[Any] = []
    for term, value in (
        ("time >= ?", wanted.since),
        ("time < ?", wanted.until),
        ("id = ?", wanted.id),
        ("kind = ?", wanted.kind),
        ("event = ?", wanted.event),
        ("tenant = ?", wanted.tenant),
        ("principal = ?", wanted.principal),
        ("surface = ?", wanted.surface),
        ("server = ?", wanted.server),
        ("outcome = ?", wanted.outcome),
        ("decision = ?", wanted.decision),
        ("score >= ?", wanted.injection),
        ("(outcome NOT IN ('', 'ok')) = (1 = ?)", None if wanted.refused is None else int(wanted.refused)),
    ):
        if value is not None:
            terms.append(term)
            values.append(value)
    if wanted.tenants is not None:
        terms.append(f"tenant IN ({', '.join('?' * len(wanted.tenants))})")
        values += sorted(wanted.tenants)
    if wanted.tool is not None:
        terms.append("(name = ? OR target = ?)")
        values += [wanted.tool, wanted.tool]
    for column, word in (("reasons", wanted.reason), ("pii", wanted.pii)):
        if word is not None:
            terms.append(f"{column} LIKE ?")
            values.append(f"%{_SEP}{_WILD.sub('_', word)}{_SEP}%")
    return " AND ".join(terms), values
