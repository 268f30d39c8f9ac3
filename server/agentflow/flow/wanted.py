"""A read question, turned to the sort of value that a computation wants of it ("X's last order" as a date: when?)."""

from __future__ import annotations

import re
from dataclasses import replace

from agentflow.flow.catalogue import Catalogue
from agentflow.flow.functions import Functions
from agentflow.flow.program import Want
from agentflow.flow.question import Question
from agentflow.flow.words import stem, stems

RELATIVE = re.compile(
    r"(?:\b(?:the\s+)?(?:customer|buyer|purchaser|person|client|shopper|user|"
    r"one)\s+(?:(?:who|that)\s+(?:has\s+)?(?:placed|made|bought|ordered|purchased|"
    r"submitted|is behind|paid for)|"
    r"behind|of|for|with|from|under|placing)|\bwho(?:ever|soever)\s+(?:has\s"
    r"+)?(?:placed|made|bought|ordered|purchased|is behind|paid for))\s+"
    r"((?:the\s+)?(?:order\s+)?(?:number\s+)?#?[A-Za-z]{1,4}-\d+)\b",
    re.I,
)
_CONSTRUCTED = re.compile(
    r"\b(?:than|percent|percentage|per cent|rounded|round|converted?|expressed|divided by|multiplied|times|minus|plus|"
    r"difference|differ|deviate|aggregate|spelled|uppercase|together|jointly|"
    r"ratio|twice|doubled?|tripled?|either)\b|%|\bbetween .+ and\b|"
    r"\bhow many (?:days|weeks|months|years|hours) (?:after|before|between|since|passed|did it|until|lie|are there)\b|"
    r"\b(?:which|who|whose|what)\b.*\b(?:more|less|fewer|longer|earlier|later)\b",
    re.I,
)


def unread(text: str, want: Want, functions: Functions) -> str:
    """The words of a lookup that ask for a computation nobody has read out of it, or "".

    To look such a question up as it stands would answer something else than was asked.
    """
    plain = re.sub(r"[\"“][^\"”]*[\"”]", "", text)
    plain = re.sub(
        r"\b(?:more|less|fewer|greater|higher|lower|larger|later|earlier|cheaper|other) than (?:the )?[$€£]?\d",
        "",
        plain,
        flags=re.I,
    )
    if re.match(r"\W*(?:please )?(?:close|create|send|open|delete|update|set|save|assign|add)\b", plain, re.I):
        return ""
    found = _CONSTRUCTED.search(plain)
    if found:
        return found.group()
    for trigger in functions.triggers:
        if trigger.function.kind in ("sort", "day") or want == "text":
            continue
        named = re.search(rf"\b(?:{trigger.pattern})\b", plain, re.I)
        if named and not (trigger.function.kind == "text" and _field(named.group(), functions)):
            return named.group()
    return ""


def _became(text: str) -> str:
    """What somebody became ("X became a *customer*"): the date wanted is of that."""
    match = re.search(r"\b(?:becom(?:e|es|ing)|became)\s+(?:an?|our|your|the)\s+(?:\w+\s+)?(\w+)$", text, re.I)
    return stem(match.group(1)) if match else ""


def _field(word: str, functions: Functions) -> bool:
    return functions.others.knows(stems(word)[0]) if stems(word) else False


_DATE_WORDS = frozenset(stems("date day when time"))


def prepared(question: Question, want: Want, catalogue: Catalogue) -> Question:
    """The question with operation and head as the wanted sort of value needs them."""
    head = question.head
    things = tuple(w for w in head if catalogue.is_entity(w))
    fields = tuple(w for w in head if w not in things)
    match want:
        case "date":
            keep = tuple(w for w in fields if w not in _DATE_WORDS)
            nouns = tuple(dict.fromkeys((*things, *keep, *question.nouns)))
            return replace(
                question,
                operation="value",
                head=(),
                implied="date",
                nouns=nouns,
                about=_became(question.text) or "".join(things[-1:]),
            )
        case "number":
            if question.operation in ("count", "sum", "average"):
                return question
            operation = "value" if question.operation in ("list", "exists") else question.operation
            if not fields and question.implied in ("", "money"):
                nouns = tuple(dict.fromkeys((*things, *question.nouns)))
                return replace(
                    question, operation=operation, head=(), implied="money", nouns=nouns, about="".join(things[-1:])
                )
            return replace(question, operation=operation)
        case "numbers":
            if not fields:
                nouns = tuple(dict.fromkeys((*things, *question.nouns)))
                return replace(question, operation="list", head=(), implied="money", nouns=nouns)
            return replace(question, operation="list")
        case "list":
            return replace(question, operation="list")
        case "text":
            return replace(question, operation="value") if question.operation == "list" else question
    return question
