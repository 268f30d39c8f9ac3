"""What a JSON Schema validator complains about, put so that it helps and gives nothing away.

A complaint names places, expectations and types, never a value. A PII token may stand for a value that is not there
yet: until it is known what becomes of it, complaints that its value might settle are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

import re2
from jsonschema import SchemaError, ValidationError

from agentflow.guard import tokens

_SPELLING: Final = frozenset({"pattern", "format", "minLength", "maxLength"})
_SHOWABLE: Final = re.compile(r"[A-Za-z_$][A-Za-z_$.\-]*[0-9]{0,4}[A-Za-z_$.\-]{0,40}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which a value does not satisfy its schema. Names no value: it may be personal.

    Attributes:
        path: JSON pointer into the value; members that the schema does not name appear as `*`.
        text: what was expected and what was given, by type.
    """

    path: str
    text: str


@lru_cache(maxsize=1024)
def compiled_pattern(pattern: str) -> Any | None:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def matches(pattern: str, text: str) -> bool:
    compiled = compiled_pattern(pattern)
    return compiled is None or compiled.search(text.encode("utf-8", "replace").decode()) is not None


def real(error: ValidationError, final: bool = False) -> bool:
    """Whether an error remains when every PII token is taken for a value that would fit.

    Args:
        final: the tokens will not be replaced any more. They are the strings they are then, free only in how they
            are spelled; a number token is a number like any other.
    """
    instance = error.instance
    if not final and is_token(instance):
        return False
    if isinstance(instance, str) and error.validator in _SPELLING and tokens.find(instance):
        return False
    if not final and error.validator == "contains" and isinstance(instance, list) and any(map(is_token, instance)):
        return False
    if error.validator in ("anyOf", "oneOf") and error.context:
        branches: dict[Any, bool] = {}
        for inner in error.context:
            branch = inner.schema_path[0]
            branches[branch] = branches.get(branch, False) or real(inner, final)
        return all(branches.values())
    return True


def is_token(value: Any) -> bool:
    """Whether a value is nothing but a PII token, in text or as the number that stands for one."""
    if isinstance(value, str):
        text = value.strip()
        return any(span.start == 0 and span.end == len(text) for span in tokens.find(text))
    return type(value) is int and tokens.NUMBER_FIRST <= value <= tokens.NUMBER_LAST


def type_name(value: Any) -> str:
    """The JSON type of a value."""
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _shown(name: Any) -> str:
    """A property's name as the sender wrote it, unless it might be somebody's data."""
    text = str(name)
    return f"'{text}'" if len(text) <= 64 and _SHOWABLE.fullmatch(text) else f"of {len(text)} characters"


def _instance(error: ValidationError) -> Any:
    return error.instance


def _argument(error: ValidationError) -> Any:
    return error.validator_value


def pointer(error: ValidationError | SchemaError) -> str:
    """Where an error is, as a JSON pointer; member names that might be somebody's data appear as `*`."""
    steps: list[str] = []
    for step in error.absolute_path:
        text = str(step)
        shown = isinstance(step, int) or (len(text) <= 64 and _SHOWABLE.fullmatch(text) is not None)
        steps.append(text if shown else "*")
    return "".join(f"/{step}" for step in steps)


def described(error: ValidationError, final: bool = False) -> Iterator[Problem]:
    """Put an error into words: where, what was expected, and of which type the given value is."""
    path, instance, argument = pointer(error), _instance(error), _argument(error)
    match error.validator:
        case "required" if isinstance(argument, list):
            for name in argument:
                if name not in instance:
                    yield Problem(path, f"missing required property {_shown(name)}")
        case "additionalProperties" | "unevaluatedProperties" if argument is False:
            yield from _unexpected(path, error)
        case "anyOf" | "oneOf" if error.context:
            yield from _nearest(path, error, final)
        case _:
            yield Problem(path, f"expected {_expected(error)}, got {_given(instance)}")


def _unexpected(path: str, error: ValidationError) -> Iterator[Problem]:
    schema = error.schema if isinstance(error.schema, dict) else {}
    named = list(schema.get("properties", {}))
    for name in _instance(error):
        if name in named or any(matches(p, name) for p in schema.get("patternProperties", {})):
            continue
        near = get_close_matches(name[:64], [n for n in named[:200] if n not in _instance(error)], n=1, cutoff=0.6)
        hint = f" (did you mean {_shown(near[0])}?)" if near else ""
        yield Problem(path, f"unexpected property {_shown(name)}{hint}")


def _nearest(path: str, error: ValidationError, final: bool) -> Iterator[Problem]:
    """Of several forms none of which fits: the complaints of the one that fits best, or the forms' types."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    deep = [errors for errors in branches.values() if all(e.validator != "type" or e.path for e in errors)]
    if deep:
        for inner in min(deep, key=len):
            if real(inner, final):
                yield from described(inner, final)
        return
    wanted = sorted({_expected(e) for errors in branches.values() for e in errors if e.validator == "type"})
    yield Problem(path, f"expected {' or '.join(wanted) or 'another form'}, got {_given(error.instance)}")


def _given(instance: Any) -> str:
    if isinstance(instance, list):
        return f"array of {len(instance)}"
    return f"string of {len(instance)} characters" if isinstance(instance, str) else type_name(instance)


_BOUNDS: Final = {
    "minimum": "a number ≥ {}",
    "maximum": "a number ≤ {}",
    "exclusiveMinimum": "a number > {}",
    "exclusiveMaximum": "a number < {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} properties",
    "maxProperties": "at most {} properties",
    "format": "a string in the format {}",
    "pattern": "a string matching /{}/",
}


def _expected(error: ValidationError) -> str:
    keyword, argument = error.validator, _argument(error)
    if keyword == "type":
        return " or ".join(argument) if isinstance(argument, list) else str(argument)
    if keyword in ("enum", "const"):
        options = argument if keyword == "enum" else [argument]
        shown = ", ".join(repr(o)[:40] for o in options[:10])
        return f"one of {shown}{', …' if len(options) > 10 else ''}" if len(options) > 1 else shown
    if keyword in _BOUNDS:
        return _BOUNDS[keyword].format(str(argument)[:80])
    if keyword == "uniqueItems":
        return "items that differ from each other"
    return f"something that satisfies `{keyword}`"
