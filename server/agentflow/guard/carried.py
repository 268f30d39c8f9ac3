"""What arguments carry of earlier results: as text, as values, encoded, retold, or packed into an address.

It promises evidence only (`Evidence`): which leaves carry what, of which servers, with how much weight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from agentflow.guard.arguments import Part
from agentflow.guard.flow import Carried, Provenance
from agentflow.guard.sinks import READING
from agentflow.guard.trace import (
    FOREIGN,
    KEPT,
    KNOWN,
    OWN,
    PRIVATE,
    REQUESTED,
    SECRET,
    SHIFT,
    TRUSTED,
    UNTRUSTED,
    Trace,
)
from agentflow.guard.values import (
    decoded,
    domain_of,
    hashed,
    host_of,
    identifying,
    names,
    pieces,
    plain,
    plainly_said,
    shingles,
    urls,
    values,
)

BULK: Final = 3  # traces of private content that are more than a name or a number
_RETOLD: Final = 4  # words of private records that make a summary of them
_ECHO: Final = 5  # words that make an echo
_RANDOM: Final = 24  # characters of an unknown string in an address that are taken for data
TELLING: Final = frozenset({"send", "post", "grant", "http"})
_COMMON: Final = ("phone", "ip_", "person", "location", "date", "url", "mac_")  # personal data of every letter
_JOINTS: Final = str.maketrans("/&=?+#;,", "        ")
_HYPHENS: Final = str.maketrans("-_", "  ")
_CAPITAL: Final = re.compile(r"\b[A-ZÀ-Þ][a-zà-ÿ]{2,}")
_AFTER: Final = ".,;:!?)]}>\"'"  # what may stand after an address in a sentence
_STEPS: Final = 10  # parts of a name
_PEOPLE: Final = 3  # words of people's names that are more than one person


@dataclass(slots=True)
class Evidence:
    """What was found of private and outsiders' content, over all arguments."""

    provenance: list[Provenance] = field(default_factory=list)
    weight: int = 0
    servers: set[str] = field(default_factory=set)  # of private content
    from_servers: set[str] = field(default_factory=set)  # of any
    carries: set[str] = field(default_factory=set)
    places: set[tuple[str, int]] = field(default_factory=set)  # of private content, with their servers


def carried(trace: Trace, part: Part, leading: bool, role: str, evidence: Evidence, astray: bool) -> None:
    """Add what this leaf carries of earlier results. A destination carries only what is packed into its address."""
    if leading and "://" not in part.low and "." not in part.low:
        return
    packed = leading or "://" in part.low or (role == "execute" and part.low.count(".") > 1)
    found = [] if leading and not packed else part.found
    if packed:
        _smuggled(trace, part, evidence)
    if leading:
        return
    hits = _hits(trace, part.text, part.pieces, found)
    if role not in READING:
        hits.private += retold(trace, part.pieces, role, astray) or (
            astray and role in TELLING and _echoed(trace, part)
        )
    encoded = False
    if not hits.private and not hits.text and len(part.text) >= 20 and role not in READING:
        for said in decoded(part.text, turned=not plainly_said(part.pieces)):
            split = pieces(plain(said))
            deeper = _hits(trace, said, split, identifying(split))
            if deeper.private or deeper.text:
                hits, encoded = deeper, True
                break
    note(trace, part, hits, encoded, evidence)


def retold(trace: Trace, split: list[str], role: str, astray: bool) -> int:
    """A weight for private content in other words: most of what is said are words that only private records had."""
    if len(split) < BULK - astray:
        return 0
    least = 4 if astray else 5
    said = {word for piece in split if len(word := piece.strip(".:-/")) >= least or (len(word) > 1 and word.isdigit())}
    private = sum(1 for word in said if trace.said_privately(word))
    much = private >= _RETOLD and 3 * private >= len(said)
    if astray and private > 1 and 2 * private >= len(said):
        return BULK
    return private if much or (role != "send" and private >= BULK and 4 * private >= 3 * len(said)) else 0


