"""What is known of where a call's arguments come from and where they lead: the facts that policy decides flows by.

Plain data, made by `guard/trace.py`, shown to policy as `input.call.flow`. It holds names of servers and JSON pointers,
never a value, so it is as safe to record as the labels are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

SeenIn = Literal["none", "trusted", "private", "untrusted"]
Carried = Literal["text", "value"]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a part of the arguments would send something.

    Attributes:
        path: JSON pointer into the params.
        type: `email`, `url`, `host`, `account`, `phone`, `path`, `handle` or `name`.
        seen_in: the kind of content that showed it before: `none` (so the caller brought it), `trusted`, `private`
            (content that is private and not somebody else's demand) or `untrusted`.
        requested: it stood in or next to a sentence of untrusted content that asks for something.
        sender: it is who wrote the message in which it was seen: answering is no surprise.
        servers: the upstreams whose results showed it.
        listed: it is a member of a private record, and no text has it: somebody whom the caller deals with.
    """

    path: str
    type: str
    seen_in: SeenIn
    requested: bool = False
    sender: bool = False
    servers: tuple[str, ...] = ()
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Provenance:
    """An argument that carries something from earlier results."""

    path: str
    labels: tuple[str, ...]
    servers: tuple[str, ...]
    kind: Carried
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The call does what untrusted content asked for.

    Attributes:
        servers: the upstreams whose content asked.
        match: `value` (a value of the request is in the arguments) or `words` (tool and arguments are what it names).
        strength: 1 an imperative, 2 one addressed to the reader or said in the user's name, 3 one said to software.
    """

    servers: tuple[str, ...]
    match: Literal["value", "words"]
    strength: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Everything traced of one call.

    Attributes:
        sink: what the tool does, as `guard/sinks.py` names it.
        carries: of `private` (a trace of private content), `bulk` (more of it than a name or a number), `untrusted`,
            `encoded`, `elsewhere` (private content of another server than showed the destinations), `abroad` (of
            another server than is called), `smuggled` (private content or long random text in an address),
            `visible` (the server that is called has shown outsiders' words, so they read it),
            `outside` (content of outsiders from yet another server was read, or some that asks for something),
            `hint` (a private value, or two words that only private records have held, to a destination that only
            outsiders named or in a post to nobody in particular), `people` (names of several people of private
            records), `across` (private content of another repository, table or channel of the server than the one in
            which outsiders ask for something and to which it goes) and
            `secret` (what stood beside a word like password, token or sign-in code).
        hosts: hosts named in the arguments; only where the policy restricts them.
        incomplete: the conversation is too long to be remembered whole.
        swayed: what in the call hangs on values that only outsiders have shown (`guard/deeds.py`).
    """

    sink: str
    destinations: tuple[Destination, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    carries: tuple[str, ...] = ()
    asked: Asked | None = None
    hosts: tuple[str, ...] = ()
    incomplete: bool = False
    swayed: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell policy."""
        return not (self.provenance or self.swayed or self.carries or self.asked or self.hosts or self._shown)

    @property
    def _shown(self) -> bool:
        return any(found.seen_in != "none" for found in self.destinations)

    def document(self) -> dict[str, Any]:
        """The member `flow` of the policy's input; equal flows give equal documents."""
        found: dict[str, Any] = {
            "sink": self.sink,
            "destinations": [
                {
                    "path": to.path,
                    "type": to.type,
                    "seen_in": to.seen_in,
                    "requested": to.requested,
                    "sender": to.sender,
                    "listed": to.listed,
                    "servers": list(to.servers),
                }
                for to in self.destinations
            ],
            "provenance": [
                {
                    "path": part.path,
                    "labels": list(part.labels),
                    "servers": list(part.servers),
                    "kind": part.kind,
                    "encoded": part.encoded,
                }
                for part in self.provenance
            ],
            "carries": list(self.carries),
            "incomplete": self.incomplete,
            "swayed": list(self.swayed),
        }
        if self.asked is not None:
            asked = self.asked
            found["asked"] = {"servers": list(asked.servers), "match": asked.match, "strength": asked.strength}
        if self.hosts:
            found["hosts"] = list(self.hosts)
        return found
