"""Filling one argument of a tool from the question's values or from records already fetched.

Every filling has a fit (0..1) judged by name, type, format and the words around the value; the schema is checked
before a value is offered, so a filled call is valid as far as a single argument can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.flow.answer import Group, groups
from agentflow.flow.catalogue import ID_WORDS, Catalogue, Param, Tool
from agentflow.flow.facts import Facts, Record
from agentflow.flow.fields import PERSON, id_like, is_date, is_id_key, is_number, own_id, pii_type, shape, words_of
from agentflow.flow.literals import Literal
from agentflow.flow.question import Question, content_words
from agentflow.flow.select import Choice, choose, mentions
from agentflow.flow.words import STOP, alike, best_alike, stem, stems, surface

JSON = dict[str, Any]
MAX_FAN_OUT = 20

_NAME_PARAMS = frozenset(stems("name fullname person username title label"))
_SEARCH_PARAMS = frozenset(stems("query q search text term keyword keywords phrase question topic"))
_MAIL_PARAMS = frozenset(stems("email mail recipient to"))
_PHONE_PARAMS = frozenset(stems("phone telephone mobile"))
_DATE_PARAMS = frozenset(stems("date day start end from to since until before after due when"))
_PAGING = frozenset(stems("limit offset page size per cursor max top skip depth timeout"))
_CODES = frozenset(stems("code currency unit lang language country symbol base target source from to"))


@dataclass(frozen=True, slots=True)
class Fill:
    """Values for one argument; several values mean one call each.

    Attributes:
        literals: positions of the question's values that were used.
        words: stems of the question that were used.
    """

    values: tuple[Any, ...]
    fit: float
    literals: frozenset[int] = frozenset()
    words: frozenset[str] = frozenset()
    actions: frozenset[int] = frozenset()


def from_question(tool: Tool, param: Param, question: Question, catalogue: Catalogue) -> list[Fill]:
    """Fillings from the question itself, best first."""
    fills = [f for literal in question.literals if (f := _from_literal(tool, param, literal, catalogue)) is not None]
    fills += _from_words(tool, param, question)
    return sorted(fills, key=lambda f: -f.fit)


def _from_literal(tool: Tool, param: Param, literal: Literal, catalogue: Catalogue) -> Fill | None:
    value = _coerce(param, literal)
    if value is None:
        return None
    fit = _literal_fit(tool, param, literal) * _context_fit(tool, param, literal, catalogue)
    return Fill((value,), min(fit, 1.0), frozenset((literal.position,))) if fit > 0 else None


def _context_fit(tool: Tool, param: Param, literal: Literal, catalogue: Catalogue) -> float:
    """Little where the words around a name say that it is another kind of thing ("the *Networks* department")."""
    if literal.kind not in ("name", "quoted", "code"):
        return 1.0
    after = literal.after if literal.article or literal.kind != "name" else ""
    kinds = [w for w in (after, literal.before) if w and catalogue.is_entity(w)]
    if not kinds or any(best_alike(k, (*tool.nouns, *param.words)) for k in kinds):
        return 1.0
    return 0.25 if after in kinds else 0.6


def _coerce(param: Param, literal: Literal) -> Any:
    """The literal as the parameter's type, or None where it cannot be."""
    value = literal.value
    if param.enum:
        return next((e for e in param.enum if str(e).casefold() == str(value).casefold()), None)
    match param.type:
        case "integer":
            digits = re.fullmatch(r"\d+", str(value))
            return value if isinstance(value, int) else int(digits.group()) if digits else None
        case "number":
            return value if isinstance(value, int | float) else None
        case "string":
            fits = isinstance(value, str) or literal.kind == "number"
            pattern = param.schema.get("pattern")
            text = str(value)
            return text if fits and _pattern_fits(pattern, text) else None
        case "array":
            return [value]
        case "":
            return value
    return None


