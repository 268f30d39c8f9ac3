"""Whether a tool's JSON Schema can be used: valid for its dialect, no deeper than needed, nothing to be fetched.

Most schemas use a small vocabulary that a plain walk can vouch for in microseconds; only what the walk does not
know goes to the meta-schema, which takes milliseconds. So ten thousand tools are checked in well under a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator, validator_for

JSON = dict[str, Any]

MAX_DEPTH = 64
_DATA = frozenset({"const", "default", "enum", "example", "examples"})  # values that are data, not schemas
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def schema_problem(schema: JSON) -> str:
    """Return what is wrong with `schema`, or ""."""
    if (depth_or_ref := _walk(schema)) != "":
        return depth_or_ref
    if _plain(schema):
        return ""
    # Untyped values reach jsonschema here; whatever it trips over is the schema's fault.
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        return f"at /{'/'.join(map(str, error.absolute_path))}: {error.message[:160]}"
    except Exception as error:
        return f"it cannot be checked ({type(error).__name__})"
    return ""


def _walk(root: JSON) -> str:
    """Find excessive depth and references that do not resolve inside `root`."""
    stack: list[tuple[Any, int]] = [(root, 0)]
    references: list[str] = []
    known: set[str] = set()
    while stack:
        node, depth = stack.pop()
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, str):
                    if key in ("$ref", "$dynamicRef"):
                        references.append(value)
                    elif key in ("$id", "$anchor", "$dynamicAnchor"):
                        known.add(value if key == "$id" else f"#{value}")
                elif isinstance(value, dict | list) and key not in _DATA:
                    stack.append((value, depth + 1))
        else:
            stack.extend((item, depth + 1) for item in node if isinstance(item, dict | list))
    for reference in references:
        if reference in known or (reference.startswith("#") and _resolves(root, reference)):
            continue
        if not reference.startswith("#") and reference.partition("#")[0] in known:
            continue
        return f"the reference {reference[:80]!r} leads {'nowhere' if reference[:1] == '#' else 'out of it'}"
    return ""


def _resolves(root: Any, reference: str) -> bool:
    node = root
    if reference in ("#", "#/"):
        return True
    if not reference.startswith("#/"):
        return False
    for part in unquote(reference[2:]).split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return False
    return True


def _plain(schema: Any) -> bool:
    """Whether the walk can vouch for `schema`; False means "do not know"."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict):
        return False
    for key, value in schema.items():
        check = _CHECKS.get(key)
        if check is None:
            if key in _UNKNOWN:
                return False
        elif not check(value):
            return False
    return True


def _type(value: Any) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _strings(value) and len(value) > 0 and _TYPES.issuperset(value)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value) and len(set(value)) == len(value)


def _schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_plain, value.values()))


def _some_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_plain, value))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _anything(value: Any) -> bool:
    return True


def _array(value: Any) -> bool:
    return isinstance(value, list)


def _pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return True


def _dialect(value: Any) -> bool:
    return isinstance(value, str) and value.rstrip("#") in (
        "https://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/draft-07/schema",
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "type": _type,
    "required": _strings,
    "$schema": _dialect,
    "pattern": _pattern,
    "patternProperties": lambda value: _schemas(value) and all(map(_pattern, value)),
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_strings, value.values())),
    "multipleOf": lambda value: _number(value) and value > 0,
    **dict.fromkeys(("properties", "$defs", "definitions", "dependentSchemas"), _schemas),
    **dict.fromkeys(("items", "additionalProperties", "not", "if", "then", "else", "contains"), _plain),
    **dict.fromkeys(("propertyNames", "unevaluatedItems", "unevaluatedProperties"), _plain),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _some_schemas),
    **dict.fromkeys(("title", "description", "format", "$comment", "$ref", "contentEncoding"), _text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _count),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _flag),
    **dict.fromkeys(("const", "default"), _anything),
    **dict.fromkeys(("enum", "examples"), _array),
}
# Keywords of the dialects that the walk leaves to the meta-schema. Others are annotations, which may be anything.
_UNKNOWN = frozenset(
    {"$id", "id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}
    | {"dependencies", "additionalItems", "minContains", "maxContains"}
    | {"contentMediaType", "contentSchema"}
)
