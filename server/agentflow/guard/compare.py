"""Holds the arguments of a call against what its conversation has read: the `Flow` that policy decides by.

It promises to look at every string and number of the arguments (within the bounds of a call), also at what is encoded
in them, and to name places and servers, never values. What it says is evidence, graded; what follows from it is policy.
"""

from __future__ import annotations

from typing import Any, Final

from agentflow.guard.arguments import Part, hosts_of, parts_of
from agentflow.guard.asked import asked_for
from agentflow.guard.carried import BULK, TELLING, Evidence, Hits, carried, hinted, note, people, retold
from agentflow.guard.deeds import FORMS, swayed
from agentflow.guard.destinations import destinations
from agentflow.guard.flow import Destination, Flow
from agentflow.guard.origins import names_something, said
from agentflow.guard.places import place_of
from agentflow.guard.sinks import READING, role_with, words_of
from agentflow.guard.trace import UNTRUSTED, Trace, digest
from agentflow.guard.values import hashed

_MOST: Final = 16  # calls whose flows are remembered
_SOME: Final = 3  # traces of private content, and how plainly somebody asks, that are no accident
_TOLD: Final = 3  # words that only records have held, for one such trace
_HINTS: Final = 3  # words of private records in a post that are no accident
_SHORT: Final = 4  # characters of a word that says little
_OWN: Final = 8  # words of an argument that are remembered as the caller's


def flow_of(
    trace: Trace, arguments: Any, server: str, tool: str, role: str, every_host: bool = False, clear: Any = None
) -> tuple[Flow, list[str]]:
    """Compare a call with what was read before it.

    Args:
        arguments: as labelled, so that personal data is tokens in them as in what was read.
        server: the upstream that is called.
        tool: its own name of the tool.
        role: what it does (`guard/sinks.py`).
        every_host: also list the hosts in the arguments.
        clear: the arguments as typed, where they are at hand: personal data may have been shown in other words
            around it, and then was not taken for such.

    Returns:
        The flow, and the values that no result has shown: the caller's own.
    """
    key = digest(server, tool, role, every_host, trace.trusting, arguments, clear)
    if known := trace.compared.get(key):
        return known, []  # the same call again, and nothing was taken in since
    parts = parts_of(arguments, clear)
    if role in ("send", "control", "execute", "write", "read"):
        role = role_with(role, ((part.key, part.low) for part in parts))
    own = [value for part in parts for value in part.shown if hashed(value) not in trace.values]
    own += [word for part in parts if names_something(part) for word in said(part)[:_OWN] if _brought(trace, word)]
    hosts = hosts_of(parts) if every_host else ()
    flow = _traced(trace, parts, arguments, server, tool, role, hosts) if trace.sources else Flow(role, hosts=hosts)
    if key and not own and len(trace.compared) < _MOST:
        trace.compared[key] = flow
    return flow, own


def _traced(
    trace: Trace, parts: list[Part], arguments: Any, server: str, tool: str, role: str, hosts: tuple[str, ...]
) -> Flow:
    """The flow of a call whose arguments are taken apart."""
    if role in ("write", "change", "post"):
        trace.plant([value for part in parts for value in part.found], server)
    leads_to = _by_address([to for part in parts for to in destinations(trace, part, role)])
    leaders = {part.path for part in parts if part.leads}
    if role not in READING and any(to.path in leaders for to in leads_to):  # a link in a mail is not where it goes
        leads_to = [to for to in leads_to if to.type != "url" or to.path in leaders]
    if role == "http" and not any("://" in part.low or "." in part.low for part in parts):
        role = "control"  # what is opened is no page: a car is shown the way, a camera moved
    if (role == "control" or words_of(tool) == ("post",)) and any(to.type == "url" for to in leads_to):
        role = "http"  # to open an address is to read it
    evidence = _evidence(trace, parts, leads_to, tool, role)
    _grade(trace, parts, leads_to, server, role, evidence)
    if role not in ("read", "delete") and _across(trace, parts, arguments, server, evidence):
        evidence.carries.add("across")
    return Flow(
        role,
        tuple(leads_to),
        tuple(evidence.provenance),
        tuple(sorted(evidence.carries)),
        None if role == "read" else asked_for(trace, parts, tool, role, evidence),
        hosts,
        trace.incomplete and bool(leads_to),
        swayed(trace, parts, arguments, server, tool, role),
    )