def _pattern_fits(pattern: Any, text: str) -> bool:
    if not isinstance(pattern, str) or len(pattern) > 200:
        return True
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def _literal_fit(tool: Tool, param: Param, literal: Literal) -> float:
    words = set(param.words)
    if (
        literal.before
        and literal.before in words
        and literal.before in {"from", "to", "since", "until", "befor", "after"}
    ):
        return 0.95
    match literal.kind:
        case "email":
            return _typed(words, _MAIL_PARAMS, param, "email") or (0.6 if words & _SEARCH_PARAMS else 0.0)
        case "token":
            return _token_fit(words, param, literal)
        case "url":
            return 0.95 if words & {"url", "uri", "link", "href"} or param.schema.get("format") == "uri" else 0.2
        case "date":
            return 0.9 if words & _DATE_PARAMS or "date" in str(param.schema.get("format")) else 0.0
        case "id":
            return _id_fit(tool, param, literal)
        case "number":
            return _number_fit(tool, param, literal)
        case "code":
            return _code_fit(tool, words, literal)
        case "name" | "quoted":
            return _name_fit(tool, param, literal)
    return 0.3


def _typed(words: set[str], expected: frozenset[str], param: Param, form: str) -> float:
    return 0.95 if words & expected or param.schema.get("format") == form else 0.0


def _token_fit(words: set[str], param: Param, literal: Literal) -> float:
    if literal.pii == "email":
        fit = _typed(words, _MAIL_PARAMS, param, "email")
    elif literal.pii == "phone":
        fit = 0.95 if words & _PHONE_PARAMS else 0.0
    else:
        fit = 0.95 if best_alike(stem(literal.pii), words) else 0.0
    return fit or (0.6 if words & _SEARCH_PARAMS else 0.0)


def _id_fit(tool: Tool, param: Param, literal: Literal) -> float:
    named = next((n for n in (literal.before, literal.after) if n and (best_alike(n, tool.named))), "")
    if param.entity:
        context = literal.before or literal.after
        if context and alike(context, param.entity):
            return 1.0
        if named and not alike(named, param.entity):
            return 0.15
        return 0.5 if not context or named else 0.45
    words = set(param.words)
    if words & ID_WORDS:
        return 0.5
    if words & _SEARCH_PARAMS:
        return 0.35
    if literal.before and best_alike(literal.before, words):
        return 0.9
    return 0.3 if best_alike(tool.entity, words) else 0.1


def _number_fit(tool: Tool, param: Param, literal: Literal) -> float:
    words = set(param.words)
    if param.entity:
        return _id_fit(tool, param, literal) - 0.02
    context = {literal.before, literal.after} - {""}
    if context & words or any(best_alike(c, words) for c in context):
        return 0.95
    if words & _PAGING:
        return 0.0
    return 0.6 if param.type in ("number", "integer") and param.required else 0.15


def _code_fit(tool: Tool, words: set[str], literal: Literal) -> float:
    if words & _CODES or literal.before in words:
        target = words & {"to", "target"} and literal.before in ("in", "to", "into")
        source = words & {"from", "source", "base"} and literal.before in ("from", "of")
        return 0.9 if target or source else 0.55
    return (
        0.5
        if words & _NAME_PARAMS or words & _SEARCH_PARAMS
        else 0.3
        if literal.before and literal.before in words
        else 0.0
    )


def _name_fit(tool: Tool, param: Param, literal: Literal) -> float:
    words = set(param.words)
    if param.type not in ("string", "", "array") or param.schema.get("format") in ("email", "date", "date-time", "uri"):
        return 0.0
    if literal.before and best_alike(literal.before, words) and not param.entity:
        return 0.95
    if words & (_MAIL_PARAMS | _PHONE_PARAMS) or (words & _DATE_PARAMS and literal.kind == "name"):
        return 0.0
    if param.entity:
        return 0.0 if not words - ID_WORDS or literal.kind == "name" else 0.1
    place = words & {"city", "location", "place", "country", "town"}
    person = tool.entity in PERSON or bool(words & PERSON)
    if words & _NAME_PARAMS:
        return 0.9 if person or not _personal(literal) else 0.75
    if words & _SEARCH_PARAMS:
        return 0.8 if person or literal.kind == "quoted" else 0.7
    if place:
        return 0.85 if literal.before in ("in", "at", "to", "from", "for") else 0.3
    if words & PERSON:
        return 0.7
    return 0.4 if param.required else 0.2


