"""Authorizations that people have begun and not finished, and the clients that the gateway was registered as.

It promises that a `state` is unguessable, works once, for ten minutes, and only for the principal, the server and the
browser that it was made for; and that the PKCE verifier that belongs to it is sealed until then. Like `credentials.py`
it waits for a disk or a network: from the event loop, call it in a thread.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agentflow.errors import LimitExceeded
from agentflow.identity.credentials import Owner
from agentflow.identity.oauth import AuthorizationServer, Client
from agentflow.identity.sealed import Sealer
from agentflow.store.opened import Store

JSON = dict[str, Any]
LASTS: Final = 600.0  # seconds
_MOST: Final = 50  # of one principal at once


@dataclass(frozen=True, slots=True)
class Begun:
    """What has to be known again when the browser comes back.

    Attributes:
        browser: digest of what only the browser that began has in a cookie; "" where the redirect itself is its proof.
    """

    owner: Owner
    server: str
    issuer: AuthorizationServer
    client: Client
    verifier: str
    redirect_uri: str
    audience: str
    browser: str


class Authorizations:
    """The begun authorizations of a store.

    Args:
        key: gives the key that they are sealed with.
    """

    def __init__(self, store: Store, key: Callable[[], bytes]) -> None:
        self._store = store
        self._sealer = Sealer(key)

    def begin(self, begun: Begun) -> str:
        """Keep it; returns the `state` under which `take` gives it back, once.

        Raises:
            LimitExceeded: its principal has begun too many and finished none.
            StoreUnavailable: it cannot be kept.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import AUTHORIZATIONS

        state, now, table = secrets.token_urlsafe(32), time.time(), AUTHORIZATIONS.c
        body = {
            "issuer": {name: getattr(begun.issuer, name) for name in AuthorizationServer.__slots__},
            "client": begun.client.document(),
            **{name: getattr(begun, name) for name in ("verifier", "redirect_uri", "audience", "browser")},
        }
        owner = {"tenant": begun.owner.tenant, "principal": begun.owner.principal, "server": begun.server}
        sealed = self._sealer.closed(body, "authorization", *owner.values())
        mine = sa.and_(table.tenant == begun.owner.tenant, table.principal == begun.owner.principal)
        with self._store.database().begin() as db:
            db.execute(sa.delete(AUTHORIZATIONS).where(table.expires < now))
            if (db.scalar(sa.select(sa.func.count()).where(mine)) or 0) >= _MOST:
                raise LimitExceeded("Too many connections were begun and not finished", fix="wait ten minutes")
            row = {"state": _digest(state), **owner, "sealed": sealed, "expires": now + LASTS}
            db.execute(sa.insert(AUTHORIZATIONS).values(row))
        return state

    def take(self, state: str) -> Begun | None:
        """What was begun under `state`, which is used up by that; None for one unknown, used or expired."""
        import sqlalchemy as sa

        from agentflow.store.tables import AUTHORIZATIONS

        if not self._store.begun:
            return None
        this = AUTHORIZATIONS.c.state == _digest(state)
        with self._store.database().read() as db:  # anybody may bring anything: only what is known is worth a write
            if db.scalar(sa.select(AUTHORIZATIONS.c.expires).where(this)) is None:
                return None
        with self._store.database().begin() as db:
            row = db.execute(sa.select(AUTHORIZATIONS).where(this).with_for_update()).mappings().one_or_none()
            if row is None or not db.execute(sa.delete(AUTHORIZATIONS).where(this)).rowcount:
                return None
        if row["expires"] < time.time():
            return None
        owner = Owner(row["tenant"], row["principal"])
        body = self._sealer.opened(row["sealed"], "authorization", owner.tenant, owner.principal, row["server"])
        issuer = body.pop("issuer")
        issuer["token_auth"] = tuple(issuer["token_auth"])
        return Begun(
            owner=owner,
            server=row["server"],
            issuer=AuthorizationServer(**issuer),
            client=Client(**body.pop("client")),
            **body,
        )

    # Registered clients --------------------------------------------------------------------------------------

    def client(self, server: str, issuer: str, redirect_uri: str) -> Client | None:
        """What the gateway was registered as for this server, with this redirect; None if it was not, or no longer."""
        import sqlalchemy as sa

        from agentflow.store.tables import OAUTH_CLIENTS

        if not self._store.begun:
            return None
        this = sa.and_(OAUTH_CLIENTS.c.server == server, OAUTH_CLIENTS.c.issuer == issuer)
        with self._store.database().read() as db:
            row = db.execute(sa.select(OAUTH_CLIENTS).where(this)).mappings().one_or_none()
        if row is None or (row["expires"] is not None and row["expires"] < time.time() + LASTS):
            return None
        body = self._sealer.opened(row["sealed"], "oauth_client", server, issuer)
        return Client(**body["client"]) if body["redirect_uri"] == redirect_uri else None

    def keep_client(self, server: str, issuer: str, redirect_uri: str, client: Client, expires: float | None) -> None:
        """Remember what the gateway was registered as."""
        import sqlalchemy as sa

        from agentflow.store.tables import OAUTH_CLIENTS

        body = {"redirect_uri": redirect_uri, "client": client.document()}
        row = {"sealed": self._sealer.closed(body, "oauth_client", server, issuer), "expires": expires}
        this = sa.and_(OAUTH_CLIENTS.c.server == server, OAUTH_CLIENTS.c.issuer == issuer)
        with self._store.database().begin() as db:
            db.execute(sa.delete(OAUTH_CLIENTS).where(this))
            db.execute(sa.insert(OAUTH_CLIENTS).values({"server": server, "issuer": issuer, **row}))


def browser_digest(secret: str) -> str:
    """What is kept of the cookie that ties an authorization to a browser."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _digest(state: str) -> bytes:
    return hashlib.sha256(b"agentflow-state\0" + state.encode("utf-8", "surrogatepass")).digest()
