"""Whether a call does what a sentence in outsiders' text asks for (`guard/requests.py` finds the sentences).

It holds tool and arguments against the words and values of each request. It promises the plainest request that fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agentflow.guard.arguments import Part
from agentflow.guard.carried import Evidence
from agentflow.guard.deeds import BUILDS, RISKY
from agentflow.guard.flow import Asked
from agentflow.guard.origins import foreign, is_manner
from agentflow.guard.sinks import DOING, words_of
from agentflow.guard.sketches import Values
from agentflow.guard.trace import INSIDE, KNOWN, ME, OWN, REQUESTED, SENDER, TRUSTED, Ask, Trace
from agentflow.guard.values import hashed, stemmed, stems


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


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
_BY_ADDRESS: Final = ("://", "github:", "git+", "gitlab:", "registry", "index-url")
_TOLD: Final = 2  # words in common
_SOFTWARE: Final = 3  # the strength of what is said to software
_REPEATED: Final = 3  # words that are no accident
(_ME,) = stemmed([ME])


@dataclass(frozen=True, slots=True)
class _Deed:
    """A call, as it is held against requests."""

    role: str
    alike: frozenset[str]  # what a sentence may call it
    tool: frozenset[int]  # stems of its name
    parts: list[Part]
    short: list[tuple[Part, frozenset[int]]]  # the leaves that name something, with their stems
    short_numbers: list[tuple[Part, frozenset[int]]]  # those that are short numbers
    content: list[Part]
    carried: set[str]  # servers whose content it carries
    exposes: bool  # much private content of another server
    much: bool  # much private content
    links: list[frozenset[int]]  # stems of what is told to others with an address that outsiders ask about
    words: frozenset[int]  # stems of what names something, and of short content
    spoken: frozenset[int]  # stems of all of it, and of the tool's name


def asked_for(trace: Trace, parts: list[Part], tool: str, role: str, evidence: Evidence) -> Asked | None:
    """Whether the call does what a request in outsiders' text says."""
    if not trace.asks:
        return None
    doing = [part for part in parts if len(part.text) < 40 and not DOING.isdisjoint(words_of(part.key))]
    named = stems(" ".join((*words_of(tool), *(part.low.replace("_", " ") for part in doing))))
    short = [(part, stems(part.low) - named if doing else stems(part.low)) for part in parts if not part.is_content]
    deed = _Deed(
        role,
        _ALIKE.get(role, frozenset({role})),
        named,
        parts,
        [(part, words) for part, words in short if words and not (part.low.isdigit() and len(part.low) < 4)],
        [(part, words) for part, words in short if words and part.low.isdigit() and len(part.low) < 4],
        [part for part in parts if part.is_content],
        evidence.from_servers,
        {"bulk", "abroad"} <= evidence.carries,
        not evidence.carries.isdisjoint(("bulk", "secret")),
        [
            words
            for part in parts
            if role in ("send", "post") and part.is_content and _links(trace, part)
            if len(words := stems(part.low[:2000])) >= _REPEATED
        ],
        frozenset().union(
            *(words for _, words in short),
            *(stems(part.low) for part in parts if part.is_content and len(part.text) <= 80),
        ),
        named.union(*(stems(part.low[:2000]) for part in parts)),
    )
    best: tuple[int, str, int] | None = None
    spoken = deed.spoken.union(deed.words, (_ME,))
    naming = spoken if deed.links else deed.words.union(named, (_ME,))
    for ask, source in trace.asks.items():
        if (naming if ask.strength < _SOFTWARE else spoken).isdisjoint(ask.words):
            continue
        match = _matched(trace, deed, ask, trace.sources[source].server)
        if match and (best is None or (ask.strength, match) > best[:2]):
            best = (ask.strength, match, source)
    if best is None:
        return None
    if role == "execute" and not _dangerous(parts) and (best[0] < 2 or (best[0] < _SOFTWARE and _builds(parts))):
        return None
    strength, match, source = best
    return Asked((trace.sources[source].server,), "words" if match == "named" else "value", strength)


def _dangerous(parts: list[Part]) -> bool:
    return any(mark in part.low for part in parts for mark in _DANGEROUS) or any(map(RISKY.search, _lows(parts)))


def _builds(parts: list[Part]) -> bool:
    """Whether a command only installs from the usual place, builds or tests: as every guide says."""
    lows = [low for low in _lows(parts) if " " in low]
    return bool(lows) and all(BUILDS.match(low) and not any(mark in low for mark in _BY_ADDRESS) for low in lows)


