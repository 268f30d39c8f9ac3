"""Holds the arguments of a call against what its conversation has read: the `Flow` that policy decides by.

It promises to look at every string and number of the arguments (within the bounds of a call), also at what is encoded
in them, and to name places and servers, never values. What it says is evidence, graded; what follows from it is policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from agentflow.guard.deeds import swayed
from agentflow.guard.flow import Asked, Carried, Destination, Flow, Provenance, SeenIn
from agentflow.guard.sinks import READING, words_of
from agentflow.guard.trace import (
    FOREIGN,
    KEPT,
    KNOWN,
    ME,
    OWN,
    PRIVATE,
    REQUESTED,
    SENDER,
    SHIFT,
    TRUSTED,
    UNTRUSTED,
    Ask,
    Trace,
    leaves,
)
from agentflow.guard.values import (
    decoded,
    domain_of,
    grouped,
    hashed,
    host_of,
    identifying,
    names,
    pieces,
    plain,
    plainly_said,
    shingles,
    stemmed,
    stems,
    urls,
    values,
)

_MAX_LEAVES: Final = 500
_MAX_LEAF: Final = 20_000  # characters
_BULK: Final = 3  # traces of private content that are more than a name or a number
_RETOLD: Final = 4  # words of private records that make a summary of them
_ECHO: Final = 5  # words that make an echo
_RANDOM: Final = 24  # characters of an unknown string in an address that are taken for data


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Keys under which a destination stands, by the words in them.
_LEADS: Final = _set(
    "to cc bcc recipient recipients receiver receivers email emails mail address addresses channel channels user users "
    "username usernames url urls uri link links endpoint webhook host hostname domain domains site website account "
    "accounts iban payee destination dest target targets repo repository owner phone phones participant participants "
    "attendee attendees invitee invitees guest guests member members contact contacts beneficiary wallet friend "
    "collaborator bucket assignee chat chats room"
)
_CONTENT: Final = _set(
    "subject title body text message content contents description note notes reason comment summary prompt query "
    "caption snippet data payload details purpose memo html markdown"
)
_TELLING: Final = frozenset({"send", "post", "grant", "http"})
_WHOLE: Final = _set("payload body content data fields form records rows properties")
_COMMON: Final = ("phone", "ip_", "person", "location", "date", "url", "mac_")  # personal data of every letter
# Deeds that a sentence may ask for under one name and a tool do under another.
_ALIKE: Final = {
    "send": _set("send post grant pay"),
    "post": _set("send post grant write"),
    "grant": _set("grant send write change control post"),
    "pay": _set("pay send write"),
    "delete": _set("delete change"),
    "control": _set("control change grant delete"),
    "change": _set("change write delete control grant"),
    "write": _set("write change post pay"),
    "execute": _set("execute http write delete change control send read grant post"),
    "http": _set("http send post"),
}
_DANGEROUS: Final = (
    "curl",
    "wget",
    "rm ",
    "base64",
    "chmod",
    "ssh",
    "eval",
    "sudo",
    "://",
    "| sh",
    "|sh",
    "|bash",
    "nc ",
)
_JOINTS: Final = str.maketrans("/&=?+#;,", "        ")


(_ME,) = stemmed([ME])


@dataclass(slots=True)
class _Part:
    """One leaf of the arguments."""

    path: str
    key: str
    text: str
    low: str
    typed: str  # lower case; `low` where it was not labelled
    found: list[str]  # its values, as typed and as labelled
    shown: list[str]  # as labelled
    leads: bool  # its key says that something goes there
    inside: bool  # of something that is content
    pieces: list[str]  # of `low`


@dataclass(slots=True)
class _Evidence:
    """What was found of private and outsiders' content, over all arguments."""

    provenance: list[Provenance] = field(default_factory=list)
    weight: int = 0
    servers: set[str] = field(default_factory=set)  # of private content
    from_servers: set[str] = field(default_factory=set)  # of any
    carries: set[str] = field(default_factory=set)


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
    parts = _parts(arguments, clear)
    known = trace.values
    own = [value for part in parts for value in part.shown if hashed(value) not in known]
    hosts = _hosts(parts) if every_host else ()
    if not trace.sources:
        return Flow(role, hosts=hosts), own
    destinations = [to for part in parts for to in _destinations(trace, part)]
    evidence = _Evidence()
    leading = {to.path for to in destinations}
    astray = any(to.seen_in == "untrusted" and not to.sender for to in destinations)
    if (role == "control" or words_of(tool) == ("post",)) and any(to.type == "url" for to in destinations):
        role = "http"  # to open an address is to read it
    for part in parts:
        leads = part.path in leading and len(part.text) < 200 and not part.inside
        _carried(trace, part, leads, role, evidence, astray)
    if astray and role in _TELLING and not evidence.weight:  # one word in each member
        named = {to.path for to in destinations if to.seen_in != "none"}
        split = [piece for part in parts if part.path not in named for piece in part.pieces]
        _note(trace, parts[0], _Hits([], [], _retold(trace, split, role, astray)), False, evidence)
    strange = any(to.seen_in == "untrusted" and not to.sender and to.type in ("url", "host") for to in destinations)
    if evidence.weight >= _BULK - strange:
        evidence.carries.add("bulk")
    shown = {server for to in destinations if to.seen_in != "none" for server in to.servers}
    if shown and evidence.from_servers - shown:
        evidence.carries.add("elsewhere")
    if evidence.servers - {server}:
        evidence.carries.add("abroad")
    others = {source.server for source in trace.sources if source.bits & UNTRUSTED}
    if evidence.carries and (trace.asks or others - evidence.servers or "untrusted" in evidence.carries):
        evidence.carries.add("outside")
    same = [source for source in trace.sources if source.server == server and not source.kept]
    if any(map(trace.outsiders, same)) and "bulk" in evidence.carries:
        evidence.carries.add("visible")
    return Flow(
        role,
        tuple(destinations),
        tuple(evidence.provenance),
        tuple(sorted(evidence.carries)),
        None if role == "read" else _asked(trace, parts, tool, role, evidence),
        hosts,
        trace.incomplete and bool(destinations),
        swayed(trace, parts, arguments, server, tool, role),
    ), own


