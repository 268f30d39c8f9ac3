"""The table of people's sessions. Every method waits for the database, and may raise `StoreUnavailable`."""

from __future__ import annotations

import sqlalchemy as sa

from agentflow.admin.page.sessions import Row
from agentflow.store.database import Database
from agentflow.store.tables import WEB_SESSIONS

_COLUMNS = WEB_SESSIONS.c


class SessionRows:
    """The sessions in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: Row, former: bytes, idle_since: float, most: int) -> None:
        """Put a session in, and take out the former one, those that are over, and those beyond `most` of its owner."""
        own = sa.and_(_COLUMNS.tenant == row.tenant, _COLUMNS.principal == row.principal)
        over = sa.or_(_COLUMNS.expires <= row.used, _COLUMNS.used <= idle_since, _COLUMNS.id == former)
        with self._database.begin() as db:
            db.execute(WEB_SESSIONS.delete().where(over))
            newest = sa.select(_COLUMNS.id).where(own).order_by(_COLUMNS.used.desc(), _COLUMNS.id)
            surplus = db.scalars(newest.offset(most - 1)).all()
            if surplus:
                db.execute(WEB_SESSIONS.delete().where(_COLUMNS.id.in_(surplus)))
            db.execute(
                WEB_SESSIONS.insert().values(
                    id=row.id,
                    tenant=row.tenant,
                    principal=row.principal,
                    sealed=row.sealed,
                    created=row.used,
                    used=row.used,
                    expires=row.expires,
                )
            )

    def find(self, number: bytes) -> Row | None:
        """A session, whether or not it is over."""
        wanted = sa.select(
            _COLUMNS.id, _COLUMNS.tenant, _COLUMNS.principal, _COLUMNS.sealed, _COLUMNS.used, _COLUMNS.expires
        ).where(_COLUMNS.id == number)
        with self._database.read() as db:
            found = db.execute(wanted).one_or_none()
        return None if found is None else Row(*found)

    def touch(self, number: bytes, now: float) -> None:
        """Note that it is used."""
        with self._database.begin() as db:
            db.execute(WEB_SESSIONS.update().where(_COLUMNS.id == number).values(used=now))

    def end(self, number: bytes) -> None:
        """Take one out."""
        with self._database.begin() as db:
            db.execute(WEB_SESSIONS.delete().where(_COLUMNS.id == number))

    def end_all(self, tenant: str, principal: str) -> int:
        """Take all of a principal out; returns how many there were."""
        own = sa.and_(_COLUMNS.tenant == tenant, _COLUMNS.principal == principal)
        with self._database.begin() as db:
            return int(db.execute(WEB_SESSIONS.delete().where(own)).rowcount)
