"""The tools as a principal sees them: policy is asked as for that principal's own listing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentflow.admin.action import action
from agentflow.admin.caller import ADMIN, OPERATOR, VIEWER, Caller
from agentflow.admin.models import Page, Tool
from agentflow.admin.shown import shown
from agentflow.admin.threads import in_thread
from agentflow.errors import Forbidden, InvalidArguments, PolicyDenied
from agentflow.gateway.catalogue import page
from agentflow.gateway.core import item_of
from agentflow.gateway.service import Service
from agentflow.identity.principal import Kind, Principal
from agentflow.policy.listing import Item, Listings

_ROUND = 500  # definitions masked before others have their turn


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose eyes: of whoever has a key of that name, or, with roles or a kind, of somebody who need not exist."""

    name: str | None = None
    tenant: str | None = None
    roles: Sequence[str] = ()
    kind: Kind | None = None


OWN: Final = Whose(roles=[])  # the caller's


@action(ADMIN, OPERATOR, VIEWER)
async def tools(
    service: Service, caller: Caller, whose: Whose | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Tool]:
    """The tools that a principal sees, with their definitions, in the order of the catalogue.

    Args:
        whose: with another's eyes than the caller's: for administrators, of their own tenant or, at home, of any.

    Raises:
        Forbidden: the caller may not see with those eyes.
        PolicyDenied: policy could not say.
        InvalidArguments: the cursor is none of ours; nobody has those eyes, and no roles are given to make them.
        StoreUnavailable: the keys cannot be read.
    """
    principal = caller.principal if whose is None else await _principal(service, caller, whose)
    entries = service.gateway.catalogue.of(principal.tenant).tools
    items = {name: item_of(entry) for name, entry in entries.items()}
    names = await _visible(service, principal, items)
    cut, following = page(names, cursor, limit)
    matcher = service.parts.pii.matcher.for_tenant(principal.tenant)
    found = []
    for number, name in enumerate(cut):
        entry = entries[name]
        found.append(
            Tool(
                name=name,
                server=entry.upstream.facts.name,
                target=matcher.mask(entry.target),
                definition=shown(matcher, entry.definition),
            )
        )
        if number % _ROUND == _ROUND - 1:
            await asyncio.sleep(0)
    return Page(items=found, next=following)


async def _visible(service: Service, principal: Principal, items: dict[str, Item]) -> Sequence[str]:
    setting = service.config.pipeline.stages.get("decide")
    if setting is not None and setting.mode != "enforce":
        return list(items)
    listings = Listings(service.parts.engine)
    view = listings.view(principal, "tool")
    missing = view.missing(items.values())
    fault = await listings.fill(view, missing) if missing else None
    if fault is not None:
        raise PolicyDenied("; ".join(text for _, text in fault.reasons), fix="check the policy bundle")
    return [name for name, item in items.items() if view.shows(item)]


async def _principal(service: Service, caller: Caller, whose: Whose) -> Principal:
    home = whose.tenant or caller.principal.tenant
    if not (caller.admin and caller.tenant in (None, home)):  # nor is it told for whom there are keys
        raise Forbidden("Only an administrator sees with another's eyes, within its tenant")
    if whose.roles or whose.kind is not None:
        return Principal(whose.name or "anybody", whose.kind or "agent", tuple(whose.roles), home, (), "api_key")
    named = next((k for k in service.config.auth.api_keys if (k.id, k.tenant) == (whose.name, home)), None)
    if named is not None:
        return Principal(named.id, named.kind, named.roles, named.tenant, named.scopes, "api_key")
    kept = await in_thread(lambda: service.keys.list(home, over=False))
    made = next((key for key in kept if key.principal == whose.name and key.ours), None)
    if made is not None:
        return Principal(made.principal, made.kind, made.roles, made.tenant, made.scopes, "api_key")
    raise InvalidArguments("There is no key for anybody of that name", fix="Give `roles` to ask for any principal")