def _inside(path: str) -> bool:
    """Whether something stands in a structure that is content as a whole."""
    above = path.split("/")[2:-1]
    return any(not _WHOLE.isdisjoint(words_of(step)) for step in above)


def _parts(arguments: Any, clear: Any) -> list[_Part]:
    typed = {path: value for path, _, value in leaves(clear)} if clear is not None and clear != arguments else {}
    found = []
    for path, key, value in leaves(arguments):
        text = str(value)[:_MAX_LEAF]
        low, as_typed = plain(text), plain(str(typed.get(path, text))[:_MAX_LEAF])
        split = pieces(low)
        shown = identifying(split)
        words = words_of(key)
        leads = not _LEADS.isdisjoint(words) and _CONTENT.isdisjoint(words)
        every = (shown if as_typed == low else [*shown, *values(as_typed)]) + grouped(as_typed)
        found.append(_Part(path, key, text, low, as_typed, every, shown, leads, _inside(path), split))
        if len(found) >= _MAX_LEAVES:
            break
    return found


# ------------------------------------------------------------------------------------ destinations


def _destinations(trace: Trace, part: _Part) -> list[Destination]:
    """Where this leaf sends something: by its key, or because it is an address, or has addresses in it."""
    short = len(part.text) <= 200
    addresses = [_as_known(trace, part, value) for value in part.shown if _type_of(value) in ("email", "url")]
    if part.leads and short:
        if addresses or part.shown:
            return [_destination(trace, part, value, _type_of(value)) for value in _outermost(addresses or part.shown)]
        return [_named(trace, part)] if part.low.strip() else []
    whole = len(addresses) == 1 and " " not in part.text.strip()
    if whole or not short or addresses:
        return [_destination(trace, part, value, _type_of(value)) for value in addresses if whole or "://" in value]
    return []


def _as_known(trace: Trace, part: _Part, value: str) -> str:
    """A mail address as it was typed, where its token was never shown: it was spelled in another way."""
    if hashed(value) in trace.values or not value.startswith("email_"):
        return value
    typed = [one for one in values(part.typed) if "@" in one]
    return typed[0] if len(typed) == 1 else value


def _outermost(found: list[str]) -> list[str]:
    """Without the hosts that `values` lists beside their URLs."""
    return [value for value in found if not any(value in other and value != other for other in found)]


