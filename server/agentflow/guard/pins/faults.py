"""What is wrong with names and texts while several servers are in view.

Of two names that can be mistaken for each other one is at fault: an untrusted server's rather than a trusted one's,
then the one written in stranger characters, then the one pinned on a later day, then that of the later entry of the
configuration. Which server was up first plays no part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from agentflow.guard.pins import mentions, names
from agentflow.guard.pins.offers import RESERVED, Findings, Item, Offer, Seen
from agentflow.guard.pins.store import Key, Reason

_ODD: Final = {
    "invisible": "its name holds characters that cannot be seen",
    "lookalike": "its name is written in letters that look like others",
    "mixed_scripts": "its name mixes scripts",
}
_COMPARED: Final = 2_000  # names that are compared for being alike; more would cost more than the flag is worth


class Texts:
    """What texts say of other servers' tools and of themselves; kept while neither changes.

    Args:
        shown: takes personal data out of what is quoted.
    """

    def __init__(self, shown: Callable[[str], str]) -> None:
        self._shown = shown
        self._said: dict[str, tuple[object, frozenset[bytes], dict[Key, Findings]]] = {}

    def of(self, offers: Sequence[Offer], seen: dict[str, list[Seen]]) -> dict[str, dict[Key, Findings]]:
        """The findings of every pinned server, by its name."""
        index = mentions.Index()
        for name in RESERVED:
            index.add("agentflow", name)
        for offer in offers:
            for item in offer.items:
                if item.kind == "tool":
                    index.add(offer.server, item.name)
                    index.add(offer.server, item.exposed)
        return {offer.server: self._said_by(offer, seen[offer.server], index) for offer in offers if offer.pinned}

    def _said_by(self, offer: Offer, seen: list[Seen], index: mentions.Index) -> dict[Key, Findings]:
        view = index.foreign(offer.server)
        known = self._said.get(offer.server)
        if known is not None and known[0] is offer.listing and known[1] == view.key:
            return known[2]
        said: dict[Key, Findings] = {}
        for each in seen:
            found = self._read(each.text(), view)
            if found.holds or found.flags:
                said[each.key] = found
        self._said[offer.server] = (offer.listing, view.key, said)
        return said

    def _read(self, data: bytes, view: mentions.Foreign) -> Findings:
        found = Findings()
        for mention in mentions.mentions(data, view):
            text = f"it speaks of `{mention.name}`, a tool of {', '.join(mention.servers)}"
            if mention.instructs:
                text = f'{text}, and tells what to do about it: "{mention.excerpt}"'
            reasons = found.holds if mention.instructs else found.flags
            reasons.append(Reason("cross_reference", self._shown(text)))
        if praise := mentions.praises(data):
            found.flags.append(Reason("superlative", f'it praises itself: "{praise}"'))
        return found


def of_names(offers: Sequence[Offer], seen: Iterable[tuple[Offer, Seen]]) -> dict[tuple[str, Key], Findings]:
    """What is wrong with the names of tools and prompts.

    Args:
        offers: every server in view.
        seen: the pinned items, those first that are not at fault.
    """
    view = _View(offers)
    found: dict[tuple[str, Key], Findings] = {}
    for offer, each in seen:
        faults = view.taken(offer, each.item)
        if faults.holds or faults.flags:
            found[offer.server, each.key] = faults
    return found


class _View:
    """The names taken so far."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._prefixes = [(offer.prefix, offer.server) for offer in offers if offer.prefix]
        self._skeletons = {offer.prefix: names.skeleton(offer.prefix) for offer in offers}
        self._looks: dict[str, dict[str, str]] = {}  # skeleton → name as written → whose it is
        self._own: dict[str, str] = {}  # a tool's own name → whose it is
        self._alike: dict[str, tuple[str, str]] = {}  # near form → whose, name
        self._comparing = sum(len(offer.items) for offer in offers) <= _COMPARED
        for name in RESERVED:
            self._looks.setdefault(names.skeleton(name), {})[name] = "the gateway itself"
        for offer in offers:
            self._looks.setdefault(names.skeleton(offer.server), {}).setdefault(offer.server, offer.server)
        for offer in offers:
            if not offer.pinned:
                for item in offer.items:
                    if item.kind == "tool":
                        self.taken(offer, item)

    def taken(self, offer: Offer, item: Item) -> Findings:
        """Count the name as taken, and say what is wrong with it, given those that were there before."""
        found, name, exposed = Findings(), item.name, item.exposed
        if odd := names.oddity(name):
            found.holds.append(Reason(odd, _ODD[odd]))
        look = names.skeleton(name)
        self._looked(offer.server, name, look, found)
        if exposed != name:
            prefixed = exposed == offer.prefix + name
            look = self._skeletons[offer.prefix] + look if prefixed else names.skeleton(exposed)
            self._looked(offer.server, exposed, look, found)
        if exposed in RESERVED:
            found.holds.append(Reason("reserved", f"`{exposed}` is a tool of the gateway itself"))
        elif name in RESERVED:
            found.flags.append(Reason("reserved", f"the gateway itself has a tool of the name `{name}`"))
        if not offer.prefix or not exposed.startswith(offer.prefix):
            for prefix, whose in self._prefixes:
                if whose != offer.server and exposed.startswith(prefix):
                    found.holds.append(Reason("shadowing", f"it poses as a tool of {whose}: `{exposed}`"))
        if item.kind == "tool":
            found.flags += self._alike_ones(offer, item)
        return found

    def _looked(self, server: str, name: str, look: str, found: Findings) -> None:
        there = self._looks.get(look)
        if there is None:
            self._looks[look] = {name: server}
            return
        for other, whose in there.items():
            if other != name and whose != server:
                found.holds.append(Reason("confusable", f"its name looks like `{other}` of {whose}"))
        there.setdefault(name, server)

    def _alike_ones(self, offer: Offer, item: Item) -> list[Reason]:
        name, found = item.name, []
        whose = self._own.setdefault(name, offer.server)
        if whose != offer.server:
            found.append(Reason("same_name", f"{whose} has a tool of the same name"))
        if self._comparing:
            plain = names.plain(name)
            for form in {plain, *names.near(plain)}:
                owner, other = self._alike.setdefault(form, (offer.server, name))
                if not found and owner != offer.server and other != name:
                    found.append(Reason("similar", f"its name is much like `{other}` of {owner}"))
        return found
