"""The pins on disk: one SQLite file in `data_dir`, shared by running gateways and `agentflow pins`.

It promises that what is written is on disk before the call returns, whole or not at all; that several processes may
read and write the same file; and that the file (mode 0600) holds no clear personal data: values are replaced by a
keyed pseudonym, equal ones by equal ones, so that a changed address still shows as a change.

It refuses to open a damaged file (`ConfigError`, file untouched).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from agentflow.errors import ConfigError
from agentflow.guard.pins.canonical import Kind, parsed
from agentflow.paths import private_dir

FILE: Final = "pins.db"
# Rows of one server. A server that invents names without end fills no disk; what is beyond is held.
MOST_ROWS: Final = 50_000
_LONGEST: Final = 65_536  # bytes of a definition that are kept to show what changed
_BUSY_MS: Final = 3000
_DAY: Final = 86_400.0
_ORDINARY: Final = re.compile(r"(?!.*\d{4})[A-Za-z][A-Za-z0-9_.\-]{0,63}")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    server TEXT NOT NULL, source TEXT NOT NULL, label TEXT NOT NULL, seen REAL NOT NULL,
    PRIMARY KEY (server, source)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (
    server TEXT NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    pinned BLOB NOT NULL, body BLOB NOT NULL, how TEXT NOT NULL, since REAL NOT NULL,
    held BLOB NOT NULL, held_since REAL NOT NULL, reasons TEXT NOT NULL, flags TEXT NOT NULL, rejected BLOB NOT NULL,
    definition TEXT NOT NULL, proposed TEXT NOT NULL, label TEXT NOT NULL,
    PRIMARY KEY (server, source, kind, name));
"""
_COLUMNS: Final = (
    "server, source, kind, name, pinned, body, how, since, held, held_since, reasons, flags, rejected, definition, "
    "proposed, label"
)
_BRIEF: Final = "kind, name, pinned, body, how, since, held, held_since, reasons, flags, rejected"


