"""From a question to the program it asks for, by the constructions of English: no tool and no template is known here.

The outermost construction is peeled off first ("… in Roman numerals", "the median of …", "how many days between … and
…"), and what is left is read again; what no construction fits is a lookup. A construction counts only where the
catalogue has a function for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentflow.flow.constructions import (
    arithmetic,
    choices,
    comparisons,
    conversions,
    dates,
    percentages,
    texts,
)
from agentflow.flow.documents import speaks_of_documents
from agentflow.flow.functions import Functions
from agentflow.flow.literals import lex, literals
from agentflow.flow.measures import NUMBER_WORDS, currency_of, number_word, unit_of
from agentflow.flow.program import Constant, Lookup, Node, Want, lookups

_LEAD = re.compile(
    r"^(?:(?:please|kindly|now|then|also|and|so|hey|hi|hello|ok|okay|well)\b(?!-)[\s,]+|"
    r"(?:can|could|would|will) you(?: please)?\s+|i(?:'d| would) (?:like|love) (?:you )?to\s+(?:know\s+)?|"
    r"i (?:want|need) (?:you )?(?:to (?:know\s+)?)?|do you know\s+|"
    r"(?:tell|give|show|get) (?:me|us)\s+|let (?:me|us) know\s+|"
    r"(?:calculate|compute|determine|work out|figure out|find out|state|report|"
    r"name|print|output|return|find|give|show|tell|provide)\s+(?=the\b|what|"
    r"how|which|when|who|\d|(?-i:[A-Z]))|"
    r"what(?:'s| is| are| was| were| would be| will be)\s+(?=the\b|an?\b|[\d\"'“]|"
    r"(?-i:[A-Z])|today|twice|double|half|one|"
    rf"(?:{NUMBER_WORDS})\b))",
    re.I,
)
_ECHO = re.compile(r"\s*[,.;]?\s*(?:please|thanks|thank you|for me|exactly)$", re.I)
_DEPTH = 6

Construction = Callable[[str, Want, "Reader"], Node | None]


@dataclass(frozen=True)
class Reader:
    """Reads questions for one catalogue's functions."""

    functions: Functions

    def read(self, text: str) -> Node:
        """The program of a question; a bare lookup where nothing is to be computed."""
        plain = in_order(topical(supposed(pronouns(text.strip()))))
        node = self.expression(plain, "any")
        return Lookup(clean(plain), "any") if _adrift(node) else node

    def expression(self, text: str, want: Want, depth: int = 0) -> Node:
        """Read a phrase as a value of the wanted sort."""
        plain = clean(text)
        constant = constant_of(plain)
        if constant is not None:
            return constant
        reader = Reader(self.functions) if depth == 0 else self
        if depth < _DEPTH:
            inner = _Nested(reader.functions, depth + 1)
            for construction in CONSTRUCTIONS:
                found = construction(plain, want, inner)
                if found is not None:
                    return found
        return Lookup(plain if plain else text, want)


@dataclass(frozen=True)
class _Nested(Reader):
    depth: int = 0

    def expression(self, text: str, want: Want, depth: int = 0) -> Node:
        return super().expression(text, want, max(depth, self.depth))


CONSTRUCTIONS: tuple[Construction, ...] = (
    choices.choice,
    comparisons.comparison,
    texts.ordering,
    texts.leading_form,
    texts.trailing_form,
    conversions.conversion,
    arithmetic.rounding,
    percentages.percentage,
    dates.difference,
    texts.statistic,
    dates.facts,
    dates.shift,
    texts.form_of,
    arithmetic.arithmetic,
)


def clean(text: str) -> str:
    """A phrase without greeting, "what is" and full stop."""
    before = None
    text = text.strip().strip("?!").strip()
    text = re.sub(r"(?<=\w)\.$", "", text)
    while before != text:
        before = text
        text = _ECHO.sub("", text).strip(" ,;:")
        text = _LEAD.sub("", text, count=1).strip(" ,;:")
    return text


def constant_of(text: str) -> Constant | None:
    """A phrase that is a value itself: `12.5 kg`, `€40`, `2026-03-01`, `"some text"`, `thirty`."""
    plain = re.sub(r"^(?:the|a|an|exactly|only)\s+(?=[\d\"“'])", "", text.strip(), flags=re.I)
    plain = re.sub(
        r"^(?:the\s+)?(?:number|value|amount|text|string|word|phrase|date)\s+(?=[\d\"“'])", "", plain, flags=re.I
    )
    if quoted := re.fullmatch(r"[\"“'‘]([^\"”]*)[\"”'’]", plain):
        return Constant(quoted.group(1))
    amount = re.fullmatch(r"([$€£]?)\s*(-?\d[\d,]*(?:\.\d+)?)\s*%?\s*([A-Za-z°€$£. ]*)", plain)
    if amount:
        sign, digits, unit = amount.groups()
        named = currency_of(sign or unit) or unit_of(unit) if (sign or unit.strip()) else ""
        if unit.strip() and not named:
            return None
        number = float(digits.replace(",", ""))
        return Constant(int(number) if number.is_integer() else number, named)
    word = number_word(plain)
    if word is not None:
        return Constant(word)
    values = literals(lex(plain))
    if len(values) == 1 and values[0].kind == "date" and values[0].text == plain:
        return Constant(values[0].value)
    return None


