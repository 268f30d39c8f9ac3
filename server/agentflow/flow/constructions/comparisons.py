"""Yes or no of two values: "is the total of A higher than that of B", "has X spent more than 500"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.coordinate import complete
from agentflow.flow.program import Compare, Lookup, Node, Test, Want

if TYPE_CHECKING:
    from agentflow.flow.reader import Reader

_MORE = (
    r"\b(?:more expensive|higher|greater|larger|bigger|longer|later|newer|pricier|"
    r"costlier|dearer|more recent|older|more)\b"
)
_LESS = r"\b(?:less expensive|lower|smaller|shorter|earlier|sooner|cheaper|fewer|less)\b"
_BE = re.compile(
    rf"^(?:is|are|was|were)\s+(.+?)\s+(?:placed |made |opened |ordered )?({_MORE}|{_LESS})"
    r"\s+(?:in \w+ )?(?:than|as)\s+(.+)$",
    re.I,
)
_BOUND = re.compile(
    r"^(?:is|are|was|were|does|did|do)\s+(.+?)\s+(above|over|below|under|at least|"
    r"at most|exceed|exceeds|equal to|equal|the same as)\s+(.+)$",
    re.I,
)
_DO = re.compile(rf"^(did|does|do|has|have|had)\s+(.+?)\s+({_MORE}|{_LESS})\s*(.*?)\s*than\s+(.+)$", re.I)
_ORDERED = re.compile(r"^(?:is|was|were|did|does)\s+(.+?)\s+(before|after)\s+(.+)$", re.I)
_SIGNS: dict[str, Test] = {
    "above": ">", "over": ">", "exceed": ">", "exceeds": ">", "below": "<", "under": "<", "at least": ">=",
    "at most": "<=", "equal to": "==", "equal": "==", "the same as": "==",
}  # fmt: skip


def comparison(text: str, want: Want, reader: Reader) -> Node | None:
    """A yes-or-no comparison of two values, or of a value with a constant."""
    if match := _BE.match(text):
        left, word, right = match.groups()
        left, right = complete(left, right)
        sort: Want = (
            "date" if word.lower() in ("later", "earlier", "newer", "older", "sooner", "more recent") else "number"
        )
        test: Test = ">" if re.fullmatch(_MORE, word, re.I) else "<"
        if word.lower() in ("older",):
            test = "<"
        return Compare(test, reader.expression(left, sort), reader.expression(right, sort))
    if match := _DO.match(text):
        return _did(match, reader)
    if match := _BOUND.match(text):
        left, word, right = match.groups()
        left, right = complete(left, right)
        read = reader.expression(right, "number")
        if isinstance(read, Lookup) and not re.search(r"\b(?:the|that|order|total)\b|['’]s", right):
            return None
        return Compare(_SIGNS[word.lower()], reader.expression(left, "number"), read)
    if match := _ORDERED.match(text):
        left, word, right = match.groups()
        left = re.sub(r"\s+(?:placed|made|opened|ordered|created)$", "", left)
        left, right = complete(left, right)
        if not re.search(r"\d|the\b|['’]s", right):
            return None
        return Compare(
            "<" if word.lower() == "before" else ">", reader.expression(left, "date"), reader.expression(right, "date")
        )
    return None


def _did(match: re.Match[str], reader: Reader) -> Node | None:
    """`did X spend more than Y`, `does X have more orders than Y`, `has X spent more than 500 in total`."""
    _, subject, word, what, right = match.groups()
    test: Test = ">" if re.fullmatch(_MORE, word, re.I) else "<"
    tail = re.search(r"\s+(in total|altogether|overall|all together)$", right)
    right = right[: tail.start()] if tail else right
    verb = re.search(r"\s+(spend|spent|pay|paid|cost)(?:\s+in total)?$", subject)
    if verb:
        name = subject[: verb.start()]
        ask = "how much did {} cost" if verb.group(1) == "cost" else "how much has {} spent in total"
        if re.match(r"(?:on |for )", what):
            return None
        constant = reader.expression(right, "number")
        other = constant if not isinstance(constant, Lookup) else reader.expression(ask.format(right), "number")
        return Compare(test, reader.expression(ask.format(name), "number"), other)
    held = re.search(r"\s+(?:have|has|had|get|got|made|placed|place|make|opened|open)$", subject)
    if what and held:
        name = subject[: held.start()]
        constant = reader.expression(right, "number")
        other = (
            constant
            if not isinstance(constant, Lookup)
            else reader.expression(f"how many {what} does {right} have", "number")
        )
        return Compare(test, reader.expression(f"how many {what} does {name} have", "number"), other)
    if what and not held:
        return None
    return None
