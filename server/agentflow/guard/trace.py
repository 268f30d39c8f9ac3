"""What one conversation has read, in a form that later arguments can be compared with.

A `Trace` remembers of every result its identifying values, shingles of its text, who sent it, and, of what outsiders
wrote, the sentences that ask for something. `guard/compare.py` holds the arguments of a call against it.

It keeps hashes only, never text; it is bounded (`MAX_*`): the oldest text is forgotten, and it says
`incomplete` once values or requests had to be left out.
What the caller named before any result did is the caller's own, whoever repeats it later. It refuses nothing.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from agentflow.guard.requests import bill, requests
from agentflow.guard.sinks import NOUN_OF, ROLE_OF
from agentflow.guard.sketches import Shingles, Words
from agentflow.guard.values import (
    decoded,
    grouped,
    hashed,
    identifying,
    names,
    pieces,
    plain,
    shingles,
    stemmed,
    urls,
    values,
    words,
)

JSON = dict[str, Any]

# Bits of what is known of a value.
UNTRUSTED, PRIVATE, TRUSTED, OWN, REQUESTED, SENDER = 1, 2, 4, 8, 16, 32
FOREIGN, KEPT, BILLED = 64, 128, 256  # outsiders wrote it; a server's own records show it; it stood in a bill
KNOWN: Final = 0xFFF
SHIFT: Final = 12  # the number of the source that showed it first stands above the bits

MAX_VALUES: Final = 3072
MAX_ASKS: Final = 96
MAX_SOURCES: Final = 64
_MAX_TEXT: Final = 200_000  # characters of one message
_SHINGLES_EACH: Final = 512  # of one message; longer ones are sampled
_SAYING: Final = 4  # parts of a text that can say something
_NOTHING: Final = frozenset(["no", "none", "nothing", "not", "empty", "0"])  # how an empty result begins
_NEAR: Final = 160  # characters after a request in which a value belongs to it
# Verbs in the forms they take: `share`, `shares`, `shared`, `sharing`.
_ROLE_OF_FORM: Final = {
    form: role
    for verb, role in (NOUN_OF | ROLE_OF).items()
    for form in (verb, f"{verb}s", f"{verb}ed", f"{verb}d", f"{verb}ing", f"{verb[:-1]}ing", f"{verb}{verb[-1]}ed")
}
ME: Final = "\0me"  # among the words of a request that speaks of its writer
_OF_WRITER: Final = re.compile(r"\b(?:me|us)\b")
_LETTER: Final = re.compile(r"(?im)^(?:\W|\d)*(?:from|sender|reply-?to): [^\n]{0,60}(?:@|<EMAIL)")
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]*")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_FROM: Final = (
    "from",
    "sender",
    "reply_to",
    "reply-to",
    "replyto",
    "author",
    "sender_email",
    "from_email",
    "organizer",
)
_PROTOCOL: Final = frozenset(
    {"type", "mimeType", "_meta", "isError", "resultType", "annotations", "role", "nextCursor"}
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from.

    Attributes:
        server: the upstream, "" for the caller.
        others: outsiders may have written it, whoever runs the server.
        kept: the tool shows a server's own records, as far as its name tells: no mail, no page, no reviews.
    """

    server: str
    trusted: bool
    private: bool
    others: bool
    kept: bool = False

    @property
    def foreign(self) -> bool:
        """Whether outsiders wrote it, where no server is declared trusted: private records are then not theirs."""
        return self.others and not (self.private and self.kept)

    @property
    def bits(self) -> int:
        """What is known of a value that it shows."""
        if not self.server:
            return OWN
        bits = UNTRUSTED if self.others or not self.trusted else TRUSTED
        bits |= FOREIGN if self.others else KEPT
        bits |= 0 if self.foreign else KEPT
        return bits | PRIVATE if self.private else bits


