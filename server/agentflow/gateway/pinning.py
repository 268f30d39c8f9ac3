"""The servers' definitions on their way into the catalogue: screened, compared with their pins, and held.

It promises that the catalogue is built from the very listings that were reviewed, that a review stops no call (it
runs in a thread), and that the audit log is told once of each change: a `definition` record with digests, reasons and
what changed in numbers, never with the definition itself. What screening would take out of a listing is held, so
that it cannot be called by its name either, also where nothing is pinned; only an administrator's approval of that
very definition lets it through.

Not screened here: the gateway's own tools. Not pinned: those, tool files unless `guard.pins.local`, and servers in
`guard.pins.exempt`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from agentflow.audit.log import AuditLog
from agentflow.config import CatalogueConfig, Config, ServerConfig
from agentflow.config_guard import PinsConfig
from agentflow.errors import AuditUnavailable
from agentflow.gateway.catalogue import Member, naming
from agentflow.gateway.upstreams.port import Listing
from agentflow.guard.pins.canonical import JSON, Kind
from agentflow.guard.pins.offers import POISONED, Event, Item, Offer, Ref, Review
from agentflow.guard.pins.review import Reviewer
from agentflow.guard.pins.store import PinStore, Reason, Sensitive, open_pins

log = logging.getLogger(__name__)

INSTRUCTIONS: Final = "instructions"


class Judge(Protocol):
    """What finds definitions that read as attacks (the screen stage)."""

    def poisoned(self, item: JSON) -> tuple[str, ...]:
        """The rules by which a definition, as clients would see it, would be left out of listings."""
        ...


@dataclass(frozen=True, slots=True)
class Offered:
    """What the servers offer, reviewed. Held instructions are left out of the listings, other held things are not.

    `excused` are the definitions, as clients see them, that read as attacks and were approved all the same.
    """

    listings: dict[str, Listing] = field(default_factory=dict)
    held: dict[Ref, tuple[Reason, ...]] = field(default_factory=dict)
    recorded: bool = True
    excused: tuple[JSON, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bad:
    """A definition that reads as an attack: as clients would see it, and why."""

    shown: JSON
    why: str


_Screened = dict[tuple[Kind, str], _Bad]  # by kind and the server's own name


class Pinning:
    """Reviews what members offer.

    Args:
        data_dir: where the file is, unless the configuration names a database.
        own: the name of the upstream that serves the gateway's own tools.
        sensitive: gives what finds personal data, now.
        key: see `open_pins`.

    Raises:
        ConfigError: pins are wanted and the file or database cannot be used.
    """

    def __init__(
        self,
        data_dir: Path,
        config: PinsConfig,
        own: str,
        sensitive: Callable[[], Sensitive],
        key: Callable[[], bytes] | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._own = own
        self._sensitive = sensitive
        self._pseudonyms = key
        self._store: PinStore | None = None
        self._reviewer: Reviewer | None = None
        self._screened: dict[str, tuple[tuple[object, ...], _Screened]] = {}
        self.prepare(config)

    def prepare(self, config: PinsConfig) -> None:
        """Open the file or database, if pins are wanted; with a network, not on the event loop.

        Raises:
            ConfigError: it cannot be used.
        """
        if config.mode != "off" and self._store is None:
            self._store = open_pins(self._data_dir, config, self._sensitive, self._pseudonyms)
            self._reviewer = Reviewer(self._store)

    async def changed(self) -> bool:
        """Whether somebody else has written since the last review."""
        if self._store is None:
            return False
        return await asyncio.to_thread(self._store.changed) if self._store.blocking else self._store.changed()

    async def review(self, members: Sequence[Member], config: Config, audit: AuditLog, judge: Judge | None) -> Offered:
        """Review what the members offer at this moment.

        Args:
            judge: what finds definitions that read as attacks; None where nothing is left out for that.
        """
        listings = {member.name: member.upstream.listing for member in members}
        reviewed, bad, pinned = await asyncio.to_thread(self._review, members, listings, config, judge)
        for event in reviewed.events:
            _tell(audit, event)
        held = dict(reviewed.held)
        excused = []
        for ref, found in bad.items():
            if ref in pinned:
                excused += [found.shown] if ref not in held else []
            else:
                held[ref] = (Reason(POISONED, found.why),)
        for name, listing in listings.items():
            if (name, INSTRUCTIONS, INSTRUCTIONS) in held:
                listings[name] = replace(listing, instructions="")
        return Offered(listings, held, reviewed.recorded, tuple(excused))

    def _review(
        self, members: Sequence[Member], listings: dict[str, Listing], config: Config, judge: Judge | None
    ) -> tuple[Review, dict[Ref, _Bad], frozenset[Ref]]:
        """The review, every definition that reads as an attack, and which of those are pinned."""
        pins, bad = config.guard.pins, {}
        for member in members:
            found = self._screen(member, listings[member.name], config.catalogue, judge)
            bad.update({(member.name, *what): each for what, each in found.items()})
        if pins.mode == "off" or self._reviewer is None:
            return Review(), bad, frozenset()
        offers = [self._offer(m, listings[m.name], pins, config.catalogue, bad) for m in members]
        reviewed = self._reviewer.review(offers, pins)
        of_pinned = ((o.server, i.kind, i.name) for o in offers if o.pinned for i in o.items if i.poisoned)
        return reviewed, bad, frozenset(of_pinned)

    def _screen(self, member: Member, listing: Listing, catalogue: CatalogueConfig, judge: Judge | None) -> _Screened:
        """The definitions of one member that read as attacks; looked at anew where one of these four changes."""
        asked = (listing, member.config, catalogue, judge)
        known = self._screened.get(member.name)
        if known is not None and all(old is new or old == new for old, new in zip(known[0], asked, strict=True)):
            return known[1]
        found: _Screened = {}
        if judge is not None and member.name != self._own:
            for kind, name, shown in _shown(member, listing, catalogue):
                if rules := judge.poisoned(shown):
                    found[kind, name] = _Bad(shown, f"it reads as an injected instruction ({', '.join(rules[:5])})")
        self._screened[member.name] = asked, found
        return found

    def _offer(
        self,
        member: Member,
        listing: Listing,
        config: PinsConfig,
        catalogue: CatalogueConfig,
        bad: dict[Ref, _Bad],
    ) -> Offer:
        prefix, show = naming(member, catalogue)
        items = [Item("tool", tool["name"], show(tool["name"]), tool) for tool in listing.tools]
        items += [Item("prompt", prompt["name"], show(prompt["name"]), prompt) for prompt in listing.prompts]
        if config.resources:
            items += [Item("resource", each["uri"], each["uri"], each) for each in listing.resources]
            items += [Item("template", each["uriTemplate"], each["uriTemplate"], each) for each in listing.templates]
        if listing.instructions:
            items.append(Item(INSTRUCTIONS, INSTRUCTIONS, INSTRUCTIONS, {"text": listing.instructions}))
        if bad:
            items = [
                replace(item, poisoned=found.why) if (found := bad.get((member.name, item.kind, item.name))) else item
                for item in items
            ]
        local = member.config.type == "tools" and not config.local
        return Offer(
            server=member.name,
            source=hashlib.sha256("\0".join(_address(member.config)).encode()).hexdigest()[:32],
            label=label(member.config),
            trusted=member.config.trust == "trusted",
            prefix=prefix,
            items=tuple(items),
            listing=listing,
            pinned=not (local or member.name == self._own or member.name in config.exempt),
        )

    def close(self) -> None:
        """Close the file or the connection."""
        if self._store is not None:
            self._store.close()


def _shown(member: Member, listing: Listing, catalogue: CatalogueConfig) -> Iterator[tuple[Kind, str, JSON]]:
    """Kind, own name and definition of everything a member offers, the definition as clients would see it."""
    _, show = naming(member, catalogue)
    for tool in listing.tools:
        yield "tool", tool["name"], {**tool, "name": show(tool["name"])}
    for prompt in listing.prompts:
        yield "prompt", prompt["name"], {**prompt, "name": show(prompt["name"])}
    for each in listing.resources:
        yield "resource", each["uri"], each
    for each in listing.templates:
        yield "template", each["uriTemplate"], each
    if listing.instructions:
        yield INSTRUCTIONS, INSTRUCTIONS, {INSTRUCTIONS: listing.instructions}


def _address(config: ServerConfig) -> tuple[str, ...]:
    """What makes it this server and no other. Environment and headers do not: they hold keys that are rotated."""
    places = (config.url, config.command, *config.args, config.path, config.spec, config.base_url)
    return (str(config.type), *(str(place) for place in places if place is not None))


def label(config: ServerConfig) -> str:
    """The same for people. Arguments, queries and user names may be secrets."""
    if config.command is not None:
        return f"{config.type} {os.path.basename(config.command)}"
    place = str(config.url or config.spec or config.path)
    parts = urlsplit(place)
    shown = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    return f"{config.type} {shown if parts.scheme and parts.netloc else place}"


def _tell(audit: AuditLog, event: Event) -> None:
    try:
        audit.append(event.record())
    except AuditUnavailable as error:
        log.error("%s: %s was not recorded: %s", event.server, event.what, error.message)
