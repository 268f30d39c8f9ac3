"""What is remembered of the servers' definitions, and what every database of it has in common.

`sqlite_store.py` keeps them in one file in `data_dir`, shared by the gateways of one machine and `agentflow pins`;
`postgres_store.py` in PostgreSQL, shared by gateways on several. `open_pins` opens the one that is configured.

It promises that what is written is on disk before the call returns, whole or not at all; that several processes may
read and write at once; and that no clear personal data is kept: values are replaced by a keyed pseudonym, equal ones
by equal ones, so that a changed address still shows as a change. A database that cannot be used is a
`StoreUnavailable`; one that is damaged or of a newer AgentFlow is not opened (`ConfigError`) and left as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from agentflow.config_guard import PinsConfig
from agentflow.guard.pins.canonical import Kind, parsed

# Rows of one server. A server that invents names without end fills no disk; what is beyond is held.
MOST_ROWS: Final = 50_000
VERSION: Final = 1
_LONGEST: Final = 65_536  # characters of a definition that are kept to show what changed
_LONGEST_NAME: Final = 512  # characters of a name; PostgreSQL finds no row by more than some 2700 bytes
_DAY: Final = 86_400.0
_ORDINARY: Final = re.compile(r"(?!.*\d{4})[A-Za-z][A-Za-z0-9_.\-]{0,63}")
_KEY: Final = ("server", "source", "kind", "name")
_COLUMNS: Final = (
    *_KEY, "pinned", "body", "how", "since", "held", "held_since", "reasons", "flags", "rejected", "definition",
    "proposed", "label",
)  # fmt: skip
_ALL: Final = ", ".join(_COLUMNS)
_BRIEF: Final = "kind, name, pinned, body, how, since, held, held_since, reasons, flags, rejected"
_SELECT: Final = f"SELECT {_ALL} FROM pins"  # noqa: S608 - constants, as below
_LOAD: Final = f"SELECT {_BRIEF} FROM pins WHERE server = ? AND source = ?"  # noqa: S608
_WRITE: Final = (
    f"INSERT INTO pins ({_ALL}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _COLUMNS if name not in _KEY)}"
)
_BRING: Final = (
    f"INSERT INTO pins ({_ALL}) SELECT server, ?, {', '.join(_COLUMNS[2:-1])}, ? FROM pins "  # noqa: S608
    "WHERE server = ? AND source = ? AND length(pinned) > 0 ON CONFLICT DO NOTHING"
)
_ARRIVE: Final = (
    "INSERT INTO sources (server, source, label, seen) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (server, source) DO UPDATE SET label = excluded.label, seen = excluded.seen"
)


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


class PinStore(ABC):
    """An open database of pins. Thread-safe. Every method may raise `StoreUnavailable`.

    Args:
        sensitive: gives what finds that which must not be written clear; None where nothing is added.

    Attributes:
        blocking: whether a call may wait for a network: then none is made on the event loop.
    """

    blocking: bool

    def __init__(self, sensitive: Callable[[], Sensitive] | None) -> None:
        self._sensitive = sensitive
        self._lock = threading.RLock()
        self._version = -1
        self._key = b""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Several writes as one. What was read before it may be stale: ask `changed` inside."""

    @abstractmethod
    def changed(self) -> bool:
        """Whether somebody else has written since `load` looked last.

        False while this one is busy with the database itself, or cannot reach it.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the database. Idempotent."""

    @abstractmethod
    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run a statement in the dialect that both databases share; `?` stands for a parameter."""

    @abstractmethod
    def _many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None: ...

    @abstractmethod
    def _now(self) -> int:
        """A number that is another one once somebody else has written."""

    # -- reading

    def load(self, sources: Iterable[tuple[str, str]]) -> dict[str, Pins]:
        """The pins of servers, each given by its name and where it is reached now."""
        with self._lock:
            self._version = self._now()
            return {each[0]: dict(_brief(row) for row in self._rows(_LOAD, each)) for each in sources}

    def rows(self, server: str | None = None) -> list[Row]:
        """Everything that is kept, of one server or all, in order of names."""
        order = " ORDER BY server, kind, name, source"
        with self._lock:
            if server is None:
                return [_row(row) for row in self._rows(_SELECT + order)]
            return [_row(row) for row in self._rows(f"{_SELECT} WHERE server = ?{order}", (server,))]

    def row(self, server: str, source: str, key: Key) -> Row | None:
        """Everything that is kept of one thing."""
        query = f"{_SELECT} WHERE server = ? AND source = ? AND kind = ? AND name = ?"
        with self._lock:
            found = self._rows(query, (server, source, *key))
        return _row(found[0]) if found else None

    # -- writing

    def arrive(self, servers: Iterable[tuple[str, str, str]]) -> None:
        """Note where servers are reached, each as name, source and label. Its pins come along from where it was
        reached before, if anywhere.
        """
        servers, now = list(servers), time.time()
        query = "SELECT source, label, seen FROM sources WHERE server = ? ORDER BY seen DESC"
        with self._lock:
            known = {server: self._rows(query, (server,)) for server, _, _ in servers}
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
                    # What is pinned is copied; what was held there is looked at anew.
                    self._many(_BRING, [(source, former[1], server, former[0])])
                self._many(_ARRIVE, [(server, source, label, now)])

    def write(self, rows: Iterable[Row]) -> None:
        """Insert or replace rows, inside `transaction`."""
        self._many(_WRITE, [_columns(row) for row in rows])

    def forget(self, rows: Iterable[Row]) -> None:
        """Remove rows, inside `transaction`: what they were about is seen anew."""
        self._many(
            "DELETE FROM pins WHERE server = ? AND source = ? AND kind = ? AND name = ?",
            [(row.server, row.source, *row.key) for row in rows],
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
        """The name of a tool or the URI of a resource, as `Key` has it: a very long one cut, with its digest."""
        return name if _ORDINARY.fullmatch(name) else _bounded(self.shown(name))

    def kept(self, data: bytes) -> str:
        """A canonical form as it is kept."""
        text = data.decode("utf-8", "replace")
        if self._sensitive is not None and self._sensitive().suspect(data):
            try:
                text = json.dumps(_replaced(parsed(data), self.shown), ensure_ascii=False, separators=(",", ":"))
                text.encode()
            except (RecursionError, UnicodeEncodeError):  # too deep, or no text
                text = self.shown(data.decode("utf-8", "replace"))
        return _storable(text if len(text) <= _LONGEST else text[:_LONGEST])


def open_pins(
    data_dir: Path,
    config: PinsConfig,
    sensitive: Callable[[], Sensitive] | None = None,
    key: Callable[[], bytes] | None = None,
) -> PinStore:
    """Open what `guard.pins.url` names, or `pins.db` in the data directory.

    Args:
        sensitive: gives what finds that which must not be written clear; None where nothing is added.
        key: gives 32 bytes for pseudonyms that gateways on several machines are to share; not asked for a file, which
            holds its own.

    Raises:
        ConfigError: it cannot be opened, is damaged, or of a newer AgentFlow; psycopg is needed and missing.
    """
    if config.url is None:
        from agentflow.guard.pins.sqlite_store import FILE, SqlitePins

        return SqlitePins(data_dir / FILE, sensitive)
    from agentflow.guard.pins.postgres_store import PostgresPins  # needs psycopg

    return PostgresPins(config.url.get_secret_value(), sensitive, key)


def _bounded(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[: _LONGEST_NAME - len(digest) - 1]}…{digest}"
    return _storable(name)


def _storable(text: str) -> str:
    """The text without what a database does not take: NUL, and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


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
