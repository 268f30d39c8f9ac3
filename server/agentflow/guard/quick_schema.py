"""The quick answer to "is this value valid?": a JSON Schema of the plain kind compiled to closures.

It promises only one thing: what it accepts is valid. What it does not accept, or cannot judge, is to be asked of
a full validator; so every keyword it does not know makes it decline, never guess.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Check = Callable[[Any], bool]

_DEPTH: Final = 24
_ANNOTATIONS: Final = frozenset(
    {
        "title", "description", "default", "examples", "$schema", "$comment", "deprecated", "readOnly", "writeOnly",
        "format", "$defs", "definitions",
    }
)  # fmt: skip
_TYPES: Final[dict[str, Check]] = {
    "string": lambda v: type(v) is str,
    "integer": lambda v: type(v) is int,
    "number": lambda v: type(v) is int or type(v) is float,
    "boolean": lambda v: type(v) is bool,
    "null": lambda v: v is None,
    "array": lambda v: type(v) is list,
    "object": lambda v: type(v) is dict,
}


def compile_quick(schema: Any) -> Check | None:
    """Return a check that is True only for valid values, or None where the schema is beyond it."""
    return _Compiler(schema).compiled(schema, 0)


def _always(value: Any) -> bool:
    return True


def _never(value: Any) -> bool:
    return False


class _Compiler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._referred: dict[str, list[Check]] = {}
        self._makers: dict[str, Callable[[Any, Any, int], Check | None]] = {
            "type": self._type,
            "properties": self._properties,
            "additionalProperties": self._additional,
            "required": self._required,
            "items": self._items,
            "enum": self._enum,
            "anyOf": self._any,
            "$ref": self._ref,
            "minimum": _bound(lambda a, b: a >= b),
            "maximum": _bound(lambda a, b: a <= b),
            "exclusiveMinimum": _bound(lambda a, b: a > b),
            "exclusiveMaximum": _bound(lambda a, b: a < b),
            "minLength": _size(lambda a, b: a >= b, str),
            "maxLength": _size(lambda a, b: a <= b, str),
            "minItems": _size(lambda a, b: a >= b, list),
            "maxItems": _size(lambda a, b: a <= b, list),
        }

    def compiled(self, schema: Any, depth: int) -> Check | None:
        if schema is True or schema == {}:
            return _always
        if not isinstance(schema, dict) or depth > _DEPTH:
            return None
        checks: list[Check] = []
        for keyword, argument in schema.items():
            if keyword in _ANNOTATIONS:
                continue
            make = self._makers.get(keyword)
            check = make(argument, schema, depth) if make else None
            if check is None:
                return None
            if check is not _always:
                checks.append(check)
        if "properties" in schema and schema.get("type") == "object":
            checks.remove(_TYPES["object"])  # checking the properties checks it too
        return _both(checks)

    @staticmethod
    def _type(argument: Any, schema: Any, depth: int) -> Check | None:
        if isinstance(argument, str):
            return _TYPES.get(argument)
        kinds = [_TYPES.get(kind) for kind in argument] if isinstance(argument, list) else [None]
        known = [kind for kind in kinds if kind]
        return (lambda v: any(kind(v) for kind in known)) if len(known) == len(kinds) else None

    def _properties(self, argument: Any, schema: Any, depth: int) -> Check | None:
        if not isinstance(argument, dict):
            return None
        members = {name: self.compiled(inner, depth + 1) for name, inner in argument.items()}
        others = schema.get("additionalProperties", True)
        extra = _never if others is False else self.compiled(others, depth + 1)

        def check(value: Any) -> bool:
            if type(value) is not dict:
                return False
            for name, item in value.items():
                member = members.get(name, extra)
                if member is None or not member(item):
                    return False
            return True

        return check

    def _additional(self, argument: Any, schema: Any, depth: int) -> Check | None:
        return _always if "properties" in schema else self._properties({}, schema, depth)

    @staticmethod
    def _required(argument: Any, schema: Any, depth: int) -> Check | None:
        if not isinstance(argument, list) or not all(isinstance(name, str) for name in argument):
            return None
        names = frozenset(argument)
        return (lambda v: type(v) is dict and v.keys() >= names) if names else _always

    def _items(self, argument: Any, schema: Any, depth: int) -> Check | None:
        inner = self.compiled(argument, depth + 1)
        if inner is None or "prefixItems" in schema:
            return None
        return lambda v: type(v) is not list or all(map(inner, v))

    @staticmethod
    def _enum(argument: Any, schema: Any, depth: int) -> Check | None:
        if not isinstance(argument, list) or not all(isinstance(item, str | None) for item in argument):
            return None
        allowed = frozenset(argument)
        return lambda v: (type(v) is str or v is None) and v in allowed

    def _any(self, argument: Any, schema: Any, depth: int) -> Check | None:
        branches = [self.compiled(branch, depth + 1) for branch in argument] if isinstance(argument, list) else []
        known = [branch for branch in branches if branch]
        return (lambda v: any(branch(v) for branch in known)) if known else None

    def _ref(self, argument: Any, schema: Any, depth: int) -> Check | None:
        """A reference to a direct member of `$defs` or `definitions`; a recursive one closes over itself."""
        if argument in self._referred:
            cell = self._referred[argument]
            return lambda v: cell[0](v)
        holder, _, name = str(argument).removeprefix("#/").partition("/")
        if not str(argument).startswith("#/") or holder not in ("$defs", "definitions") or set(name) & set("/~%"):
            return None
        target = self._root.get(holder, {}).get(name) if isinstance(self._root, dict) else None
        cell = self._referred[argument] = [_never]
        check = self.compiled(target, depth + 1) if target is not None else None
        cell[0] = check or _never
        return check


def _both(checks: list[Check]) -> Check:
    match checks:
        case []:
            return _always
        case [only]:
            return only
        case [first, second]:
            return lambda v: first(v) and second(v)
        case _:
            return lambda v: all(check(v) for check in checks)


def _bound(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any, int], Check | None]:
    def make(argument: Any, schema: Any, depth: int) -> Check | None:
        if type(argument) not in (int, float):
            return None
        return lambda v: type(v) not in (int, float) or compare(v, argument)

    return make


def _size(
    compare: Callable[[Any, Any], bool], kind: type[str] | type[list[Any]]
) -> Callable[[Any, Any, int], Check | None]:
    def make(argument: Any, schema: Any, depth: int) -> Check | None:
        if type(argument) is not int:
            return None
        return lambda v: type(v) is not kind or compare(len(v), argument)

    return make
