"""Which principal has been introduced to which server, where a server offers each principal something of its own.

Before a principal's request is served, those servers that have not yet said what they offer to it are asked, all at
once and for a few seconds at most; what none of them offers to it, it does not see. Without such servers this costs
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from agentflow.errors import AgentFlowError, CredentialRequired
from agentflow.gateway.catalogue import Catalogue, Entry, Member
from agentflow.gateway.upstreams.managed import ManagedUpstream
from agentflow.gateway.upstreams.port import ClientIdentity, Listing, Upstream

log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0  # seconds that a request waits for servers to say what they offer
_PAUSE: Final = 5.0  # seconds until a server is asked again that could not be
_REMEMBERED: Final = 4096  # failures
_VIEWS: Final = 256


class Introductions:
    """See the module.

    Attributes:
        refresh: makes the catalogue anew, and returns once that is done; set by whoever makes it.
    """

    def __init__(self) -> None:
        self.refresh: Callable[[], Awaitable[None]] = _nothing
        self._all: tuple[ManagedUpstream, ...] = ()
        self._failed: dict[tuple[str, str], float] = {}
        self._shown: dict[str, Listing] = {}  # what the catalogue was made of
        self._refreshing = asyncio.Lock()
        self._asking: set[asyncio.Task[None]] = set()
        self._views: OrderedDict[tuple[Any, ...], Catalogue] = OrderedDict()

    def among(self, members: Iterable[Member]) -> None:
        """Take the servers that there are now."""
        personal = [each.upstream for each in members if each.config.auth is not None and each.config.auth.personal]
        self._all = tuple(each for each in personal if isinstance(each, ManagedUpstream))

    @property
    def needed(self) -> bool:
        """Whether there is a server that may have something of its own for somebody."""
        return bool(self._all)

    @property
    def _upstreams(self) -> tuple[ManagedUpstream, ...]:
        return tuple(each for each in self._all if each.own_offers is not None) if self._all else ()

    async def introduce(self, identity: ClientIdentity) -> None:
        """Have every server that has not said so yet say what it offers to this principal."""
        asked = [upstream for upstream in self._upstreams if self._unknown(upstream, identity.principal)]
        if asked:
            await asyncio.wait([self._begin(upstream, identity) for upstream in asked], timeout=_PATIENCE)
        if self._behind():
            async with self._refreshing:
                if self._behind():
                    shown = {each.facts.name: each.listing for each in self._upstreams}
                    await self.refresh()
                    self._shown = shown

    def _behind(self) -> bool:
        """Whether the catalogue may be older than what the servers have said."""
        return any(self._shown.get(each.facts.name) is not each.listing for each in self._upstreams)

    def _begin(self, upstream: ManagedUpstream, identity: ClientIdentity) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._ask(upstream, identity))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    def _unknown(self, upstream: ManagedUpstream, principal: str) -> bool:
        own = upstream.own_offers
        if own is None or own.current(principal):
            return False
        return self._failed.get((upstream.facts.name, principal), 0.0) <= asyncio.get_running_loop().time()

    async def _ask(self, upstream: ManagedUpstream, identity: ClientIdentity) -> None:
        try:
            await upstream.introduce(identity)
        except CredentialRequired:
            return  # from memory, for a second: nothing was sent
        except AgentFlowError as error:
            log.info("%s does not say what it offers to a caller: %s", upstream.facts.name, error.kind)
            while len(self._failed) >= _REMEMBERED:
                del self._failed[next(iter(self._failed))]
            self._failed[upstream.facts.name, identity.principal] = asyncio.get_running_loop().time() + _PAUSE

    def offered(self, principal: str, kind: str, entry: Entry) -> bool:
        """Whether the entry's server offers it to this principal (kind: tool, prompt, resource)."""
        upstream = entry.upstream
        own = upstream.own_offers if isinstance(upstream, ManagedUpstream) else None
        if own is None:
            return True
        if kind == "resource" and "uriTemplate" in entry.definition:
            kind = "template"
        return own.offered(principal, kind, entry.target)

    def view(self, catalogue: Catalogue, principal: str) -> Catalogue:
        """The catalogue without what its servers do not offer to this principal."""
        if not (upstreams := self._upstreams):
            return catalogue
        stamp = tuple(each.own_offers.version(principal) for each in upstreams if each.own_offers)
        key = catalogue.revision, principal, stamp
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = catalogue.only(lambda kind, entry: self.offered(principal, kind, entry))
            while len(self._views) > _VIEWS:
                self._views.popitem(last=False)
        return view


def offers_by_name(upstream: Upstream) -> bool:
    """Whether a server offers each principal something of its own."""
    return isinstance(upstream, ManagedUpstream) and upstream.own_offers is not None


async def _nothing() -> None:
    return None
