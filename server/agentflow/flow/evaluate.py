"""A program's value on the results of a run, or the calls that bring it further: equal results, equal value.

Promises: lookups never see what functions computed; a function is called once per arguments; a value of the wrong
sort (a text where a date is needed) is no value. Where a lookup stays unsure, so does all that is computed from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from agentflow.flow.answer import Answer, best_answer, plain, render
from agentflow.flow.catalogue import Catalogue
from agentflow.flow.chain import Chainer, gain
from agentflow.flow.documents import Documents, Read, asked_of_page, library, speaks_of_documents
from agentflow.flow.facts import Facts
from agentflow.flow.fields import is_date, is_number
from agentflow.flow.functions import Function, Functions
from agentflow.flow.measures import KINDS, currency_of, unit_of
from agentflow.flow.program import Apply, Choose, Compare, Compute, Constant, Lookup, Node, Want, YearOf
from agentflow.flow.question import Question, read
from agentflow.flow.types import Action, ActionResult, Evidence
from agentflow.flow.wanted import RELATIVE, prepared, unread
from agentflow.flow.words import best_alike, stems

JSON = dict[str, Any]
_UNSURE = 0.5  # confidence of an answer that leaves part of its question out, below which there is none


@dataclass(slots=True)
class Outcome:
    """What evaluating a node gave: a value, calls to make first, or neither with a reason.

    Attributes:
        answer: the value with its evidence, or None.
        unit: canonical unit or ISO currency of the value, or "".
        actions: the calls that bring this further; empty with an answer that is complete.
    """

    answer: Answer | None = None
    unit: str = ""
    actions: list[Action] = field(default_factory=list)
    reason: str = ""


@dataclass
class Evaluation:
    """Evaluates nodes against the results so far.

    Attributes:
        planning: whether calls are looked for; a verdict or an answer needs none.
    """

    functions: Functions
    results: Sequence[ActionResult]
    knowledge: JSON = field(default_factory=dict)
    planning: bool = False

    @cached_property
    def _catalogue(self) -> Catalogue:
        """The catalogue without functions."""
        return self.functions.others

    @cached_property
    def _facts(self) -> Facts:
        names = self.functions.names
        return Facts([r for r in self.results if r.tool not in names], self._catalogue)

    @cached_property
    def _documents(self) -> Documents | None:
        held = library(self._catalogue)
        return Documents(held, self.results) if held is not None else None

    def value(self, node: Node) -> Outcome:
        """Evaluate one node."""
        match node:
            case Constant():
                return Outcome(Answer(node.value, 1.0, 1.0, []), node.unit)
            case Lookup():
                return self._lookup(node)
            case Apply():
                return self._apply(node)
            case Compute():
                return self._compute(node)
            case Compare():
                return self._compare(node)
            case Choose():
                return self._choose(node)
            case YearOf():
                inner = self.value(node.date)
                year = str(inner.answer.value)[:4] if inner.answer is not None else ""
                return self._from([inner], int(year) if year.isdigit() else None)
        raise AssertionError(node)

    # -- lookups ---------------------------------------------------------------------------------------------------

    def _lookup(self, node: Lookup) -> Outcome:
        question = replace(prepared(_asked(node), node.want, self._catalogue), order=node.order)
        held = self._who(node)
        if held is not None:
            return held
        left = unread(node.text, node.want, self.functions)
        if left:
            return Outcome(reason=f"not understood: {left!r} in: {node.text}")
        if self._documents is not None:
            outcome = self._in_documents(node, question, self._documents)
            if outcome is not None:
                return outcome
        answer = _fitting(best_answer(question, self._facts), node.want)
        if answer is not None and node.want == "any" and _echo(answer, question):
            answer = None
        if answer is not None and answer.complete:
            return Outcome(answer, self._unit(answer))
        if self.planning:
            chainer = Chainer(question, self._catalogue, self._facts, self.knowledge)
            chain = chainer.best()
            if chain is None or not gain(chain, chainer.worth(answer)):
                chain = chainer.explore()
            if chain is not None:
                return Outcome(None, "", chainer.actions(chain.first()), chain.tool.name)
        told = answer is not None and (answer.confidence >= _UNSURE or speaks_of_documents(node.text))
        if answer is not None and told and answer.quality >= 0.5:
            return Outcome(answer, self._unit(answer))
        return Outcome(reason=f"nothing found for: {node.text}")

    def _who(self, node: Lookup) -> Outcome | None:
        """A lookup about "the customer who placed order 7": who that is comes first. None where nobody is meant so."""
        found = RELATIVE.search(node.text)
        rest = (node.text[: found.start()] + node.text[found.end() :]).strip() if found else ""
        if found is None or not re.search(
            r"[a-z]{4}", re.sub(r"\b(?:name|what|which|does|have|whose)\b", "", rest, flags=re.I)
        ):
            return None
        key = self._value_of("customer id", found.group(1))
        if key.answer is None:
            return key if key.actions or not self.planning else None
        told = f"{node.text[: found.start()]}customer {key.answer.value}{node.text[found.end() :]}"
        outcome = self._lookup(replace(node, text=told))
        return self._from([key, outcome], outcome.answer.value) if outcome.answer is not None else outcome

    def _value_of(self, field: str, thing: str) -> Outcome:
        outcome = self._lookup(Lookup(f"the {field} of {thing}"))
        value = outcome.answer.value if outcome.answer is not None else None
        return outcome if value is None or isinstance(value, int | str) else Outcome(reason=f"no {field} of {thing}")

    def _in_documents(self, node: Lookup, question: Question, documents: Documents) -> Outcome | None:
        """What a page says to it; None where the question is not one for pages."""
        named = speaks_of_documents(node.text)
        if not named and not self._about_no_thing(question):
            return None
        sort = asked_of_page(node.text, node.want, question.head)
        if sort == "":
            return None
        if sort == "quantity":
            found, actions = documents.quantity(node.text)
        elif sort == "body":
            found, actions = documents.body(node.text)
        else:
            found, actions = documents.field(node.text, [sort])
        if found is None:
            return Outcome(actions=actions if self.planning else [], reason=f"no page tells: {node.text}")
        return Outcome(_read_answer(found), found.unit)

    def _about_no_thing(self, question: Question) -> bool:
        """Whether a question names no identifier and nothing that other tools than those for pages know."""
        if question.operation == "action" or any(
            v.kind in ("id", "email", "token", "number") for v in question.literals
        ):
            return False
        if any(v.kind == "name" and " " in v.text for v in question.literals):
            return False
        held = library(self._catalogue)
        own = {held.searcher.name, held.opener.name} if held is not None else set()
        known = {
            w
            for v in self._catalogue.views
            if v.name not in own and (t := self._catalogue.tool(v.name))
            for w in t.nouns
        }
        return not any(best_alike(w, known) for w in question.words)

    def _unit(self, answer: Answer) -> str:
        """The currency (or unit) that stands beside the value in its record."""
        for item in answer.evidence[:1]:
            for record in self._facts.records:
                if record.tool != item.tool or not item.path.startswith(f"{record.path}/"):
                    continue
                for key, value in record.data.items():
                    if isinstance(value, str) and set(stems(key)) & {"currency", "unit"}:
                        return currency_of(value) or unit_of(value)
        return ""

    # -- functions -------------------------------------------------------------------------------------------------

    def _apply(self, node: Apply) -> Outcome:
        function = node.function
        inner = [self.value(argument) for _, argument in node.arguments]
        waiting = self._from(inner, None)
        if any(o.answer is None for o in inner):
            return waiting
        roles = [role for role, _ in node.arguments]
        values = {role: o.answer.value for role, o in zip(roles, inner, strict=True) if o.answer is not None}
        arguments = self._arguments(function, values, dict(node.choices), inner)
        if isinstance(arguments, str):
            return Outcome(reason=arguments)
        if (
            function.kind in ("unit", "currency")
            and arguments[function.slots["source"]] == arguments[function.slots["target"]]
        ):
            return inner[0]
        call = Action(tool=function.tool.name, arguments=arguments)
        done = next((r for r in reversed(self.results) if r.tool == call.tool and _same(r.arguments, arguments)), None)
        if done is None:
            unsure = not all(o.answer is not None and o.answer.complete for o in inner)
            actions = [*waiting.actions] or ([call] if self.planning else [])
            return Outcome(
                actions=actions, reason=f"{call.tool} is still to be called" + (" (unsure)" if unsure else "")
            )
        if not done.success:
            return Outcome(reason=done.error.message if done.error is not None else f"{call.tool} failed")
        path, result = _output(function, node.output, done.output, arguments)
        if result is None:
            return Outcome(reason=f"{call.tool} gave no value")
        outcome = self._from(inner, result)
        if outcome.answer is not None:
            outcome.answer.evidence.insert(0, Evidence(tool=call.tool, path=path, value=result))
        outcome.unit = _unit_after(function, arguments)
        return outcome

    def _arguments(self, function: Function, values: JSON, choices: dict[str, str], inner: list[Outcome]) -> JSON | str:
        """The call's arguments by parameter name, or why there are none."""
        given: JSON = {}
        for role, value in values.items():
            fitted = _fit(function, role, value)
            if fitted is None:
                return f"{render(value)[:80]!r} is no {role} for {function.tool.name}"
            given[role] = fitted
        if function.kind in ("unit", "currency") and "source" not in choices:
            source = self._source(function, inner[0].unit, choices["target"])
            if source is None:
                return f"the {function.kind} of {render(values['value'])} is not known"
            choices["source"] = source
        if function.kind == "difference" and given["start"] > given["end"]:
            given["start"], given["end"] = given["end"], given["start"]
        merged = {**given, **choices}
        return {function.slots[role]: value for role, value in merged.items() if role in function.slots}

    @staticmethod
    def _source(function: Function, unit: str, target: str) -> str | None:
        found = function.choose("source", unit) if unit else None
        if found is None and function.kind == "unit" and KINDS.get(unit_of(target)) == "temperature":
            other = "celsius" if unit_of(target) != "celsius" else "fahrenheit"
            found = function.choose("source", other)
        return str(found) if found is not None else None

    # -- arithmetic ------------------------------------------------------------------------------------------------

    def _compute(self, node: Compute) -> Outcome:
        inner = [self.value(operand) for operand in node.operands]
        numbers = [_decimal(o.answer.value) if o.answer is not None else None for o in inner]
        if any(o.answer is None for o in inner):
            return self._from(inner, None)
        if any(n is None for n in numbers):
            return Outcome(reason="what was found is no number")
        try:
            result = _computed(node.operator, [n for n in numbers if n is not None])
        except (InvalidOperation, ZeroDivisionError):
            return Outcome(reason="the numbers found cannot be divided")
        outcome = self._from(inner, plain(result))
        units = {o.unit for o, operand in zip(inner, node.operands, strict=True) if not isinstance(operand, Constant)}
        outcome.unit = units.pop() if len(units) == 1 else ""
        return outcome

    def _compare(self, node: Compare) -> Outcome:
        inner = [self.value(node.left), self.value(node.right)]
        if any(o.answer is None for o in inner):
            return self._from(inner, None)
        left, right = (_comparable(o.answer.value) for o in inner if o.answer is not None)
        if type(left) is not type(right) or left is None:
            return Outcome(reason="what was found cannot be compared")
        holds = {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right, "==": left == right}
        return self._from(inner, "yes" if holds[node.test] else "no")

    def _choose(self, node: Choose) -> Outcome:
        inner = [self.value(option) for _, option in node.options]
        if any(o.answer is None for o in inner):
            return self._from(inner, None)
        values = [_comparable(o.answer.value) for o in inner if o.answer is not None]
        if any(type(v) is not type(values[0]) or v is None for v in values):
            return Outcome(reason="what was found cannot be compared")
        best = max(values) if node.highest else min(values)
        labels = [label for (label, _), value in zip(node.options, values, strict=True) if value == best]
        outcome = self._from(inner, labels[0] if len(labels) == 1 else labels)
        if outcome.answer is not None and len(labels) > 1:
            outcome.answer.tied = True
        return outcome

    def _from(self, inner: Sequence[Outcome], value: Any) -> Outcome:
        """An outcome that rests on others: no surer than the least sure of them."""
        actions = {json.dumps([a.tool, a.arguments], sort_keys=True, default=str): a for o in inner for a in o.actions}
        if value is None:
            reason = next((o.reason for o in inner if o.answer is None and o.reason), "")
            return Outcome(actions=list(actions.values()), reason=reason)
        answers = [o.answer for o in inner if o.answer is not None]
        answer = Answer(
            value,
            min((a.coverage for a in answers), default=1.0),
            min((a.quality for a in answers), default=1.0),
            [e for a in answers for e in a.evidence],
            tuple(m for a in answers for m in a.missing),
            any(a.tied for a in answers),
            any(a.astray for a in answers),
        )
        return Outcome(answer)