def _destination(trace: Trace, part: _Part, value: str, kind: str) -> Destination:
    bits = trace.values.get(hashed(value), 0)
    if kind == "url" and not bits & KNOWN:
        host = host_of(value)
        bits = trace.values.get(hashed(host), 0) or trace.values.get(hashed(domain_of(host)), 0)
    asker = _asker(trace, plain(value)) if not bits & KNOWN and kind == "email" else -1
    if asker >= 0:  # written apart: "eve at example dot org"
        return Destination(part.path, kind, "untrusted", True, False, (trace.sources[asker].server,))
    seen = _seen(trace, bits)
    servers = (trace.sources[bits >> SHIFT].server,) if seen != "none" else ()
    requested = seen in ("untrusted", "private") and bool(bits & REQUESTED)
    return Destination(part.path, kind, "untrusted" if requested else seen, requested, bool(bits & SENDER), servers)


def _named(trace: Trace, part: _Part) -> Destination:
    """A destination that is a plain word: known only where a request names it."""
    asker = _asker(trace, part.low)
    if asker < 0:
        name = part.low.strip()  # `partner-intake-eu`: no word that many texts have
        if "-" not in name or " " in name or not trace.said_by_others(name):
            return Destination(part.path, "name", "none")
        shown = {source.server for source in trace.sources if trace.outsiders(source)}
        return Destination(part.path, "name", "untrusted", False, False, tuple(sorted(shown)))
    return Destination(part.path, "name", "untrusted", True, False, (trace.sources[asker].server,))


def _asker(trace: Trace, low: str) -> int:
    wanted = stems(low)
    if not wanted:
        return -1
    return next((source for ask, source in trace.asks.items() if not wanted.difference(ask.words)), -1)


def _seen(trace: Trace, bits: int) -> SeenIn:
    if bits & OWN or not bits & KNOWN:
        return "none"
    if bits & TRUSTED:
        return "trusted"
    if (bits & KEPT and bits & PRIVATE and not trace.trusting) or (
        not trace.labelled and trace.sources[bits >> SHIFT].kept
    ):
        return "private"
    return "untrusted"


def _type_of(value: str) -> str:
    if "://" in value:
        return "url"
    if value.startswith(("email_", "email_address_")) or ("@" in value[1:] and "." in value):
        return "email"
    if value.startswith(("phone", "+")):
        return "phone"
    if value.startswith(("@", "#")):
        return "handle"
    if "/" in value or "\\" in value:
        return "path"
    if value.startswith(("iban", "card", "crypto")) or sum(map(str.isdigit, value)) >= 6:
        return "account"
    if "." in value and value.rpartition(".")[2].isalpha():
        return "host"
    return "name"


def _hosts(parts: Iterable[_Part]) -> tuple[str, ...]:
    found = set()
    for part in parts:
        for value in part.found:
            if "://" in value:
                found.add(host_of(value))
            elif "@" in value[1:] and not value.startswith("@"):
                found.add(value.rpartition("@")[2])
    return tuple(sorted(found))


# ------------------------------------------------------------------------------------ what is carried


def _carried(trace: Trace, part: _Part, leading: bool, role: str, evidence: _Evidence, astray: bool) -> None:
    """Add what this leaf carries of earlier results. A destination carries only what is packed into its address."""
    if leading and "://" not in part.low and "." not in part.low:
        return
    packed = leading or "://" in part.low
    found = [] if leading and not packed else part.found
    if packed:
        _smuggled(trace, part, evidence)
    if leading:
        return
    hits = _hits(trace, part.text, part.pieces, found)
    if role not in READING:
        hits.private += _retold(trace, part.pieces, role, astray) or (
            astray and role in _TELLING and _echoed(trace, part)
        )
    encoded = False
    if not hits.private and not hits.text and len(part.text) >= 20 and role not in READING:
        for said in decoded(part.text, turned=not plainly_said(part.pieces)):
            split = pieces(plain(said))
            deeper = _hits(trace, said, split, identifying(split))
            if deeper.private or deeper.text:
                hits, encoded = deeper, True
                break
    _note(trace, part, hits, encoded, evidence)


def _retold(trace: Trace, split: list[str], role: str, astray: bool) -> int:
    """A weight for private content in other words: most of what is said are words that only private records had."""
    if len(split) < _BULK - astray:
        return 0
    least = 4 if astray else 5
    said = {word for piece in split if len(word := piece.strip(".:-/")) >= least or (len(word) > 1 and word.isdigit())}
    private = sum(1 for word in said if trace.said_privately(word))
    much = private >= _RETOLD and 3 * private >= len(said)
    if astray and private > 1 and 2 * private >= len(said):
        return _BULK
    return private if much or (role != "send" and private >= _BULK and 4 * private >= 3 * len(said)) else 0


