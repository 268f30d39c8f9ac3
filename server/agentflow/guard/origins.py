"""Who brought what an argument names: the caller, records and trusted servers, or outsiders only.

It goes by where values and words were shown, not by what a text says. It promises `strange` only of what no private
record, no trusted server and no earlier argument has held.
"""

from __future__ import annotations

import codecs
from typing import Final

from agentflow.guard.arguments import Part
from agentflow.guard.sinks import words_of
from agentflow.guard.trace import FIELD, FOREIGN, INSIDE, KEPT, KNOWN, OWN, PROSE, SHIFT, TRUSTED, Trace
from agentflow.guard.values import domain_of, hashed, host_of


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LONGEST: Final = 200  # characters of something that names
# Members that say how, not whom or what, and what they say.
_MANNER: Final = _set(
    "role roles permission permissions access level scope type kind status state method mode format events label "
    "labels visibility currency priority language theme sort order asset severity color colour unit units "
    "amount quantity count nights passengers days total price sum date day time start end"
)
_EDGES: Final = ".:-/&#@"


_GENERAL: Final = _set("info contact contacts sales support office hello team admin help press jobs billing mail post")
_RUN: Final = 4  # digits of a number that is known by its parts
_ACCOUNT: Final = 10  # digits of an account or a telephone number
_DIGITS: Final = 34  # of an account at most (ISO 13616)
_COVERED: Final = 0.6  # of its digits


def foreign(trace: Trace, value: str) -> int:
    """What is known of a value that outsiders alone have shown, 0 for any other; a URL counts by its host.

    So does one that they have shown in disguise (`disguised`).
    """
    bits = trace.values.get(hashed(value), 0)
    if bits:
        return _outside(trace, bits)
    if "://" in value:
        host = host_of(value)
        return _outside(trace, trace.values.get(hashed(host), 0) or trace.values.get(hashed(domain_of(host)), 0))
    return disguised(trace, value)


def _outside(trace: Trace, bits: int) -> int:
    """`bits` where they are of a value that outsiders alone have shown, else 0."""
    if not bits & FOREIGN or bits & (OWN | TRUSTED):
        return 0
    if bits & (PROSE | FIELD) == PROSE:  # in a remark, a review, a description: whoever keeps the record
        return bits
    if bits & KEPT and not bits & INSIDE and (bits & FIELD or not trace.trusting):  # a contact, a payee: of his records
        return 0
    # Where no server has a label, tools that show no messages or pages are taken for the caller's own records.
    return bits if trace.labelled or not trace.sources[bits >> SHIFT].kept else 0


def disguised(trace: Trace, value: str) -> int:
    """What is known of the outsiders' value behind one that nobody has shown in this form, else 0.

    It was shown backwards or in rot13, a mail address in its two halves, a number in groups.
    """
    known = trace.values.get
    name, at, host = value.rpartition("@")
    if at and name:
        for turned in (value[::-1], codecs.decode(value, "rot13")):
            if bits := _outside(trace, known(hashed(turned), 0)):
                return bits
        bits = _outside(trace, known(hashed(host), 0))
        if bits and _outside(trace, known(hashed(name), 0)):
            return bits
        return bits if bits and len(name) > 3 and name not in _GENERAL and trace.said_by_others(name) else 0
    digits = "".join(filter(str.isdigit, value))
    if "/" in value or not _ACCOUNT <= len(digits) <= _DIGITS or 2 * len(digits) < len(value):
        return 0
    return _in_groups(trace, digits)


def _in_groups(trace: Trace, digits: str) -> int:
    """What is known of groups of digits that make up most of a number."""
    at = covered = found = 0
    while at + _RUN <= len(digits):
        for end in range(len(digits), at + _RUN - 1, -1):
            if bits := trace.values.get(hashed(digits[at:end]), 0):
                if _outside(trace, bits):
                    found = found or bits
                    covered += end - at
                at = end
                break
        else:
            at += 1
    return found if covered >= _COVERED * len(digits) else 0


def names_something(part: Part) -> bool:
    """Whether an argument says whom or what a call is about, and not how it is done or what is said."""
    return len(part.text) <= _LONGEST and not part.is_content and not is_manner(part)


def is_manner(part: Part) -> bool:
    """Whether an argument says how, when or how many."""
    return not _MANNER.isdisjoint(words_of(part.key))


def strange(trace: Trace, part: Part) -> bool:
    """Whether what an argument names is known from outsiders only, word for word."""
    known = [value for value in part.found if trace.values.get(hashed(value), 0) & KNOWN]
    if part.shown:
        if not known:
            return any(disguised(trace, value) for value in part.found)
        return all(foreign(trace, value) for value in known)
    told = said(part)
    return bool(told) and all(trace.said_by_others(word) for word in told)


def said(part: Part) -> list[str]:
    """The words of an argument by which it can be known again."""
    bare = [piece.strip(_EDGES) for piece in part.pieces]
    return [word for word in bare if len(word) > 3 or (len(word) > 1 and word.isdigit())]
