"""The tools as a principal sees them: policy is asked as for that principal's own listing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentflow.admin.action import action
from agentflow.admin.caller import ADMIN, OPERATOR, VIEWER, Caller
from agentflow.admin.models import Page, Tool
from agentflow.admin.shown import shown
from agentflow.errors import Forbidden, InvalidArguments, PolicyDenied
from agentflow.gateway.catalogue import page
from agentflow.gateway.core import item_of
from agentflow.gateway.service import Service
from agentflow.identity.principal import Kind, Principal
from agentflow.policy.listing import Item, Listings

_ROUND = 500  # definitions masked before others have their turn


@action(ADMIN, OPERATOR, VIEWER)
async def tools(
    service: Service, caller: Caller, who: Principal | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Tool]:
    """The tools that a principal sees, with their definitions, in the order of the catalogue.

    Args:
        who: another principal than the caller: for administrators, of their own tenant or, in the home tenant, of any.

    Raises:
        Forbidden: the caller may not see with those eyes.
        PolicyDenied: policy could not say.
        InvalidArguments: the cursor is none of ours.
    """
    principal = caller.principal if who is None else who
    if who is not None and not (caller.admin and caller.tenant in (None, who.tenant)):
        raise Forbidden("Only an administrator sees with another's eyes, within its tenant")
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


def principal_of(
    service: Service, name: str | None, tenant: str | None, roles: Sequence[str], kind: Kind | None, caller: Caller
) -> Principal | None:
    """The principal that a question names: a configured key's by its id, or one made of roles; None for the caller.

    Raises:
        InvalidArguments: there is no such principal, and no roles are given to make one.
    """
    if name is None and tenant is None and not roles and kind is None:
        return None
    home = tenant or caller.principal.tenant
    if not roles and kind is None:
        named = next((key for key in service.config.auth.api_keys if (key.id, key.tenant) == (name, home)), None)
        if named is not None:
            return Principal(named.id, named.kind, named.roles, named.tenant, named.scopes, "api_key")
        raise InvalidArguments(
            "Nobody of that name is in the configuration", fix="Give `roles` to ask for any principal"
        )
    return Principal(name or "anybody", kind or "agent", tuple(roles), home, (), "api_key")
