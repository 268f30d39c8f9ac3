"""The rows of stored API keys: the statements behind `KeyRing`, on SQLite and PostgreSQL.

Every change of a row gets the next number of the table, under a lock that makes numbers become visible in order: who
has seen all up to N misses nothing by asking for those above N. Every row is sealed under this installation's key:
who can write to the database, but has not the vault, gives no key other roles, another tenant or a longer life.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import time
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from agentflow.identity import key_format
from agentflow.identity.key_info import DAY, KeyInfo
from agentflow.store.database import Database
from agentflow.store.tables import API_KEYS as KEYS

_FORGET: Final = 30 * DAY  # seconds after its end that a gateway still knows a key by name
_NEWER: Final = KEYS.alias("newer")
_REPLACED_BY: Final = (
    sa.select(sa.func.max(_NEWER.c.id)).where(_NEWER.c.replaces == KEYS.c.id).correlate(KEYS).scalar_subquery()
)
_STATE: Final = sa.select(sa.func.coalesce(sa.func.max(KEYS.c.changed), 0), sa.func.count()).select_from(KEYS)
_SHOWN: Final = sa.select(KEYS, _REPLACED_BY.label("replaced_by"))


class Changes(NamedTuple):
    """What has changed: keys with their digests, the number of the newest change, and how many keys there are."""

    keys: list[tuple[KeyInfo, bytes]]
    newest: int
    total: int


class Rows:
    """The keys in an open database.

    Args:
        hashing: the key under which this installation hashes keys.
    """

    def __init__(self, database: Database, hashing: bytes) -> None:
        self.hashing = hashing
        self._database = database
        self._connection: sa.Connection | None = None
        self._sealing = hmac.digest(hashing, b"rows", "sha256")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction for all within it; whoever else would change a key waits."""
        with self._database.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text(f"LOCK TABLE {KEYS.name} IN SHARE ROW EXCLUSIVE MODE"))
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    def changed(self, since: int) -> Changes:
        """Keys that changed after `since`; with 0, all but those that ended long ago."""
        asked = sa.select(KEYS).where(KEYS.c.changed > since)
        if not since:
            long_ago = time() - _FORGET
            asked = asked.where(sa.func.coalesce(KEYS.c.revoked, KEYS.c.expires, long_ago) >= long_ago)
        with self._database.read() as connection:
            newest, total = connection.execute(_STATE).one()
            rows = connection.execute(asked).all()
        found = [(self._info(row), bytes(row.digest)) for row in rows]
        return Changes(found, max([newest, *(row.changed for row in rows)]), total)

    def all(self, tenant: str | None) -> list[KeyInfo]:
        """The keys of a tenant or of all, newest first."""
        asked = _SHOWN.order_by(KEYS.c.created.desc(), KEYS.c.id)
        if tenant is not None:
            asked = asked.where(KEYS.c.tenant == tenant)
        with self._reading() as connection:
            return [self._info(row) for row in connection.execute(asked)]

    def one(self, key: str) -> KeyInfo | None:
        """The key of this id."""
        if not key_format.is_id(key):  # some texts no database takes
            return None
        with self._reading() as connection:
            row = connection.execute(_SHOWN.where(KEYS.c.id == key)).first()
        return self._info(row) if row is not None else None

    def insert(self, info: KeyInfo, digest: bytes) -> None:
        """Within `writing`."""
        self._writer.execute(
            KEYS.insert().values(
                id=info.id, digest=digest, seal=self._seal(info, digest), tenant=info.tenant, principal=info.principal,
                kind=info.kind, roles=list(info.roles), scopes=list(info.scopes), label=info.label,
                created=info.created, created_by=info.created_by, expires=info.expires, replaces=info.replaces,
                changed=self._next(),
            )
        )  # fmt: skip

    def end(self, info: KeyInfo) -> None:
        """Have a key end as `info` says: expired or revoked. Within `writing`."""
        digest = self._writer.execute(sa.select(KEYS.c.digest).where(KEYS.c.id == info.id)).scalar_one()
        self._writer.execute(
            KEYS.update().where(KEYS.c.id == info.id).values(
                expires=info.expires, revoked=info.revoked, revoked_by=info.revoked_by,
                seal=self._seal(info, bytes(digest)), changed=self._next(),
            )
        )  # fmt: skip

    def used(self, uses: Sequence[tuple[str, float]]) -> None:
        """Note when keys were last used; a later use that is noted already stays."""
        key, when = sa.bindparam("key", type_=sa.String), sa.bindparam("when", type_=sa.Double)
        later = sa.or_(KEYS.c.used.is_(None), KEYS.c.used < when)
        with self._database.begin() as connection:
            connection.execute(
                KEYS.update().where(KEYS.c.id == key, later).values(used=when),
                [{"key": each, "when": used} for each, used in sorted(uses)],
            )

    @property
    def _writer(self) -> sa.Connection:
        assert self._connection is not None
        return self._connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """The running transaction where there is one."""
        if self._connection is not None:
            yield self._connection
            return
        with self._database.read() as connection:
            yield connection

    def _next(self) -> int:
        newest = self._writer.scalar(sa.select(sa.func.coalesce(sa.func.max(KEYS.c.changed), 0)))
        return int(newest or 0) + 1

    def _seal(self, info: KeyInfo, digest: bytes) -> bytes:
        """Over all that decides whose key it is, what it may do and how long."""
        times = [None if each is None else float(each) for each in (info.created, info.expires, info.revoked)]
        said = [
            info.id, digest.hex(), info.tenant, info.principal, info.kind, info.roles, info.scopes, info.replaces, times
        ]  # fmt: skip
        return hmac.digest(self._sealing, json.dumps(said).encode(), "sha256")

    def _info(self, row: Any) -> KeyInfo:
        info = KeyInfo(
            row.id, row.principal, row.kind, tuple(row.roles), row.tenant, tuple(row.scopes), row.label,
            created=row.created, created_by=row.created_by, expires=row.expires, used=row.used,
            revoked=row.revoked, revoked_by=row.revoked_by, replaces=row.replaces,
            replaced_by=getattr(row, "replaced_by", None),
        )  # fmt: skip
        ours = hmac.compare_digest(bytes(row.seal), self._seal(info, bytes(row.digest)))
        return info if ours else replace(info, ours=False)
