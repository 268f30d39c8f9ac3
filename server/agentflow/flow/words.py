"""Words of questions, tool names and field names, reduced so that equal meanings meet.

Light suffix stripping and a few groups of near-synonyms of general business language; no tool, server or
data set is named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP = _words(
    """
    a an the of placed place places for from by in on at to with without and or is are was were be been being am do does
    did done has have had having what which who whom whose when where why how many much that this
    these those there their its it his her hers him she he they them i me my mine we us our you your
    please can could would should will shall may might must tell show give say let know want need
    like about as if than then so not no any some all every each both only just also currently now
    right out up into onto per via much did please look find get list print belonging belong belongs
    called named whose one ones made placed there's exactly still yet ever kind sort as well along
    together value
    """
)

READ_VERBS = _words(
    """
    get list find search show fetch read lookup look query retrieve view describe count check
    calculate compute convert browse load select return returns give tell see summarize summarise
    compare sum average translate forecast estimate validate verify inspect explain report echo
    measure resolve locate scan
    """
)

WRITE_VERBS = _words(
    """
    create update delete remove send add set close open reopen cancel assign move post put write
    edit change archive approve reject book order buy pay refund insert drop rename upload submit
    publish schedule merge execute run restart stop start enable disable grant revoke reset transfer
    escalate mark tag comment reply notify email invite register subscribe unsubscribe ship store
    save note log append clear replace
    """
)

_GROUPS = """
price cost amount total charge fee worth
email mail
phone telephone mobile cell
date day created timestamp
city town location
customer client buyer account shopper patron
order purchase
ticket issue case complaint
product item article
employee staff worker colleague
person people
name title label
subject title headline
status state condition
quantity qty units
assignee owner agent responsible handler
page document article doc
text content body
category type kind class genre
department team division
manager boss supervisor lead
salary pay wage earnings
stock inventory available
id identifier reference
author writer
book volume
due deadline
description summary details
country nation
currency money
company firm organisation organization employer
birthday birth born birthdate
loan borrowing
member borrower
hired joined
priority urgency
"""

_SYNONYMS: dict[str, set[int]] = {}


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """Strip plural, -ed, -ing and a final e: `orders`, `ordered`, `ordering` → `order`."""
    w = word.lower()
    if len(w) > 4 and w.endswith("ies"):
        w = w[:-3] + "y"
    elif len(w) > 4 and w.endswith(("ses", "xes", "zes", "ches", "shes")):
        w = w[:-2]
    elif len(w) > 3 and w.endswith("s") and not w.endswith(("ss", "us", "is")):
        w = w[:-1]
    for suffix in ("ing", "ed"):
        if len(w) > len(suffix) + 3 and w.endswith(suffix):
            w = w[: -len(suffix)]
            if len(w) > 3 and w[-1] == w[-2] and w[-1] not in "lsz":
                w = w[:-1]
            break
    return w[:-1] if len(w) > 3 and w.endswith("e") else w


for _number, _line in enumerate(_GROUPS.strip().splitlines()):
    for _word in _line.split():
        _SYNONYMS.setdefault(stem(_word), set()).add(_number)


@lru_cache(maxsize=65536)
def parts(name: str) -> tuple[str, ...]:
    """Split an identifier or a text into lower-case words: `getHTTPUrl_v2` → get, http, url, v, 2."""
    return tuple(piece.lower() for piece in _CAMEL.findall(name))


@lru_cache(maxsize=65536)
def stems(text: str) -> tuple[str, ...]:
    """The stems of an identifier or a text, in order."""
    return tuple(stem(word) for word in parts(text))


@lru_cache(maxsize=65536)
def surface(text: str) -> tuple[str, ...]:
    """Words as they stand, for comparing values: `Cancelled` and `canceled` meet, `delivers` and `delivered` do not."""
    return tuple(word.replace("ll", "l") for word in parts(text))


def alike(a: str, b: str) -> float:
    """How near two stems are: 1 equal, 0.7 near-synonyms, else 0."""
    if a == b:
        return 1.0
    groups = _SYNONYMS.get(a)
    return 0.7 if groups and groups & _SYNONYMS.get(b, set()) else 0.0


def best_alike(word: str, among: Iterable[str]) -> float:
    """How near a stem is to the nearest of several."""
    return max((alike(word, other) for other in among), default=0.0)


def overlap(asked: Sequence[str], name: Sequence[str]) -> float:
    """How well a name answers to what was asked, 0..1: both must be covered, what was asked more."""
    if not asked or not name:
        return 0.0
    forward = sum(best_alike(a, name) for a in asked) / len(asked)
    backward = sum(best_alike(n, asked) for n in name) / len(name)
    return 0.6 * forward + 0.4 * backward


def synonyms(word: str) -> frozenset[str]:
    """The other stems that share a group with this one."""
    groups = _SYNONYMS.get(word, set())
    return frozenset(other for other, theirs in _SYNONYMS.items() if theirs & groups and other != word)