def _asked(node: Lookup) -> Question:
    """A lookup's words, read; what is wanted for a computation is never an order to do something."""
    question = read(node.text)
    return read(f"the {node.text}") if question.operation == "action" and node.want != "any" else question


def _echo(answer: Answer, question: Question) -> bool:
    """Whether an answer only says again what the question named."""
    said = {str(v.value).casefold() for v in question.literals}
    return question.operation in ("value", "list") and str(answer.value).casefold() in said


def _fitting(answer: Answer | None, want: Want) -> Answer | None:
    """The answer as the sort of value that is wanted, or None where it is not."""
    if answer is None:
        return None
    value = answer.value
    match want:
        case "number":
            return answer if is_number(value) or _decimal(value) is not None else None
        case "date":
            return answer if is_date(value) else None
        case "numbers":
            values = [e.value for e in answer.evidence if is_number(e.value)]
            return replace(answer, value=values) if values and len(values) == len(answer.evidence) else None
        case "list":
            values = [e.value for e in answer.evidence if isinstance(e.value, str | int | float)]
            return replace(answer, value=values) if values else None
        case "text":
            return answer if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    return answer


def _read_answer(found: Read) -> Answer:
    return Answer(found.value, 1.0, found.sure, [found.evidence])


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _comparable(value: Any) -> Any:
    if is_date(value):
        return str(value)
    return _decimal(value)


