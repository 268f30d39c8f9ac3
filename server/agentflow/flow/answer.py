"""Whether the results of a run answer a question, with which value, and on what evidence.

`best_answer` tries every group of records (and every plain value) as the place of the answer and measures how
much of the question it accounts for: the values it names, the things it speaks of, the field it asks for. The
same measure tells the planner when to stop, the verifier what is missing, and the solver how sure to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agentflow.flow.catalogue import Catalogue
from agentflow.flow.facts import Facts, Record
from agentflow.flow.fields import (
    date_field,
    identity,
    is_id_key,
    is_number,
    number_field,
    project,
    words_of,
)
from agentflow.flow.measures import unit_of
from agentflow.flow.question import Question
from agentflow.flow.select import Choice, choose
from agentflow.flow.types import Evidence
from agentflow.flow.words import alike, best_alike, stem, stems


@dataclass(slots=True)
class Answer:
    """An answer found in results.

    Attributes:
        value: the answer's value (scalar, or list of scalars).
        coverage: share of the question accounted for, 0..1.
        quality: how well the field fits what was asked for, 0..1.
        missing: words and values of the question that nothing accounts for.
        astray: a value of the question (a name, an id) is among the missing: this is about something else.
    """

    value: Any
    coverage: float
    quality: float
    evidence: list[Evidence]
    missing: tuple[str, ...] = ()
    tied: bool = False
    astray: bool = False

    @property
    def complete(self) -> bool:
        return not self.missing and self.quality >= 0.5

    @property
    def confidence(self) -> float:
        sure = self.coverage * (0.5 + 0.5 * self.quality) * (0.7 if self.tied else 1.0)
        return round(min(max(sure, 0.05), 0.99), 2)

    def text(self) -> str:
        """The value as one would say it."""
        return render(self.value)


@dataclass(slots=True)
class Group:
    """Records of one kind that were fetched the same way (siblings of a fan-out together)."""

    records: list[Record]
    actions: list[int] = field(default_factory=list)


def groups(facts: Facts) -> list[Group]:
    """Records by tool, entity and the results their arguments came from, in order of arrival."""
    found: dict[Any, Group] = {}
    for record in facts.records:
        parents = tuple(sorted({link.record.action for link in facts.links.get(record.action, ())}))
        key = (record.tool, record.nouns, parents)
        group = found.setdefault(key, Group([]))
        group.records.append(record)
        if record.action not in group.actions:
            group.actions.append(record.action)
    return list(found.values())


def demands(question: Question, catalogue: Catalogue) -> dict[str, float]:
    """What an answer has to account for, with weights; words that no tool is named after do not count."""
    wanted: dict[str, float] = {}
    for literal in question.literals:
        wanted[f"={literal.position}"] = 1.0 if literal.kind == "number" else 2.0
    for word in question.words:
        if catalogue.knows(word) and (word not in question.predicate or catalogue.is_entity(word)):
            wanted[word] = 1.0
    return wanted


def best_answer(question: Question, facts: Facts) -> Answer | None:
    """The answer that accounts for most of the question; of equals the latest. None where nothing fits."""
    wanted = demands(question, facts.catalogue)
    best: Answer | None = None
    for candidate in _candidates(question, facts, wanted):
        if best is None or _rank(candidate) >= _rank(best):
            best = candidate
    return best


def _rank(answer: Answer) -> tuple[bool, float]:
    return answer.complete, round(answer.coverage * (0.4 + 0.6 * answer.quality), 4)


def _candidates(question: Question, facts: Facts, wanted: dict[str, float]) -> Iterable[Answer]:
    for group in groups(facts):
        found = _from_group(question, facts, group)
        if found is not None:
            value, quality, evidence, choice = found
            if question.about and group.records[0].is_a(question.about) < 0.7:
                quality *= 0.7
            covered = covers(question, facts, group.actions, wanted, choice, group.records)
            covered |= _evidence_words(question, evidence)
            tied = choice.tied or _ambiguous(question, facts, group.actions)
            yield _answer(question, value, quality, evidence, covered, wanted, tied=tied)
    yield from _from_empty(question, facts, wanted)
    for index, value in facts.scalars.items():
        if question.operation == "action" and not _acted(question, facts, index):
            continue
        covered = covers(question, facts, [index], wanted, Choice([]), [])
        quality = _scalar_quality(question, facts, index, covered)
        evidence = [Evidence(tool=facts.actions[index].tool, path="", value=value)]
        yield _answer(question, _sentence(question, value), quality, evidence, covered, wanted)


def _from_empty(question: Question, facts: Facts, wanted: dict[str, float]) -> Iterable[Answer]:
    """What an empty list of the things asked for says: none, no, zero."""
    nothing: dict[str, Any] = {"count": 0, "exists": "no", "sum": 0}
    if question.operation not in nothing:
        return
    for index in facts.empty:
        tool = facts.catalogue.tool(facts.actions[index].tool)
        subject = question.head or question.nouns
        if tool is not None and any(alike(tool.entity, w) for w in subject) and facts.links.get(index):
            covered = covers(question, facts, [index], wanted, Choice([]), [])
            evidence = [Evidence(tool=tool.name, path="", value=[])]
            yield _answer(question, nothing[question.operation], 0.9, evidence, covered, wanted)


def _answer(
    question: Question,
    value: Any,
    quality: float,
    evidence: list[Evidence],
    covered: set[str],
    wanted: dict[str, float],
    *,
    tied: bool = False,
) -> Answer:
    missing = [key for key in wanted if key not in covered]
    total = sum(wanted.values()) or 1.0
    coverage = 1.0 - sum(wanted[key] for key in missing) / total
    astray = any(key.startswith("=") for key in missing)
    if question.operation == "exists" and missing and all(key.startswith("=") for key in missing):
        value, astray = "no", False
    names = {f"={lit.position}": str(lit.value) for lit in question.literals}
    return Answer(value, coverage, quality, evidence, tuple(names.get(k, k) for k in missing), tied, astray)


def _evidence_words(question: Question, evidence: Sequence[Evidence]) -> set[str]:
    paths = {w for e in evidence for w in words_of(e.path.lstrip("/"))}
    return {w for w in question.words if best_alike(w, paths)}


def covers(
    question: Question,
    facts: Facts,
    actions: Sequence[int],
    wanted: dict[str, float],
    choice: Choice,
    records: Sequence[Record],
) -> set[str]:
    """The demands that a group accounts for: by its choosing, its kind, and the whole way it was fetched."""
    words: set[str] = set(choice.words)
    positions = set(choice.literals)
    nouns: set[str] = {n for r in records[:1] for n in r.nouns}
    for index in dict.fromkeys(i for a in actions for i in facts.lineage(a)):
        action = facts.actions[index]
        tool = facts.catalogue.tool(action.tool)
        if tool is not None:
            nouns |= set(tool.nouns) | {stem(tool.verb)}
            used = [p for p in tool.params if p.name in action.arguments]
            nouns |= {w for p in used for w in p.words if p.entity or w in question.words}
        positions |= _in_arguments(question, action.arguments)
        values = {w for v in action.arguments.values() if isinstance(v, str) for w in stems(v)}
        words |= {w for w in question.words if w in values}
        for link in facts.links.get(index, ()):
            words |= {w for w in question.words if best_alike(w, words_of(link.key))}
            source = choose(_siblings(facts, link.record), question, facts.arguments(link.record.action))
            if any(r is link.record for r in source.records):
                words |= source.words
                positions |= source.literals
            nouns |= set(link.record.nouns)
    covered = {w for w in wanted if w in words or best_alike(w, nouns)}
    return covered | {f"={p}" for p in positions}


def _ambiguous(question: Question, facts: Facts, actions: Sequence[int]) -> bool:
    """Whether on the way one of several equally fitting records was followed, and the others were not."""
    for index in dict.fromkeys(i for a in actions for i in facts.lineage(a)):
        for link in facts.links.get(index, ()):
            if not is_id_key(link.key):
                continue
            source = choose(_siblings(facts, link.record), question, facts.arguments(link.record.action))
            fitting = {value for r in source.records if isinstance(value := r.data.get(link.key), str | int)}
            tool = facts.actions[index].tool
            followed = {a.arguments.get(link.param) for a in facts.actions if a.tool == tool and a.success}
            if fitting - followed and any(r is link.record for r in source.records):
                return True
    return False


def _siblings(facts: Facts, record: Record) -> list[Record]:
    return [r for r in facts.records if r.action == record.action and r.nouns == record.nouns]


def _in_arguments(question: Question, arguments: dict[str, Any]) -> set[int]:
    given = [v for v in arguments.values() if isinstance(v, str | int | float) and not isinstance(v, bool)]
    found = set()
    for literal in question.literals:
        wanted = str(literal.value).casefold()
        if any(v == literal.value or (isinstance(v, str) and wanted in v.casefold()) for v in given):
            found.add(literal.position)
    return found


def _from_group(question: Question, facts: Facts, group: Group) -> tuple[Any, float, list[Evidence], Choice] | None:
    known = [v for a in group.actions for v in facts.arguments(a)]
    choice = choose(group.records, question, known)
    if question.operation == "action":
        return _from_action(question, facts, group, choice)
    if question.operation == "exists":
        return _exists(question, group, choice)
    kinds = (
        [question.head, question.nouns]
        if not facts.catalogue.is_entity("".join(question.head[-1:]))
        else [question.head]
    )
    if question.operation == "count" and any(group.records[0].is_a(w) >= 0.7 for words in kinds for w in words):
        named = any(group.records[0].is_a(h) >= 0.7 for h in question.head)
        if not named and any(unit_of(h) for h in question.head):
            return None  # "how many grams" is no count of the pages that were found
        return len(choice.records), 1.0 if named else 0.7, _records_evidence(choice.records or group.records), choice
    if not choice.records:
        return None
    if question.operation in ("count", "sum", "average"):
        return _aggregate(question, choice)
    return _values(question, facts, group, choice)


def _from_action(
    question: Question, facts: Facts, group: Group, choice: Choice
) -> tuple[Any, float, list[Evidence], Choice] | None:
    acted = [i for i in group.actions if _acted(question, facts, i)]
    if not acted:
        return None
    record = next(r for r in group.records if r.action == acted[0])
    choice.records = [record]
    said = {path: v for path, v in record.fields(depth=0) if v is not None}
    return "; ".join(f"{k}: {render(v)}" for k, v in list(said.items())[:8]), 1.0, _records_evidence([record]), choice


def _acted(question: Question, facts: Facts, index: int) -> bool:
    tool = facts.catalogue.tool(facts.actions[index].tool)
    return tool is not None and not tool.read_only


def _exists(question: Question, group: Group, choice: Choice) -> tuple[Any, float, list[Evidence], Choice]:
    record = group.records[0]
    subject = [w for w in question.nouns if record.is_a(w) >= 0.7]
    flags = {w for r in choice.records for path, v in r.fields() if v is True for w in words_of(path)}
    tested = {w for w in question.predicate if not record.is_a(w) >= 0.7}
    holds = bool(choice.records) and all(w in choice.words or w in flags for w in tested)
    quality = 0.9 if subject or tested & choice.words else 0.55
    return ("yes" if holds else "no"), quality, _records_evidence(choice.records or group.records), choice


def _aggregate(question: Question, choice: Choice) -> tuple[Any, float, list[Evidence], Choice] | None:
    record = choice.records[0]
    asked = [w for w in question.words if not record.is_a(w)]
    key = number_field(choice.records, asked)
    if key is None:
        return None
    named = any(best_alike(w, words_of(key)) for w in asked)
    if not named and (
        question.operation == "count"
        or (question.head and question.implied != "money" and not any(record.is_a(h) for h in question.head))
    ):
        return None
    pairs = [(r, v) for r in choice.records if is_number(v := dict(r.fields()).get(key))]
    if not pairs:
        return None
    total = sum((Decimal(str(v)) for _, v in pairs), Decimal(0))
    value = total / len(pairs) if question.operation == "average" else total
    quality = 0.95 if named or any(record.is_a(w) >= 0.7 for w in question.words) else 0.6
    return plain(value), quality, [_evidence(r, key, v) for r, v in pairs], choice


def plain(value: Decimal) -> int | float:
    """A decimal as a JSON number, at most six places."""
    rounded = value.quantize(Decimal("0.000001")) if abs(value) < 10**15 else value
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


def _values(
    question: Question, facts: Facts, group: Group, choice: Choice
) -> tuple[Any, float, list[Evidence], Choice] | None:
    found = [(r, f) for r in choice.records if (f := _field(question, facts, r, group)) is not None]
    if not found:
        return None
    if question.order is not None:
        found = _sorted(found, *question.order)
    quality = min(f[2] for _, f in found)
    evidence = [_evidence(r, path, value) for r, (path, value, _) in found]
    values = [value for _, (_, value, _) in found]
    if len(values) == 1:
        return values[0], quality, evidence, choice
    unique = list(dict.fromkeys(v if not isinstance(v, list) else tuple(v) for v in values))
    if question.operation != "list":
        choice.tied = choice.tied or len(unique) > 1
        if len(unique) > 1 and not _several(question):
            quality = min(quality, 0.49)  # one was asked for, and nothing says which
        if any(s.noun == "" or group.records[0].is_a(s.noun) for s in question.selectors):
            return unique[0], quality, evidence[:1], choice
    return (unique if len(unique) > 1 else unique[0]), quality, evidence, choice


def _several(question: Question) -> bool:
    """Whether a question may be answered by more than one value."""
    words = set(question.text.lower().split())
    return bool(words & {"all", "every", "each", "any", "are", "were"}) or any(
        w.endswith("s") and stem(w) in question.head for w in words
    )


_EVENT = re.compile(
    r"\b(closed|shipped|delivered|returned|cancell?ed|paid|updated|resolved|"
    r"refunded|sent|arrived?|expired?|deleted|edited)\W*$",
    re.I,
)


def _sorted(found: list[tuple[Record, tuple[str, Any, float]]], by: str, falling: bool) -> Any:
    """The found fields in the order of another field of their records."""
    records = [r for r, _ in found]
    words = stems(by)
    key = date_field(records, words) if by in ("date", "age") else number_field(records, words)
    if by in ("name", "status", "title") or key is None:
        return sorted(found, key=lambda pair: str(pair[1][1]).casefold(), reverse=falling)
    return sorted(found, key=lambda pair: dict(pair[0].fields()).get(key) or 0, reverse=falling)


def _field(question: Question, facts: Facts, record: Record, group: Group) -> tuple[str, Any, float] | None:
    """The field of a record that was asked for, or what the record is called where itself was."""
    role = _role(question, facts, record)
    if question.implied == "date" and not _plain_head(question, record):
        key = date_field([record], question.words)
        if key is not None:
            other = _EVENT.search(question.text)  # "when was it closed" is not told by when it was opened
            strange = other is not None and stem(other.group(1)) not in words_of(key)
            return key, dict(record.fields())[key], 0.3 if strange else 0.9
    direct = project(record, question.head, question.implied)
    itself = bool(question.head) and (role or max((record.is_a(h) for h in question.head[-1:]), default=0.0) >= 0.7)
    if itself and (direct is None or direct[2] < 0.95 or direct[2] <= 0.4):
        named = identity(record)
        if named is not None:
            return named[0], named[1], 0.9
        scalars = {p: v for p, v in record.fields(depth=0) if v is not None}
        if direct is None and len(scalars) > 1:
            return "", scalars, 0.7
    if direct is None and question.implied and question.head:
        direct = project(record, (), question.implied)
    if direct is None and not question.head and question.implied == "person" and role:
        named = identity(record)
        direct = (*named, 0.9) if named is not None else None
    if direct is None and _compares(question, record):
        named = identity(record)
        direct = (*named, 0.6) if named is not None else None
    return direct or _only_value(question, facts, record)


def _plain_head(question: Question, record: Record) -> bool:
    """Whether the head names a date itself ("when is the *due date*")."""
    found = project(record, question.head, "") if question.head else None
    return found is not None and found[2] >= 0.8 and not record.is_a(question.head[-1])


def _compares(question: Question, record: Record) -> bool:
    return question.operation == "list" and bool(question.head) and any(record.is_a(h) for h in question.head)


def _role(question: Question, facts: Facts, record: Record) -> bool:
    """Whether the record was fetched by following a field named like the head (`manager_id` for "manager")."""
    links = [
        link
        for link in facts.links.get(record.action, ())
        if is_id_key(link.key) or isinstance(link.record.data.get(link.key), str)
    ]
    wanted = question.head[-1:] or ()
    return any(best_alike(w, words_of(link.key)) == 1.0 for link in links for w in wanted)


def _only_value(question: Question, facts: Facts, record: Record) -> tuple[str, Any, float] | None:
    """The single number or text of a small result ({"rate": 0.92}), if its tool is about what was asked."""
    scalars = [
        (p, v)
        for p, v in record.fields(depth=0)
        if v is not None and not isinstance(v, bool) and v not in facts.actions[record.action].arguments.values()
    ]
    numbers = [(p, v) for p, v in scalars if is_number(v)]
    only = numbers if len(numbers) == 1 else scalars if len(scalars) == 1 else []
    if not only or record.path.count("/") > 1 or record.group != record.path:
        return None
    tool = facts.catalogue.tool(record.tool)
    about = tool is not None and any(
        best_alike(w, (*tool.nouns, stem(tool.verb))) or w in tool.described for w in question.head
    )
    derived = any(
        best_alike(w, words_of(link.key)) for link in facts.links.get(record.action, ()) for w in question.head
    )
    return (*only[0], 0.8 if derived else 0.7 if about else 0.45)


def _scalar_quality(question: Question, facts: Facts, index: int, covered: set[str]) -> float:
    tool = facts.catalogue.tool(facts.actions[index].tool)
    if tool is None:
        return 0.3
    if not question.head or question.operation == "action":
        return 0.7
    if any(best_alike(w, (*tool.nouns, stem(tool.verb))) for w in question.head) or covered & set(question.head):
        return 0.8
    return 0.6 if any(w in tool.described for w in question.head) else 0.4


def _sentence(question: Question, value: Any) -> Any:
    """Of a long text, the sentence that shares most words with the question."""
    if not isinstance(value, str) or len(value) < 300:
        return value
    wanted = set(question.words) | {w for lit in question.literals for w in stems(lit.text)}
    sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+|\n+", value) if s.strip()]
    return max(sentences, key=lambda s: len(wanted & set(stems(s))), default=value)


def _evidence(record: Record, path: str, value: Any) -> Evidence:
    return Evidence(tool=record.tool, path=f"{record.path}/{path}", value=value)


def _records_evidence(records: Sequence[Record]) -> list[Evidence]:
    return [_evidence(r, *named) for r in records[:50] if (named := identity(r)) is not None]


def render(value: Any) -> str:
    """A value as text: lists joined by commas, whole floats without ".0", booleans as yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(render(item) for item in value)
    if isinstance(value, float):
        return str(plain(Decimal(str(value)))) if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, dict):
        return "; ".join(f"{k}: {render(v)}" for k, v in value.items())
    return "" if value is None else str(value)
