"""Which servers a principal may connect to: what `/connect` answers for, and what the instructions mention.

A server shows to a principal where something of it does, by tenant and by policy: what it has offered to anybody, or,
while it has offered nothing yet, a tool that only reads. What does not show reads the same as what does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentflow.config import ServerConfig
from agentflow.gateway.catalogue import Catalogue, Entry, Member
from agentflow.gateway.core import Gateway, item_of
from agentflow.gateway.upstreams.managed import ManagedUpstream
from agentflow.gateway.upstreams.port import Upstream
from agentflow.identity.principal import Principal
from agentflow.policy.listing import Item

_UNSEEN = "connect"  # stands for whatever the server may have to offer


@dataclass(frozen=True, slots=True)
class _Place:
    member: Member
    unseen: Item


class Connectable:
    """See the module."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._places: dict[str, _Place] = {}

    def among(self, members: Iterable[Member]) -> None:
        """Take the servers that there are now."""
        places = {}
        for member in members:
            if member.config.auth is not None and member.config.auth.personal and not member.config.disabled:
                former = self._places.get(member.name)
                kept = former is not None and former.member.upstream is member.upstream
                # One definition for each, and always the same: what policy said of it is remembered by that.
                unseen = (member.upstream.facts, _UNSEEN, {"name": _UNSEEN, "annotations": {"readOnlyHint": True}})
                places[member.name] = _Place(member, former.unseen if former and kept else unseen)
        self._places = places

    async def shown(self, principal: Principal, server: str) -> ServerConfig | None:
        """The entry of a server that this principal may connect to; None where there is none for it."""
        place = self._places.get(server)
        return place.member.config if place is not None and await self._shows(principal, place) else None

    async def hints(self, principal: Principal) -> list[str]:
        """What a principal has to do before servers say what they offer to it, for the instructions."""
        found = []
        for name, place in self._places.items():
            upstream = place.member.upstream
            if not isinstance(upstream, ManagedUpstream) or not (todo := await upstream.unmet(principal.key)):
                continue
            if await self._shows(principal, place):
                found.append(f"## {name}\nIt offers nothing until its user has an account connected: {todo}.")
        return found

    async def _shows(self, principal: Principal, place: _Place) -> bool:
        offered = entries_of(place.member.upstream, self._gateway.catalogue)
        for kind, entry in offered:
            if await self._gateway.shows(principal, kind, item_of(entry)):
                return True
        return not offered and await self._gateway.shows(principal, "tool", place.unseen)


def entries_of(upstream: Upstream, catalogue: Catalogue) -> list[tuple[str, Entry]]:
    """What a server offers to anybody, each with its kind (tool, prompt or resource)."""
    catalogue = catalogue_of(upstream, catalogue)
    kinds = (
        ("tool", catalogue.tools),
        ("prompt", catalogue.prompts),
        ("resource", catalogue.resources),
        ("resource", catalogue.templates),
    )
    return [(kind, e) for kind, entries in kinds for e in entries.values() if e.upstream is upstream]


def catalogue_of(upstream: Upstream, catalogue: Catalogue) -> Catalogue:
    """The catalogue in which what a server offers is found: that of a tenant, where it is some tenants' only."""
    tenants = upstream.facts.tenants
    return catalogue.of(tenants[0]) if tenants else catalogue
