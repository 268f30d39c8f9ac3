"""Tools that compute: which of a catalogue's tools are functions of plain values, and how a question names them.

A function takes numbers, dates, texts or lists and neither looks anything up nor writes. What it does is read from its
schema alone: two currencies and a number convert, two dates give a difference, a text and an enum give a form of it.
Nothing is known about any tool by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from typing import Literal as OneOf

from agentflow.flow.catalogue import Catalogue, Param, Tool, catalogue_of
from agentflow.flow.measures import KINDS, currency_of, unit_of
from agentflow.flow.port import ToolView
from agentflow.flow.words import parts, stem, stems

Kind = OneOf["unit", "currency", "difference", "shift", "day", "statistics", "sort", "percentage", "text", "number"]

_TEXT = frozenset(stems("text string value input content word phrase sentence"))
_DATE = frozenset(stems("date day start end begin since until datetime timestamp"))
_SOURCE = frozenset(stems("from source base"))
_TARGET = frozenset(stems("to target into dest"))
_RISING = frozenset(parts("asc ascending increasing up"))
_FALLING = frozenset(parts("desc descending decreasing down reverse"))
_FETCHES = frozenset(parts("get find show fetch read lookup look query retrieve view list search describe load"))
_STATISTICS = frozenset(stems("mean median mode variance deviation stdev range average"))


@dataclass(frozen=True)
class Function:
    """A tool that computes.

    Attributes:
        slots: role of a parameter (`value`, `source`, `target`, `start`, `end`, `unit`, `date`, `amount`, `list`,
            `choice`, `text`, `base`, `mode`) → its name.
    """

    tool: Tool
    kind: Kind
    slots: dict[str, str]

    def param(self, role: str) -> Param | None:
        name = self.slots.get(role)
        return next((p for p in self.tool.params if p.name == name), None)

    def choose(self, role: str, wanted: str) -> Any:
        """The enum value of a parameter that means `wanted` (a unit, a currency, a word), or None."""
        param = self.param(role)
        if param is None:
            return None
        if not param.enum:
            return wanted
        same = _reader(self.kind)
        return next((v for v in param.enum if isinstance(v, str) and (same(v) or v.lower()) == wanted), None)


def _reader(kind: Kind) -> Any:
    return currency_of if kind == "currency" else unit_of


def read_function(tool: Tool) -> Function | None:
    """The function that a tool is, or None for tools that look things up or write."""
    if not tool.read_only or any(_is_id(p, tool) for p in tool.params if p.required):
        return None
    required = tool.required()
    arrays = [p for p in tool.params if p.type == "array"]
    numbers = [p for p in tool.params if p.type in ("number", "integer")]
    dates = [p for p in tool.params if p.type == "string" and not p.enum and _is_date(p)]
    enums = [p for p in tool.params if p.enum and all(isinstance(v, str) for v in p.enum)]
    texts = [p for p in tool.params if p.type == "string" and not p.enum and set(p.words) <= _TEXT]
    if len(arrays) == 1 and _only(required, arrays, enums):
        return _of_list(tool, arrays[0], enums)
    pairs = _ends(tool.params)
    if pairs is not None and len(numbers) == 1 and len(required) == 3:
        return _conversion(tool, numbers[0], *pairs)
    if len(dates) == 2 and _only(required, dates, enums):
        return Function(tool, "difference", {"start": dates[0].name, "end": dates[1].name, **_span(enums)})
    if len(dates) == 1 and len(numbers) == 1 and _only(required, dates, numbers, enums):
        return Function(tool, "shift", {"date": dates[0].name, "amount": numbers[0].name, **_span(enums)})
    if len(dates) == 1 and required == dates:
        return Function(tool, "day", {"date": dates[0].name})
    return _plain(tool, required, numbers, texts, enums)


def _is_id(param: Param, tool: Tool) -> bool:
    """Whether a parameter wants an identifier; the bare `number` of a tool that fetches nothing is a quantity."""
    quantity = param.words == ("number",) and tool.verb not in _FETCHES
    return bool(param.entity) and param.type != "array" and not quantity


def _only(required: Sequence[Param], *groups: Sequence[Param]) -> bool:
    """Whether every required parameter is of one of the groups."""
    names = {p.name for group in groups for p in group}
    return all(p.name in names for p in required)


def _plain(
    tool: Tool, required: list[Param], numbers: list[Param], texts: list[Param], enums: list[Param]
) -> Function | None:
    if (
        len(numbers) == 2
        and len(enums) == 1
        and set(stems(f"{tool.view.name} {tool.view.title}")) & {"percentag", "percent"}
    ):
        base = next((p for p in numbers if set(p.words) & set(stems("base whole total of reference from"))), numbers[1])
        value = next(p for p in numbers if p is not base)
        return Function(tool, "percentage", {"value": value.name, "base": base.name, "mode": enums[0].name})
    if len(texts) == 1 and texts[0].required and _only(required, texts, enums) and len(enums) <= 1:
        return Function(tool, "text", {"text": texts[0].name, **({"choice": enums[0].name} if enums else {})})
    if len(numbers) == 1 and required == numbers and not enums:
        return Function(tool, "number", {"value": numbers[0].name})
    return None


def _is_date(param: Param) -> bool:
    if str(param.schema.get("format")) in ("date", "date-time"):
        return True
    described = set(stems(str(param.schema.get("description") or "")))
    return bool(set(param.words) & _DATE) or ("date" in described and bool(set(param.words) & (_SOURCE | _TARGET)))


def _ends(params: Sequence[Param]) -> tuple[Param, Param] | None:
    strings = [p for p in params if p.type == "string" and p.required and not _is_date(p)]
    source = [p for p in strings if set(p.words) & _SOURCE]
    target = [p for p in strings if set(p.words) & _TARGET]
    return (source[0], target[0]) if len(source) == len(target) == 1 and source != target else None


def _conversion(tool: Tool, number: Param, source: Param, target: Param) -> Function | None:
    slots = {"value": number.name, "source": source.name, "target": target.name}
    values = [v for v in source.enum if isinstance(v, str)]
    if values:
        if all(currency_of(v) for v in values):
            return Function(tool, "currency", slots)
        return Function(tool, "unit", slots) if sum(bool(unit_of(v)) for v in values) * 2 > len(values) else None
    money = set(stems(f"{tool.view.name} {tool.view.description} {source.name}")) & {"currency", "money", "exchang"}
    return Function(tool, "currency" if money else "unit", slots)


def _of_list(tool: Tool, array: Param, enums: list[Param]) -> Function | None:
    for param in enums:
        values = {w for v in param.enum for w in parts(v)}
        if values & _RISING and values & _FALLING:
            return Function(tool, "sort", {"list": array.name, "choice": param.name})
        if {stem(w) for w in values} & _STATISTICS:
            return Function(tool, "statistics", {"list": array.name, "choice": param.name})
    if not enums and set(stems(tool.view.name)) & _STATISTICS:
        return Function(tool, "statistics", {"list": array.name})
    return None


def _span(enums: list[Param]) -> dict[str, str]:
    spans = [p for p in enums if all(KINDS.get(unit_of(v)) == "time" for v in p.enum)]
    return {"unit": spans[0].name} if spans else {}


_ALSO = {
    "upper": r"upper[- ]?cased?|(?:all[- ])?capital letters|(?:all[- ])?capitals|(?:all[- ])caps|block letters",
    "lower": r"lower[- ]?cased?|small letters|all lower case",
    "title": r"title[- ]?cased?",
    "sentence": r"sentence[- ]?cased?",
    "snake": r"snake[-_ ]?cased?",
    "kebab": r"kebab[-_ ]?cased?",
    "camel": r"camel[-_ ]?cased?",
    "pascal": r"pascal[-_ ]?cased?",
    "median": r"median|middle value",
    "mode": r"mode|most (?:common|frequent) value",
    "range": r"(?:value )?range|spread",
    "standard deviation": r"(?:population )?standard deviation|std(?:\.|ev)?|stdev",
    "stdev": r"(?:population )?standard deviation|std(?:\.|ev)?|stdev",
    "characters": r"characters|chars|character",
    "ascending": r"alphabetically|(?:(?:ascending|increasing|rising) )?alphabetical(?: order)?|a(?: to |-|–)z"
    r"|ascending(?: order)?|increasing(?: order)?|(?:smallest|lowest|cheapest|shortest) first"
    r"|(?:the )?(?:smallest|lowest|cheapest) to (?:the )?(?:largest|biggest|highest|most expensive)",
    "descending": r"(?:in )?(?:reverse|descending) alphabetical(?: order)?|reverse alphabetically|z(?: to |-|–)a"
    r"|descending(?: order)?|decreasing(?: order)?|(?:largest|biggest|highest|most expensive) first"
    r"|(?:the )?(?:largest|biggest|highest|most expensive) to (?:the )?(?:smallest|lowest|cheapest)",
    "weekday": r"day of (?:the )?week|week ?day",
    "day of week": r"day of (?:the )?week|week ?day",
    "iso week": r"(?:iso |calendar )week(?: number)?|week (?:number|of the year)|week",
    "week": r"(?:iso |calendar )week(?: number)?|week (?:number|of the year)|week",
    "quarter": r"(?:calendar )?quarter(?: of the year)?",
    "month": r"(?:calendar )?month(?: of the year)?",
    "day of year": r"day of the year|day number",
    "hash": r"hash|digest|checksum|fingerprint",
}  # fmt: skip
# Left to plain lookups, which aggregate over what was found.
_NOT_STATISTICS = frozenset(("sum", "minimum", "maximum", "min", "max", "count", "mean", "average"))


@dataclass(frozen=True)
class Trigger:
    """A way to name a function in a question.

    Attributes:
        choice: the enum value it sets, or None.
        output: the property of the result that is wanted, or "".
    """

    function: Function
    pattern: str
    choice: str | None = None
    output: str = ""


def _flexible(value: str) -> str:
    """A value as it may be written: `sha256` → sha-256, `unique words` → unique word."""
    pieces = [re.escape(p.removesuffix("s")) + ("s?" if p.isalpha() and len(p) > 3 else "") for p in parts(value)]
    return r"[-_ ]?".join(pieces)


def triggers(function: Function) -> Iterable[Trigger]:
    """Every way to name a function, longest first within a tool."""
    choice = function.param("choice")
    if function.kind == "day":
        for output in sorted(function.tool.outputs):
            plain = " ".join(parts(output))
            if plain != "date":
                yield Trigger(function, _ALSO.get(plain, _flexible(output)), output=output)
    elif choice is not None:
        for value in sorted(choice.enum, key=len, reverse=True):
            if function.kind == "statistics" and value.lower() in _NOT_STATISTICS:
                continue
            plain = " ".join(parts(value))
            yield Trigger(function, _ALSO.get(plain) or _flexible(value), choice=value)
        for noun in function.tool.nouns + ((function.tool.verb,) if function.tool.verb else ()):
            if noun in ("hash", "digest", "checksum") and choice.schema.get("default") is not None:
                yield Trigger(function, _ALSO["hash"])
    elif function.kind in ("text", "number", "statistics"):
        words = [w for w in parts(function.tool.view.name.rsplit("__", 1)[-1]) if w not in ("to", "get", "compute")]
        named = [w for w in words if stem(w) in function.tool.nouns] or words
        yield Trigger(function, r"[-_ ]".join(f"{re.escape(w.removesuffix('s'))}s?" for w in named))


@dataclass
class Functions:
    """The functions of a catalogue, found when first needed."""

    catalogue: Catalogue
    _first: dict[str, Function] = field(default_factory=dict)

    @cached_property
    def all(self) -> list[Function]:
        read = (self.catalogue.tool(view.name) for view in self.catalogue.views)
        return [f for tool in read if tool is not None and (f := read_function(tool)) is not None]

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the tools that are functions."""
        return frozenset(f.tool.name for f in self.all)

    @cached_property
    def others(self) -> Catalogue:
        """The catalogue without the functions."""
        names = self.names
        return Catalogue([view for view in self.catalogue.views if view.name not in names])

    def of(self, kind: Kind) -> Function | None:
        """The first function of a kind."""
        return next((f for f in self.all if f.kind == kind), None)

    @cached_property
    def triggers(self) -> list[Trigger]:
        """Every trigger of every function."""
        return [t for f in self.all for t in triggers(f)]


def functions_of(tools: Sequence[ToolView]) -> Functions:
    """The functions among these tools, read once for the same ones (`catalogue_of`)."""
    catalogue = catalogue_of(tools)
    found = catalogue.derived.get("functions")
    if found is None:
        found = catalogue.derived["functions"] = Functions(catalogue)
    assert isinstance(found, Functions)
    return found