def _by_address(leads_to: list[Destination]) -> list[Destination]:
    """Without the plain names beside an address that the caller brought: the address says who is meant."""
    if not any(to.seen_in == "none" and to.type in ("email", "phone", "account") for to in leads_to):
        return leads_to
    return [to for to in leads_to if to.type != "name" or to.requested or to.seen_in != "untrusted"]


def _astray(leads_to: list[Destination]) -> list[Destination]:
    """The destinations that only outsiders named, and who did not write himself."""
    return [to for to in leads_to if to.seen_in == "untrusted" and not to.sender]


def _evidence(trace: Trace, parts: list[Part], leads_to: list[Destination], tool: str, role: str) -> Evidence:
    """What the arguments carry of earlier results."""
    evidence, astray = Evidence(), bool(_astray(leads_to))
    leading = {to.path for to in leads_to}
    inward = role == "change" and FORMS.isdisjoint(words_of(tool))  # what is set is named, not told
    for part in parts:
        if inward and names_something(part):
            continue
        leads = part.path in leading and len(part.text) < 200 and not part.inside
        carried(trace, part, leads, role, evidence, astray)
    if astray and role in TELLING and not evidence.weight:  # one word in each member
        named = {to.path for to in leads_to if to.seen_in != "none"}
        split = [piece for part in parts if part.path not in named for piece in part.pieces]
        note(trace, parts[0], Hits([], [], retold(trace, split, role, astray)), False, evidence)
    return evidence


def _grade(
    trace: Trace, parts: list[Part], leads_to: list[Destination], server: str, role: str, evidence: Evidence
) -> None:
    """Say of what is carried how much it is, and from where to where it goes (`Flow.carries`)."""
    carries, astray = evidence.carries, _astray(leads_to)
    leading = {to.path for to in leads_to}
    telling = [part for part in parts if part.path not in leading]
    anywhere = role == "post" and not any(names_something(part) and said(part) for part in parts)
    if (astray and (evidence.weight or hinted(trace, telling))) or (anywhere and hinted(trace, telling, _HINTS)):
        carries.add("hint")
    if role not in READING and people(trace, telling):
        carries.add("people")
    if evidence.weight >= BULK - any(to.type in ("url", "host") for to in astray):
        carries.add("bulk")
    shown = {server for to in leads_to if to.seen_in != "none" for server in to.servers}
    if shown and evidence.from_servers - shown:
        carries.add("elsewhere")
    if evidence.servers - {server} or ("people" in carries and _held_elsewhere(trace, server)):
        carries.add("abroad")
    others = {source.server for source in trace.sources if source.bits & UNTRUSTED}
    if carries and (trace.asks or others - evidence.servers or "untrusted" in carries):
        carries.add("outside")
    same = [source for source in trace.sources if source.server == server and not source.kept]
    if any(map(trace.outsiders, same)) and "bulk" in carries:
        carries.add("visible")


def _across(trace: Trace, parts: list[Part], arguments: Any, server: str, evidence: Evidence) -> bool:
    """Whether private content of another part of the server goes to where outsiders have asked for something."""
    elsewhere = {place for of, place in evidence.places if of == server and place}
    here = place_of(arguments) if elsewhere and trace.asks else 0
    if not here or not elsewhere - {here}:
        return False
    there = [number for number, of in enumerate(trace.sources) if of.server == server and of.place == here]
    asked = [ask.strength for ask, number in trace.asks.items() if number in there]
    said = {word for part in parts for piece in part.pieces if len(word := piece.strip(".:-/")) > _SHORT}
    told = sum(1 for word in said if word in trace.held and word not in trace.foreign)
    return bool(asked) and max(asked) + evidence.weight + told // _TOLD >= _SOME


def _brought(trace: Trace, word: str) -> bool:
    """Whether the caller is the first to say a word."""
    return hashed(word) not in trace.values and trace.unsaid(word)


def _held_elsewhere(trace: Trace, server: str) -> bool:
    """Whether another server than is called has shown private records."""
    return any(trace.private(source) and source.kept and source.server != server for source in trace.sources)