_TOPIC = re.compile(
    r"^(?:(?:for|regarding|about|concerning|as for)\s+)?((?:the\s+)?(?:\w+\s+)?\S+(?:\s+[A-Z]\S+)*)\s*[:–]\s+(.{8,})$",
    re.I,
)


def topical(text: str) -> str:
    """`Order 7: who bought it?` → who bought order 7?; `X: number of orders` → number of orders of X."""
    match = _TOPIC.match(text)
    if match is None:
        return text
    topic, rest = match.groups()
    if len([v for v in literals(lex(topic)) if v.kind in ("name", "id", "email", "token")]) != 1:
        return text
    put = re.sub(r"\b(?:it|this one|that one|the order|the ticket)\b(?!['’])", topic, rest, count=1)
    if put != rest:
        return put
    if [v for v in literals(lex(rest)) if v.kind in ("name", "id", "email", "token")]:
        return text
    return (
        f"{rest.rstrip(' ?.')} of {topic}"
        if not re.match(r"\W*(?:what|how|who|when|which|is|does|did|has)\b", rest, re.I)
        else text
    )


_SUPPOSED = re.compile(
    r"^(?:if|when|suppose|assuming)\s+(?:you|i|we|one)\s+((?:add|subtract|multiply|"
    r"divide|take|convert|round|put|sort|double)\b.+?),\s*(?:then\s+)?"
    r"(?:what|how much|how many|which \w+)\s+(?:is|are|do|does|would|will)\s"
    r"+(?:it|that|this|you get|i get|we get|the (?:result|total|sum|answer|outcome)"
    r"|one get)(?:\s+be)?(.*)$",
    re.I,
)


def supposed(text: str) -> str:
    """`If you add A and B, what is it in C` → add A and B in C."""
    match = _SUPPOSED.match(text.rstrip(" ?."))
    return f"{match.group(1)}{match.group(2)}" if match else text


def _adrift(node: Node) -> bool:
    """Whether one of several lookups names nobody and nothing, while others do: then the question was misread."""
    leaves = lookups(node)
    named = [bool(literals(lex(leaf.text))) or speaks_of_documents(leaf.text) for leaf in leaves]
    return any(named) and not all(named)


_SEQUENCE = re.compile(
    r"^(.{8,}?)(?:\s*[,;.]\s*(?:and\s+)?(?:then\s+|after that\s+|next\s+)?|\s+and\s+(?:then\s+)?|\s+then\s+)"
    r"((?:convert|express|round|write|put|give|show|tell|turn|translate|multiply|"
    r"divide|add|subtract|take|increase|reduce|"
    r"sort|hash|count|spell|calculate|compute|work out|state|what|which|how|on|in)\b.*?)"
    r"\b(it|that|this|them|these|the result|(?:that|this|the resulting) (?:number|"
    r"value|date|day|amount|sum|total|text|figure|price))\b(.*)$",
    re.I,
)
_ASKS = re.compile(
    r"^\W*(?:(?:please|now|then|also|and)\s+)*(?:take|look up|find|get|determine|"
    r"start with|starting with|work out|consider)\s+",
    re.I,
)


def in_order(text: str) -> str:
    """Two steps as one phrase: "find the total of …, then convert it to euros" → convert the total of … to euros."""
    match = _SEQUENCE.match(text.strip(" ?."))
    if match is None:
        return text
    first, verb, _, rest = match.groups()
    asked = re.match(r"(?:what|which|how|on|in)\b", verb, re.I)
    if asked and not _ASKS.match(first):
        return text
    thing = clean(_ASKS.sub("", first))
    how_many = re.match(r"^how many (.+?) (?:does|do|did|has|have) (.+?)(?: have| has| placed?| made)?$", thing, re.I)
    if how_many:
        thing = f"the number of {how_many.group(1)} of {how_many.group(2)}"
    return f"{verb}{thing}{rest}"


_THEIRS = re.compile(r"\b(his|her|their)\b(?=\s+\w)", re.I)
_THEY = re.compile(r"\b(he|she|they|him|them)\b", re.I)


def pronouns(text: str) -> str:
    """Put the one person of a question where it is only referred to ("X and her first order")."""
    people = [v for v in literals(lex(text)) if v.kind == "name" and " " in v.text]
    if len({p.text for p in people}) != 1:
        return text
    name = people[0].text
    at = text.index(name) + len(name)
    rest = _THEIRS.sub(f"{name}'s", text[at:])
    rest = _THEY.sub(name, rest)
    return text[:at] + rest