def _lows(parts: list[Part]) -> list[str]:
    return [part.low for part in parts]


def _matched(trace: Trace, deed: _Deed, ask: Ask, asker: str) -> str:
    """Return `value`, `named` (tool and content are what the request names) or "" (another call)."""
    if ask.strength >= _SOFTWARE and _is_told(deed, ask):
        return "value"
    if _is_repeated(deed, ask):
        return "value"
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
    manner = ask.strength > 1 and alike and named  # when and how many are said in other ways than asked for
    strange = [
        part
        for part, words in deed.short
        if not (asked and manner and is_manner(part)) and not _is_known(part, words, said, known)
    ]
    plainly = any(part.found for part in asked)  # by an id or an address, not by a word that many texts have
    naming = [part for part, _ in deed.short if not (manner and is_manner(part))]
    if asked and 2 * len(asked) >= len(naming) and len(asked) + plainly > len(strange):
        return "value" if ask.strength >= _SOFTWARE or _is_theirs(trace, deed) else ""
    if strange:
        return ""  # the caller has something else in mind
    if named and headed:
        return "value"
    of_it = deed.much or not (deed.spoken - deed.tool).isdisjoint(ask.words)
    if alike and named and of_it and deed.carried - {asker}:
        return "named"  # the content asked for, from where it was to be had
    if not deed.content:
        return "named" if named and (asked or ask.strength > 1 or not deed.short_numbers) else ""
    fits = ask.strength > 1 and any(not stems(part.low).isdisjoint(said) for part in deed.parts)
    return "named" if named and fits else ""


def _is_theirs(trace: Trace, deed: _Deed) -> bool:
    """Whether what is written is outsiders' own, by its words or an address, and not the caller's answer to it."""
    if deed.role not in ("write", "change") or not deed.content:
        return True
    for part in deed.content:
        if any(("://" in value or "@" in value[1:]) and foreign(trace, value) for value in part.found):
            return True
        words = [word for piece in part.pieces if len(word := piece.strip(".:-/&~")) > 4]
        if words and 2 * sum(map(trace.said_by_others, words)) >= len(words):
            return True
    return False


def _links(trace: Trace, part: Part) -> bool:
    """Whether an address or a handle that outsiders ask about is in what is said."""
    return any(foreign(trace, value) & INSIDE for value in part.found if "/" in value or value[0] in "@#")


def _is_repeated(deed: _Deed, ask: Ask) -> bool:
    """Whether what is said to others is the request's own words, with an address or a handle of it."""
    if not deed.links:
        return False
    asked = ask.stems
    return any(5 * len(words & asked) >= 4 * len(words) for words in deed.links)


def _is_told(deed: _Deed, ask: Ask) -> bool:
    """Whether a call has what software is told: a number of it, or several of its words."""
    if any(len(part.low) > 1 and words.issubset(ask.words) for part, words in deed.short_numbers):
        return True
    naming = [words for part, words in deed.short if not is_manner(part)]
    if naming and len(frozenset().union(*naming)) > 1 and all(words.issubset(ask.words) for words in naming):
        return True  # all that the call names
    return not ask.roles.isdisjoint(deed.alike) and len(deed.spoken.intersection(ask.words)) > _TOLD


def _is_asked(part: Part, words: frozenset[int], asked: frozenset[int], known: Values) -> bool:
    if part.leads and any(known.get(hashed(value), 0) & TRUSTED for value in part.found if not value.isalpha()):
        return False  # whom trusted records name, the caller deals with
    if part.leads and _ME in asked and any(known.get(hashed(value), 0) & SENDER for value in part.found):
        return True  # "give me …"
    both = (words,) if part.typed == part.low else (words, stems(part.typed))
    named = [found for found in both if not found.isdisjoint(asked)]
    if not named:
        return False
    if any((bits := known.get(hashed(value), 0)) & REQUESTED and not bits & OWN for value in part.found):
        return True
    return any(found <= asked for found in named)


def _is_known(part: Part, words: frozenset[int], asked: frozenset[int], known: Values) -> bool:
    """Whether it is named in the request, or was looked up to fulfil it."""
    return not words.isdisjoint(asked) or any(known.get(hashed(value), 0) & ~OWN & KNOWN for value in part.found)