def hinted(trace: Trace, parts: list[Part], least: int = 2) -> bool:
    """Whether what is said has two words or numbers (`least`) that private records alone have held."""
    words = {word for part in parts for piece in part.pieces if len(word := piece.strip(".:-/")) > 4 or word.isdigit()}
    return sum(1 for word in words if len(word) > 1 and trace.said_privately(word)) >= least


def _echoed(trace: Trace, part: Part) -> int:
    """A weight for what was read of outsiders on a private server, said again to a third party: a chat, a code."""
    if not any(source.private and trace.outsiders(source) for source in trace.sources):
        return 0
    said = {word for piece in part.pieces if len(word := piece.strip(".:-/")) > 3 or word.isdigit()}
    known = sum(1 for word in said if word in trace.foreign or word in trace.kept or word in trace.held)
    many = known >= _ECHO and 5 * known >= 4 * len(said)
    telling = known == len(said) and any(map(str.isdigit, "".join(said)))
    return BULK if many or telling else 0


@dataclass(slots=True)
class Hits:
    text: list[int]  # sources of shingles
    value: list[int]  # bits | source << 8 of values
    private: int  # weight
    secret: bool = False


def _hits(trace: Trace, text: str, split: list[str], found: list[str]) -> Hits:
    known, sources = trace.values, trace.sources
    seen = {key: bits for value in found if (bits := known.get(key := hashed(value), 0)) & ~OWN & KNOWN}
    for value in found:
        if value.count("-") + value.count("_") > 1 and not known.get(hashed(value), 0):
            seen |= {key: bits for key in map(hashed, _within(value)) if (bits := known.get(key, 0)) & SECRET}
    named = {key: bits for name in names(text) if (bits := known.get(key := hashed(name), 0))}
    seen |= named
    texts = trace.shingles.sources(shingles(split))
    private = sum(1 for bits in seen.values() if bits & PRIVATE or trace.private(sources[bits >> SHIFT]))
    personal = [value for value in found if _personal(value) and _is_news(known.get(hashed(value), 0), value)]
    private += sum(1 if value.startswith(_COMMON) else BULK for value in personal)
    private += len([bits for bits in named.values() if bits & PRIVATE]) > 1  # two people make a list
    secret = any(bits & SECRET for bits in seen.values())
    private += BULK * secret
    if len(texts) > 1:
        private += sum(1 for number in texts if trace.private(sources[number]))
    return Hits(texts if len(texts) > 1 else [], list(seen.values()), private, secret)


def _within(value: str) -> list[str]:
    """The parts of a name that may be a value of their own: `fix-118-plum-otter-41`."""
    steps = value.replace("_", "-").split("-")[:_STEPS]
    marks = [mark for mark in "-_" if mark in value]
    spans = [(at, end) for at in range(len(steps)) for end in range(at + 1, len(steps) + 1)]
    return [mark.join(steps[at:end]) for mark in marks for at, end in spans]


def _is_news(bits: int, value: str) -> bool:
    """Whether personal data weighs more than any other value: it is no private record's, or an account."""
    return not bits & OWN and (not bits & PRIVATE or not value.startswith(("email", *_COMMON)))


def _personal(value: str) -> bool:
    """Whether it is a token that stands for personal data, other than a mail address (which public pages show)."""
    head, _, digits = value.rpartition("_")
    return (
        len(digits) in (8, 12, 16)
        and bool(head)
        and not head.startswith("email")
        and all(c in "0123456789abcdef" for c in digits)
    )


def people(trace: Trace, parts: list[Part]) -> bool:
    """Whether what is said names more than one person of private records, in whatever order."""
    said = {word.lower() for part in parts for word in _CAPITAL.findall(part.text)}
    known = [trace.values.get(hashed(f"~{word}")) for word in said]
    held = [bits for bits in known if bits and not bits & OWN]
    if sum(1 for bits in held if bits & PRIVATE or trace.private(trace.sources[bits >> SHIFT])) >= _PEOPLE:
        return True
    pairs = {hashed(name) for part in parts for name in names(part.text)}
    return sum(1 for bits in map(trace.values.get, pairs) if bits & PRIVATE and bits & KEPT and not bits & OWN) > 1


