"""Percentages: a portion, a share, a relative change, an increase or a discount."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.coordinate import complete, pair
from agentflow.flow.literals import lex, literals
from agentflow.flow.program import Apply, Compute, Constant, Node, Want

if TYPE_CHECKING:
    from agentflow.flow.reader import Reader

_N = r"(\d+(?:\.\d+)?)\s*(?:%|percent|per cent)"
_PERCENT = r"(?:percentage|percent|per cent|%|share|proportion)"
_BE = (
    r"(?:has been|have been|had been|is|are|was|were|does|do|did|make up|makes up|represents?|accounts? for|come from)"
)
_OVER = r"(?:higher|larger|greater|more|bigger|lower|smaller|less|cheaper|more expensive|less expensive|pricier)"


def percentage(text: str, want: Want, reader: Reader) -> Node | None:
    """Any of the percentage constructions."""
    text = re.sub(r",?\s+(?:expressed )?(?:in|as a) (?:percent|percentage|%)$", "", text, flags=re.I)
    return _changed(text, reader) or _portion(text, reader) or _share(text, reader)


def _apply(mode: str, value: Node, base: Node, reader: Reader) -> Node:
    """By the catalogue's function where it has one, else by plain arithmetic."""
    function = reader.functions.of("percentage")
    if function is not None:
        wanted = function.choose("mode", mode)
        if wanted is not None:
            return Apply(function, (("value", value), ("base", base)), (("mode", wanted),))
    hundred = Constant(100)
    part = Compute("divide", (Compute("multiply", (base, value)), hundred))
    match mode:
        case "portion":
            return part
        case "increase":
            return Compute("add", (base, part))
        case "decrease":
            return Compute("subtract", (base, part))
        case "change":
            return Compute("divide", (Compute("multiply", (Compute("subtract", (value, base)), hundred)), base))
    return Compute("divide", (Compute("multiply", (value, hundred)), base))


def _number(text: str) -> Constant:
    value = float(text)
    return Constant(int(value) if value.is_integer() else value)


