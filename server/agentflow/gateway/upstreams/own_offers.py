"""What a server offers to each principal, where it lets in nobody without a credential.

The catalogue gets the union of what was offered to anybody; each principal is offered what the server offered to it,
in those very words, and nothing else. Where two were given different definitions under one name, the first one's
stands, and the other is not offered it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from agentflow.errors import UpstreamError
from agentflow.gateway.upstreams.connection import Connection
from agentflow.gateway.upstreams.port import Listing

JSON = dict[str, Any]
Item = tuple[str, str]  # kind and the server's own name
_MOST: Final = 1024  # principals whose offers are remembered
_PARTS: Final = (("tool", "tools", "name"), ("prompt", "prompts", "name"), ("resource", "resources", "uri"),
                 ("template", "templates", "uriTemplate"))  # fmt: skip


@dataclass(slots=True)
class _Offer:
    """What one principal was offered: the digest of each definition."""

    digests: dict[Item, bytes]
    version: int
    stale: bool = False


@dataclass(slots=True)
class OwnOffers:
    """See the module. `union` is what goes into the catalogue."""

    union: Listing = field(default_factory=Listing)
    _offers: OrderedDict[str, _Offer] = field(default_factory=OrderedDict)
    _shown: dict[Item, bytes] = field(default_factory=dict)
    _versions: int = 0
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def once(self, principal: str, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Ask what a principal is offered, once for everybody who waits for it."""
        task = self._asking.get(principal)
        if task is None:
            task = self._asking[principal] = asyncio.get_running_loop().create_task(ask())
            task.add_done_callback(lambda done: self._asked(principal, done))
        await asyncio.shield(task)

    def _asked(self, principal: str, task: asyncio.Task[None]) -> None:
        self._asking.pop(principal, None)
        if not task.cancelled():
            task.exception()  # everybody who waited may have given up

    def close(self) -> None:
        """Ask no more."""
        for task in tuple(self._asking.values()):
            task.cancel()

    def current(self, principal: str) -> bool:
        """Whether what this principal is offered is known and has not changed since."""
        offer = self._offers.get(principal)
        return offer is not None and not offer.stale

    def version(self, principal: str) -> int:
        """A number that changes when this principal is offered something else."""
        offer = self._offers.get(principal)
        return offer.version if offer else 0

    def offered(self, principal: str, kind: str, name: str) -> bool:
        """Whether this principal was offered it, as it is in the union."""
        offer = self._offers.get(principal)
        shown = self._shown.get((kind, name))
        return offer is not None and shown is not None and offer.digests.get((kind, name)) == shown

    def changed(self, principal: str) -> None:
        """The server has announced to this principal that it offers something else."""
        if principal in self._offers:
            self._offers[principal].stale = True

    def take(self, principal: str, listing: Listing) -> bool:
        """Take what a principal was offered; whether that changed the union."""
        self._versions += 1
        found = {item: (definition, _digest(definition)) for item, definition in _items(listing)}
        self._offers[principal] = _Offer({item: digest for item, (_, digest) in found.items()}, self._versions)
        self._offers.move_to_end(principal)
        while len(self._offers) > _MOST:
            self._offers.popitem(last=False)
        held = {pair for offer in self._offers.values() for pair in offer.digests.items()}
        kept = {item: definition for item, definition in _items(self.union) if (item, self._shown.get(item)) in held}
        merged = {**{item: definition for item, (definition, _) in found.items()}, **kept}
        shown = {item: self._shown[item] if item in kept else found[item][1] for item in merged}
        before, self._shown = self._shown, shown
        parts: dict[str, Any] = {
            part: tuple(definition for (each, _), definition in merged.items() if each == kind)
            for kind, part, _ in _PARTS
        }
        capabilities = {**self.union.capabilities, **listing.capabilities}
        if shown != before or capabilities != self.union.capabilities:
            self.union = replace(listing, instructions="", capabilities=capabilities, **parts)
            return True
        return False


async def let_in(connection: Connection, seconds: float) -> None:
    """Make sure that a server which greets a stranger also tells it what it offers; close the connection otherwise.

    Raises:
        UpstreamUnavailable: it wants credentials for that, or is gone.
        UpstreamTimeout, UpstreamProtocolError: as the connection.
    """
    if "tools" not in connection.capabilities:
        return
    try:
        with contextlib.suppress(UpstreamError):  # the listing proper will tell
            await connection.request("tools/list", {}, None, seconds)
    except BaseException:
        await connection.close()
        raise


def _items(listing: Listing) -> Iterator[tuple[Item, JSON]]:
    for kind, part, name in _PARTS:
        for definition in getattr(listing, part):
            yield (kind, str(definition[name])), definition


def _digest(definition: JSON) -> bytes:
    return hashlib.sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).digest()[:16]
