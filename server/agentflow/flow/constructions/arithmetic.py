"""Sums, differences, products, quotients and rounding of values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.coordinate import complete, pair
from agentflow.flow.measures import number_word
from agentflow.flow.program import Compute, Constant, Lookup, Node, Operator, Want, lookups

if TYPE_CHECKING:
    from agentflow.flow.reader import Reader

_MORE = (
    r"(?:higher|larger|greater|more|bigger|lower|smaller|less|cheaper|fewer|"
    r"more expensive|less expensive|pricier|older|longer)"
)
_TIMES = {
    "double": 2,
    "twice": 2,
    "triple": 3,
    "three times": 3,
    "half": 0.5,
    "half of": 0.5,
    "a third of": 1 / 3,
    "four times": 4,
    "five times": 5,
    "ten times": 10,
}


def rounding(text: str, want: Want, reader: Reader) -> Node | None:
    """`… rounded to two decimal places`, `round … to the nearest whole number`."""
    tail = re.match(
        r"^(.+?),?\s+(?:and\s+)?(?:rounded|round(?: it| that)?)\s*(?:off\s+)?(?:to\s+(?:the\s+)?(.+?))?$", text, re.I
    )
    lead = re.match(r"^round\s+(.+?)\s+to\s+(?:the\s+)?(.+?)$", text, re.I)
    match = lead or tail
    if match is None:
        return None
    rest, places = match.group(1), match.group(2) or "whole"
    digits = re.search(r"(\d+|one|two|three|four)\s+(?:decimals?|decimal places?|digits?|places?)", places, re.I)
    if digits:
        count = number_word(digits.group(1)) if not digits.group(1).isdigit() else int(digits.group(1))
    elif re.search(r"cent|hundredth", places, re.I):
        count = 2
    elif re.search(r"tenth", places, re.I):
        count = 1
    else:
        count = {"ten": -1, "hundred": -2, "thousand": -3}.get(places.split()[-1].lower(), 0)
    return Compute("round", (reader.expression(rest, "number"), Constant(count or 0)))


def arithmetic(text: str, want: Want, reader: Reader) -> Node | None:
    """Any of the arithmetic constructions."""
    if want in ("text", "date", "list", "numbers"):
        return None
    return _apart(text, reader) or _more(text, reader) or _together(text, reader) or _written(text, reader)


def _two(operator: Operator, both: tuple[str, str] | None, reader: Reader) -> Node | None:
    if both is None:
        return None
    read = Compute(operator, tuple(reader.expression(phrase, "number") for phrase in both))
    return read if lookups(read) else None


def _apart(text: str, reader: Reader) -> Node | None:
    """`the difference between A and B`, `the gap between …`, `A minus B`."""
    match = re.match(
        r"^(?:the\s+)?(?:absolute\s+)?(?:price\s+|cost\s+)?(?:difference|gap|distance|"
        r"margin)\s+(?:in\s+([\w ]+?)\s+)?between\s+(.+)$",
        text,
        re.I,
    )
    if match:
        both = pair(match.group(2))
        if both is not None and match.group(1):
            both = tuple(f"the {match.group(1)} of {side}" for side in both)  # type: ignore[assignment]
        return _two("apart", both, reader)
    if match := re.match(
        r"^(?:by|to)\s+(?:what|which|how much|how many)\s*(?:amount|extent|sum|margin|"
        r"\w+)?\s+(?:do|does|did)\s+(.+?)\s+(?:differ|deviate)$",
        text,
        re.I,
    ):
        return _two("apart", pair(match.group(1)), reader)
    if match := re.match(r"^(.+?)\s+(?:minus|less)\s+(.+)$", text, re.I):
        return _two("subtract", complete(match.group(1), match.group(2)), reader)
    if match := re.match(r"^(?:subtract|deduct)\s+(.+?)\s+from\s+(.+)$", text, re.I):
        return _two("subtract", complete(match.group(2), match.group(1)), reader)
    return None


def _more(text: str, reader: Reader) -> Node | None:
    """`by how much is A higher than B`, `how much more did A cost than B`, `how many more orders has A than B`."""
    if match := re.match(
        r"^(?:by )?how much\s+(?:is|was|are|were|does|do|did)\s+(.+?)\s+(?:exceed|surpass|top|beat)\s+(.+)$", text, re.I
    ):
        return _two("apart", complete(*match.groups()), reader)
    if match := re.match(rf"^(?:by )?how much\s+(?:is|was|are|were)\s+(.+?)\s+{_MORE}\s+than\s+(.+)$", text, re.I):
        return _two("apart", complete(*match.groups()), reader)
    if match := re.match(
        rf"^(?:by )?how much\s+{_MORE}\s+(?:money\s+)?(?:is|was|are|were|did|does|do|has|have)\s+(.+?)\s+than\s+(.+)$",
        text,
        re.I,
    ):
        left, right = match.groups()
        left, right = complete(left, right)
        verb = re.search(r"\s+(cost|spen[dt]|paid|pay)(?:\s+(?:in total|altogether|overall))?$", left)
        if verb:
            left = left[: verb.start()]
            stems = "how much did {} cost" if verb.group(1) == "cost" else "how much has {} spent in total"
            right = re.sub(r"\s+(?:did|cost|spent|paid)$", "", right)
            left, right = complete(left, right)
            return _two("apart", (stems.format(left), stems.format(right)), reader)
        return _two("apart", (left, right), reader)
    if match := re.match(
        r"^how many\s+(?:more|fewer|less)\s+(.+?)\s+(?:does|do|did|has|have|had|"
        r"are|is|were)\s+(.+?)\s+(?:(?:have|had|placed?|made?|opened?|get|got|there (?:are )?)"
        r"\s+)?than\s+(.+)$",
        text,
        re.I,
    ):
        what, left, right = match.groups()
        left = re.sub(r"\s+(?:have|had|placed?|made?|opened?)$", "", left)
        right = re.sub(r"\s+(?:does|did|has|have)$", "", right)
        return _two("apart", (f"how many {what} does {left} have", f"how many {what} does {right} have"), reader)
    return None


def _together(text: str, reader: Reader) -> Node | None:
    """`how many orders do A and B have together`, `what did A and B spend in total`, `the sum of A and B`."""
    marks = (
        r"\b(?:together|combined|in total|in sum|altogether|jointly|between them|"
        r"in sum|all told|taken together|total)\b"
    )
    match = re.match(r"^(?:the\s+)?(?:combined\s+|total\s+|grand\s+)?(?:sum|aggregate|total) of\s+(.+)$", text, re.I)
    if match and (both := _different(pair(match.group(1)))):
        return _two("add", both, reader)
    match = re.match(r"^(?:the\s+)?(?:average|mean) of\s+(.+)$", text, re.I)
    if match and (both := _different(pair(match.group(1)))):
        return _two("mean", both, reader)
    if match := re.match(r"^add\s+(.+?)\s+to\s+(.+)$", text, re.I):
        return _two("add", (match.group(1), match.group(2)), reader)
    if match := re.match(r"^(?:add|sum)(?: up)?\s+(.+)$", text, re.I):
        both = _different(pair(match.group(1)))
        if both:
            return _two("add", both, reader)
    if not re.search(marks, text, re.I) and not re.match(r"^(?:how (?:many|much)|what)\b", text, re.I):
        return None
    plain = re.sub(r"^(?:the\s+)?combined\s+", "the ", text, flags=re.I)
    plain = re.sub(
        r",?\s*\b(?:together|combined|jointly|between them|all told|taken together)\b", "", plain, flags=re.I
    )
    both = _different(pair(plain))
    if both is None or not _same_shape(*both):
        return None
    return _two("add", both, reader)


def _different(both: tuple[str, str] | None) -> tuple[str, str] | None:
    return both if both is not None and both[0] != both[1] else None


def _same_shape(left: str, right: str) -> bool:
    """Whether both ask the same of different things: they begin alike."""
    return left.split()[:2] == right.split()[:2] and left.lower().startswith(
        ("how", "what", "the", "total", "number", "sum", "order")
    )


def _written(text: str, reader: Reader) -> Node | None:
    """`A plus B`, `A times 3`, `A divided by B`, `twice A`."""
    if match := re.match(r"^(.+?)\s+plus\s+(.+)$", text, re.I):
        return _two("add", complete(match.group(1), match.group(2)), reader)
    if match := re.match(r"^(.+?)\s+(?:times|multiplied by)\s+(.+)$", text, re.I):
        return _two("multiply", (match.group(1), match.group(2)), reader)
    if match := re.match(r"^(.+?)\s+divided by\s+(.+)$", text, re.I):
        return _two("divide", complete(match.group(1), match.group(2)), reader)
    if match := re.match(r"^(?:multiply)\s+(.+?)\s+by\s+(.+)$", text, re.I):
        return _two("multiply", (match.group(1), match.group(2)), reader)
    if match := re.match(r"^(?:divide)\s+(.+?)\s+by\s+(.+)$", text, re.I):
        return _two("divide", (match.group(1), match.group(2)), reader)
    for word, factor in _TIMES.items():
        if match := re.match(rf"^{word}\s+(?:as much as\s+|of\s+)?(.+)$", text, re.I):
            inner = reader.expression(match.group(1), "number")
            return Compute("multiply", (inner, Constant(factor))) if isinstance(inner, Lookup) else None
    return None