def _echoed(trace: Trace, part: _Part) -> int:
    """A weight for what was read of outsiders on a private server, said again to a third party: a chat, a code."""
    if not any(source.private and trace.outsiders(source) for source in trace.sources):
        return 0
    said = {word for piece in part.pieces if len(word := piece.strip(".:-/")) > 3 or word.isdigit()}
    known = sum(1 for word in said if word in trace.foreign or word in trace.kept or word in trace.held)
    many = known >= _ECHO and 5 * known >= 4 * len(said)
    telling = known == len(said) and any(map(str.isdigit, "".join(said)))
    return _BULK if many or telling else 0


@dataclass(slots=True)
class _Hits:
    text: list[int]  # sources of shingles
    value: list[int]  # bits | source << 8 of values
    private: int  # weight


def _hits(trace: Trace, text: str, split: list[str], found: list[str]) -> _Hits:
    known, sources = trace.values, trace.sources
    seen = {key: bits for value in found if (bits := known.get(key := hashed(value), 0)) & ~OWN & KNOWN}
    seen |= {key: bits for name in names(text) if (bits := known.get(key := hashed(name), 0))}
    texts = trace.shingles.sources(shingles(split))
    private = sum(1 for bits in seen.values() if bits & PRIVATE or trace.private(sources[bits >> SHIFT]))
    personal = [value for value in found if _personal(value) and not known.get(hashed(value), 0) & (OWN | PRIVATE)]
    private += sum(1 if value.startswith(_COMMON) else _BULK for value in personal)
    if len(texts) > 1:
        private += sum(1 for number in texts if trace.private(sources[number]))
    return _Hits(texts if len(texts) > 1 else [], list(seen.values()), private)


def _personal(value: str) -> bool:
    """Whether it is a token that stands for personal data, other than a mail address (which public pages show)."""
    head, _, digits = value.rpartition("_")
    return (
        len(digits) in (8, 12, 16)
        and bool(head)
        and not head.startswith("email")
        and all(c in "0123456789abcdef" for c in digits)
    )


def _note(trace: Trace, part: _Part, hits: _Hits, encoded: bool, evidence: _Evidence) -> None:
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
        evidence.servers |= {trace.sources[number].server for number in numbers if trace.private(trace.sources[number])}
    if hits.text and "untrusted" in labels:
        evidence.carries.add("untrusted")
    if encoded:
        evidence.carries.add("encoded")
    if "private" in labels:
        evidence.carries.add("private")
    kind: Carried = "text" if hits.text else "value"
    if not labels:
        return
    servers = tuple(sorted({trace.sources[number].server for number in numbers}))
    evidence.provenance.append(Provenance(part.path, tuple(sorted(labels)), servers, kind, encoded))


def _smuggled(trace: Trace, part: _Part, evidence: _Evidence) -> None:
    """Private content, or long random text, in an address: fetching it is telling its host."""
    known = trace.values
    for word in part.text.split():
        start = word.find("://")
        if start < 0 and word.count(".") < 2:
            continue
        low = plain(word)
        if any(hashed(url) in known for url in urls(low)):
            continue  # as it was read: nothing was put into it
        address = next((value for value in values(low) if "://" in value), low)
        host = host_of(address) if "://" in address else address
        bits = known.get(hashed(host), 0) or known.get(hashed(domain_of(host)), 0)
        if (
            bits & TRUSTED
            or bits & (OWN | FOREIGN) == OWN
            or (not bits and not any(mark in word for mark in ("](", "src=", "<img")))
        ):
            continue  # the caller's own, or a trusted server's; a host nobody has shown is the caller's
        inside = word[max(start, 0) + 3 :]
        spaced = inside.translate(_JOINTS)
        texts = [spaced, spaced.replace(".", " "), *decoded(inside, turned=False)]
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


# ------------------------------------------------------------------------------------ what was asked for


@dataclass(frozen=True, slots=True)
class _Deed:
    """A call, as it is held against requests."""

    role: str
    alike: frozenset[str]  # what a sentence may call it
    tool: frozenset[int]  # stems of its name
    parts: list[_Part]
    short: list[tuple[_Part, frozenset[int]]]  # the leaves that name something, with their stems
    content: list[_Part]
    carried: set[str]  # servers whose content it carries
    exposes: bool  # much private content of another server
    words: frozenset[int]  # stems of what names something, and of short content