def _computed(operator: str, numbers: list[Decimal]) -> Decimal:
    first, *rest = numbers
    match operator:
        case "add":
            return sum(numbers, Decimal(0))
        case "subtract":
            return first - rest[0]
        case "apart":
            return abs(first - rest[0])
        case "multiply":
            return first * rest[0]
        case "divide":
            return first / rest[0]
        case "round":
            return first.quantize(Decimal(1).scaleb(-int(rest[0])), rounding=ROUND_HALF_UP)
        case "larger":
            return max(numbers)
        case "smaller":
            return min(numbers)
    return sum(numbers, Decimal(0)) / len(numbers)


def _fit(function: Function, role: str, value: Any) -> Any:
    """A value as its parameter takes it, or None where it cannot be."""
    param = function.param(role)
    if param is None:
        return None
    match param.type:
        case "integer":
            number = _decimal(value)
            return int(number) if number is not None and number == number.to_integral_value() else None
        case "number":
            number = _decimal(value)
            return plain(number) if number is not None else None
        case "array":
            return list(value) if isinstance(value, list | tuple) else None
    if role in ("date", "start", "end"):
        return str(value)[:10] if is_date(value) else None
    return render(value) if not isinstance(value, list | dict) else None


def _same(left: JSON, right: JSON) -> bool:
    return json.dumps(left, sort_keys=True, default=str) == json.dumps(right, sort_keys=True, default=str)


