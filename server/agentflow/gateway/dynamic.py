"""Servers that administrators add, switch off and on while gateways run: kept in the store, laid over the file.

It promises that what was added or switched off outlasts a restart and reaches every gateway that shares the store
within seconds, that the file wins where both name a server, and that an entry, which may hold a credential, is sealed
(AES-256-GCM) with a key of this installation. It refuses to be a way to run anything here: entries are `http` and
`sse`, never trusted with clear values, and connect to public addresses unless the operator's file names the place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentflow.config import Config, ServerConfig
from agentflow.errors import AgentFlowError, Conflict, InvalidArguments, NotFound
from agentflow.identity.sealed import Sealer
from agentflow.store.opened import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

JSON = dict[str, Any]
log = logging.getLogger(__name__)

_POLL: Final = 2.0  # seconds between two looks at what others have done
_MOST: Final = 200  # servers that may be added
_LARGEST: Final = 64 * 1024  # bytes of an entry


@dataclass(frozen=True, slots=True)
class Added:
    """What the store says of one server: its entry, or None where the file has it."""

    entry: ServerConfig | None
    enabled: bool


class Dynamic:
    """The servers of a store.

    Args:
        store: where they are; opened by what first needs it.
        secret: gives the key, 32 bytes, that entries are sealed with.
    """

    def __init__(self, store: Store, secret: Callable[[], bytes]) -> None:
        self._store = store
        self._sealer = Sealer(secret)
        self._known: dict[str, Added] = {}

    @property
    def known(self) -> Mapping[str, Added]:
        """What was last read."""
        return self._known

    def merged(self, config: Config) -> Config:
        """The configuration with what is kept here laid over it."""
        servers = dict(config.mcp_servers)
        for name, added in self._known.items():
            there = servers.get(name)
            entry = there if there is not None else added.entry
            if entry is not None and (there is None or not added.enabled):
                servers[name] = entry if added.enabled else entry.model_copy(update={"disabled": True})
        return config if servers == config.mcp_servers else config.model_copy(update={"mcp_servers": servers})

    async def follow(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Take over what is kept, now and whenever somebody changes it; `changed` applies it."""
        while True:
            if self._known or (self._store.begun and await asyncio.to_thread(self._store.holds, "server")):
                try:
                    known = await asyncio.to_thread(self._read)
                    if known != self._known:
                        self._known = known
                        await changed()
                except AgentFlowError as error:
                    log.warning("the servers that were added cannot be read: %s", error.message)
            await asyncio.sleep(_POLL)

    # Changing: each waits for the database, so in a thread. `begin` is called inside the transaction: what it raises
    # undoes the change.

    def add(self, name: str, entry: ServerConfig, by: str, begin: Callable[[], None]) -> None:
        """Keep a new server.

        Raises:
            Conflict: one of that name is kept, or too many are.
            InvalidArguments: it is too large.
        """
        sealed = self._sealer.closed(_told(entry), name)
        if len(sealed) > _LARGEST:
            raise InvalidArguments(
                f"The entry is larger than {_LARGEST // 1024} KiB", fix="Leave out what it does not need"
            )
        with self._store.database().begin() as db:
            self._alone(db)
            rows = self._rows(db)
            if name in rows:
                raise Conflict(f"There is a server {name!r} already", fix="Remove it first, or choose another name")
            if len(rows) >= _MOST:
                raise Conflict(f"{_MOST} servers were added already", fix="Remove one, or use the configuration file")
            self._write(db, name, sealed, True, by)
            begin()
        self._known = {**self._known, name: Added(entry, True)}

    def remove(self, name: str, begin: Callable[[], None]) -> None:
        """Forget a server that was added.

        Raises:
            NotFound: none of that name was.
        """
        from agentflow.store.tables import SERVERS

        with self._store.database().begin() as db:
            self._alone(db)
            if self._rows(db).get(name, (None, True))[0] is None:
                raise NotFound("No server of that name was added", fix="What the file configures is removed there")
            db.execute(SERVERS.delete().where(SERVERS.c.name == name))
            begin()
        self._known = {other: added for other, added in self._known.items() if other != name}

    def switch(self, name: str, enabled: bool, by: str, begin: Callable[[], None]) -> None:
        """Switch a server off or on, whoever added it."""
        from agentflow.store.tables import SERVERS

        with self._store.database().begin() as db:
            self._alone(db)
            sealed = self._rows(db).get(name, (None, True))[0]
            if sealed is None and enabled:
                db.execute(SERVERS.delete().where(SERVERS.c.name == name))
            else:
                self._write(db, name, sealed, enabled, by)
            begin()
        entry = self._known[name].entry if name in self._known else None
        rest = {other: added for other, added in self._known.items() if other != name}
        self._known = rest if entry is None and enabled else {**rest, name: Added(entry, enabled)}

    def _alone(self, db: sa.Connection) -> None:
        """Hold everybody else's change back until this one is made: in SQLite the transaction does."""
        import sqlalchemy as sa

        if self._store.shared:
            db.execute(sa.text("LOCK TABLE server IN SHARE ROW EXCLUSIVE MODE"))

    def _write(self, db: sa.Connection, name: str, sealed: bytes | None, enabled: bool, by: str) -> None:
        from agentflow.store.tables import SERVERS

        db.execute(SERVERS.delete().where(SERVERS.c.name == name))
        row = {"name": name, "sealed": sealed, "enabled": enabled, "updated": time.time(), "updated_by": by}
        db.execute(SERVERS.insert().values(**row))

    def _rows(self, db: sa.Connection) -> dict[str, tuple[bytes | None, bool]]:
        from agentflow.store.tables import SERVERS

        found = db.execute(SERVERS.select().order_by(SERVERS.c.updated, SERVERS.c.name))
        return {row.name: (row.sealed, bool(row.enabled)) for row in found}

    def _read(self) -> dict[str, Added]:
        with self._store.database().read() as db:
            rows = self._rows(db)
        known: dict[str, Added] = {}
        for name, (sealed, enabled) in rows.items():
            if sealed is None:
                known[name] = Added(None, enabled)
                continue
            try:
                known[name] = Added(ServerConfig.model_validate(self._sealer.opened(bytes(sealed), name)), enabled)
            except (AgentFlowError, ValueError):
                if name not in self._known:
                    log.warning("%s: this server was added under another key, or another version; left out", name)
        return known


def _told(entry: ServerConfig) -> JSON:
    told = entry.model_dump(mode="json", exclude_defaults=True)
    return {**told, "credentials": {name: secret.get_secret_value() for name, secret in entry.credentials.items()}}
