"""Choosing among records what a question means: filters by value, comparisons, selectors such as "last".

Words are matched against the values that are really there ("open tickets" → `status == "open"`), so no list of
states has to be known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.flow.facts import Record
from agentflow.flow.fields import date_field, id_like, is_date, is_id_key, is_number, number_field, words_of
from agentflow.flow.question import Comparison, Question, Selector
from agentflow.flow.words import best_alike, parts, stem, stems, surface

_STATES = frozenset(stems("open closed pending active inactive new urgent high low medium critical done overdue late"))
_STATE_FIELDS = frozenset(stems("status state priority category type severity stage condition"))


@dataclass(slots=True)
class Choice:
    """What was chosen, and which words and literals of the question did the choosing.

    Attributes:
        tied: several records were equally last, highest, …; the first was taken.
    """

    records: list[Record]
    words: set[str] = field(default_factory=set)
    literals: set[int] = field(default_factory=set)
    selected: bool = False
    tied: bool = False


def choose(records: Sequence[Record], question: Question, known: Sequence[Any] = (), *, last: bool = True) -> Choice:
    """Filter, compare and select among records of one kind.

    Args:
        known: values already used to obtain the records; of those only an exact match filters again.
        last: whether selectors apply (False leaves all that pass the filters).
    """
    choice = Choice(list(records))
    _by_literals(choice, question, known)
    after_selection = question.operation == "exists" and any(_concerns(s, records) for s in question.selectors)
    if not after_selection:
        _by_values(choice, question)
        _by_unmatched(choice, question)
    for comparison in question.comparisons:
        _compare(choice, comparison, question)
    if last:
        for selector in question.selectors:
            if len(choice.records) and _concerns(selector, records):
                _select(choice, selector, question)
    if after_selection:
        _by_values(choice, question)
    return choice


def _by_literals(choice: Choice, question: Question, known: Sequence[Any]) -> None:
    for literal in question.literals:
        if literal.kind in ("number", "code"):
            continue
        wanted = str(literal.value).casefold()
        exact = [r for r in choice.records if any(_same(v, wanted) for _, v in r.fields())]
        if not exact and literal.value not in known and literal.kind in ("name", "quoted"):
            exact = [r for r in choice.records if any(_contains(v, wanted) for _, v in r.fields())]
        if exact:
            choice.records = exact
            choice.literals.add(literal.position)


def _same(value: Any, wanted: str) -> bool:
    if isinstance(value, list):
        return any(_same(item, wanted) for item in value)
    return isinstance(value, str | int) and str(value).casefold() == wanted


def _contains(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and len(value) < 200 and f" {wanted} " in f" {' '.join(parts(value))} "


def _by_values(choice: Choice, question: Question) -> None:
    asked = _phrase(question.text)
    literal_words = {w for lit in question.literals for w in stems(lit.text)}
    hits: dict[str, dict[Any, tuple[str, ...]]] = {}
    for record in choice.records:
        for path, value in record.fields():
            matched = _matches(record, path, value, asked, question, literal_words)
            if matched:
                hits.setdefault(path, {})[value if not isinstance(value, list) else tuple(value)] = matched
    hits = _least_fields(hits)
    for path, values in hits.items():
        matched_words = {w for words in values.values() for w in words}
        wants = not matched_words & question.negated
        if values.keys() <= {True, False}:
            wanted: Any = [next(iter(_boolean(path, question)))]
            kept = [r for r in choice.records if dict(r.fields()).get(path) in wanted]
        else:
            kept = [r for r in choice.records if (_hashable(dict(r.fields()).get(path)) in values) == wants]
        choice.records = kept
        choice.words |= matched_words


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value if not isinstance(value, dict) else None


def _least_fields(hits: dict[str, dict[Any, tuple[str, ...]]]) -> dict[str, dict[Any, tuple[str, ...]]]:
    """One word filters one field: the one named like a state before any other, else the first."""
    taken: set[str] = set()
    kept: dict[str, dict[Any, tuple[str, ...]]] = {}
    for path in sorted(hits, key=lambda p: not (_STATE_FIELDS & set(words_of(p)))):
        fresh = {v: words for v, words in hits[path].items() if not set(words) & taken}
        if fresh:
            kept[path] = fresh
            taken |= {w for words in fresh.values() for w in words}
    return kept


def _matches(
    record: Record, path: str, value: Any, asked: str, question: Question, literal_words: set[str]
) -> tuple[str, ...]:
    if isinstance(value, bool):
        return tuple(_boolean(path, question).values())[:1] if _boolean(path, question) else ()
    if isinstance(value, list):
        return next((m for v in value if (m := _matches(record, path, v, asked, question, literal_words))), ())
    if not isinstance(value, str) or not 2 <= len(value) <= 40 or is_date(value) or is_id_key(path):
        return ()
    words = surface(value)
    if not words or len(words) > 4 or f" {' '.join(words)} " not in asked or id_like(value):
        return ()
    roots = stems(value)
    if set(roots) <= literal_words or roots == question.head or all(record.is_a(w) >= 1.0 for w in roots):
        return ()
    return roots


def _boolean(path: str, question: Question) -> dict[bool, str]:
    """Which truth value of a flag the question wants: "paid invoices" → {True: paid}, "unpaid" → {False: unpaid}."""
    words = [w for w in stems(path.rsplit("/", 1)[-1]) if w != "is"]
    if len(words) != 1:
        return {}
    name = words[0]
    if name in question.words:
        return {name not in question.negated: name}
    negative = next((w for w in question.words if w in (f"un{name}", f"in{name}", f"non{name}")), None)
    return {False: negative} if negative else {}


def _phrase(text: str) -> str:
    return f" {' '.join(surface(text))} "


def _by_unmatched(choice: Choice, question: Question) -> None:
    """A state that no record has ("closed tickets", none closed) keeps none, rather than all."""
    if not choice.records or question.operation not in ("count", "list", "exists", "sum", "average"):
        return
    records = choice.records
    if not any(_STATE_FIELDS & set(words_of(path)) for path, _ in records[0].fields()):
        return
    text = [stem(w) for w in parts(question.text)]
    for at, word in enumerate(text[:-1]):
        stateful = word in _STATES or question.text.lower().split().count(word + "ed")
        if stateful and word not in choice.words and word in question.words and records[0].is_a(text[at + 1]) >= 0.7:
            choice.words.add(word)
            choice.records = []
            return


_OPERATORS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _compare(choice: Choice, comparison: Comparison, question: Question) -> None:
    value = comparison.value
    if isinstance(value, str):
        key = date_field(choice.records, question.words)
        test: Any = _date_test(comparison.operator, value)
    else:
        key = number_field(choice.records, [comparison.field] if comparison.field else question.words)
        test = lambda v: _OPERATORS[comparison.operator](v, value)  # noqa: E731
    if key is None or (not isinstance(value, str) and comparison.operator == "in"):
        return
    fitting = is_date if isinstance(value, str) else is_number
    choice.records = [r for r in choice.records if fitting(v := dict(r.fields()).get(key)) and test(v)]
    choice.words |= {w for w in words_of(key) if w in question.words}


def _date_test(operator: str, value: str) -> Any:
    if operator == "in":
        return lambda v: v.startswith(value)
    size = len(value)
    return lambda v: _OPERATORS[operator](v[:size], value)


def _concerns(selector: Selector, records: Sequence[Record]) -> bool:
    """Whether a selector chooses among these records: it names them, one of their fields, or nothing."""
    if not records:
        return False
    if not selector.noun or records[0].is_a(selector.noun) >= 0.7:
        return True
    if selector.field and any(selector.noun in words_of(path) for path, _ in records[0].fields()):
        return number_field(records, [selector.field]) is not None
    dated = selector.kind in ("date", "any")  # "the first item she ordered" is that of the first order
    return any(
        best_alike(selector.noun, words_of(path)) == 1.0
        for path, v in records[0].fields()
        if is_number(v) or is_date(v) or dated
    )


def _select(choice: Choice, selector: Selector, question: Question) -> None:
    records = choice.records
    key: str | None
    if selector.kind == "number":
        wanted = (
            [selector.field]
            if selector.field
            else [selector.noun]
            if selector.noun and not records[0].is_a(selector.noun)
            else []
        )
        key = number_field(records, wanted or [w for w in question.words if not records[0].is_a(w)])
    else:
        key = date_field(records, [w for w in question.words if w not in question.head] or ())
    if key is None:
        if selector.kind != "number":
            choice.records = [records[-1] if selector.descending else records[0]]
            choice.selected = True
        return
    valued = [(v, r) for r in records if (v := dict(r.fields()).get(key)) is not None and (is_number(v) or is_date(v))]
    if not valued:
        return
    ranked = sorted((v for v, _ in valued), reverse=selector.descending)
    if selector.rank >= len(ranked):
        choice.records = []  # there is no second of one
        return
    top = [r for v, r in valued if v == ranked[selector.rank]]
    choice.tied = len(top) > 1 or (selector.rank > 0 and ranked[selector.rank - 1] == ranked[selector.rank])
    choice.records = top[:1]
    choice.selected = True
    choice.words.add(selector.noun)
    choice.words |= {w for w in words_of(key) if w in question.words}


def mentions(pattern: str, text: str) -> bool:
    """Whether a whole word or phrase occurs in a text, case left aside."""
    return re.search(rf"(?<!\w){re.escape(pattern)}(?!\w)", text, re.IGNORECASE) is not None
