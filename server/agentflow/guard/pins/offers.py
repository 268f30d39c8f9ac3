"""What servers offer, as the review sees it, and what it says about it."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from agentflow.guard.pins.canonical import JSON, Kind, canonical
from agentflow.guard.pins.diff import Summary
from agentflow.guard.pins.store import Key, Reason

# Names of the gateway's own tools.
RESERVED: Final = frozenset({"planner", "executor", "verifier", "solver", "search_tools", "call_tool"})

What = Literal["held", "flagged", "released", "approved", "rejected", "forgotten"]
Ref = tuple[str, Kind, str]  # server, kind, the server's own name


# What an item is held for whose definition reads as an attack.
POISONED: Final = "poisoned"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing offered: its server's own name for it, the name clients see, the definition as the server sent it.

    `poisoned` says why its definition reads as an attack, "" where it does not.
    """

    kind: Kind
    name: str
    exposed: str
    definition: JSON
    poisoned: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything one server offers at the moment.

    Attributes:
        source: digest of where the server is reached (its kind with address or command).
        label: the same for people, without what may be secret.
        prefix: of the names that clients see, e.g. `mail__`; "" for none.
        listing: the listing these items are from; the same object means the same definitions.
        pinned: whether its definitions are pinned; if not, they only count as names that others may imitate.
    """

    server: str
    source: str
    label: str
    trusted: bool
    prefix: str
    items: tuple[Item, ...]
    listing: object
    pinned: bool = True


@dataclass(slots=True)
class Seen:
    """An item with the digest of its canonical form, and its name as the file has it.

    `data` is the canonical form, or empty where a review is over: ten thousand of them are too many to keep.
    """

    item: Item
    key: Key
    digest: bytes
    data: bytes = b""

    def text(self) -> bytes:
        """The canonical form."""
        if not self.data:
            self.data = canonical(self.item.kind, self.item.definition)
        return self.data


@dataclass
class Findings:
    """What names and texts give away: what holds a definition, and what is only told."""

    holds: list[Reason] = field(default_factory=list)
    flags: list[Reason] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the audit log: a definition that was held, flagged or released, or an administrator's decision.

    Attributes:
        digest, was: SHA-256 of the definition it is about and of the one pinned, hexadecimal, "" for none.
        more: how many further events of that kind there were at once; those are not told one by one.
        by: who decided.
    """

    what: What
    server: str
    key: Key
    digest: str = ""
    was: str = ""
    reasons: tuple[Reason, ...] = ()
    changed: Summary | None = None
    more: int = 0
    by: str = ""

    def record(self) -> JSON:
        """The audit record: `{"kind": "definition", "id", "time", "event", "server", "item": {"kind", "name"},
        "digest", "was", "reasons": [[code, text]], "changed": {"members", "added", "removed"}, "more", "by"}`,
        without what says nothing. It holds no definition, and names and texts as the file of pins has them."""
        told: JSON = {"event": self.what, "server": self.server}
        if self.more:
            told["more"] = self.more
        else:
            told["item"] = {"kind": self.key.kind, "name": self.key.name}
        if self.changed is not None:
            told["changed"] = asdict(self.changed)
        reasons = [list(reason) for reason in self.reasons]
        for name, value in (("digest", self.digest), ("was", self.was), ("reasons", reasons), ("by", self.by)):
            if value:
                told[name] = value
        return {"kind": "definition", "id": uuid.uuid4().hex, "time": round(time.time(), 6), **told}


@dataclass(frozen=True, slots=True)
class Review:
    """The outcome. `held` is by the servers' own names; `recorded` is false where the file could not be used."""

    held: dict[Ref, tuple[Reason, ...]] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    recorded: bool = True
