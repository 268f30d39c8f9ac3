"""Units and currencies: "… in US dollars", "convert … to Fahrenheit", "how many euros is …"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.functions import Function
from agentflow.flow.measures import KINDS, currency_of, unit_of
from agentflow.flow.program import Apply, Node, Want

if TYPE_CHECKING:
    from agentflow.flow.reader import Reader

_TAIL = re.compile(
    r"^(?:convert(?:ed)?\s+|express\s+|translate\s+|change\s+|turn\s+|put\s+|show\s+|give\s+)?(.+?)[,]?\s+"
    r"(?:(?:be\s+|is\s+|was\s+)?(?:when\s+)?(?:converted|expressed|given|measured|stated|worth|priced|shown)\s+)?"
    r"(?:in|to|into|as)\s+(?:the\s+)?([\w°$€£ .]+?)$",
    re.I,
)
_FROM = re.compile(r"\s+from\s+([\w°$€£ .]+?)$", re.I)
_GIVEN = re.compile(
    r",?\s+(?:if|given|when|assuming|provided)(?: that)?(?: (?:it|this|that|they))?(?: (?:is|are|was|were))?"
    r"(?: (?:paid|quoted|given|stated|held|kept|priced|measured))? in\s+([\w°$€£]+)$",
    re.I,
)
_HOW_MANY = re.compile(
    r"^(?:how (?:many|much)|(?:the )?(?:number|amount) of|(?:at |in |for )?how many)\s+(?:degrees\s+)?([\w°$€£ .]+?)\s+"
    r"(?:is|are|was|were|does|do|did|would|will|has|have|should)\s+(.+)$",
    re.I,
)
_OF_THING = re.compile(
    r"^(according to [^,]+,\s*)?how many\s+([\w]+)\s+of\s+([\w ]+?)\s+((?:does|"
    r"do|did|go|goes|are|is|should|must|will|would|need|needs)\b.*)$",
    re.I,
)
_LEAD_IN = re.compile(r"^(?:in|to|into)\s+([\w°$€£. ]+?),\s*(.+)$", re.I)


def conversion(text: str, want: Want, reader: Reader) -> Node | None:
    """A value in another unit or currency."""
    given = _GIVEN.search(text)
    found: Node | None
    if given and (currency_of(given.group(1)) or unit_of(given.group(1))):
        text = f"{text[: given.start()]} from {given.group(1)}"
        tail = _TAIL.match(text[: given.start()].strip(" ,"))
        if tail:
            return _converted(f"{tail.group(1)} from {given.group(1)}", tail.group(2), reader)
    if match := _LEAD_IN.match(text):
        found = _converted(match.group(2), match.group(1), reader)
        if found is not None:
            return found
    if match := _OF_THING.match(text):
        source, target, thing, rest = match.groups()
        kind = {"mass": "weight", "volume": "volume", "length": "length"}.get(KINDS.get(unit_of(target), ""), "")
        if kind:
            return _converted(f"{source or ''}the {kind} of {thing} {rest}", target, reader)
    if match := _HOW_MANY.match(text):
        target, rest = match.groups()
        if unit_of(target) not in ("day", "month", "year") and not (
            unit_of(target) == "week" and re.search(r"between|after|before|from|since", rest)
        ):
            found = _converted(_clause(rest, target), target, reader)
            if found is not None:
                return found
    if match := _TAIL.match(text):
        return _converted(match.group(1), match.group(2), reader)
    return None


def _clause(rest: str, target: str) -> str:
    """`X's last order worth` → X's last order; a clause about units stays a question of quantity."""
    plain = re.sub(r"\s+(?:worth|cost|equal(?: to)?|correspond(?:ing)? to|make|amount to|be)$", "", rest).strip()
    plain = re.sub(r"^(?:equal to|in|worth)\s+", "", plain)
    if currency_of(target):
        return plain
    kind = KINDS.get(unit_of(target), "")
    if kind == "temperature":
        return f"the temperature of {plain}" if not re.search(r"\btemperature\b|\d", plain) else plain
    if kind == "time" and not re.search(r"\d|\btime\b|\bduration\b", plain):
        return f"how long does {plain}"
    return plain


def _converted(rest: str, target: str, reader: Reader) -> Node | None:
    source = ""
    given = _FROM.search(rest)
    if given and (currency_of(given.group(1)) or unit_of(given.group(1))):
        source, rest = given.group(1), rest[: given.start()]
    code = currency_of(target) if not unit_of(target) or target.isupper() else ""
    function = reader.functions.of("currency")
    if code and function is not None:
        return _apply(function, rest, currency_of(source), code, reader)
    unit = unit_of(target)
    function = reader.functions.of("unit")
    if unit and function is not None:
        if unit in ("day", "week", "month", "year") and re.search(
            r"\bbetween\b|\bfrom\b.*\b(?:to|until)\b|\bafter\b|\bsince\b", rest
        ):
            return None
        return _apply(function, rest, unit_of(source), unit, reader)
    return None


def _apply(function: Function, rest: str, source: str, target: str, reader: Reader) -> Node | None:
    wanted = function.choose("target", target)
    if wanted is None:
        return None
    given = function.choose("source", source) if source else None
    choices = (("target", wanted),) + ((("source", given),) if given is not None else ())
    rest = re.sub(r"^(?:convert|express|translate|change|turn|put|show|give)\s+", "", rest, flags=re.I)
    return Apply(function, (("value", reader.expression(rest, "number")),), choices)
