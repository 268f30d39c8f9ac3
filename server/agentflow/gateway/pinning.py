"""The servers' definitions on their way into the catalogue: compared with their pins, and held where they differ.

It promises that the catalogue is built from the very listings that were reviewed, that a review stops no call (it
runs in a thread), and that the audit log is told once of each change: a `definition` record with digests, reasons and
what changed in numbers, never with the definition itself.

Not pinned: the gateway's own tools, tool files unless `guard.pins.local`, and servers in `guard.pins.exempt`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agentflow.audit.log import AuditLog
from agentflow.config import CatalogueConfig, Config, ServerConfig
from agentflow.config_guard import PinsConfig
from agentflow.errors import AuditUnavailable
from agentflow.gateway.catalogue import Member, naming
from agentflow.gateway.upstreams.port import Listing
from agentflow.guard.pins.offers import Event, Item, Offer, Ref, Review
from agentflow.guard.pins.review import Reviewer
from agentflow.guard.pins.store import FILE, Reason, Sensitive, Store

log = logging.getLogger(__name__)

INSTRUCTIONS: Final = "instructions"


@dataclass(frozen=True, slots=True)
class Offered:
    """What the servers offer, reviewed. Held instructions are left out of the listings, other held things are not."""

    listings: dict[str, Listing] = field(default_factory=dict)
    held: dict[Ref, tuple[Reason, ...]] = field(default_factory=dict)
    recorded: bool = True


class Pinning:
    """Reviews what members offer.

    Args:
        data_dir: where the file is.
        own: the name of the upstream that serves the gateway's own tools.
        sensitive: gives what finds personal data, now.

    Raises:
        ConfigError: pins are wanted and the file cannot be used.
    """

    def __init__(self, data_dir: Path, config: PinsConfig, own: str, sensitive: Callable[[], Sensitive]) -> None:
        self._path = data_dir / FILE
        self._own = own
        self._sensitive = sensitive
        self._store: Store | None = None
        self._reviewer: Reviewer | None = None
        self.prepare(config)

    def prepare(self, config: PinsConfig) -> None:
        """Open the file, if pins are wanted.

        Raises:
            ConfigError: it cannot be used.
        """
        if config.mode != "off" and self._store is None:
            self._store = Store(self._path, self._sensitive)
            self._reviewer = Reviewer(self._store)

    def changed(self) -> bool:
        """Whether somebody else has written to the file since the last review."""
        return self._store is not None and self._store.changed()

    async def review(self, members: Sequence[Member], config: Config, audit: AuditLog) -> Offered:
        """Review what the members offer at this moment."""
        listings = {member.name: member.upstream.listing for member in members}
        pins = config.guard.pins
        if pins.mode == "off" or self._reviewer is None:
            return Offered(listings)
        reviewed = await asyncio.to_thread(self._review, self._reviewer, members, listings, pins, config.catalogue)
        for event in reviewed.events:
            _tell(audit, event)
        for name, listing in listings.items():
            if (name, INSTRUCTIONS, INSTRUCTIONS) in reviewed.held:
                listings[name] = replace(listing, instructions="")
        return Offered(listings, reviewed.held, reviewed.recorded)

    def _review(
        self,
        reviewer: Reviewer,
        members: Sequence[Member],
        listings: dict[str, Listing],
        config: PinsConfig,
        catalogue: CatalogueConfig,
    ) -> Review:
        return reviewer.review([self._offer(m, listings[m.name], config, catalogue) for m in members], config)

    def _offer(self, member: Member, listing: Listing, config: PinsConfig, catalogue: CatalogueConfig) -> Offer:
        prefix, show = naming(member, catalogue)
        items = [Item("tool", tool["name"], show(tool["name"]), tool) for tool in listing.tools]
        items += [Item("prompt", prompt["name"], show(prompt["name"]), prompt) for prompt in listing.prompts]
        if config.resources:
            items += [Item("resource", each["uri"], each["uri"], each) for each in listing.resources]
            items += [Item("template", each["uriTemplate"], each["uriTemplate"], each) for each in listing.templates]
        if listing.instructions:
            items.append(Item(INSTRUCTIONS, INSTRUCTIONS, INSTRUCTIONS, {"text": listing.instructions}))
        local = member.config.type == "tools" and not config.local
        return Offer(
            server=member.name,
            source=hashlib.sha256("\0".join(_address(member.config)).encode()).hexdigest()[:32],
            label=_label(member.config),
            trusted=member.config.trust == "trusted",
            prefix=prefix,
            items=tuple(items),
            listing=listing,
            pinned=not (local or member.name == self._own or member.name in config.exempt),
        )

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()


def _address(config: ServerConfig) -> tuple[str, ...]:
    """What makes it this server and no other. Environment and headers do not: they hold keys that are rotated."""
    places = (config.url, config.command, *config.args, config.path, config.spec, config.base_url)
    return (str(config.type), *(str(place) for place in places if place is not None))


def _label(config: ServerConfig) -> str:
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