CALLER: Final = Source("", trusted=True, private=False, others=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request in outsiders' text.

    Attributes:
        strength: how plainly it asks (`guard/requests.py`).
        roles: the deeds it names, as roles of tools.
        packed: hashes of its words, four bytes each, in order.
        place: hashes of what the call that fetched it named: where outsiders can write, they can mostly read.
    """

    strength: int
    roles: frozenset[str]
    packed: bytes
    place: frozenset[int] = frozenset()

    @property
    def stems(self) -> frozenset[int]:
        """Hashes of its words."""
        return frozenset(self.words)

    @property
    def words(self) -> memoryview:
        """The same, to be walked through: a set of each would take most of the memory of a trace."""
        return memoryview(self.packed).cast("I")


@dataclass(slots=True)
class Delta:
    """What one message added to a trace: what is stored, and what other replicas read."""

    source: Source
    values: dict[int, int] = field(default_factory=dict)  # hash → bits
    shingles: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)  # of its text, as places in a filter
    asks: list[Ask] = field(default_factory=list)
    incomplete: bool = False

    def __bool__(self) -> bool:
        return bool(self.values or self.shingles or self.words or self.asks or self.incomplete)

    def pack(self) -> bytes:
        """The delta as bytes (JSON)."""
        asks = [[ask.strength, sorted(ask.roles), list(ask.words), sorted(ask.place)] for ask in self.asks]
        source = self.source
        members = [source.server, source.trusted, source.private, source.others, source.kept]
        return orjson.dumps(
            [members, list(self.values), list(self.values.values()), self.shingles, asks, self.incomplete, self.words]
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Delta:
        """Read what `pack` wrote."""
        members, keys, bits, found, asks, incomplete, said_words = orjson.loads(packed)
        said = [
            Ask(strength, frozenset(roles), array("I", stems).tobytes(), frozenset(place))
            for strength, roles, stems, place in asks
        ]
        return cls(Source(*members), dict(zip(keys, bits, strict=True)), found, said_words, said, incomplete)


class Trace:
    """The memory of one conversation."""

    __slots__ = (
        "asks",
        "foreign",
        "held",
        "incomplete",
        "kept",
        "records",
        "shingles",
        "sources",
        "trusting",
        "values",
    )

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.values: dict[int, int] = {}  # hash → bits | source << SHIFT
        self.shingles = Shingles()
        self.asks: dict[Ask, int] = {}  # → source
        self.foreign = Words()  # that outsiders wrote
        self.kept = Words()  # of private records
        self.held = Words()  # of private records of servers that are not declared trusted
        self.trusting = False  # the operator has declared some server trusted, so that the others are not
        self.records = Words()  # of servers that nobody has labelled, shown by tools that show no others' words
        self.incomplete = False

    def remember(self, body: JSON, source: Source, clear: JSON | None = None, asked: Any = None) -> Delta:
        """Take in what a message to the client says; return what was new.

        Args:
            body: as the client gets it: with tokens.
            clear: the same before redaction, where it differs. Its values are known to this process only.
            asked: the arguments that it answers, as labelled.
        """
        text = flat(body)
        if source.kept and _LETTER.search(text):  # somebody's message, whatever the tool is called
            source = replace(source, others=True, kept=False)
        delta = Delta(source)
        if len(text) > _MAX_TEXT:
            text, delta.incomplete = text[:_MAX_TEXT], True
        if text:
            low, bits = plain(text), source.bits
            parts = pieces(low)
            found = dict.fromkeys(map(hashed, (*identifying(parts), *names(text), *urls(low), *grouped(low))), bits)
            texts = [low, *map(plain, _hidden(text))] if any(map(_opaque, parts)) else [low]
            for part in texts[1:]:
                found |= dict.fromkeys(map(hashed, values(part)), bits)
            if bits & UNTRUSTED:
                place = frozenset(hashed(value) for value in values(plain(flat(asked)))) if asked else frozenset()
                for part in texts:
                    delta.asks += _asks(part, found, bits, place)
                _senders(low, found)
                if source.others and bill(low):
                    found = {key: known | BILLED for key, known in found.items()}
            delta.values = found
            delta.shingles = _sampled(parts)
            if (filtered := self._words(source)) is not None:
                delta.words = filtered.new(parts)
            if (
                source.others
                and len(parts) < _SAYING
                and _NOTHING.issuperset(parts[:1])
                and not delta.values
                and not delta.asks
            ):
                return Delta(source)  # "no match": nothing that could sway anybody
        self.absorb(delta)
        if clear is not None:
            known, shift = self.values, self.sources.index(source) << SHIFT if source in self.sources else 0
            low = plain(flat(clear)[:_MAX_TEXT])
            for value in map(hashed, (*values(low), *grouped(low))):
                if value not in known and len(known) < MAX_VALUES:
                    known[value] = source.bits | shift
        return delta

    def own(self, found: list[str]) -> Delta:
        """Take in values that the caller brought."""
        delta = Delta(CALLER, dict.fromkeys(map(hashed, found), OWN))
        self.absorb(delta)
        return delta

    def absorb(self, delta: Delta) -> None:
        """Take in a message's delta, one's own or another replica's; what was known already is taken out of it."""
        number = self._source(delta)
        known, shift = self.values, number << SHIFT
        for key, bits in list(delta.values.items()):
            before = known.get(key)
            if before is None:
                if len(known) < MAX_VALUES:
                    known[key] = bits | shift
                else:
                    delta.incomplete = True
                    del delta.values[key]
            elif before & bits != bits:
                known[key] = before | bits
            else:
                del delta.values[key]
        delta.shingles = self.shingles.add(delta.shingles, number)
        if delta.words and (filtered := self._words(delta.source)) is not None:
            filtered.add(delta.words)
        delta.asks = [ask for ask in delta.asks if ask not in self.asks]
        for ask in delta.asks:
            if len(self.asks) < MAX_ASKS:
                self.asks[ask] = number
            else:
                delta.incomplete = True
        delta.asks = delta.asks[:MAX_ASKS]
        self.incomplete |= delta.incomplete

    @property
    def labelled(self) -> bool:
        """Whether the operator has said anything of the servers that were read."""
        return self.trusting or any(source.server and source.private for source in self.sources)

    def outsiders(self, source: Source) -> bool:
        """Whether a source counts as outsiders' words."""
        return source.others if self.trusting else source.foreign

    def private(self, source: Source) -> bool:
        """Whether a source is declared private, or keeps records and nobody has declared anything."""
        return source.private or (source.kept and not self.labelled)

    def said_privately(self, word: str) -> bool:
        """Whether private records alone have a word."""
        if word in self.foreign:
            return False
        if self.trusting:
            return word in self.kept and word not in self.held and word not in self.records
        if self.labelled:
            return word in self.held and word not in self.records
        return word in self.records

    def said_by_others(self, word: str) -> bool:
        """Whether outsiders have said a word, and no private record has."""
        if word in self.kept:
            return False
        if word in self.foreign or (self.trusting and word in self.held):
            return True
        return self.labelled and word in self.records and word not in self.held

    def snapshot(self) -> list[Delta]:
        """Everything that is known, as few deltas: one for each source, in the order in which they were read."""
        deltas = [Delta(source, incomplete=self.incomplete) for source in self.sources]
        for key, bits in self.values.items():
            deltas[bits >> SHIFT].values[key] = bits & KNOWN
        for shingle, number in self.shingles:
            deltas[number].shingles.append(shingle)
        for ask, number in self.asks.items():
            deltas[number].asks.append(ask)
        done: list[Words] = []
        for delta in deltas:
            filtered = self._words(delta.source)
            if filtered is not None and filtered not in done:
                delta.words = filtered.places()
                done.append(filtered)
        return deltas

    def _words(self, source: Source) -> Words | None:
        if not source.others:
            return self.kept if source.private else None
        if not source.kept:
            return self.foreign
        return self.held if source.private else self.records

    def _source(self, delta: Delta) -> int:
        if delta.source in self.sources:
            return self.sources.index(delta.source)
        if len(self.sources) >= MAX_SOURCES:
            delta.incomplete = True
            return MAX_SOURCES - 1
        self.sources.append(delta.source)
        self.trusting |= bool(delta.source.server) and delta.source.trusted
        return len(self.sources) - 1


def _sampled(parts: list[str]) -> list[int]:
    found = shingles(parts)
    if len(found) > _SHINGLES_EACH:
        step = len(found) // _SHINGLES_EACH + 1
        found = [shingle for shingle in found if shingle % step == 0]
    return found


def _asks(low: str, found: dict[int, int], bits: int, place: frozenset[int]) -> list[Ask]:
    """The requests in a text; the values in and after each are marked in `found`."""
    said = []
    for start, end, strength in requests(low):
        for value in values(low[start : end + _NEAR]):
            found[hashed(value)] = bits | REQUESTED
        named = words(low[start:end])
        of_writer = [ME] if _OF_WRITER.search(low, start, end) else []
        stems = array("I", sorted(stemmed([*named, *of_writer]))).tobytes()
        said.append(Ask(strength, _ROLES.setdefault(roles := roles_in(named), roles), stems, place))
    return said


def roles_in(named: list[str]) -> frozenset[str]:
    """The roles of the deeds that the words of a sentence name."""
    return frozenset(_ROLE_OF_FORM[word] for word in named if word in _ROLE_OF_FORM)


_ROLES: Final[dict[frozenset[str], frozenset[str]]] = {}  # the same few sets, over and over


def _opaque(part: str) -> bool:
    return len(part) > 23 and ("%" in part or _RUN.fullmatch(part) is not None)


def _hidden(text: str) -> list[str]:
    """What base64, hex and percent signs hide in a text that has long runs of such."""
    found: list[str] = []
    for run in [part for part in pieces(text) if _opaque(part)][:32]:
        if "%" in run or not (run.islower() or run.isupper()) or _HEX.fullmatch(run):
            found += [said for said in decoded(run, turned=False) if " " in said or "@" in said or "." in said]
    return found[:32]


def _senders(low: str, found: dict[int, int]) -> None:
    """Mark who wrote a message: what stands in a member or header that says so."""
    for line in low.split("\n"):
        label, colon, rest = line.partition(":")
        if colon and label.strip(" \"'") in _FROM:
            for value in values(rest[:120]):
                key = hashed(value)
                if key in found:
                    found[key] |= SENDER


def flat(body: JSON) -> str:
    """The text of a message: one line per value, `key: value`; text that is JSON is taken apart."""
    lines: list[str] = []
    stack: list[tuple[str, Any, bool]] = [("", body, True)]
    while stack:
        key, value, envelope = stack.pop()
        kind = type(value)
        if kind is str:
            if value:
                inner = _json(value)
                if inner is not None:
                    stack.append((key, inner, False))
                elif not (envelope and len(value) > 256 and key in ("data", "blob")):
                    lines.append(f"{key}: {value}" if key and not (envelope and key == "text") else value)
        elif kind is dict:
            stack += [
                (k, v, _envelope(k, envelope)) for k, v in reversed(value.items()) if not (envelope and k in _PROTOCOL)
            ]
        elif kind is list:
            stack += [(key, item, envelope) for item in reversed(value)]
        elif kind is int or kind is float:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)


def _envelope(key: str, above: bool) -> bool:
    return above and key in ("content", "contents", "messages", "resource", "text", "data", "blob")


def _json(text: str) -> Any:
    if text[0] not in "{[":
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def leaves(body: Any) -> Iterator[tuple[str, str, str | int | float]]:
    """Yield `(pointer, nearest key, value)` of every string and number of the arguments."""
    stack: list[tuple[str, str, Any]] = [("", "", body)]
    while stack:
        path, key, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}/{_step(str(k))}", str(k), v) for k, v in reversed(value.items())]
        elif isinstance(value, list):
            stack += [(f"{path}/{index}", key, item) for index, item in reversed(list(enumerate(value)))]
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield path, key, value


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