def _personal(literal: Literal) -> bool:
    return literal.kind == "name" and " " in literal.text


def _from_words(tool: Tool, param: Param, question: Question) -> Iterable[Fill]:
    for value in param.enum:
        if not isinstance(value, str):
            continue
        words, roots = " ".join(surface(value)), frozenset(stems(value))
        if words and mentions(words, " ".join(surface(question.text))) and not roots & question.negated:
            yield Fill((value,), 0.9, words=roots)
        elif roots == {stem(question.verb)}:
            yield Fill((value,), 0.85, words=roots)
    if param.type == "boolean" and (named := [w for w in param.words if w in question.words and w not in STOP]):
        yield Fill((named[0] not in question.negated,), 0.8, words=frozenset(named))
    if param.type in ("string", "") and not param.enum and set(param.words) & _SEARCH_PARAMS:
        wanted = _topic(tool, question)
        if wanted:
            yield Fill((wanted,), 0.45, words=frozenset(stems(wanted)))


def _topic(tool: Tool, question: Question) -> str:
    """What a free search should look for: the question's words less those that name the tool."""
    about = re.search(
        r"\b(?:about|regarding|concerning|on|mention(?:s|ing)?|for)\s+(?:the\s+|a\s+|an\s+)?([\w][\w '-]*)",
        question.text,
        re.I,
    )
    if about:
        return " ".join(content_words(about.group(1))) or about.group(1)
    known = {*tool.nouns, *tool.inputs}
    return " ".join(w for w in content_words(question.text) if not best_alike(stem(w), known))


def from_knowledge(param: Param, knowledge: JSON) -> list[Fill]:
    """A filling from what the caller brought along under the parameter's own name."""
    value = knowledge.get(param.name)
    return [Fill((_cast(param, value),), 0.97)] if value is not None and _fits(param, value) else []


def from_facts(tool: Tool, param: Param, question: Question, facts: Facts) -> list[Fill]:
    """Fillings from records already fetched, best first; the question's filters and selectors choose among them."""
    fills: list[Fill] = []
    for group in groups(facts):
        fill = _from_group(tool, param, question, facts, group)
        if fill is not None:
            fills.append(fill)
    if not param.entity:
        fills += _from_scalars(param, question, facts)
    return sorted(fills, key=lambda f: (-f.fit, -max(f.actions, default=-1)))


def _from_scalars(param: Param, question: Question, facts: Facts) -> Iterable[Fill]:
    for index, value in facts.scalars.items():
        source = facts.catalogue.tool(facts.actions[index].tool)
        numeric = is_number(value) and param.type in ("number", "integer")
        if source is not None and (numeric or (isinstance(value, str) and len(value) < 200 and param.type == "string")):
            fit = best_alike(param.words[-1], source.nouns) if param.words else 0.0
            if fit or numeric:
                yield Fill((value,), 0.8 * fit or 0.45, actions=frozenset((index,)))


def _from_group(tool: Tool, param: Param, question: Question, facts: Facts, group: Group) -> Fill | None:
    found = _key_for(tool, param, question, facts, group.records)
    if found is None:
        return None
    key, fit = found
    known = [v for a in group.actions for v in facts.arguments(a)]
    choice = choose(group.records, question, known)
    records = choice.records or group.records
    values = list(dict.fromkeys(v for r in records if (v := dict(r.fields()).get(key)) is not None and _fits(param, v)))
    if not values:
        return None
    if len(values) > 1 and _wants_one(question, choice, known, len(group.actions)):
        values = values[:1]
    words = {w for w in question.words if best_alike(w, words_of(key))} | choice.words
    if group.records[0].tool == tool.name and fit < 0.97:
        fit *= 0.5
    return Fill(
        tuple(_cast(param, v) for v in values[:MAX_FAN_OUT]),
        fit * (0.95 if len(values) > 1 else 1.0),
        frozenset(choice.literals),
        frozenset(words),
        frozenset(a for a in group.actions if any(r.action == a for r in records)),
    )


