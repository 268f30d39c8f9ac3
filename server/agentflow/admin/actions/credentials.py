"""What principals present to servers in their own names: which there are, and taking one away. Never the secret."""

from __future__ import annotations

from dataclasses import asdict

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, Caller
from agentflow.admin.governed import Credential
from agentflow.admin.models import Page
from agentflow.admin.paging import paged
from agentflow.admin.threads import in_thread
from agentflow.errors import NotFound
from agentflow.gateway.service import Service
from agentflow.identity.credentials import Owner


@action(ADMIN)
async def listed(
    service: Service, caller: Caller, server: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Credential]:
    """The credentials, by tenant, principal and server.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    found = await in_thread(service.credentials.list, caller.tenant, server)
    return paged([Credential(**asdict(info)) for info in found], _place, limit, cursor)


@action(ADMIN, event="credential_revoked")
async def revoke(service: Service, caller: Caller, tenant: str, principal: str, server: str) -> None:
    """Take a credential away; its principal has to connect again.

    Raises:
        NotFound: there is none in the caller's reach.
        StoreUnavailable: it is still there.
    """
    if caller.tenant not in (None, tenant):
        raise NotFound("There is no such credential")
    gone = await in_thread(service.credentials.revoke, Owner(tenant, principal), server, caller.by)
    if gone is None:
        raise NotFound("There is no such credential")
    note(service, caller, "credential_revoked", server, tenant=tenant, details={"principal": principal})


def _place(credential: Credential) -> str:
    return "\0".join((credential.tenant, credential.principal, credential.server))