def _changed(text: str, reader: Reader) -> Node | None:
    """`X plus 20%`, `X with a 15% discount`, `add 19% VAT to X`, `10% more than X`."""
    up, down = (
        r"(?:plus|increased by|raised by|with(?: an?)?(?: additional| extra)?|after adding|and add)",
        r"(?:minus|less|reduced by|decreased by|lowered by|after|with)",
    )
    if match := re.match(
        rf"^(.+?),?\s+{down}\s+(?:an?\s+|applying\s+)*(?:discount of\s+)?{_N}(?:\s+(?:discount|off|reduction|rebate))",
        text,
        re.I,
    ):
        return _apply("decrease", _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(rf"^(.+?),?\s+(?:after|with)\s+(?:an?\s+)?discount of\s+{_N}$", text, re.I):
        return _apply("decrease", _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(rf"^(.+?),?\s+(?:minus|less|reduced by|decreased by|lowered by)\s+{_N}$", text, re.I):
        return _apply("decrease", _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(
        rf"^(.+?),?\s+{up}\s+{_N}(?:\s+(?:of )?(?:sales )?(?:vat|tax|tip|surcharge|"
        r"fee|more|interest))?(?:\s+(?:on top|added))?$",
        text,
        re.I,
    ):
        return _apply("increase", _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(
        rf"^if\s+(.+?)\s+(?:gets?|got|is|was|were|becomes?|became)\s+{_N}\s+(cheaper|"
        r"less|lower|off|reduced|more expensive|dearer|higher)\s*,\s*(?:what|how|"
        r"which)\b.*$",
        text,
        re.I,
    ):
        mode = "decrease" if match.group(3).lower() in ("cheaper", "less", "lower", "off", "reduced") else "increase"
        return _apply(mode, _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(
        rf"^(.+?)\s+(?:if (?:it|they) (?:were|was|is|are|got|became)\s+)?{_N}\s+(cheaper|"
        r"less|lower|off|more expensive|more|dearer|higher|up)$",
        text,
        re.I,
    ):
        mode = "decrease" if match.group(3).lower() in ("cheaper", "less", "lower", "off") else "increase"
        return _apply(mode, _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(rf"^add\s+{_N}(?:\s+\w+)?\s+to\s+(.+)$", text, re.I):
        return _apply("increase", _number(match.group(1)), reader.expression(_cost(match.group(2)), "number"), reader)
    if match := re.match(rf"^(?:increase|raise)\s+(.+?)\s+by\s+{_N}$", text, re.I):
        return _apply("increase", _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(rf"^(?:reduce|decrease|lower)\s+(.+?)\s+by\s+{_N}$", text, re.I):
        return _apply("decrease", _number(match.group(2)), reader.expression(_cost(match.group(1)), "number"), reader)
    if match := re.match(rf"^(?:take|knock|deduct|subtract)\s+{_N}\s+(?:off|from)\s+(?:of\s+)?(.+)$", text, re.I):
        return _apply("decrease", _number(match.group(1)), reader.expression(_cost(match.group(2)), "number"), reader)
    return None


def _cost(text: str) -> str:
    """`what order 7 would cost` → how much did order 7 cost."""
    said = re.match(
        r"^(?:what|how much)\s+(?:would|will|does|did|do|is|was)?\s*(.+?)\s*(?:would |"
        r"will )?(?:be|cost|costs|come to)?$",
        text,
        re.I,
    )
    return f"how much did {said.group(1)} cost" if said and text.lower().startswith(("what", "how much")) else text


def _portion(text: str, reader: Reader) -> Node | None:
    """`15% of X`, `how much is 15 percent of X`, `take 10% of X`."""
    fee = r"(?:fee|tax|tip|discount|commission|deposit|surcharge|charge|vat|bonus|rebate)"
    if match := re.match(
        rf"^(?:how (?:much|high)\s+(?:would|is|will|are)\s+)?(?:an?\s+|the\s+)?{_N}\s"
        rf"+{fee}\s+(?:on|of|for|from)\s+(.+?)(?:\s+(?:be|come to|cost|amount to))?$",
        text,
        re.I,
    ):
        return _apply("portion", _number(match.group(1)), reader.expression(_cost(match.group(2)), "number"), reader)
    if match := re.match(
        rf"^(?:how (?:much|many(?: \w+)?) (?:is|are)\s+|take\s+|the\s+)?{_N}\s+(?:of|from)\s+(.+)$", text, re.I
    ):
        return _apply("portion", _number(match.group(1)), reader.expression(_cost(match.group(2)), "number"), reader)
    return None


def _share(text: str, reader: Reader) -> Node | None:
    if match := re.match(
        rf"^by (?:what|which|how many)\s+{_PERCENT}\s+(?:is|was|are|were|did|does)\s+(.+?)\s+{_OVER}\s+than\s+(.+)$",
        text,
        re.I,
    ):
        left, right = complete(*match.groups())
        return _apply("change", reader.expression(left, "number"), reader.expression(right, "number"), reader)
    if match := re.match(
        r"^(?:the )?(?:percentage|percent|relative) (?:change|increase|decrease|"
        r"difference|growth)\s+(?:(?:from|between)\s+)(.+)$",
        text,
        re.I,
    ):
        both = pair(f"{match.group(1)}", ("and", "to"))
        if both is not None:
            first, second = both
            return _apply("change", reader.expression(second, "number"), reader.expression(first, "number"), reader)
    if match := re.match(rf"^(?:what|which|how many)\s+{_PERCENT}\s+of\s+(.+?)\s+{_BE}\s+(.+)$", text, re.I):
        whole, part = match.groups()
        return _part_of(part, whole, reader)
    if match := re.match(
        r"^(.+?)\s+(?:is|are|was|were|makes? up|represents?|accounts? for)\s+(?:what|"
        rf"which|how many)\s+{_PERCENT}\s+of\s+(.+)$",
        text,
        re.I,
    ):
        return _part_of(match.group(1), match.group(2), reader)
    if match := re.match(rf"^(.+?)\s+as\s+(?:an?\s+)?{_PERCENT}\s+of\s+(.+)$", text, re.I):
        return _part_of(match.group(1), match.group(2), reader)
    return None


def _owner(part: str, whole: str) -> str:
    """A part that names nobody is the whole's: "what share of X's spending is the first order"."""
    if literals(lex(part)):
        return part
    named = [v for v in literals(lex(whole)) if v.kind in ("name", "email", "token")]
    return f"{part} of {named[0].text}" if len(named) == 1 else part


def _part_of(part: str, whole: str, reader: Reader) -> Node:
    """A share: of quantities, or of things counted that are in some state ("what percent of X's orders are open")."""
    plain = re.sub(r"^(?:still|already|currently)\s+", "", part.strip())
    if re.fullmatch(r"[a-z]+(?: [a-z]+)?", plain) and not re.search(r"\b(?:the|order|total)\b", plain):
        counted = re.sub(r"^(?:all|the)\s+(?:of\s+)?", "", whole)
        return _apply(
            "share",
            reader.expression(f"how many of {counted} are {plain}", "number"),
            reader.expression(
                f"how many {counted}" if not re.search(r"['’]s", counted) else f"number of {counted}", "number"
            ),
            reader,
        )
    part = _owner(part, whole)
    part, whole = (part, whole) if not re.search(r"\bthat\b", whole) else complete(part, whole)
    return _apply("share", reader.expression(part, "number"), reader.expression(whole, "number"), reader)
