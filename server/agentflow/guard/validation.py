"""JSON Schema validation that a hostile schema cannot turn against the gateway.

Two tiers: a schema of the plain kind is compiled to a closure that can only say "certainly valid"; whatever it
does not accept goes to jsonschema, which has the last word and finds the reasons. Nothing is ever fetched for a
`$ref`; `pattern`s run on RE2 (one that RE2 cannot express is left to the upstream); the steps of one validation are
bounded. While it is open what becomes of a PII token, one that stands alone satisfies any constraint, and a string
that holds one those on how it is spelled.

Source: JSON Schema 2020-12 (and the older drafts jsonschema knows, by `$schema`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing.exceptions import Unresolvable

from agentflow.guard.complaints import Problem, compiled_pattern, described, matches, pointer, real, type_name
from agentflow.guard.quick_schema import compile_quick

MAX_PROBLEMS: Final = 5
_STEPS, _STEPS_PER_NODE, _MAX_STEPS = 20_000, 50, 500_000
_READS_TEXT: Final = frozenset({"pattern", "format", "enum", "const"})  # others are as quick whatever a text's length


class UnusableSchema(Exception):
    """The schema is invalid, refers to something that is not there, or takes too long to check against."""


class Schema:
    """One compiled schema."""

    def __init__(self, schema: Any) -> None:
        """Compile.

        Raises:
            UnusableSchema: the schema is invalid.
        """
        if not isinstance(schema, dict | bool):
            raise UnusableSchema(f"a schema is an object, not {type_name(schema)}")
        self._validator = _validator_class(schema)(schema, registry=REGISTRY)
        try:
            self._validator.check_schema(schema, format_checker=None)
        except SchemaError as error:  # its message quotes the schema, which is a stranger's text
            raise UnusableSchema(
                f"`{error.validator}` of JSON Schema is violated at {pointer(error) or '/'}"
            ) from error
        except RecursionError as error:
            raise UnusableSchema("it is nested too deeply") from error
        self._certain = compile_quick(schema)

    def judge(self, value: Any, limit: int = MAX_PROBLEMS, *, final: bool = False) -> tuple[list[Problem], bool]:
        """Return what is wrong with `value`, at most `limit` things, and whether a PII token excused anything.

        Args:
            final: it is settled what becomes of the tokens: those still in it stay in it.

        Raises:
            UnusableSchema: a `$ref` leads nowhere, or the check takes too many steps.
        """
        found: dict[Problem, None] = {}
        excused = False
        try:
            if self._certain is not None and self._certain(value):
                return [], False
            _budget.steps = min(_MAX_STEPS, _STEPS + _STEPS_PER_NODE * _nodes(value))
            for error in self._validator.iter_errors(value):
                if not real(error, final):
                    excused = True
                    continue
                for problem in described(error, final):
                    found.setdefault(problem)
                if len(found) >= limit:
                    break
        except Unresolvable as error:
            raise UnusableSchema("it refers to a schema that is not part of it") from error
        except RecursionError as error:
            raise UnusableSchema("it refers to itself without end") from error
        return list(found)[:limit], excused


# --------------------------------------------------------------------------- the full tier, made safe


class _Budget:
    """Steps left for the validation that is running. Validation never yields, so one is enough."""

    steps = 0


_budget = _Budget()


def _nodes(value: Any) -> int:
    count, level = 0, [value]
    while level:
        count += len(level)
        level = [x for v in level if isinstance(v, dict | list) for x in (v.values() if isinstance(v, dict) else v)]
    return count


def _counted(
    name: str, keyword: Callable[..., Iterable[ValidationError] | None]
) -> Callable[..., Iterator[ValidationError]]:
    sized = (str, list, dict) if name in _READS_TEXT else (list, dict)

    def check(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _budget.steps -= 1 + (len(instance) >> 4 if isinstance(instance, sized) else 0)
        if _budget.steps < 0:
            raise UnusableSchema("checking a value against it takes too long")
        yield from keyword(validator, argument, instance, schema) or ()

    return check


def _check_pattern(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and isinstance(argument, str) and not matches(argument, instance):
        yield ValidationError("does not match the pattern")


def _check_pattern_properties(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in argument.items():
        for name, item in instance.items():
            if compiled_pattern(pattern) is not None and matches(pattern, name):
                yield from validator.descend(item, inner, path=name, schema_path=pattern)


def _check_additional(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [n for n in instance if n not in named and not any(matches(p, n) for p in patterns)]
    if argument is False:
        if extras:
            yield ValidationError("unexpected properties")
        return
    for name in extras:
        yield from validator.descend(instance[name], argument, path=name)


def _check_unevaluated(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Left to the upstream: jsonschema would run the schema's patterns on a backtracking engine for it."""
    return iter(())


def _check_unique(validator: Any, argument: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if argument is True and isinstance(instance, list) and len({_canonical(item) for item in instance}) < len(instance):
        yield ValidationError("has equal items")


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return ("object", frozenset((key, _canonical(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_canonical, value)))
    return (isinstance(value, bool), value)


@cache
def _safe(base: Any) -> Any:
    keywords = {
        **base.VALIDATORS,
        "pattern": _check_pattern,
        "patternProperties": _check_pattern_properties,
        "additionalProperties": _check_additional,
        "unevaluatedProperties": _check_unevaluated,
        "unevaluatedItems": _check_unevaluated,
        "uniqueItems": _check_unique,
    }
    return extend(  # type: ignore[no-untyped-call]
        base, {name: _counted(name, keyword) for name, keyword in keywords.items()}
    )


def _validator_class(schema: Any) -> Any:
    return _safe(validator_for(schema, default=Draft202012Validator))
