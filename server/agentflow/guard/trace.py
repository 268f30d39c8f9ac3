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
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from agentflow.guard.flow import Flow
from agentflow.guard.messages import Lines, flat, hidden, is_letter, lines_of, opaque, secrets, senders
from agentflow.guard.places import place_of
from agentflow.guard.requests import bill, requests
from agentflow.guard.sinks import NOUN_OF, ROLE_OF
from agentflow.guard.sketches import Shingles, Values, Words
from agentflow.guard.values import (
    grouped,
    hashed,
    names,
    phones,
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
SECRET = 512  # it stood beside the word password, token or the like
PROSE, FIELD = 1024, 2048  # it stood in a sentence of a record; it was a member of its own
INSIDE = 4096  # it stood in a sentence that asks, not only near one
TOLD = 8192  # and that is said to software
KNOWN: Final = 0x3FFF
SHIFT: Final = 14  # the number of the source that showed it first stands above the bits

MAX_VALUES: Final = 3072
MAX_ASKS: Final = 96
MAX_SOURCES: Final = 64
_MANY_SOURCES: Final = 48  # from here on places are not told apart
_MAX_TEXT: Final = 200_000  # characters of one message
_SHINGLES_EACH: Final = 512  # of one message; longer ones are sampled
_SAYING: Final = 4  # parts of a text that can say something
_NOTHING: Final = frozenset(["no", "none", "nothing", "not", "empty", "0"])  # how an empty result begins
_MAX_HEARD: Final = 32
_ASKING: Final = 2048  # bytes, a power of two
_MAX_PLANTED: Final = 128
_PLAIN: Final = 2  # the strength of what is said to people
_NEAR: Final = 160  # characters after a request in which a value belongs to it
_TELLING: Final = dict.fromkeys(("inform", "tell", "relay", "state", "spread", "mention"), "send")
# Verbs in the forms they take: `share`, `shares`, `shared`, `sharing`.
_ROLE_OF_FORM: Final = {
    form: role
    for verb, role in (NOUN_OF | ROLE_OF | _TELLING).items()
    for form in (
        *(verb, f"{verb}s", f"{verb}ed", f"{verb}d", f"{verb}ing", f"{verb[:-1]}ing", f"{verb}{verb[-1]}ed"),
        *((f"{verb[:-1]}ies", f"{verb[:-1]}ied") if verb.endswith("y") else ()),
    )
}
ME: Final = "\0me"  # among the words of a request that speaks of its writer
_OF_WRITER: Final = re.compile(r"\b(?:me|us)\b")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from.

    Attributes:
        server: the upstream, "" for the caller.
        others: outsiders may have written it, whoever runs the server.
        kept: the tool shows a server's own records, as far as its name tells: no mail, no page, no reviews.
        place: which part of a private server (`guard/places.py`), 0 for none.
    """

    server: str
    trusted: bool
    private: bool
    others: bool
    kept: bool = False
    place: int = 0

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
        members = [source.server, source.trusted, source.private, source.others, source.kept, source.place]
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
        "_asking",
        "_heard",
        "asks",
        "billed",
        "compared",
        "foreign",
        "held",
        "incomplete",
        "kept",
        "planted",
        "records",
        "shingles",
        "sources",
        "told",
        "trusting",
        "values",
    )

    def __init__(self) -> None:
        self._asking = bytearray(_ASKING)  # a filter of the stems of all requests
        self._heard: set[int] = set()  # digests of messages that held nothing new
        self.compared: dict[int, Flow] = {}  # digests of calls → what was found, while nothing new is read
        self.sources: list[Source] = []
        self.values = Values()  # hash → bits | source << SHIFT
        self.shingles = Shingles()
        self.asks: dict[Ask, int] = {}  # → source
        self.foreign = Words()  # that outsiders wrote
        self.kept = Words()  # of private records
        self.held = Words()  # of private records of servers that are not declared trusted
        self.trusting = False  # the operator has declared some server trusted, so that the others are not
        self.records = Words()  # of servers that nobody has labelled, shown by tools that show no others' words
        self.told = Words()  # of servers that are declared trusted and hold nothing private
        self.incomplete = False
        self.planted: dict[int, str] = {}  # values of outsiders that a call has written → the server it wrote to
        self.billed = False  # outsiders have sent a bill

    def remember(self, body: JSON, source: Source, clear: JSON | None = None, asked: Any = None) -> Delta:
        """Take in what a message to the client says; return what was new.

        Args:
            body: as the client gets it: with tokens.
            clear: the same before redaction, where it differs. Its values are known to this process only.
            asked: the arguments that it answers, as labelled.
        """
        heard = digest(source, body, clear, asked)
        if heard in self._heard:
            return Delta(source)  # the same again, and nothing was taken in since
        text = flat(body)
        low = plain(text)
        lines = lines_of(low[:_MAX_TEXT])
        if source.kept and (is_letter(text, low) or (not source.trusted and lines.contributed)):
            source = replace(source, others=True, kept=False)  # somebody's message, whatever the tool is called
        if source.others and source.private and len(self.sources) < _MANY_SOURCES:
            source = replace(source, place=place_of(asked))
        delta = Delta(source)
        if len(text) > _MAX_TEXT:
            text, low, delta.incomplete = text[:_MAX_TEXT], low[:_MAX_TEXT], True
        parts = pieces(low)
        if text and not self._read(delta, text, low, parts, lines, asked):
            return delta  # "no match": nothing that could sway anybody
        self.absorb(delta)
        if clear is not None:
            shown = set(low.split("\n"))
            cleared = plain(flat(clear)[:_MAX_TEXT]).split("\n")
            self._know(source, "\n".join([line for line in cleared if line not in shown]), parts)
        if heard and len(self._heard) < _MAX_HEARD:
            self._heard.add(heard)
        return delta

    def _read(self, delta: Delta, text: str, low: str, parts: list[str], lines: Lines, asked: Any) -> bool:
        """Fill `delta` with what a text says; False where that is nothing."""
        source, bits, said = delta.source, delta.source.bits, set(parts)
        found = dict.fromkeys(map(hashed, (*names(text), *urls(low), *grouped(low, said))), bits)
        inner = list(map(plain, hidden(text))) if any(map(opaque, [part for part in said if len(part) > 23])) else []
        for part in inner:
            found |= dict.fromkeys(map(hashed, values(part)), bits)
        if bits & UNTRUSTED:
            for part in (low, *inner):
                delta.asks += _asks(part, found, bits, asked)
        _place(found, lines.spread(said), bits)
        if bits & UNTRUSTED:
            for key in map(hashed, senders(low)):
                found[key] = found.get(key, bits) | SENDER
            if source.others and bill(low):
                found = {key: known | BILLED for key, known in found.items()}
        if not source.others or source.kept:
            found |= dict.fromkeys(map(hashed, lines.people), bits)
        if source.private or source.kept:
            for value in values("\n".join(secrets(low, parts))):
                found[hashed(value)] = found.get(hashed(value), bits) | SECRET
        if source.others and len(parts) < _SAYING and not found and not delta.asks and _NOTHING.issuperset(parts[:1]):
            return False
        if self.planted:  # what was put there by a call of this conversation is no more trusted for coming back
            found = {key: known for key, known in found.items() if self.planted.get(key) != source.server}
        delta.values = found
        delta.shingles = _sampled(parts)
        if (filtered := self._words(source)) is not None:
            delta.words = filtered.new(said)
        return True

    def _know(self, source: Source, low: str, shown: list[str]) -> None:
        """Take in the values of a text that was shown with tokens in their places: they are known to this process."""
        parts = pieces(low)
        said = set(parts).difference(shown)
        found = dict.fromkeys(map(hashed, (*grouped(low, said), *phones(low, said))), source.bits)
        _place(found, lines_of(low).spread(said), source.bits)
        for value in secrets(low, parts):
            if (key := hashed(value)) in found:
                found[key] |= SECRET
        known, shift = self.values, self.sources.index(source) << SHIFT if source in self.sources else 0
        for key, bits in found.items():
            if not known.get(key) and len(known) < MAX_VALUES:
                known.put(key, bits | shift)

    def own(self, found: list[str]) -> Delta:
        """Take in values that the caller brought."""
        delta = Delta(CALLER, dict.fromkeys(map(hashed, found), OWN))
        self.absorb(delta)
        return delta

    def plant(self, found: list[str], server: str) -> None:
        """Note that values which outsiders showed were written to a server."""
        for key in map(hashed, found):
            if len(self.planted) < _MAX_PLANTED and self.values.get(key) & UNTRUSTED:
                self.planted.setdefault(key, server)

    def absorb(self, delta: Delta) -> None:
        """Take in a message's delta, one's own or another replica's; what was known already is taken out of it."""
        number = self._source(delta)
        known, shift = self.values, number << SHIFT
        if delta.values:
            self.billed = self.billed or any(bits & BILLED for bits in delta.values.values())
            fits = known.merge(delta.values, shift, MAX_VALUES)
            delta.incomplete |= not fits
        delta.shingles = self.shingles.add(delta.shingles, number)
        if delta.words and (filtered := self._words(delta.source)) is not None:
            filtered.add(delta.words)
        delta.asks = [ask for ask in delta.asks if ask not in self.asks]
        for ask in delta.asks:
            if len(self.asks) < MAX_ASKS:
                self.asks[ask] = number
                for stem in ask.words:
                    self._asking[stem >> 3 & _ASKING - 1] |= 1 << (stem & 7)
            else:
                delta.incomplete = True
        delta.asks = delta.asks[:MAX_ASKS]
        self.incomplete |= delta.incomplete
        if delta:
            self._heard.clear()
            self.compared.clear()

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
        """Whether outsiders have said a word, and neither private records, nor trusted servers, nor the caller."""
        if word in self.kept or word in self.told or self.values.get(hashed(word)) & OWN:
            return False
        if not self.labelled:
            return word in self.foreign and word not in self.records
        if word in self.foreign or (self.trusting and word in self.held):
            return True
        return word in self.records and word not in self.held

    def known(self, value: str) -> bool:
        """Whether some result, or the caller in an earlier call, has shown a value."""
        return bool(self.values.get(hashed(value)) & KNOWN & ~OWN)

    def unsaid(self, word: str) -> bool:
        """Whether no result has held a word so far."""
        return not (word in self.foreign or word in self.held or word in self.records or word in self.kept)

    def asked_of(self, stems: Iterable[int]) -> bool:
        """Whether every one of these stems may stand in some request: the quick look before the long one."""
        bits = self._asking
        return all(bits[stem >> 3 & _ASKING - 1] & 1 << (stem & 7) for stem in stems)

    def snapshot(self) -> list[Delta]:
        """Everything that is known, as few deltas: one for each source, in the order in which they were read."""
        deltas = [Delta(source, incomplete=self.incomplete) for source in self.sources]
        for key, bits in self.values:
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
        if not source.server:
            return None
        if not source.others:
            return self.kept if source.private else self.told
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


def _place(found: dict[int, int], spread: tuple[list[str], list[str], list[str]], bits: int) -> None:
    """Take in the values of a text with the place that each has in it."""
    for marks, some in zip((FIELD, PROSE, 0), spread, strict=True):
        for key in map(hashed, some):
            found[key] = found.get(key, bits) | marks


def digest(*what: Any) -> int:
    """By which a message or a call is known again within this process; 0 for what cannot be written as JSON."""
    try:
        return hash(orjson.dumps(what))
    except TypeError:
        return 0


def _asks(low: str, found: dict[int, int], bits: int, asked: Any) -> list[Ask]:
    """The requests in a text; the values in and after each are marked in `found`."""
    said: list[Ask] = []
    asking = requests(low)
    place = frozenset(map(hashed, values(plain(flat(asked))))) if asked and asking else frozenset()
    for start, end, strength in asking:
        inside = REQUESTED | INSIDE | (TOLD if strength > _PLAIN else 0)
        for part, marks in ((low[start:end], inside), (low[end : end + _NEAR], REQUESTED)):
            for key in map(hashed, values(part)):
                found[key] = found.get(key, bits) | marks
        named = words(low[start:end])
        of_writer = [ME] if _OF_WRITER.search(low, start, end) else []
        stems = array("I", sorted(stemmed([*named, *of_writer]))).tobytes()
        said.append(Ask(strength, _ROLES.setdefault(roles := roles_in(named), roles), stems, place))
    return said


def roles_in(named: list[str]) -> frozenset[str]:
    """The roles of the deeds that the words of a sentence name."""
    return frozenset(_ROLE_OF_FORM[word] for word in named if word in _ROLE_OF_FORM)


_ROLES: Final[dict[frozenset[str], frozenset[str]]] = {}  # the same few sets, over and over