def _wants_one(question: Question, choice: Choice, known: Sequence[Any], fetched: int) -> bool:
    """Whether of several values only the first is to be followed. An action never picks one: it asks."""
    if question.operation == "action":
        return False
    named = {str(literal.value).casefold() for literal in question.literals}
    anchored = bool(choice.literals) or any(str(v).casefold() in named for v in known)
    several = question.operation in ("count", "sum", "average", "list") or bool(question.selectors) or fetched > 1
    return not several or (anchored and bool(choice.literals))


def _fits(param: Param, value: Any) -> bool:
    if isinstance(value, bool | list | dict):
        return False
    if param.enum:
        return value in param.enum
    match param.type:
        case "integer":
            return isinstance(value, int)
        case "number":
            return is_number(value)
        case "string":
            return isinstance(value, str) or (bool(param.entity) and isinstance(value, int))
        case "":
            return True
    return False


def _cast(param: Param, value: Any) -> Any:
    return str(value) if param.type == "string" else value


def _key_for(
    tool: Tool, param: Param, question: Question, facts: Facts, records: Sequence[Record]
) -> tuple[str, float] | None:
    """The field of these records that holds what the parameter wants, with its fit."""
    record = records[0]
    best: tuple[str, float] | None = None
    for path, value in record.fields():
        if not _fits(param, value) and value is not None:
            continue
        fit = _key_fit(param, record, path, value, question, facts)
        if fit > 0 and (best is None or fit > best[1]):
            best = (path, fit)
    return best


def _key_fit(param: Param, record: Record, path: str, value: Any, question: Question, facts: Facts) -> float:
    words = stems(path.rsplit("/", 1)[-1])
    if param.entity:
        return _entity_fit(param, record, path, words, value, question, facts)
    if is_id_key(path) and not set(param.words) & ID_WORDS:
        return 0.0
    wanted = tuple(w for w in param.words if w not in ("from", "to", "source", "target", "base"))
    if words == param.words or (words == wanted and "to" not in param.words and "target" not in param.words):
        return 0.85
    mail = pii_type(value) == "email" or (isinstance(value, str) and "@" in value and " " not in value)
    if set(param.words) & _MAIL_PARAMS and mail:
        return 0.85
    if set(param.words) & _DATE_PARAMS and is_date(value):
        return 0.7 if best_alike(words[0], question.words) else 0.5
    if set(param.words) & _SEARCH_PARAMS:
        return 0.0
    shared = max((alike(a, b) for a in wanted for b in words), default=0.0)
    asked = any(w in question.words and w not in record.nouns for w in words)
    if shared == 0 and asked and isinstance(value, str) and param.required and len(value) < 100:
        return 0.55
    if shared == 0 and is_number(value) and param.type in ("number", "integer") and param.required:
        return 0.65 if any(best_alike(w, words) for w in question.words) else 0.0
    if is_number(value) and any(w in words for w in question.words):
        shared += 0.1
    return 0.7 * shared


def _entity_fit(
    param: Param, record: Record, path: str, words: tuple[str, ...], value: Any, question: Question, facts: Facts
) -> float:
    own = own_id(record)
    is_own = own is not None and own[0] == path
    role = [w for w in words if w not in ID_WORDS][-1:]
    personal = param.entity in PERSON and bool(set(role) & PERSON)
    if role and personal and role[0] in question.words and not alike(role[0], param.entity) and id_like(value):
        return 0.98
    entity = [w for w in words if w not in ID_WORDS]
    if words == param.words or (entity and entity[-1] == param.entity and words[-1:] and words[-1] in ID_WORDS):
        return 0.95 if is_own else 1.0
    if is_own and alike(record.entity, param.entity):
        return 0.95 * alike(record.entity, param.entity)
    if is_own or not id_like(value):
        return 0.0
    if not (is_id_key(path) or words):
        return 0.0
    asked = any(best_alike(w, entity) for w in question.words)
    if entity and alike(entity[-1], param.entity):
        return 0.75
    seen = {shape(o[1]) for r in facts.records if alike(r.entity, param.entity) == 1.0 and (o := own_id(r)) is not None}
    if shape(value) in seen and isinstance(value, str):
        return 0.97 if asked else 0.3
    return 0.3 if asked and is_id_key(path) else 0.0