def _unit_after(function: Function, arguments: JSON) -> str:
    if function.kind == "currency":
        return currency_of(str(arguments[function.slots["target"]]))
    if function.kind == "unit":
        return unit_of(str(arguments[function.slots["target"]]))
    if function.kind == "difference":
        return unit_of(str(arguments.get(function.slots.get("unit", ""), "days")))
    return ""


_MAIN = {"unit": "value", "currency": "value", "shift": "date", "sort": "list", "text": "text", "percentage": "value"}


def _output(function: Function, wanted: str, data: Any, arguments: JSON) -> tuple[str, Any]:
    """The value of a function's result and its place: what was asked for, else what is no echo of the arguments."""
    if not isinstance(data, dict):
        return "", data
    if wanted:
        return f"/{wanted}", data.get(wanted)
    main = function.slots.get(_MAIN.get(function.kind, ""), "")
    if main in data:
        return f"/{main}", data[main]
    echoed = {str(v) for v in arguments.values() if isinstance(v, str)}
    fresh = [(k, v) for k, v in data.items() if k not in arguments and v is not None and str(v) not in echoed]
    for key, value in sorted(fresh, key=lambda pair: not is_number(pair[1]) if function.kind != "number" else False):
        return f"/{key}", value
    return "", next(iter(data.values()), None)
