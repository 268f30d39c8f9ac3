"""What of the servers' offers is in force, and what is held.

It promises: what is in force is what was pinned, in its canonical form byte for byte; what changed is held alone, and
so is what is held for its name or for what it tells to do with other servers' tools; a definition that returns to
what was pinned is in force again by itself. What is held for a name, a mention or a rename stays held until an
administrator decides or the definition changes, even when the other server has gone.

Trust counts where names and texts are concerned: a trusted server's are flagged, never held. A change is held,
whoever made it, and so is what reads as an attack. What an administrator approved is held for nothing but a change.

It refuses to trust what it cannot write down: while the database of pins cannot be used, new definitions are held.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from agentflow.config_guard import PinsConfig
from agentflow.errors import StoreUnavailable
from agentflow.guard.pins import canonical, faults, names
from agentflow.guard.pins.diff import Summary, summary
from agentflow.guard.pins.offers import POISONED, Event, Findings, Offer, Ref, Review, Seen, What
from agentflow.guard.pins.ruling import Ruling, rule
from agentflow.guard.pins.store import MOST_ROWS, Key, Pin, Pins, PinStore, Reason, Row

_DAY: Final = 86_400.0  # seconds
_TOLD: Final = 50  # events of one server that are told one by one
_TOO_MANY: Final = Reason("too_many", f"its server has offered more than {MOST_ROWS} things by now")
_UNKNOWN: Final = Pin()


class Reviewer:
    """Reviews offers against a store. Not to be used from two threads at once."""

    def __init__(self, store: PinStore) -> None:
        self._store = store
        self._seen: dict[str, tuple[object, list[Seen]]] = {}
        self._texts = faults.Texts(store.shown)
        self._pins: dict[str, Pins] = {}
        self._at: dict[str, str] = {}  # server → source of `_pins`

    def review(self, offers: Sequence[Offer], config: PinsConfig) -> Review:
        """Compare everything offered with what is pinned, write down what is new, and say what is held.

        Blocks: some 10 µs for each definition of a listing that was not seen before, and the database.
        """
        try:
            return Review() if config.mode == "off" else self._reviewed(offers, config)
        finally:
            for _, listed in self._seen.values():
                for each in listed:
                    each.data = b""

    def _reviewed(self, offers: Sequence[Offer], config: PinsConfig) -> Review:
        seen = {offer.server: self._hashed(offer) for offer in offers if offer.pinned}
        pinned = [offer for offer in offers if offer.pinned and (offer.items or offer.server in self._pins)]
        try:
            self._refreshed(pinned)
        except StoreUnavailable as error:
            return self._unrecorded(offers, pinned, seen, config, error)
        events: list[Event] = []
        while True:
            rulings = self._ruled(offers, pinned, seen, config)
            changed = [(offer, each) for offer, ruled in rulings for each in ruled if each.pin is not each.former]
            if not changed:
                break
            try:
                with self._store.transaction():
                    if stale := self._store.changed():
                        self._refreshed(pinned)
                    else:
                        events = self._written(changed)
            except StoreUnavailable as error:
                return self._unrecorded(offers, pinned, seen, config, error)
            if not stale:
                for offer, each in changed:
                    self._pins[offer.server][each.seen.key] = each.pin
                break
        return Review(_held(rulings), _bounded(events))

    # -- looking

    def _hashed(self, offer: Offer) -> list[Seen]:
        known = self._seen.get(offer.server)
        if known is not None and known[0] is offer.listing and len(known[1]) == len(offer.items):
            # The same definitions; the names that clients see may be others.
            return [Seen(item, old.key, old.digest) for item, old in zip(offer.items, known[1], strict=True)]
        seen = []
        for item in offer.items:
            data = canonical.canonical(item.kind, item.definition)
            seen.append(Seen(item, Key(item.kind, self._store.name(item.name)), canonical.digest(data), data))
        self._seen[offer.server] = (offer.listing, seen)
        return seen

    def _refreshed(self, pinned: Sequence[Offer]) -> None:
        """Read the pins where they are not those in memory."""
        new = [offer for offer in pinned if self._at.get(offer.server) != offer.source]
        self._store.arrive((offer.server, offer.source, self._store.shown(offer.label)) for offer in new)
        if new or self._store.changed():
            self._pins = self._store.load([(offer.server, offer.source) for offer in pinned])
            self._at = {offer.server: offer.source for offer in pinned}

    def _ruled(
        self, offers: Sequence[Offer], pinned: Sequence[Offer], seen: dict[str, list[Seen]], config: PinsConfig
    ) -> list[tuple[Offer, list[Ruling]]]:
        found = self._findings(offers, seen)
        rulings = []
        for offer in pinned:
            pins, mine = self._pins.get(offer.server, {}), seen[offer.server]
            gone = _gone(pins, mine)
            ruled = []
            for each in mine:
                pin = pins.get(each.key)
                findings = found.get((offer.server, each.key))
                if findings and (offer.trusted or config.suspicious == "flag"):
                    findings = Findings([], [*findings.holds, *findings.flags])
                if each.item.poisoned:
                    findings = _poisoned(each, findings or Findings())
                if findings is None and pin is not None and pin.pinned == each.digest and _settled(pin):
                    continue
                body = pin.body if pin is not None and pin.pinned == each.digest and pin.body else _body(each)
                ruled.append(rule(each, pin, findings, config.mode, body, gone.get(body, "") if body else ""))
            rulings.append((offer, _within(ruled, len(pins))))
        return rulings

    def _findings(self, offers: Sequence[Offer], seen: dict[str, list[Seen]]) -> dict[tuple[str, Key], Findings]:
        today = int(time.time() / _DAY)
        named = [
            (not offer.trusted, names.disguises(each.item.name), self._day(offer.server, each.key, today), offer, each)
            for offer in offers
            if offer.pinned
            for each in seen[offer.server]
            if each.item.kind in ("tool", "prompt")
        ]
        named.sort(key=lambda entry: entry[:3])
        found = faults.of_names(offers, (entry[3:] for entry in named))
        for server, said in self._texts.of(offers, seen).items():
            for key, texts in said.items():
                there = found.setdefault((server, key), Findings())
                there.holds += texts.holds
                there.flags += texts.flags
        return found

    def _day(self, server: str, key: Key, today: int) -> int:
        """When it was pinned. By days, so that it does not matter which server was up first when all were new."""
        pin = self._pins.get(server, {}).get(key)
        return int(pin.since / _DAY) if pin is not None and pin.pinned else today

    # -- writing

    def _written(self, changed: Sequence[tuple[Offer, Ruling]]) -> list[Event]:
        rows: list[Row] = []
        events: list[Event] = []
        for offer, each in changed:
            seen, pin = each.seen, each.pin
            former = self._store.row(offer.server, offer.source, seen.key) if each.former else None
            definition = former.definition if former else ""
            proposed = self._text(seen) if pin.held else ""
            if pin.pinned == seen.digest and not (former and former.pin.pinned == pin.pinned):
                definition = self._text(seen)
            label = former.label if former and pin.held else ""
            rows.append(Row(offer.server, offer.source, seen.key, pin, definition, proposed, label))
            for what in each.news:
                change = summary(definition, proposed) if pin.held and pin.pinned and len(events) < _TOLD else None
                digest, reasons = pin.held or pin.pinned, pin.reasons if pin.held else pin.flags
                events.append(_event(what, offer.server, seen.key, digest, pin, reasons, change))
        self._store.write(rows)
        return events

    def _text(self, seen: Seen) -> str:
        return self._store.kept(seen.text())

    def _unrecorded(
        self,
        offers: Sequence[Offer],
        pinned: Sequence[Offer],
        seen: dict[str, list[Seen]],
        config: PinsConfig,
        error: StoreUnavailable,
    ) -> Review:
        """Only what was pinned before is in force."""
        reason = Reason("unrecorded", f"it could not be written down ({error.message})")
        held = {}
        for offer, ruled in self._ruled(offers, pinned, seen, config):
            known = self._pins.get(offer.server, {}) if self._at.get(offer.server) == offer.source else {}
            for each in ruled:
                pin = known.get(each.seen.key)
                reasons = (
                    each.reasons if pin is not None and pin.pinned == each.seen.digest else each.reasons or (reason,)
                )
                if reasons:
                    held[offer.server, each.seen.item.kind, each.seen.item.name] = reasons
        return Review(held, (), recorded=False)


def _held(rulings: Sequence[tuple[Offer, list[Ruling]]]) -> dict[Ref, tuple[Reason, ...]]:
    return {
        (offer.server, each.seen.item.kind, each.seen.item.name): each.reasons
        for offer, ruled in rulings
        for each in ruled
        if each.reasons
    }


def _gone(pins: Pins, seen: Sequence[Seen]) -> dict[bytes, str]:
    """The bodies of pinned definitions that are offered no more, with their names."""
    present = {each.key for each in seen}
    return {pin.body: key.name for key, pin in pins.items() if pin.body and key not in present}


def _settled(pin: Pin) -> bool:
    """Whether there is nothing left to say about what it pins."""
    return not pin.held and not pin.rejected and (bool(pin.body) or pin.how != "approved")


def _poisoned(seen: Seen, findings: Findings) -> Findings:
    """The findings with the one that neither trust nor a setting turns into a flag: screening drops it anyway."""
    return Findings([*findings.holds, Reason(POISONED, seen.item.poisoned)], findings.flags)


def _body(seen: Seen) -> bytes:
    return canonical.body(seen.item.kind, seen.item.name, seen.text())


def _within(ruled: list[Ruling], known: int) -> list[Ruling]:
    """Hold what would make more rows than a server may have; of that nothing is written."""
    if known + len(ruled) <= MOST_ROWS:
        return ruled
    kept = []
    for each in ruled:
        if each.former is None and (known := known + 1) > MOST_ROWS:
            each = Ruling(each.seen, _UNKNOWN, _UNKNOWN, (_TOO_MANY,))
        kept.append(each)
    return kept


def _event(
    what: What,
    server: str,
    key: Key,
    digest: bytes,
    pin: Pin | None,
    reasons: tuple[Reason, ...] = (),
    change: Summary | None = None,
) -> Event:
    was = pin.pinned.hex() if pin is not None and pin.pinned != digest else ""
    return Event(what, server, key, digest.hex(), was, reasons, change)


def _bounded(events: Sequence[Event]) -> tuple[Event, ...]:
    """Those that are told one by one, and one for the rest of each kind and server."""
    told: list[Event] = []
    counts = Counter[tuple[str, str]]()
    for event in events:
        counts[event.what, event.server] += 1
        if counts[event.what, event.server] <= _TOLD:
            told.append(event)
    more = [(what, server, count - _TOLD) for (what, server), count in counts.items() if count > _TOLD]
    return (*told, *(Event(what, server, Key("tool", ""), more=count) for what, server, count in more))  # type: ignore[arg-type]