def note(trace: Trace, part: Part, hits: Hits, encoded: bool, evidence: Evidence) -> None:
    if not hits.text and not hits.value and not hits.private:
        return
    numbers = {*hits.text, *(bits >> SHIFT for bits in hits.value)}
    if hits.private or hits.text or len(hits.value) > 1:
        evidence.from_servers |= {trace.sources[number].server for number in numbers}
    if not numbers:  # told in other words
        evidence.servers |= (
            retold := {
                source.server
                for source in trace.sources
                if (trace.private(source) and source.kept) or (source.private and not trace.outsiders(source))
            }
        )
        evidence.from_servers |= retold
    labels = set()
    for number in hits.text:
        source = trace.sources[number]
        labels |= {"private"} if trace.private(source) else set()
        labels |= {"untrusted"} if source.bits & UNTRUSTED else set()
    for bits in hits.value:
        labels |= {"private"} if bits & PRIVATE or trace.private(trace.sources[bits >> SHIFT]) else set()
        labels |= {"untrusted"} if bits & UNTRUSTED and not bits & TRUSTED else set()
    if hits.private:
        labels.add("private")
        evidence.weight += hits.private
        private = [source for number in numbers if trace.private(source := trace.sources[number])]
        evidence.servers |= {source.server for source in private}
        evidence.places |= {(source.server, source.place) for source in private}
    if hits.text and "untrusted" in labels:
        evidence.carries.add("untrusted")
    if encoded:
        evidence.carries.add("encoded")
    if hits.secret:
        evidence.carries.add("secret")
    if "private" in labels:
        evidence.carries.add("private")
    kind: Carried = "text" if hits.text else "value"
    if not labels:
        return
    servers = tuple(sorted({trace.sources[number].server for number in numbers}))
    evidence.provenance.append(Provenance(part.path, tuple(sorted(labels)), servers, kind, encoded))


def _smuggled(trace: Trace, part: Part, evidence: Evidence) -> None:
    """Private content, or long random text, in an address: fetching it is telling its host."""
    known = trace.values
    for word in part.text.split():
        start = word.find("://")
        if start < 0 and word.count(".") < 2:
            continue
        low = plain(word)
        if any(hashed(url) in known and low.endswith(url) for url in urls(low.rstrip(_AFTER))):
            continue  # as it was read: nothing was put into it
        if start < 0 and hashed(low.rstrip(_AFTER)) in known:
            continue
        address = next((value for value in values(low) if "://" in value), low)
        host = host_of(address) if "://" in address else address
        bits = known.get(hashed(host), 0) or known.get(hashed(domain_of(host)), 0)
        if (
            bits & TRUSTED
            or bits & (OWN | FOREIGN) == OWN
            or (not bits and not any(mark in word for mark in ("](", "src=", "<img")))
        ):
            continue  # the caller's own, or a trusted server's; a host nobody has shown is the caller's
        inside = word[start + 3 :] if start >= 0 else word
        spaced = inside.translate(_JOINTS)
        bare = spaced.replace(".", " ")
        texts = [spaced, bare, bare.translate(_HYPHENS), *decoded(inside, turned=False)]
        for said in texts:
            split = pieces(plain(said))
            hits = _hits(trace, said, split, identifying(split))
            sources = [*hits.text, *(found >> SHIFT for found in hits.value)]
            foreign = sum(
                1 for number in sources if trace.sources[number].server != trace.sources[bits >> SHIFT].server
            )
            if hits.private or foreign > 1 or (foreign and bits & REQUESTED):
                evidence.carries.add("smuggled")
        told = {*pieces(plain(unquote(spaced))), *spaced.lower().replace(".", " ").split()}
        if sum(1 + word.isdigit() for word in told if len(word) > 3 and trace.said_privately(word)) > 1:
            evidence.carries.add("smuggled")
        labels = spaced.replace(".", " ").split()
        if (
            any(len(run) >= _RANDOM and hashed(run.lower()) not in known and not run.isalpha() for run in labels)
            and hashed(address) not in known
        ):
            evidence.carries.add("smuggled")
