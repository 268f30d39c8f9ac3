"""Makes `guard/injection_rules.index`: the shipped rules, with the words without which no pattern can match.

`python -m agentflow.guard.training.rule_index` writes the file anew from `injection_rules*.yaml`; a test says when it
is out of date. What it promises of a pattern's needs: a text that lacks every word of one of them cannot match it.
It never promises the reverse. Patterns are parsed with the parser of the standard library, whose syntax the rules
keep to; what it cannot tell about a part of a pattern, it says nothing about.

A need is any of several keys (`guard.rule_words`): the first letters of a word, or a script in which the pattern has
a literal. After R. Cox, "Regular Expression Matching with a Trigram Index" (2012), with words for trigrams.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

from agentflow.guard import rule_file, rule_words
from agentflow.guard.rule_words import LONG, SIZES, script

_MOST_STRINGS: Final = 200  # alternatives of a part that are told apart
_MOST_KEYS: Final = 320
_NEEDS: Final = 4  # of a pattern that are kept
# Percent of harmless tool results that hold a key, roughly; of others, 1. A need for what is rare says more.
_MOST: Final = "a and for in is not on the to"
_MANY: Final = "add all at be call can de des file from i if name new off please ref this use user with"
_SOME: Final = (
    "you account act address after an any are as back before book chan chec comp confirm cons contact copy data dis "
    "do emai email files firs get have info inst inte invo invoice last list log mail main may next no note now "
    "office open opti orde order our pass pay phone re read rece repo retu run see send serv set stat sys syst test "
    "that und upda version when will work writ your"
)
_FEW: Final = (
    "about als also ban canc change command commit content crea details die documen even false first free has here "
    "include information install instead instruc into item link make message move need old one only other output "
    "over page path payment post prin provide receive remove report request return review row save sent service "
    "should some start state step system team text them true two update url used view want was what who"
)
_COMMON: Final = {
    **dict.fromkeys(_MOST.split(), 30.0), **dict.fromkeys(_MANY.split(), 15.0),
    **dict.fromkeys(_SOME.split(), 8.0), **dict.fromkeys(_FEW.split(), 4.0),
    **dict.fromkeys(("=<", "=[", "={", "=#"), 12.0), "=</": 8.0, "=<!": 6.0, "=##": 3.0, "=|": 6.0,
}  # fmt: skip
_UNKNOWN: Final = "\x01"  # a border of a string where a letter may stand
_APART: Final = " "  # one where none can
_EDGES: Final = "\x02\x03"
_LEFT, _RIGHT = _EDGES  # the edges of a part: what stands beyond decides
_SIGNS: Final = "<[{|#!]}>=/$"  # signs that are kept in strings


@dataclass(frozen=True, slots=True)
class _Part:
    """What is known of a part of a pattern.

    Attributes:
        strings: all it can match (runs of signs as one blank), or None.
        needs: clauses of strings, one of which each match holds.
        first, last: the border at its ends, if `strings` is None.
        empty: it may match nothing.
    """

    strings: frozenset[str] | None
    needs: tuple[frozenset[str], ...] = ()
    first: str = _UNKNOWN
    last: str = _UNKNOWN
    empty: bool = False


_ANYTHING: Final = _Part(None)
_SIGN: Final = _Part(frozenset({_APART}))


def needs(pattern: str) -> list[list[str]]:
    """The needs of a pattern (as `rule_file.expanded` has it), the most telling first.

    Raises:
        ValueError: none can be told: the pattern would be tried on every text.
    """
    parsed = _parser.parse(pattern.replace(r"\z", r"\Z"), re.MULTILINE)
    part = _sequence(list(parsed))
    clauses = [*part.needs, *([_bordered(part.strings)] if part.strings else [])]
    found = {keys for clause in clauses for rank in (0, 1, 2) if (keys := _keys(clause, rank))}
    ranked = sorted((keys for keys in found if len(keys) <= _MOST_KEYS), key=lambda keys: (_cost(keys), sorted(keys)))
    if not ranked:
        raise ValueError(f"no text can be told not to match {pattern[:80]!r}…: give it a literal word")
    return [sorted(keys) for keys in ranked[:_NEEDS]]


def _cost(keys: Iterable[str]) -> float:
    """About how many harmless texts of a hundred hold one of the keys."""
    rest = 1.0
    for key in sorted(keys):
        rest *= 1 - _COMMON.get(key, 1.0) / 100
    return 1 - rest


def _keys(strings: Iterable[str], rank: int = 0) -> frozenset[str]:
    """The best key of each string, or its next best ones (`rank`, or the last it has); empty if one has none."""
    keys = set()
    for string in strings:
        own = sorted(set(_string_keys(string)), key=lambda key: (_COMMON.get(key, 1.0), -len(key), key))
        if not own:
            return frozenset()
        keys.add(own[min(rank, len(own) - 1)])
    return frozenset(keys)


def _string_keys(string: str) -> Iterator[str]:
    for match in re.finditer(rf"[a-z]+|[^\x00-\x7f]+|[{re.escape(_SIGNS)}]+", string):
        run, before, after = match.group(), string[match.start() - 1], string[match.end()]
        if run[0] in _SIGNS:
            yield f"={run[:2]}"
        elif not run.isascii():
            yield script(run[0])
        elif not _letter(before) and before not in _EDGES:
            free = _letter(after) or after in _EDGES
            if size := len(run) if not free else max((size for size in SIZES if size <= len(run)), default=0):
                yield run[: min(size, LONG)]


# --------------------------------------------------------------------------- the parts of a pattern


def _sequence(items: list[Any]) -> _Part:
    parts = [_part(item) for item in items]
    strings, start, found = frozenset({""}), 0, []
    for at, part in enumerate(parts):
        joined = None
        if part.strings is not None:
            joined = frozenset(_squeezed(a + b) for a in strings for b in part.strings)
        if joined is not None and len(joined) <= _MOST_STRINGS:
            strings = joined
            continue
        found.append(_between(_bordered(strings), parts[:start], parts[at:]))
        found += [_between(clause, parts[:at], parts[at + 1 :]) for clause in part.needs]
        strings, start = part.strings or frozenset({""}), at if part.strings else at + 1
    if start == 0:
        return _Part(strings, empty="" in strings)
    found.append(_between(_bordered(strings), parts[:start], []))
    clauses = tuple(clause for clause in found if clause)
    empty = all(_vanishes(part) for part in parts)
    return _Part(None, clauses, _border(parts, 0), _border(parts[::-1], -1), empty)


def _bordered(strings: Iterable[str]) -> frozenset[str]:
    """Strings between the edges of their part; none if that may be nothing."""
    found = frozenset(f"{_LEFT}{string}{_RIGHT}" for string in strings)
    return frozenset() if _LEFT + _RIGHT in found else found


def _hoped(clause: frozenset[str]) -> frozenset[str]:
    """A clause as it will be if nothing but signs stands beside its part."""
    return _between(clause, [_SIGN], [_SIGN])


def _between(clause: frozenset[str], before: list[_Part], after: list[_Part]) -> frozenset[str]:
    """A clause of a part that stands between others: its edges become their borders."""
    left, right = _border(before[::-1], -1, _LEFT), _border(after, 0, _RIGHT)
    return frozenset(string.replace(_LEFT, left).replace(_RIGHT, right) for string in clause)


def _border(parts: Iterable[_Part], at: int, beyond: str = _UNKNOWN) -> str:
    """The border at the near end (0: their first, -1: their last) of parts in a row, the nearest first."""
    for part in parts:
        if part.strings is not None:
            if any(string and _letter(string[at]) for string in part.strings):
                return _UNKNOWN
        elif (part.last if at else part.first) != _APART:
            return _UNKNOWN
        if not _vanishes(part):
            return _APART
    return beyond


def _squeezed(string: str) -> str:
    return re.sub(" {2,}", " ", string)


def _part(item: tuple[Any, Any]) -> _Part:
    operator, value = item
    if operator is _constants.LITERAL:
        return _Part(frozenset({_shown(chr(value))}))
    if operator is _constants.AT:
        return _SIGN
    if operator is _constants.IN:
        return _class(value)
    if operator is _constants.SUBPATTERN:
        return _sequence(list(value[-1]))
    if operator is _constants.BRANCH:
        return _choice([_sequence(list(branch)) for branch in value[1]])
    if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
        return _repeated(value[0], value[1], _sequence(list(value[2])))
    return _ANYTHING


def _shown(char: str) -> str:
    """A letter as it is, and a few signs; any other as a blank."""
    return char if char > "\x7f" or "a" <= char <= "z" or char in _SIGNS else _APART


def _letter(char: str) -> bool:
    return "a" <= char <= "z" or char == _UNKNOWN


def _class(members: list[tuple[Any, Any]]) -> _Part:
    chars: set[str] = set()
    for operator, value in members:
        if operator is _constants.LITERAL:
            chars.add(chr(value))
        elif operator is _constants.RANGE and value[1] <= 0x7F:
            chars |= set(map(chr, range(value[0], value[1] + 1)))
        elif operator is _constants.CATEGORY and value in (_constants.CATEGORY_SPACE, _constants.CATEGORY_DIGIT):
            chars.add(_APART)
        else:
            return _ANYTHING
    told = {char if _letter(char) or char > "\x7f" else _APART for char in chars}
    return _Part(frozenset(told)) if len(told) <= 4 else _ANYTHING


def _choice(parts: list[_Part]) -> _Part:
    if all(part.strings is not None for part in parts):
        strings = frozenset(string for part in parts for string in part.strings or ())
        if len(strings) <= _MOST_STRINGS:
            return _Part(strings, empty="" in strings)
    clause: set[str] = set()
    for part in parts:
        own = [_bordered(part.strings)] if part.strings is not None else list(part.needs)
        keyed = [(_cost(keys), sorted(each)) for each in own if (keys := _keys(_hoped(each)))]
        if not keyed:
            clause.clear()
            break
        clause.update(min(keyed)[1])
    first, last = (_APART if all(_border([part], at) == _APART for part in parts) else _UNKNOWN for at in (0, -1))
    return _Part(None, (frozenset(clause),) if clause else (), first, last, any(_vanishes(part) for part in parts))


def _vanishes(part: _Part) -> bool:
    return part.empty or (part.strings is not None and "" in part.strings)


def _repeated(least: int, most: int, part: _Part) -> _Part:
    if part.strings == _SIGN.strings:
        return _SIGN if least else _Part(frozenset({"", _APART}), empty=True)
    if most == 1:
        if part.strings is not None:
            return part if least else _Part(part.strings | {""}, empty=True)
        return part if least else _Part(None, (), part.first, part.last, empty=True)
    kept = (_bordered(part.strings),) if part.strings else part.needs
    kept = tuple(_between(clause, [_ANYTHING], [_ANYTHING]) for clause in kept)
    first, last = _border([part], 0), _border([part], -1)
    return _Part(None, kept if least else (), first, last, empty=not least or _vanishes(part))


# --------------------------------------------------------------------------- the file


def index() -> bytes:
    """The file's content, JSON; the file is that through zlib."""
    texts = rule_file.sources()
    definitions, raws = rule_file.parsed(texts)
    clauses: dict[tuple[str, ...], int] = {}
    rules = []
    for raw in raws:
        wanted = []
        for pattern in raw["patterns"]:
            own = [tuple(keys) for keys in needs(rule_file.expanded(pattern, definitions))]
            wanted.append([clauses.setdefault(keys, len(clauses)) for keys in own])
        severity = {name: rule_file.severity(raw, name) for name in rule_file.surfaces(raw)}
        english = set(raw["languages"]) <= {"en", "any"}
        rules.append([raw["id"], raw["category"], english, severity, raw["patterns"], raw.get("unless", ""), wanted])
    content = {"rules": rules, "define": definitions, "clauses": list(clauses)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def main() -> None:
    """Write the file."""
    Path(rule_file.__file__).with_name(rule_words.INDEX).write_bytes(zlib.compress(index(), 9))


if __name__ == "__main__":
    main()
