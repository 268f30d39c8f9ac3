"""API keys: making, listing, replacing and revoking them. A tenant's administrator sees and makes its own tenant's."""

from __future__ import annotations

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, Caller
from agentflow.admin.governed import Key, KeyWish, NewKey, Rotation
from agentflow.admin.models import Page
from agentflow.admin.paging import paged
from agentflow.admin.threads import in_thread
from agentflow.errors import Forbidden
from agentflow.gateway.service import Service
from agentflow.identity import keys
from agentflow.identity.key_info import KeyInfo, Made


@action(ADMIN)
async def listed(
    service: Service, caller: Caller, over: bool = True, limit: int = 100, cursor: str | None = None
) -> Page[Key]:
    """The keys, newest first; without `over` only those that count.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    found = await in_thread(lambda: service.keys.list(caller.tenant, over=over))
    return paged([_key(info) for info in found], lambda key: key.id, limit, cursor)


@action(ADMIN)
async def show(service: Service, caller: Caller, key_id: str) -> Key:
    """One key.

    Raises:
        NotFound: there is none of that id in the caller's reach.
    """
    return _key(await in_thread(service.keys.show, key_id, caller.tenant))


@action(ADMIN, event="key_created")
async def create(service: Service, caller: Caller, wish: KeyWish) -> NewKey:
    """Make a key; it is in the answer, and nowhere afterwards.

    Raises:
        Forbidden: it would be another tenant's.
        InvalidArguments: a name that cannot be one, or an expiry in the past.
    """
    tenant = wish.tenant or caller.principal.tenant
    if caller.tenant not in (None, tenant):
        raise Forbidden("A key of another tenant is for the home tenant's administrators to make")
    wanted = keys.NewKey(
        wish.principal, wish.kind, tuple(wish.roles), tenant, tuple(wish.scopes), wish.label, wish.expires
    )
    made = await in_thread(service.keys.create, wanted, caller.by)
    return _made(service, caller, "key_created", made)


@action(ADMIN, event="key_rotated")
async def rotate(service: Service, caller: Caller, key_id: str, wish: Rotation) -> NewKey:
    """Make another key for the same principal; the old one counts for a while longer.

    Raises:
        NotFound: there is none of that id in the caller's reach.
        Conflict: it is revoked, expired or replaced already.
    """
    made = await in_thread(
        lambda: service.keys.rotate(key_id, caller.by, grace=wish.grace, expires=wish.expires, tenant=caller.tenant)
    )
    return _made(service, caller, "key_rotated", made)


@action(ADMIN, event="key_revoked")
async def revoke(service: Service, caller: Caller, key_id: str) -> Key:
    """End a key for good.

    Raises:
        NotFound: there is none of that id in the caller's reach.
    """
    info = await in_thread(service.keys.revoke, key_id, caller.by, caller.tenant)
    note(service, caller, "key_revoked", info.id, tenant=info.tenant)
    return _key(info)


def _made(service: Service, caller: Caller, event: str, made: Made) -> NewKey:
    note(service, caller, event, made.info.id, tenant=made.info.tenant)
    return NewKey(key=made.key, info=_key(made.info))


def _key(info: KeyInfo) -> Key:
    return Key(
        id=info.id,
        principal=info.principal,
        kind=info.kind,
        roles=list(info.roles),
        tenant=info.tenant,
        scopes=list(info.scopes),
        label=info.label,
        state=info.state(),
        created=info.created,
        created_by=info.created_by,
        expires=info.expires,
        used=info.used,
        revoked=info.revoked,
        revoked_by=info.revoked_by,
        replaces=info.replaces,
        replaced_by=info.replaced_by,
    )