def _asked(trace: Trace, parts: list[_Part], tool: str, role: str, evidence: _Evidence) -> Asked | None:
    """Whether the call does what a request in outsiders' text says."""
    if not trace.asks:
        return None
    short = [(part, stems(part.low)) for part in parts if not _is_content(part)]
    deed = _Deed(
        role,
        _ALIKE.get(role, frozenset({role})),
        stems(" ".join(words_of(tool))),
        parts,
        [(part, words) for part, words in short if words and not (part.low.isdigit() and len(part.low) < 4)],
        [part for part in parts if _is_content(part)],
        evidence.from_servers,
        {"bulk", "abroad"} <= evidence.carries,
        frozenset().union(
            *(words for _, words in short),
            *(stems(part.low) for part in parts if _is_content(part) and len(part.text) <= 80),
        ),
    )
    best: tuple[int, str, int] | None = None
    for ask, source in trace.asks.items():
        match = _matched(trace, deed, ask, trace.sources[source].server)
        if match and (best is None or (ask.strength, match) > best[:2]):
            best = (ask.strength, match, source)
    if best is None or (role == "execute" and best[0] < 2 and not _dangerous(parts)):
        return None
    strength, match, source = best
    return Asked((trace.sources[source].server,), "words" if match == "named" else "value", strength)


def _is_content(part: _Part) -> bool:
    return len(part.text) > 80 or not _CONTENT.isdisjoint(words_of(part.key))


def _dangerous(parts: list[_Part]) -> bool:
    return any(mark in part.low for part in parts for mark in _DANGEROUS)


def _matched(trace: Trace, deed: _Deed, ask: Ask, asker: str) -> str:
    """Return `value`, `named` (tool and content are what the request names) or "" (another call)."""
    alike = not ask.roles.isdisjoint(deed.alike)
    named = len(deed.tool.intersection(ask.words))
    if not named and (not alike or (deed.words.isdisjoint(ask.words) and _ME not in ask.words)):
        return ""
    said = ask.stems
    known = trace.values
    asked = [part for part, words in deed.short if _is_asked(part, words, said, known)]
    if not alike and named < 2 and not len(asked) == len(deed.short) > 1:
        return ""
    leading = [part for part, _ in deed.short if part.leads]
    heads = [words for part in deed.content if len(part.text) <= 80 and (words := stems(part.low))]
    headed = any(words <= said for words in heads)
    if leading:  # where it goes decides: what goes to somebody else is not what was asked for
        if any(part.leads for part in asked):
            return "value"
        back = any(hashed(value) in ask.place for part in leading for value in part.found)
        return "value" if back and deed.exposes and (asked or headed) else ""
    strange = [part for part, words in deed.short if not _is_known(part, words, said, known)]
    plainly = any(part.found for part in asked)  # by an id or an address, not by a word that many texts have
    if asked and 2 * len(asked) >= len(deed.short) and len(asked) + plainly > len(strange):
        return "value"
    if strange:
        return ""  # the caller has something else in mind
    if named and headed:
        return "value"
    if alike and named and deed.carried - {asker}:
        return "named"  # the content asked for, from where it was to be had
    if not deed.content:
        return "named" if named else ""
    fits = ask.strength > 1 and any(not stems(part.low).isdisjoint(said) for part in deed.parts)
    return "named" if named and fits else ""


def _is_asked(part: _Part, words: frozenset[int], asked: frozenset[int], known: dict[int, int]) -> bool:
    if part.leads and _ME in asked and any(known.get(hashed(value), 0) & SENDER for value in part.found):
        return True  # "give me …"
    both = (words,) if part.typed == part.low else (words, stems(part.typed))
    named = [found for found in both if not found.isdisjoint(asked)]
    if not named:
        return False
    if any((bits := known.get(hashed(value), 0)) & REQUESTED and not bits & OWN for value in part.found):
        return True
    return any(found <= asked for found in named)


def _is_known(part: _Part, words: frozenset[int], asked: frozenset[int], known: dict[int, int]) -> bool:
    """Whether it is named in the request, or was looked up to fulfil it."""
    return not words.isdisjoint(asked) or any(known.get(hashed(value), 0) & ~OWN & KNOWN for value in part.found)
