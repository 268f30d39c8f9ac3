"""What the vault asks of a database, and the SQL that both databases share.

A store keeps three tables: `meta`, `keys` (wrapped, never clear) and `tokens` (sealed entries; an empty one is a
tombstone: its name is taken, and stands for nothing). It knows no key and never sees a clear value. Every failure of
the database is a `VaultUnavailable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

_CHUNK: Final = 400  # parameters in one statement


class Row(NamedTuple):
    """An entry as it is stored: sealed under data key number `key`, until `expires` (epoch seconds)."""

    key: int
    sealed: bytes
    expires: float


class KeyRow(NamedTuple):
    """A wrapped key. `kind` is `naming`, `data` or `proof`; `master` names the key that wraps it."""

    tenant: str
    kind: str
    number: int
    master: str
    wrapped: bytes


class Place(NamedTuple):
    """Where an entry stands."""

    scope: str
    token: str


class VaultStore(Protocol):
    """A database that holds the vault's tables.

    Attributes:
        place: the database in words, without credentials.
        blocking: whether a call may wait for a network, so that it does not belong on an event loop.
    """

    @property
    def place(self) -> str: ...

    @property
    def blocking(self) -> bool: ...

    def version(self) -> int:
        """0: nothing is there; 1: a file of AgentFlow 0.x with derived keys; 2: this layout."""
        ...

    def prepare(self) -> None:
        """Make the tables that are missing, within the running transaction."""
        ...

    def transaction(self, tenant: str) -> AbstractContextManager[None]:
        """All or nothing; no other process writes entries of this tenant meanwhile (`""`: of any tenant)."""
        ...

    def meta(self, name: str) -> bytes | None: ...

    def set_meta(self, name: str, value: bytes) -> None: ...

    def keys(self, tenant: str | None = None) -> list[KeyRow]:
        """The keys of a tenant, or of all; by number."""
        ...

    def put_key(self, row: KeyRow) -> None: ...

    def drop_keys(self, tenant: str, below: int | None = None) -> None:
        """Delete a tenant's keys; or only its data keys with smaller numbers."""
        ...

    def find(self, tenant: str, scope: str, tokens: Sequence[str]) -> dict[str, Row]: ...

    def insert(self, tenant: str, scope: str, rows: Iterable[tuple[str, Row]]) -> None: ...

    def touch(self, tenant: str, scope: str, tokens: Sequence[str], expires: float) -> None:
        """Prolong the life of entries."""
        ...

    def page(self, tenant: str, after: Place, limit: int) -> list[tuple[str, str, Row]]:
        """Up to `limit` entries `(scope, token, row)` after a place, in order."""
        ...

    def overwrite(self, tenant: str, rows: Iterable[tuple[str, str, Row]]) -> None: ...

    def drop(self, tenant: str) -> int:
        """Delete every entry of a tenant; return how many there were."""
        ...

    def purge(self, now: float) -> None:
        """Delete what has expired."""
        ...

    def scrub(self) -> bool:
        """Overwrite what was deleted, as far as the database can; False when others kept it from finishing."""
        ...

    def tenants(self) -> list[tuple[str, int]]:
        """Each tenant with its number of live entries."""
        ...

    def close(self) -> None: ...


class SqlStore(ABC):
    """The statements, in the dialect that SQLite and PostgreSQL share; `?` stands for a parameter."""

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]: ...

    @abstractmethod
    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None: ...

    @abstractmethod
    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; return how many rows it changed."""

    def meta(self, name: str) -> bytes | None:
        found = self.rows("SELECT value FROM meta WHERE name = ?", (name,))
        return bytes(found[0][0]) if found else None

    def set_meta(self, name: str, value: bytes) -> None:
        self.changed(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def keys(self, tenant: str | None = None) -> list[KeyRow]:
        if tenant is None:
            found = self.rows("SELECT tenant, kind, number, master, wrapped FROM keys ORDER BY tenant, kind, number")
        else:
            found = self.rows(
                "SELECT tenant, kind, number, master, wrapped FROM keys WHERE tenant = ? ORDER BY kind, number",
                (tenant,),
            )
        return [KeyRow(row[0], row[1], row[2], row[3], bytes(row[4])) for row in found]

    def put_key(self, row: KeyRow) -> None:
        self.changed(
            "INSERT INTO keys (tenant, kind, number, master, wrapped) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (tenant, kind, number) DO UPDATE SET master = excluded.master, wrapped = excluded.wrapped",
            row,
        )

    def drop_keys(self, tenant: str, below: int | None = None) -> None:
        if below is None:
            self.changed("DELETE FROM keys WHERE tenant = ?", (tenant,))
        else:
            self.changed("DELETE FROM keys WHERE tenant = ? AND kind = 'data' AND number < ?", (tenant, below))

    def find(self, tenant: str, scope: str, tokens: Sequence[str]) -> dict[str, Row]:
        if len(tokens) > _CHUNK:
            found: dict[str, Row] = {}
            for start in range(0, len(tokens), _CHUNK):
                found.update(self.find(tenant, scope, tokens[start : start + _CHUNK]))
            return found
        rows = self.rows(_find(len(tokens)), (tenant, scope, *tokens))
        return {token: Row(key, bytes(sealed), expires) for token, key, sealed, expires in rows}

    def insert(self, tenant: str, scope: str, rows: Iterable[tuple[str, Row]]) -> None:
        self.many(
            "INSERT INTO tokens (tenant, scope, token, key, sealed, expires) VALUES (?, ?, ?, ?, ?, ?)",
            [(tenant, scope, token, *row) for token, row in rows],
        )

    def touch(self, tenant: str, scope: str, tokens: Sequence[str], expires: float) -> None:
        self.many(
            "UPDATE tokens SET expires = ? WHERE tenant = ? AND scope = ? AND token = ?",
            [(expires, tenant, scope, token) for token in tokens],
        )

    def page(self, tenant: str, after: Place, limit: int) -> list[tuple[str, str, Row]]:
        found = self.rows(
            "SELECT scope, token, key, sealed, expires FROM tokens "
            "WHERE tenant = ? AND (scope, token) > (?, ?) ORDER BY scope, token LIMIT ?",
            (tenant, *after, limit),
        )
        return [(row[0], row[1], Row(row[2], bytes(row[3]), row[4])) for row in found]

    def overwrite(self, tenant: str, rows: Iterable[tuple[str, str, Row]]) -> None:
        self.many(
            "UPDATE tokens SET key = ?, sealed = ?, expires = ? WHERE tenant = ? AND scope = ? AND token = ?",
            [(*row, tenant, scope, token) for scope, token, row in rows],
        )

    def drop(self, tenant: str) -> int:
        return self.changed("DELETE FROM tokens WHERE tenant = ?", (tenant,))

    def purge(self, now: float) -> None:
        self.changed("DELETE FROM tokens WHERE expires < ?", (now,))

    def tenants(self) -> list[tuple[str, int]]:
        rows = self.rows(
            "SELECT k.tenant, (SELECT COUNT(*) FROM tokens t WHERE t.tenant = k.tenant AND t.sealed <> ?) "
            "FROM (SELECT DISTINCT tenant FROM keys WHERE tenant <> '') k ORDER BY k.tenant",
            (b"",),
        )
        return [(tenant, count) for tenant, count in rows]


@lru_cache(maxsize=2 * _CHUNK)
def _find(count: int) -> str:
    marks = ", ".join("?" * count)
    return (
        "SELECT token, key, sealed, expires FROM tokens "  # noqa: S608 (nothing but question marks is put in)
        f"WHERE tenant = ? AND scope = ? AND token IN ({marks})"
    )
