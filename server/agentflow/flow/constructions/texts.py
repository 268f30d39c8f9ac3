"""Forms of a value: "… in upper case", "the SHA-256 of …", "how many letters are in …", "the median of …", sorting."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.functions import Trigger
from agentflow.flow.program import Apply, Lookup, Node, Want

if TYPE_CHECKING:
    from agentflow.flow.reader import Reader

_AN = r"(?:an?\s+|the\s+|its\s+|all\s+)?"
_WRITTEN = (
    r"(?:(?:be |is |are |was |were )?(?:written|spelled|spelt|expressed|put|"
    r"given|shown|rendered|converted|formatted|typed|represented|"
    r"printed|sorted|ordered|arranged|ranked|listed)(?: out)?)"
)
_VERB = (
    r"(?:write|spell|express|put|give|show|render|convert|format|type|represent|"
    r"print|turn|change|transform|sort|order|arrange|rank|list|get|tell)"
)
_KIND = (
    r"(?:\s+(?:letters?|form|style|notation|numerals?|case|hash|digest|checksum|"
    r"value|version|order|characters|sum|hex))*"
)


def _forms(reader: Reader) -> list[Trigger]:
    return [t for t in reader.functions.triggers if t.function.kind in ("text", "number", "sort")]


def _counts(trigger: Trigger) -> bool:
    """Whether the function counts rather than rewrites: its outputs hold a count."""
    return (
        bool(trigger.function.tool.outputs & {"count", "n", "length", "number", "total"})
        and trigger.function.kind == "text"
    )


def _apply(trigger: Trigger, rest: str, reader: Reader) -> Node:
    function = trigger.function
    choices = (("choice", trigger.choice),) if trigger.choice is not None else ()
    rest = rest.strip(" ,:")
    if function.kind == "sort":
        rest = re.sub(r"^(?:all|the)\s+(?:of\s+)?(?=\w+s\b)", "", rest) or rest
        return Apply(function, (("list", reader.expression(rest, "list")),), choices)
    if function.kind == "statistics":
        return Apply(function, (("list", reader.expression(rest, "numbers")),), choices)
    role, want = ("text", "text") if function.kind == "text" else ("value", "number")
    return Apply(function, ((role, reader.expression(rest, want)),), choices)  # type: ignore[arg-type]


_BY = re.compile(
    r"^(.+?),?\s+(?:(?:sorted|ordered|ranked|arranged|listed|sort|order)\s+)?by\s+(?:their\s+|its\s+|the\s+)?"
    r"(price|total|amount|cost|value|date|age|name|status|title)s?\b\s*[,(]?\s*(.*?)\)?$",
    re.I,
)
_FALLS = re.compile(
    r"descending|decreasing|(?:highest|largest|biggest|most expensive|newest|"
    r"latest|most recent)(?: \w+)? first|from (?:the )?(?:highest|most|largest|"
    r"newest)|high to low",
    re.I,
)


def ordering(text: str, want: Want, reader: Reader) -> Node | None:
    """`… sorted by price, most expensive first`."""
    match = _BY.match(text)
    if match is None or not re.match(
        r"(?:sort|order|rank|arrange|list|the|all|which|what|give|show|[A-Z])", match.group(1), re.I
    ):
        return None
    rest, field, manner = match.groups()
    if not re.search(r"\b(?:sort|order|rank|arrang|list)(?:ed|e|ing)?\b", f"{text[: match.end(2)]}".lower()) or (
        manner and not re.search(r"first|ascending|descending|creasing|low|high|to|from", manner)
    ):
        return None
    rest = re.sub(r"^(?:please\s+)?(?:sort|order|rank|arrange|list)\s+(?:out\s+)?", "", rest, flags=re.I)
    return Lookup(rest, "list", (field.lower(), bool(_FALLS.search(manner))))


def leading_form(text: str, want: Want, reader: Reader) -> Node | None:
    """`In Roman numerals, how many …`."""
    for trigger in _forms(reader):
        if not _counts(trigger) and (
            match := re.match(rf"^(?:in|as|using|with)\s+{_AN}(?:{trigger.pattern}){_KIND}\s*[,:]\s*(.+)$", text, re.I)
        ):
            return _apply(trigger, match.group(1), reader)
        inside = (
            rf"^(?:{_VERB}|set|state|name|provide)(?:\s+(?:out|me|down))*\s*,\s*(?:in|"
            rf"as|using|with)\s+{_AN}(?:{trigger.pattern}){_KIND}\s*,\s*(.+)$"
        )
        if not _counts(trigger) and (match := re.match(inside, text, re.I)):
            return _apply(trigger, match.group(1), reader)
    return None


def trailing_form(text: str, want: Want, reader: Reader) -> Node | None:
    """`… in upper case`, `… as a Roman numeral`, `… alphabetically`, `… from A to Z`."""
    for trigger in _forms(reader):
        if _counts(trigger):
            continue
        joint = (
            r"(?:\s+(?:in|as|into|to|using|with|by|from)\s+)"
            if trigger.function.kind != "sort"
            else r"(?:\s+(?:in|by|from|into|as)\s+|\s+|\s*[,(]\s*)"
        )
        pattern = rf"^(.+?),?(?:\s+{_WRITTEN})?{joint}{_AN}(?:{trigger.pattern}){_KIND}\)?$"
        match = re.match(pattern, text, re.I)
        if match:
            rest = re.sub(
                rf"^(?:how (?:is|are|do you|would you|does one)\s+)?(?:please\s+)?{_VERB}\s"
                r"+(?:me\s+)?(?:out\s+)?(?=\S)",
                "",
                match.group(1),
                flags=re.I,
            )
            rest = re.sub(r"^how\s+(?:is|are|would|does)\s+", "", rest, flags=re.I)
            rest = re.sub(
                r"\s+(?:be |is |are )?(?:written|spelled|spelt|expressed|put|sorted|ordered by|"
                r"listed|look(?:s)?(?: like)?|look when written)$",
                "",
                rest,
                flags=re.I,
            )
            return _apply(trigger, rest, reader)
    return None


def statistic(text: str, want: Want, reader: Reader) -> Node | None:
    """`the median of …`, `the standard deviation of …`."""
    for trigger in reader.functions.triggers:
        if trigger.function.kind != "statistics":
            continue
        match = re.match(
            rf"^{_AN}(?:{trigger.pattern})\s+(?:value\s+)?(?:of|for|among|over|in|across)\s+(.+)$", text, re.I
        )
        match = match or re.match(
            rf"^{_AN}(?:{trigger.pattern})\s+((?:order |ticket )?\w+\s+(?:of|for|over|in|across|among)\s+.+)$",
            text,
            re.I,
        )
        match = match or re.match(rf"^(.+['’]s?\s+)(?:{trigger.pattern})\s+(.+)$", text, re.I)
        match = match or re.match(
            rf"^(?:what|which)\s+(?:is|was|are)\s+(?:the\s+)?(?:{trigger.pattern})\s+(?:of\s+)?(.+)$", text, re.I
        )
        if match:
            return _apply(trigger, " ".join(match.groups()), reader)
    return None


def form_of(text: str, want: Want, reader: Reader) -> Node | None:
    """`the SHA-256 hash of …`, `how many vowels are in …`, `sort …`."""
    return _count(text, reader) or _of(text, reader)


def _count(text: str, reader: Reader) -> Node | None:
    for trigger in reader.functions.triggers:
        if trigger.function.kind != "text" or not _counts(trigger):
            continue
        name = trigger.pattern
        patterns = (
            rf"^how many\s+(?:different\s+)?(?:{name})(?:\s+long)?\s+(?:are|is|were|was)"
            r"\s+(?:there\s+)?(?:in|contained in|used in|inside|within|of)\s+(.+)$",
            rf"^how many\s+(?:different\s+)?(?:{name})\s+long\s+(?:is|are|was)\s+(.+)$",
            rf"^how many\s+(?:different\s+)?(?:{name})\s+(?:does|do|did|has|have|is|are)"
            r"\s+(.+?)(?:\s+(?:have|contain|has|consist of|include|comprise|use|count|"
            r"long|run to|hold))*$",
            rf"^how many\s+(?:different\s+)?(?:{name})\s+(?:in|of|make up)\s+(.+)$",
            rf"^(?:the\s+)?(?:total\s+)?(?:number|count|amount) of\s+(?:{name})\s+(?:there are\s"
            r"+)?(?:in|of|used in|contained in)\s+(.+)$",
            rf"^count\s+(?:up\s+)?(?:all\s+)?(?:the\s+)?(?:number of\s+)?(?:{name})\s+(?:in|of)\s+(.+)$",
            rf"^(.+?)\s+(?:has|contains|have|contain|is|consists of|comprises)\s+how many\s+(?:{name})(?:\s+long)?$",
            rf"^(?:the\s+)?(?:{name})\s+count\s+(?:of|for|in)\s+(.+)$",
            rf"^(?:the\s+)?length\s+(?:in\s+(?:{name})\s+)?of\s+(.+?)(?:\s+in\s+(?:{name}))$",
        )
        for pattern in patterns:
            if match := re.match(pattern, text, re.I):
                return _apply(trigger, match.group(1), reader)
    return None


def _of(text: str, reader: Reader) -> Node | None:
    for trigger in _forms(reader):
        if _counts(trigger):
            continue
        name = trigger.pattern
        patterns = (
            rf"^{_AN}(?:{name}){_KIND}\s+(?:of|for)\s+(.+)$",
            rf"^(?:what|which)\s+(?:is\s+)?{_AN}(?:{name}){_KIND}\s+(?:does|do|did|has|"
            r"have|is|of|results? from)\s+(.+?)(?:\s+(?:have|has|get|give|produce))?$",
            rf"^(?:hash|digest|encode)\s+(.+?)\s+(?:with|using|by|via|as)\s+{_AN}(?:{name})$",
            rf"^(?:sort|rank|order|arrange|list)\s+(.+?)\s+{_AN}(?:{name})$",
            rf"^(.+?['’]s?)\s+(?:.+?\s+)?(?:{name}){_KIND}$" if trigger.function.kind == "text" else r"^\b$",
            rf"^(.+?)\s+(?:hashed|digested|encoded)\s+(?:with|using|by|via|as)\s+{_AN}(?:{name}){_KIND}$",
            rf"^(?:{name})\s+(?=the\b|[A-Z])(.+)$",
        )
        for pattern in patterns:
            if match := re.match(pattern, text, re.I):
                return _apply(trigger, match.group(1), reader)
    return None
