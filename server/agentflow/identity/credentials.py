"""What principals present to servers in their own name: sealed in the store, by tenant, principal and server.

It promises that a row opens only for the owner and the server it was made for, and only while that server has the
address that it had then; that of several gateways at most one renews a credential at a time; and that a renewed one
replaces the old one whole, or not at all. Everything here waits for a disk or a network: from the event loop, call it
in a thread. It speaks to no other server: that is `oauth.py`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from agentflow.audit.events import Event
from agentflow.identity.sealed import Sealer
from agentflow.store.opened import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

JSON = dict[str, Any]
Kind = Literal["static", "oauth"]
_TABLE: Final = "credential"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose credential it is: a principal of a tenant."""

    tenant: str
    principal: str

    @property
    def key(self) -> str:
        """As `Principal.key`."""
        return f"{len(self.tenant)}:{self.tenant}:{self.principal}"

    @classmethod
    def of(cls, key: str) -> Owner:
        """The owner that a `Principal.key` names."""
        length, _, rest = key.partition(":")
        size = int(length)
        return cls(rest[:size], rest[size + 1 :])

    def __str__(self) -> str:
        return f"{self.tenant}/{self.principal}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What an authorization server gave: tokens, and how to renew them.

    Attributes:
        expires, lasts: when the access token ends, in epoch seconds, and how long it lasted when it was given.
        client: as whom the gateway asked (`client_id`, `client_secret`, `token_auth`): only that client may renew.
    """

    access_token: str = field(repr=False)
    expires: float | None = None
    lasts: float | None = None
    refresh_token: str = field(default="", repr=False)
    scope: str = ""
    issuer: str = ""
    token_url: str = ""
    revocation_url: str = ""
    resource: str = ""
    client: JSON = field(default_factory=dict, repr=False)

    def ends_within(self, share: float, seconds: float) -> bool:
        """Whether the access token is in the last `share` of its time, and in its last `seconds`."""
        if self.expires is None:
            return False
        return self.expires - time.time() < min(seconds, share * (self.lasts or seconds / share))


@dataclass(frozen=True, slots=True)
class Credential:
    """An opened credential.

    Attributes:
        value: of a static one, else "".
        grant: of an OAuth one, else None.
        audience: the address of the server that it is for (`downstream.bound_to`).
        version: changes with every change of it.
        line: changes when another takes its place, and not when it is renewed: what was begun under one line is over
            with it.
    """

    kind: Kind
    value: str = field(default="", repr=False)
    grant: Grant | None = None
    audience: str = ""
    version: str = ""
    used: bool = False
    line: str = ""

    @property
    def expires(self) -> float | None:
        return self.grant.expires if self.grant else None

    @property
    def renewable(self) -> bool:
        return self.grant is not None and bool(self.grant.refresh_token)


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """What may be shown of a credential. Times are epoch seconds."""

    tenant: str
    principal: str
    server: str
    kind: str
    updated: float
    expires: float | None
    used: float | None


class Credentials:
    """The stored credentials.

    Args:
        key: gives the key that they are sealed with.
        record: takes what happens to them; may raise `AuditUnavailable`.

    Attributes:
        changes: how many have been stored or revoked here: what was read before the last one may be out of date.
    """

    changes = 0

    def __init__(self, store: Store, key: Callable[[], bytes], record: Callable[[Event], object]) -> None:
        self._store = store
        self._sealer = Sealer(key)
        self._record = record

    def put(self, owner: Owner, server: str, credential: Credential, by: str) -> None:
        """Keep a credential in place of any former one.

        Raises:
            StoreUnavailable: nothing was kept.
            AuditUnavailable: it could not be recorded, and was not kept.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        details = {"principal": owner.principal, "type": credential.kind}
        if credential.grant:
            details |= {"issuer": credential.grant.issuer, "scope": credential.grant.scope}
        with self._store.database().begin() as db:
            db.execute(sa.delete(CREDENTIALS).where(*_one(owner, server)))
            db.execute(sa.insert(CREDENTIALS).values(_key(owner, server) | self._row(owner, server, credential)))
            self._record(Event("key", "credential_stored", by, owner.tenant, server, details=details))
        self.changes += 1

    def get(self, owner: Owner, server: str) -> Credential | None:
        """The credential, opened; None if there is none.

        Raises:
            StoreUnavailable: it cannot be read now.
            AgentFlowError: it is sealed with another key, or was moved.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        if not self._store.begun:
            return None
        with self._store.database().read() as db:
            row = db.execute(sa.select(CREDENTIALS).where(*_one(owner, server))).mappings().one_or_none()
        return None if row is None else self._opened(owner, server, row)

    def list(self, tenant: str | None = None, server: str | None = None) -> list[CredentialInfo]:
        """What there is, of one tenant or of all, by tenant, principal and server."""
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        if not self._store.begun:
            return []
        table = CREDENTIALS.c
        wanted = sa.select(CREDENTIALS).order_by(table.tenant, table.principal, table.server)
        if tenant is not None:
            wanted = wanted.where(table.tenant == tenant)
        if server is not None:
            wanted = wanted.where(table.server == server)
        with self._store.database().read() as db:
            rows = db.execute(wanted).mappings().all()
        names = CredentialInfo.__slots__
        return [CredentialInfo(**{name: row[name] for name in names}) for row in rows]

    def revoke(self, owner: Owner, server: str, by: str) -> Credential | None:
        """Remove a credential; returns what it was, so that its authorization server can be told, or None.

        Raises:
            StoreUnavailable: it is still there.
        """
        import sqlalchemy as sa

        from agentflow.errors import AgentFlowError
        from agentflow.store.tables import CREDENTIALS

        if not self._store.begun:
            return None
        with self._store.database().begin() as db:
            row = db.execute(sa.select(CREDENTIALS).where(*_one(owner, server))).mappings().one_or_none()
            if row is None:
                return None
            db.execute(sa.delete(CREDENTIALS).where(*_one(owner, server)))
            self._record(_event("credential_revoked", owner, server, by))
        self.changes += 1
        try:
            return self._opened(owner, server, row)
        except AgentFlowError:
            return Credential(row["kind"])  # what cannot be opened can be removed all the same

    def used(self, owner: Owner, server: str, version: str) -> None:
        """Remember, and record, that a credential was used for the first time."""
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        unused = (*_one(owner, server), CREDENTIALS.c.version == version, CREDENTIALS.c.used.is_(None))
        with self._store.database().begin() as db:
            if db.execute(sa.update(CREDENTIALS).where(*unused).values(used=time.time())).rowcount:
                self._record(_event("credential_used", owner, server))

    # Renewing ------------------------------------------------------------------------------------------------

    def hold(self, owner: Owner, server: str, version: str, seconds: float) -> str | None:
        """Reserve the renewing of a credential for `seconds`; a ticket for `renewed`, or None.

        None means that somebody else is at it, or that the credential is no longer of this `version`.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        now, holder = time.time(), secrets.token_hex(16)
        free = sa.or_(CREDENTIALS.c.held.is_(None), CREDENTIALS.c.held < now)
        with self._store.database().begin() as db:
            done = db.execute(
                sa.update(CREDENTIALS)
                .where(*_one(owner, server), CREDENTIALS.c.version == version, free)
                .values(holder=holder, held=now + seconds)
            )
        return holder if done.rowcount else None

    def renewed(self, owner: Owner, server: str, holder: str, credential: Credential) -> bool:
        """Put a renewed credential in place of the one that `holder` holds; False if it no longer does."""
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        row = self._row(owner, server, credential) | {"holder": "", "held": None}
        row.pop("used")
        with self._store.database().begin() as db:
            mine = (*_one(owner, server), CREDENTIALS.c.holder == holder)
            done = db.execute(sa.update(CREDENTIALS).where(*mine).values(row)).rowcount == 1
        if done:  # kept first: what it replaces is worth nothing any more, whether this can be recorded or not
            self._record(_event("credential_refreshed", owner, server))
        return done

    def failed(self, owner: Owner, server: str, holder: str, why: str, *, final: bool) -> None:
        """Let go of a credential that could not be renewed; with `final` it is of no more use, and removed."""
        import sqlalchemy as sa

        from agentflow.store.tables import CREDENTIALS

        mine = (*_one(owner, server), CREDENTIALS.c.holder == holder)
        with self._store.database().begin() as db:
            if final:
                db.execute(sa.delete(CREDENTIALS).where(*mine))
            else:
                db.execute(sa.update(CREDENTIALS).where(*mine).values(holder="", held=None))
            event = _event("credential_refresh_failed", owner, server)
            self._record(replace(event, outcome=why, details={**event.details, "removed": final}))

    # Rows ----------------------------------------------------------------------------------------------------

    def _row(self, owner: Owner, server: str, credential: Credential) -> JSON:
        body: JSON = {"audience": credential.audience, "line": credential.line or secrets.token_hex(16)}
        if credential.grant is None:
            body["value"] = credential.value
        else:
            body["grant"] = {name: getattr(credential.grant, name) for name in Grant.__slots__}
        sealed = self._sealer.closed(body, _TABLE, owner.tenant, owner.principal, server, credential.kind)
        return {
            "kind": credential.kind,
            "sealed": sealed,
            "updated": time.time(),
            "expires": credential.expires,
            "version": secrets.token_hex(16),
            "used": None,
        }

    def _opened(self, owner: Owner, server: str, row: sa.RowMapping) -> Credential:
        body = self._sealer.opened(row["sealed"], _TABLE, owner.tenant, owner.principal, server, row["kind"])
        grant = Grant(**body["grant"]) if "grant" in body else None
        return Credential(
            row["kind"], body.get("value", ""), grant, body["audience"], row["version"], row["used"] is not None,
            body["line"],
        )  # fmt: skip


def _key(owner: Owner, server: str) -> JSON:
    return {"tenant": owner.tenant, "principal": owner.principal, "server": server}


def _one(owner: Owner, server: str) -> tuple[sa.ColumnElement[bool], ...]:
    from agentflow.store.tables import CREDENTIALS

    return tuple(CREDENTIALS.c[name] == value for name, value in _key(owner, server).items())


def _event(what: str, owner: Owner, server: str, by: str = "") -> Event:
    return Event("key", what, by or str(owner), owner.tenant, server, details={"principal": owner.principal})
