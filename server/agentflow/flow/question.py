"""What a question asks for, read without a model: operation, head, entities, selectors, filters, comparisons.

English only. Nothing here knows a tool or a data set; words are matched against tools and results later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal as OneOf

from agentflow.flow.literals import Literal, Token, lex, literals
from agentflow.flow.words import READ_VERBS, STOP, WRITE_VERBS, parts, stem, stems

Operation = OneOf["value", "count", "sum", "average", "list", "exists", "action"]
Implied = OneOf["", "person", "date", "place", "money"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Choose one of several: by date or number, ascending or descending.

    Attributes:
        kind: `date`, `number`, or `any` ("first").
        rank: how many stand before it ("second" → 1).
        noun: stem of the noun it stands with ("last *order*"), or "".
        field: stem of the field it implies ("expensive" → price), or "".
    """

    word: str
    kind: OneOf["date", "number", "any"]
    descending: bool
    noun: str = ""
    field: str = ""
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Keep only records where a field compares so: `("after", "2025-01-01")`, `(">", 100)`. `field` may be ""."""

    operator: OneOf["<", "<=", ">", ">=", "in"]
    value: str | int | float
    field: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read.

    Attributes:
        text: the words themselves.
        head: stems of the noun asked for, in order; () where only `implied` says it ("who", "when").
        nouns: stems of every other content word, in order of appearance, without selectors and literals.
        verb: the action asked for ("close"), or "".
        negated: stems that stand after "not".
        about: stem of the thing whose field is wanted, where that is known ("X became a *customer*"), or "".
        order: the field that a list is sorted by, and whether it falls.
        predicate: stems after the subject of a yes/no question ("Is … *shipped*?").
    """

    text: str
    operation: Operation
    head: tuple[str, ...]
    implied: Implied
    nouns: tuple[str, ...]
    literals: tuple[Literal, ...]
    selectors: tuple[Selector, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    verb: str = ""
    negated: frozenset[str] = frozenset()
    predicate: tuple[str, ...] = ()
    about: str = ""
    order: tuple[str, bool] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Head and nouns together."""
        return tuple(dict.fromkeys((*self.head, *self.nouns)))


_SELECTORS: dict[str, tuple[OneOf["date", "number", "any"], bool, str]] = {
    **dict.fromkeys(("last", "latest", "newest", "recent", "youngest"), ("date", True, "")),
    **dict.fromkeys(("oldest", "earliest"), ("date", False, "")),
    "first": ("any", False, ""),
    **dict.fromkeys(("highest", "largest", "biggest", "greatest", "maximum", "max", "top"), ("number", True, "")),
    **dict.fromkeys(("lowest", "smallest", "minimum", "min", "fewest", "least"), ("number", False, "")),
    **dict.fromkeys(("priciest", "costliest", "dearest"), ("number", True, "price")),
    "cheapest": ("number", False, "price"),
    "longest": ("number", True, "duration"),
    "shortest": ("number", False, "duration"),
    "heaviest": ("number", True, "weight"),
    "lightest": ("number", False, "weight"),
    "tallest": ("number", True, "height"),
    "best": ("number", True, "rating"),
    "worst": ("number", False, "rating"),
}


def is_selector(word: str) -> bool:
    """Whether a word chooses one of several ("last", "cheapest")."""
    return word in _SELECTORS or word in _ORDINALS


_BREAKS = frozenset(
    parts(
        "of for from by in on with that which who whose placed made has have had having does do did is are was were "
        "at belonging where and about"
    )
)
_DETERMINERS = frozenset(parts("the a an all each every any this that these those his her their"))
_COMPARE = (
    (re.compile(r"\b(?:more|greater|higher|larger|bigger) than\s*$|\b(?:over|above|exceeding)\s*$", re.I), ">"),
    (re.compile(r"\b(?:less|lower|smaller|fewer|cheaper) than\s*$|\b(?:under|below)\s*$", re.I), "<"),
    (re.compile(r"\bat least\s*$|\bminimum of\s*$", re.I), ">="),
    (re.compile(r"\b(?:at most|up to)\s*$", re.I), "<="),
    (re.compile(r"\b(?:after|later than)\s*$", re.I), ">"),
    (re.compile(r"\b(?:since|starting)\s*$", re.I), ">="),
    (re.compile(r"\b(?:before|earlier than|prior to)\s*$", re.I), "<"),
    (re.compile(r"\b(?:until|by)\s*$", re.I), "<="),
    (re.compile(r"\b(?:in|during|on|dated)\s*$", re.I), "in"),
)


def read(text: str) -> Question:
    """Read one question (see `split` for compound ones)."""
    text = _spoken(re.sub(r"\b([eE])-mail", r"\1mail", text))
    tokens = lex(text)
    values = literals(tokens)
    compared, comparisons = _comparisons(text, tokens, values)
    selectors, used = _selectors(tokens)
    verb = _action(tokens)
    operation = "action" if verb else _operation(text, tokens)
    implied = _implied(text)
    predicate = _predicate(tokens, used) if operation == "exists" else ()
    head = () if operation == "exists" else _head(tokens, used, verb)
    if implied == "person" and re.match(r"\W*who(?:m)? (?!is\b|are\b|was\b|were\b|'s\b)", text, re.I):
        head = ()  # "who placed the order" asks for somebody, not for the order
    if operation in ("sum", "average"):
        head = tuple(w for w in head if w not in _AGGREGATES) or head
    if re.search(r"\b(?:says?|said|states?|reads?)\b\W*$", text.lower()):
        head = ("text",)
    nouns = tuple(
        dict.fromkeys(
            t.stem
            for i, t in enumerate(tokens)
            if t.kind == "word" and i not in used and _content(t) and t.stem not in head and t.text != verb
        )
    )
    nouns = tuple(n for n in nouns[:MAX_NOUNS] if n not in _AGGREGATES or operation not in ("sum", "average"))
    return Question(
        text=text,
        operation=operation,
        head=head,
        implied=implied,
        nouns=nouns,
        literals=tuple(v for v in values if v.position not in compared),
        selectors=selectors,
        comparisons=comparisons,
        verb=verb,
        negated=_negated(tokens),
        predicate=predicate,
    )


def _spoken(text: str) -> str:
    """A question in the words that fields are named after: two-word superlatives, verbs of buying."""
    text = re.sub(r"\b(?:lowest|least)[- ](?:priced|cost(?:ing)?|costly)\b", "cheapest", text, flags=re.I)
    text = re.sub(r"\b(?:highest|most)[- ](?:priced|costing)\b", "most expensive", text, flags=re.I)
    bought = re.match(r"^\W*what (?:did|does|has|have) (.+?) (?:buy|bought|purchased?|order(?:ed)?)\b(.*)$", text, re.I)
    text = re.sub(
        r"\b(?:cost|costs)\s+the\s+(most|least)\b",
        lambda m: "is the most expensive" if m.group(1).lower() == "most" else "is the cheapest",
        text,
        flags=re.I,
    )
    text = re.sub(r"\b(?:full )?names? of (?:the )?(item|thing|product|article)(s?)\b", r"\1\2", text, flags=re.I)
    text = re.sub(r"\bthing(s?)\b", r"item\1", text)
    spend = r"(?:total|overall|entire|whole|combined)?\s*(?:spend|spending|expenditure|outlay)"
    spent = re.match(rf"^(?:the\s+)?{spend}\s+(?:of|by|for)\s+(.+)$", text, re.I) or re.match(
        rf"^(.+?)['’]s?\s+{spend}\W*$", text, re.I
    )
    if spent:
        return f"how much has {spent.group(1)} spent in total"
    if bought:
        return f"which item is in the order of {bought.group(1)}{bought.group(2)}"
    return text


_AGGREGATES = frozenset(stems("total sum average mean avg combined overall altogether"))


def _content(token: Token) -> bool:
    return token.lower not in STOP and not (len(token.text) <= 5 and token.text.isupper() and len(token.text) > 1)


def _action(tokens: list[Token]) -> str:
    """The write verb of an imperative ("Please close …", "Can you send …"), or ""."""
    polite = {"please", "can", "could", "would", "you", "now", "then", "kindly", "i", "want", "to", "need"}
    for token in tokens:
        if token.kind != "word":
            return ""
        if token.lower in polite:
            continue
        if token.lower not in WRITE_VERBS or (token.lower in _NOUNS_TOO and _named(tokens, token)):
            return ""
        return token.text
    return ""


_NOUNS_TOO = frozenset(parts("order book ship comment note log mark schedule run post email store"))


def _named(tokens: list[Token], token: Token) -> bool:
    """Whether a word that may be a verb is a noun with its number ("*order* SO-7's total")."""
    after = tokens[tokens.index(token) + 1 :][:2]
    return bool(after) and (after[0].kind in ("id", "number", "poss") or after[0].lower in ("of", "status", "total"))


def _operation(text: str, tokens: list[Token]) -> Operation:
    lower = text.lower()
    if re.search(r"\bhow many\b|\bcount (?:of|the|all|how)\b|^\s*count\b", lower):
        return "count"
    if re.search(r"(?:^|\bthe |\btotal )number of\b", lower):
        return "count"
    if re.search(r"\b(average|mean|avg)\b", lower):
        return "average"
    if re.search(r"\bsum\b|\bcombined\b|\baltogether\b|\bin total\b|\bsum up\b|\badd up\b", lower) or (
        re.search(r"\bhow much\b.*\b(spen[dt]|paid|pay|owe[sd]?)\b", lower)
    ):
        return "sum"
    if re.search(r"\btotal\b", lower) and _plural_follows(tokens):
        return "sum"
    if re.match(r"\s*(is|are|does|do|did|has|have|was|were)\b", lower):
        return "exists"
    if re.match(r"\W*(?:which|what|list|show|find|give|tell|name)\b", lower) and _plural_head(lower):
        return "list"
    return "value"


def _plural_head(lower: str) -> bool:
    """Whether the first noun asked for is plural ("which *orders* …", "list the open *tickets*")."""
    words = [w for w in re.findall(r"[a-z']+", lower) if w not in _LEADS and w not in _SELECTORS]
    plural = [w.endswith("s") and not w.endswith("'s") and stem(w) != w and not w.endswith("ss") for w in words[:2]]
    return bool(plural) and (
        plural[0] or (len(plural) > 1 and plural[1] and bool(re.search(r"\b(?:all|list|are|were)\b", lower)))
    )


def _plural_follows(tokens: list[Token]) -> bool:
    at = next((i for i, t in enumerate(tokens) if t.lower == "total"), len(tokens))
    singular = any(t.lower in _SELECTORS for t in tokens)
    rest = [t.lower for t in tokens[at + 1 :] if t.kind == "word"]
    return not singular and ("all" in rest or any(w.endswith("s") and stem(w) != w and w not in STOP for w in rest))


def _implied(text: str) -> Implied:
    lower = text.lower()
    if re.search(r"\bwho(?:se|m)?\b", lower[:12]) or re.search(r"^\s*(?:by|to|for|with) whom\b", lower):
        return "person"
    if re.search(r"^\W*(?:tell me |on )?(?:when|(?:what|which) (?:date|day))\b", lower):
        return "date"
    if re.search(r"^\W*(?:tell me |from |in )?where\b", lower):
        return "place"
    if "how much" in lower:
        return "money"
    return ""


def _selectors(tokens: list[Token]) -> tuple[tuple[Selector, ...], set[int]]:
    """Selectors with the noun they stand with, and the token indices they use up."""
    found: list[Selector] = []
    used: set[int] = set()
    rank = 0
    for i, token in enumerate(tokens):
        lower = token.lower
        if i in used or token.kind != "word":
            continue
        if lower in _ORDINALS:
            used.add(i)
            after = tokens[i + 1].lower if i + 1 < len(tokens) else ""
            if after in _SELECTORS or after in ("most", "least"):
                rank = _ORDINALS[after] if after in _ORDINALS else _ORDINALS[lower]
            else:
                found.append(Selector(lower, "any", False, _noun_after(tokens, i), rank=_ORDINALS[lower]))
            continue
        if lower in ("most", "least") and i + 1 < len(tokens) and tokens[i + 1].kind == "word":
            following = tokens[i + 1]
            used.add(i)
            if following.lower in ("recent", "recently"):
                used.add(i + 1)
                found.append(Selector("most recent", "date", lower == "most", _noun_after(tokens, i + 1)))
            elif following.lower in ("expensive", "costly", "valuable"):
                used.add(i + 1)
                found.append(Selector(lower, "number", lower == "most", _noun_after(tokens, i + 1), "price"))
            else:
                found.append(Selector(lower, "number", lower == "most", following.stem, following.stem))
        elif lower in _SELECTORS:
            kind, descending, field = _SELECTORS[lower]
            used.add(i)
            found.append(Selector(lower, kind, descending, _noun_after(tokens, i), field))
    if rank and found:
        found[0] = replace(found[0], rank=rank)
    return tuple(found), used


_ORDINALS = {"second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3, "fifth": 4}


def _noun_after(tokens: list[Token], i: int) -> str:
    """The last content word of the run of words after `i` ("last open *order*")."""
    noun = ""
    for token in tokens[i + 1 :]:
        if token.kind != "word" or (token.lower in _BREAKS or token.lower in STOP):
            break
        if noun and token.lower.endswith("ed"):
            break
        noun = token.stem
    return noun


_LEADS = STOP | READ_VERBS


def _head(tokens: list[Token], used: set[int], verb: str) -> tuple[str, ...]:
    """The noun phrase asked for: of the first phrase that has content, what follows the last possessive."""
    chunk: list[Token] = []
    started = False
    for i, token in enumerate(tokens):
        if token.kind == "word" and not started and (token.lower in _LEADS or token.text == verb or i in used):
            continue
        if token.kind == "punct":
            if started:
                break
            continue
        if token.kind == "poss":
            chunk = []
            continue
        if token.kind == "word" and (token.lower in _BREAKS or token.lower in _DETERMINERS):
            if chunk:
                break
            continue
        if token.kind != "word":
            started = True
            if chunk and not (i + 1 < len(tokens) and tokens[i + 1].kind == "poss"):
                break
            continue
        started = True
        if i not in used and _content(token):
            chunk.append(token)
    return tuple(dict.fromkeys(t.stem for t in chunk))


def _predicate(tokens: list[Token], used: set[int]) -> tuple[str, ...]:
    words = [t for i, t in enumerate(tokens) if i not in used and t.kind in ("word", "name", "id", "poss")]
    tail: list[str] = []
    for token in reversed(words):
        if token.kind != "word" or token.lower in STOP:
            break
        tail.insert(0, token.stem)
    return tuple(tail[-2:])


def _negated(tokens: list[Token]) -> frozenset[str]:
    marks = ("not", "n't", "except", "excluding", "isn't", "aren't", "never", "haven't", "hasn't", "wasn't", "weren't")
    found = set()
    for i, token in enumerate(tokens[:-1]):
        if token.lower in marks:
            following = next((t for t in tokens[i + 1 :] if t.kind == "word" and t.lower not in STOP), None)
            if following is not None:
                found.add(following.stem)
    return frozenset(found)


def _comparisons(
    text: str, tokens: list[Token], values: tuple[Literal, ...]
) -> tuple[set[int], tuple[Comparison, ...]]:
    """Comparisons, and the token indices of the values they use up."""
    used: set[int] = set()
    found: list[Comparison] = []
    for value in values:
        year = value.kind == "number" and isinstance(value.value, int) and 1900 <= value.value <= 2200
        if value.kind not in ("number", "date"):
            continue
        start = tokens[value.position].start
        left = re.sub(r"[$€£]$", "", text[max(0, start - 60) : start])
        left = re.sub(r"\b(?:the|a|an)\s*$", "", left)
        for pattern, operator in _COMPARE:
            match = pattern.search(left)
            if match is None:
                continue
            dated = value.kind == "date" or (year and operator in ("in", "<", ">", ">=", "<="))
            words = pattern.pattern
            if operator == "in" and not dated:
                break
            if value.kind == "date" and "over" in words:
                break
            field = stems(left[: match.start()])[-1:] if not dated else ()
            compared = str(value.value) if dated and _dateish(words, operator) else value.value
            found.append(Comparison(operator, compared, field[0] if field else ""))  # type: ignore[arg-type]
            used.add(value.position)
            break
    return used, tuple(found)


def _dateish(words: str, operator: str) -> bool:
    return operator == "in" or any(mark in words for mark in ("after", "since", "before", "until"))


_NUMBERED = re.compile(
    r"(\band\s+)(order|book|ticket|note|store|post|log)(?=\s+(?:number\s+)?#?[A-Za-z]{0,5}-?\d)", re.I
)
MAX_PARTS = 10
MAX_NOUNS = 60
_PRONOUN = re.compile(r"\b(he|she|they|his|her|their|him|them|it|its)\b", re.I)
_SPLIT = re.compile(
    r"(?:,?\s+and\s+|;\s*|\?\s+|,\s+then\s+|\s+then\s+)"
    r"(?=(?:(?:what|which|who|when|where|how|is|are|does|do|did|has|have|was|were|also)\b|"
    rf"(?:{'|'.join(sorted(WRITE_VERBS | frozenset(parts('find get show list tell count'))))})\b"
    r"(?!\s+(?:of|is|are|was)\b)))",
    re.I,
)


def split(text: str) -> list[str]:
    """Split a compound question into at most `MAX_PARTS` parts, each readable alone.

    A pronoun becomes what it stands for: the person named before, or the thing the part before asked for.
    """
    text = _NUMBERED.sub(lambda m: f"{m.group(1)}\u2060{m.group(2)}", text)  # "and order 7" joins, it orders nothing
    pieces = [
        piece.replace("\u2060", "").strip(" ?.;,") for piece in _SPLIT.split(text.strip()) if piece.strip(" ?.;,")
    ]
    if len(pieces) < 2:
        return [text.replace("\u2060", "").strip()]
    anchor = ""
    out: list[str] = []
    for piece in pieces[:MAX_PARTS]:
        named = [v for v in literals(lex(piece)) if v.kind in ("name", "email", "token", "id")]
        if named:
            anchor = named[0].text
        elif anchor:
            piece = _resolve(piece, anchor, out[-1] if out else "")
        out.append(piece + ("?" if text.rstrip().endswith("?") else ""))
    return out


def _resolve(piece: str, anchor: str, before: str) -> str:
    thing = (
        re.sub(rf"^\W*(?:please )?(?:{'|'.join(READ_VERBS)})\s+(?=the\b)", "", before.strip(" ?."), flags=re.I)
        if before
        else ""
    )

    def put(match: re.Match[str]) -> str:
        if match.group().lower() in ("it", "them") and thing.lower().startswith("the "):
            return thing
        return anchor + "'s" if match.group().lower() in ("his", "her", "their", "its") else anchor

    resolved, count = _PRONOUN.subn(put, piece, count=1)
    return resolved if count else piece


def content_words(text: str) -> tuple[str, ...]:
    """The words of a text that carry meaning, as written, for a free-text search parameter."""
    return tuple(t.text for t in lex(text) if t.kind in ("word", "name") and t.lower not in _LEADS and parts(t.text))