class Located(Protocol):
    """A value found in a text."""

    @property
    def type(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Sensitive(Protocol):
    """Finds personal data and secrets (`PiiMatcher` and its like)."""

    def suspect(self, data: bytes) -> bool: ...
    def find(self, text: str) -> Sequence[Located]: ...


class Reason(NamedTuple):
    """Why something is held or flagged: a stable code, and a clause for a person."""

    code: str
    text: str


class Key(NamedTuple):
    """One thing a server offers, by the server's own name for it; personal data in a URI is pseudonymous."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Pin:
    """What is remembered of one thing. Digests are SHA-256, empty where there is none.

    Attributes:
        pinned: digest of the definition that is in force.
        body: see `canonical.body`, of that definition.
        how: `first_use` or `approved`.
        since: epoch seconds of the pin.
        held: digest of the definition that is held, if one is.
        held_since: epoch seconds.
        reasons: why it is.
        flags: what was noticed about the definition without holding it.
        rejected: digest of a definition that an administrator rejected.
    """

    pinned: bytes = b""
    body: bytes = b""
    how: str = ""
    since: float = 0.0
    held: bytes = b""
    held_since: float = 0.0
    reasons: tuple[Reason, ...] = ()
    flags: tuple[Reason, ...] = ()
    rejected: bytes = b""


@dataclass(frozen=True, slots=True)
class Row:
    """A pin with everything that is kept of it: definitions are canonical JSON, pseudonymous, perhaps cut."""

    server: str
    source: str
    key: Key
    pin: Pin
    definition: str = ""
    proposed: str = ""
    label: str = ""  # the former address or command of the server, where the pin was made for that


Pins = dict[Key, Pin]


class Store:
    """An open file. Thread-safe.

    Args:
        path: made (mode 0600) when absent.
        sensitive: gives what finds that which must not be written clear; None where nothing is added.

    Raises:
        ConfigError: it cannot be opened, or is damaged.
    """

    def __init__(self, path: Path, sensitive: Callable[[], Sensitive] | None = None) -> None:
        self._sensitive = sensitive
        self._lock = threading.RLock()
        self._version = -1
        try:
            private_dir(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
            self._key = self._prepared()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"The pinned definitions in {path} cannot be read: {error}",
                fix="check its permissions and disk; if it is damaged, move it away: every server is then seen anew",
            ) from error

    def _prepared(self) -> bytes:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?)", (secrets.token_bytes(32),))
        return bytes(self._db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # -- reading

    def changed(self) -> bool:
        """Whether another process or connection has written since `load` looked last; some 5 µs.

        False while this one is busy with the file itself.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._now() != self._version
        except sqlite3.Error:
            return False
        finally:
            self._lock.release()

    def load(self, sources: Iterable[tuple[str, str]]) -> dict[str, Pins]:
        """The pins of servers, each given by its name and where it is reached now.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        query = f"SELECT {_BRIEF} FROM pins WHERE server = ? AND source = ?"  # noqa: S608 - constants
        with self._lock:
            self._version = self._now()
            return {each[0]: dict(_brief(row) for row in self._db.execute(query, each)) for each in sources}

    def rows(self, server: str | None = None) -> list[Row]:
        """Everything that is kept, of one server or all, in order of names.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        where = "" if server is None else " WHERE server = ?"
        query = f"SELECT {_COLUMNS} FROM pins{where} ORDER BY server, kind, name, source"  # noqa: S608 - constants
        with self._lock:
            return [_row(row) for row in self._db.execute(query, () if server is None else (server,))]

    def row(self, server: str, source: str, key: Key) -> Row | None:
        """Everything that is kept of one thing."""
        query = f"SELECT {_COLUMNS} FROM pins WHERE server = ? AND source = ? AND kind = ? AND name = ?"  # noqa: S608
        with self._lock:
            found = self._db.execute(query, (server, source, *key)).fetchone()
        return None if found is None else _row(found)

    def _now(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    # -- writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several writes as one. What was read before it may be stale: ask `changed` inside.

        Raises:
            sqlite3.Error: nothing was written.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def arrive(self, servers: Iterable[tuple[str, str, str]]) -> None:
        """Note where servers are reached, each as name, source and label. Its pins come along from where it was
        reached before, if anywhere.

        Raises:
            sqlite3.Error: nothing was written.
        """
        servers, now = list(servers), time.time()
        query = "SELECT source, label, seen FROM sources WHERE server = ? ORDER BY seen DESC"
        with self._lock:
            known = {server: self._db.execute(query, (server,)).fetchall() for server, _, _ in servers}
        late = [
            each
            for each in servers
            if not any(source == each[1] and now - seen < _DAY for source, _, seen in known[each[0]])
        ]
        if not late:
            return
        with self.transaction():
            for server, source, label in late:
                former = next((each for each in known[server] if each[0] != source), None)
                if former is not None and all(each[0] != source for each in known[server]):
                    self._bring(server, source, former[0], former[1])
                self._db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?)", (server, source, label, now))

    def _bring(self, server: str, source: str, former: str, label: str) -> None:
        """Copy what is pinned; what was held there is looked at anew."""
        copied = _COLUMNS.replace("source", "?", 1).removesuffix("label") + "?"
        self._db.execute(
            f"INSERT OR IGNORE INTO pins ({_COLUMNS}) SELECT {copied} FROM pins "  # noqa: S608 - constants
            "WHERE server = ? AND source = ? AND length(pinned)",
            (source, label, server, former),
        )

    def write(self, rows: Iterable[Row]) -> None:
        """Insert or replace rows, inside `transaction`.

        Raises:
            sqlite3.Error: it failed.
        """
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        self._db.executemany(
            f"INSERT OR REPLACE INTO pins ({_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants
            (_columns(row) for row in rows),
        )

    def forget(self, rows: Iterable[Row]) -> None:
        """Remove rows, inside `transaction`: what they were about is seen anew."""
        self._db.executemany(
            "DELETE FROM pins WHERE server = ? AND source = ? AND kind = ? AND name = ?",
            ((row.server, row.source, *row.key) for row in rows),
        )

    # -- what is not written clear

    def shown(self, text: str) -> str:
        """The text with personal data and secrets as `<TYPE_pseudonym>`."""
        matcher = self._sensitive() if self._sensitive else None
        if matcher is None or not matcher.suspect(text.encode("utf-8", "replace")):
            return text
        parts, at = [], 0
        for found in matcher.find(text):
            value = text[found.start : found.end].encode("utf-8", "replace")
            name = hashlib.blake2b(value, key=self._key, digest_size=4).hexdigest()
            parts += [text[at : found.start], f"<{found.type}_{name}>"]
            at = found.end
        return "".join([*parts, text[at:]])

    def name(self, name: str) -> str:
        """The name of a tool or the URI of a resource, as `Key` has it."""
        return name if _ORDINARY.fullmatch(name) else self.shown(name)

    def kept(self, data: bytes) -> str:
        """A canonical form as it is kept."""
        text = data.decode("utf-8", "replace")
        if self._sensitive is not None and self._sensitive().suspect(data):
            try:
                text = json.dumps(_replaced(parsed(data), self.shown), ensure_ascii=False, separators=(",", ":"))
                text.encode()
            except (RecursionError, UnicodeEncodeError):  # too deep, or no text
                text = self.shown(data.decode("utf-8", "replace"))
        return text if len(text) <= _LONGEST else text[:_LONGEST]


def _replaced(value: object, shown: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(key): _replaced(item, shown) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, shown) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = shown(str(value))  # a number may be a card's or a person's
    return value if text == str(value) else text


def approved(row: Row) -> Row:
    """The row with what is held put in force. Its `body` is for the gateway to find out, which has the clear form."""
    pin = Pin(pinned=row.pin.held, how="approved", since=time.time(), flags=row.pin.flags)
    return replace(row, pin=pin, definition=row.proposed, proposed="", label="")


def rejected(row: Row) -> Row:
    """The row with what is held refused for good: it stays held and is asked about no more."""
    return replace(row, pin=replace(row.pin, rejected=row.pin.held))


def _brief(row: Sequence[Any]) -> tuple[Key, Pin]:
    kind, name, pinned, body, how, since, held, held_since, reasons, flags, refused = row
    why, told = _reasons(reasons), _reasons(flags)
    return Key(kind, name), Pin(pinned, body, how, since, held, held_since, why, told, refused)


def _row(row: Sequence[Any]) -> Row:
    key, pin = _brief(row[2:13])
    return Row(row[0], row[1], key, pin, *row[13:])


def _columns(row: Row) -> tuple[Any, ...]:
    pin = row.pin
    return (
        row.server, row.source, *row.key, pin.pinned, pin.body, pin.how, pin.since, pin.held, pin.held_since,
        _encoded(pin.reasons), _encoded(pin.flags), pin.rejected, row.definition, row.proposed, row.label,
    )  # fmt: skip


def _encoded(reasons: tuple[Reason, ...]) -> str:
    return json.dumps(reasons) if reasons else ""


def _reasons(text: str) -> tuple[Reason, ...]:
    return tuple(Reason(*each) for each in json.loads(text)) if text else ()
