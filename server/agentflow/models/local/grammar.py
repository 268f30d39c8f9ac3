"""The grammar of a plan: which tools a principal may call, and which arguments their schemas allow, as an automaton.

A text of this grammar is compact JSON, `{"tool":null}` or `{"tool":NAME,"arguments":{…}}`, with NAME out of the tools
given and arguments that satisfy the tool's `inputSchema`: names, types, enums, ranges, lengths. What
JSON Schema can say and this cannot hold (patterns, `not`, `uniqueItems`, …) is never loosened: an optional argument of
that sort cannot be written, and a tool that requires one is left out, unless one of the values at hand satisfies it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentflow.models.local.automaton import Automaton, Fragment, Walk

JSON = dict[str, Any]
LONGEST = 48  # characters of a string that the model writes itself where its length is bounded
_AMPLE = 8_192  # a bound that no text within a decoder's budget can reach
MOST_ITEMS = 8
_DEPTH = 6
_FREE = frozenset(("title", "description", "default", "examples", "deprecated", "$comment", "readOnly", "writeOnly"))
_KNOWN: dict[str, frozenset[str]] = {
    "string": frozenset(("type", "minLength", "maxLength", "format", "pattern")),
    "integer": frozenset(("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "number": frozenset(("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    "boolean": frozenset(("type",)),
    "null": frozenset(("type",)),
    "array": frozenset(("type", "items", "minItems", "maxItems")),
    "object": frozenset(("type", "properties", "required", "additionalProperties", "$defs", "definitions", "$schema")),
}
_BIG = 10**9


class Unwritable(Exception):
    """A schema asks for what the grammar cannot promise."""


def plan_grammar(tools: Mapping[str, JSON], values: Sequence[Any] = (), *, copied: bool = False) -> Walk:
    """The grammar of one step.

    Args:
        tools: names that the principal may call → input schemas.
        values: scalars at hand (of the question, of earlier results), which arguments may copy.
        copied: whether a string can only be one of `values`.
    """
    automaton = Automaton()
    writer = _Writer(automaton, list(values), copied)
    steps = [automaton.text('{"tool":null}')]
    for name, schema in tools.items():
        try:
            arguments = writer.of(schema, schema, 0)
        except Unwritable:
            continue
        opening = automaton.text('{"tool":' + _dumps(name) + ',"arguments":')
        steps.append(automaton.then(opening, arguments, automaton.text("}")))
    return automaton.walk(automaton.either(*steps))


def schema_grammar(schema: JSON, values: Sequence[Any] = (), *, copied: bool = False) -> Walk:
    """The grammar of a JSON value that satisfies a schema.

    Raises:
        Unwritable: the schema asks for what cannot be promised.
    """
    automaton = Automaton()
    return automaton.walk(_Writer(automaton, list(values), copied).of(schema, schema, 0))


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Writer:
    """Writes schemas into an automaton."""

    def __init__(self, automaton: Automaton, values: list[Any], copied: bool) -> None:
        self._a = automaton
        self._values = values
        self._copied = copied

    def of(self, schema: Any, root: JSON, depth: int) -> Fragment:
        """The automaton of a schema's values."""
        schema = _resolved(schema, root)
        if depth > _DEPTH:
            raise Unwritable("nested too deep")
        asked = {k: v for k, v in schema.items() if k not in _FREE}
        if "enum" in asked or "const" in asked:
            return self._fixed(schema, root)
        for key in ("anyOf", "oneOf"):
            if key in asked:
                if set(asked) - {key}:
                    raise Unwritable(key)
                return self._any(schema[key], root, depth, exactly_one=key == "oneOf")
        kind = asked.get("type")
        if isinstance(kind, list):
            return self._any([{**asked, "type": k} for k in kind], root, depth)
        if kind is None and "properties" in asked:
            kind = "object"
        if kind is None and not asked:
            return self._a.either(self._string({}, root), self._integer({}), self._literal((True, False, None)))
        if kind not in _KNOWN:
            raise Unwritable(str(kind))
        if set(asked) - _KNOWN[kind]:
            return self._copies(schema, root)
        match kind:
            case "string":
                return self._string(asked, root)
            case "integer":
                return self._integer(asked)
            case "number":
                return self._number(asked)
            case "boolean":
                return self._literal((True, False))
            case "null":
                return self._literal((None,))
            case "array":
                return self._array(asked, root, depth)
        return self._object(asked, root, depth)

    def _fixed(self, schema: JSON, root: JSON) -> Fragment:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        fitting = [v for v in values if _fits(v, schema, root)]
        if not fitting:
            raise Unwritable("an empty enum")
        return self._literal(fitting)

    def _literal(self, values: Sequence[Any]) -> Fragment:
        return self._a.trie([_dumps(v) for v in values])

    def _copies(self, schema: JSON, root: JSON) -> Fragment:
        """Values at hand that satisfy a schema which cannot be written freely."""
        fitting = [v for v in self._values if _fits(v, schema, root)]
        if not fitting:
            raise Unwritable("no value at hand satisfies it")
        return self._literal(fitting)

    def _any(self, branches: Sequence[Any], root: JSON, depth: int, *, exactly_one: bool = False) -> Fragment:
        kinds = [_resolved(b, root).get("type") for b in branches]
        if exactly_one and len(set(map(str, kinds))) < len(kinds):
            raise Unwritable("oneOf of like branches")  # a value could satisfy two
        if exactly_one and {"integer", "number"} <= set(map(str, kinds)):
            raise Unwritable("oneOf of integer and number")
        written = []
        for branch in branches:
            try:
                written.append(self.of(branch, root, depth + 1))
            except Unwritable:
                continue
        if not written:
            raise Unwritable("no branch can be written")
        return self._a.either(*written)

    def _string(self, schema: JSON, root: JSON) -> Fragment:
        shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", _BIG))
        written: list[Fragment] = []
        fitting = [v for v in self._values if isinstance(v, str) and _fits(v, {**schema, "type": "string"}, root)]
        if fitting:
            written.append(self._literal(fitting))
        form = schema.get("format")
        if "pattern" not in schema and form == "date" and shortest <= 10 <= longest:
            written.append(self._date())
        elif "pattern" not in schema and form is None and not self._copied and shortest <= LONGEST:
            written.append(self._free(shortest, longest))
        if not written:
            raise Unwritable("a string that cannot be written")
        return self._a.either(*written)

    def _date(self) -> Fragment:
        digit, a = frozenset(b"0123456789"), self._a
        month = a.either(a.then(a.text("0"), a.one_of(b"123456789")), a.then(a.text("1"), a.one_of(b"012")))
        day = a.either(
            a.then(a.text("0"), a.one_of(b"123456789")), a.then(a.text("1"), a.one_of(digit)),
            a.then(a.text("2"), a.one_of(b"012345678")),
        )  # fmt: skip
        year = a.then(a.one_of(b"12"), a.one_of(digit), a.one_of(digit), a.one_of(digit))
        return a.then(a.text('"'), year, a.text("-"), month, a.text("-"), day, a.text('"'))

    def _free(self, shortest: int, longest: int) -> Fragment:
        """A JSON string in UTF-8; where its length is bounded, written out character by character."""
        a = self._a
        open_, close = a.text('"'), a.text('"')
        last = open_[1]
        if longest >= _AMPLE:
            more = self._character()
            for _ in range(shortest):
                first, following = self._character()
                a.silent[last].append(first)
                last = following
            a.silent[last] += [more[0], close[0]]
            a.silent[more[1]] += [more[0], close[0]]
            return open_[0], close[1]
        longest = min(longest, LONGEST)
        for count in range(longest + 1):
            if count >= shortest:
                a.silent[last].append(close[0])
            if count == longest:
                break
            first, following = self._character()
            a.silent[last].append(first)
            last = following
        return open_[0], close[1]

    def _character(self) -> Fragment:
        """One character of a JSON string (RFC 8259, section 7; UTF-8 as of RFC 3629 without surrogates)."""
        a = self._a
        start, end = a.state(), a.state()
        tail = frozenset(range(0x80, 0xC0))
        a.edges[start].append((frozenset(set(range(0x20, 0x80)) - {0x22, 0x5C, 0x7F}), end))
        escape = a.state()
        a.edges[start].append((frozenset((0x5C,)), escape))
        a.edges[escape].append((frozenset(b'"\\/bfnrt'), end))
        one, two = a.state(), a.state()
        a.edges[start].append((frozenset(range(0xC2, 0xE0)), one))
        a.edges[one].append((tail, end))
        for lead, second in ((0xE0, range(0xA0, 0xC0)), (0xED, range(0x80, 0xA0))):
            special = a.state()
            a.edges[start].append((frozenset((lead,)), special))
            a.edges[special].append((frozenset(second), one))
        a.edges[start].append((frozenset([*range(0xE1, 0xED), 0xEE, 0xEF]), two))
        a.edges[two].append((tail, one))
        for lead, second in ((0xF0, range(0x90, 0xC0)), (0xF4, range(0x80, 0x90))):
            special = a.state()
            a.edges[start].append((frozenset((lead,)), special))
            a.edges[special].append((frozenset(second), two))
        three = a.state()
        a.edges[start].append((frozenset(range(0xF1, 0xF4)), three))
        a.edges[three].append((tail, two))
        return start, end

    def _integer(self, schema: JSON) -> Fragment:
        low, high = _bounds(schema)
        return self._whole(low, high)

    def _whole(self, low: int, high: int) -> Fragment:
        if low > high:
            raise Unwritable("an empty range")
        pieces = []
        if high >= 0:
            pieces.append(self._digits(max(low, 0), high))
        if low < 0:
            pieces.append(self._a.then(self._a.text("-"), self._digits(max(1, -high), -low)))
        return self._a.either(*pieces)

    def _digits(self, low: int, high: int) -> Fragment:
        """The decimal numbers from `low` to `high`, without leading zeros."""
        pieces = []
        for length in range(len(str(low)), len(str(high)) + 1):
            first = max(low, 0 if length == 1 else 10 ** (length - 1))
            last = min(high, 10**length - 1)
            pieces.append(self._same_length(f"{first:0{length}d}", f"{last:0{length}d}"))
        return self._a.either(*pieces)

    def _same_length(self, low: str, high: str) -> Fragment:
        a = self._a
        if len(low) == 1:
            return a.one_of(range(ord(low), ord(high) + 1))
        if low[0] == high[0]:
            return a.then(a.text(low[0]), self._same_length(low[1:], high[1:]))
        rest = len(low) - 1
        pieces = [
            a.then(a.text(low[0]), self._same_length(low[1:], "9" * rest)),
            a.then(a.text(high[0]), self._same_length("0" * rest, high[1:])),
        ]
        if ord(high[0]) - ord(low[0]) > 1:
            between = a.one_of(range(ord(low[0]) + 1, ord(high[0])))
            pieces.append(a.then(between, self._same_length("0" * rest, "9" * rest)))
        return a.either(*pieces)

    def _number(self, schema: JSON) -> Fragment:
        """Whole numbers within the bounds, and fractions that are surely within them."""
        a = self._a
        low, high = _bounds(schema)
        pieces = [self._whole(low, high)] if low <= high else []
        digit = a.one_of(b"0123456789")
        if max(low, 0) <= high - 1:
            pieces.append(
                a.then(self._digits(max(low, 0), high - 1), a.text("."), digit, a.many(a.one_of(b"0123456789")))
            )
        top = min(-1, high)
        if low + 1 <= top:
            more = a.then(a.text("."), a.one_of(b"0123456789"), a.many(a.one_of(b"0123456789")))
            pieces.append(a.then(a.text("-"), self._digits(-top, -low - 1), more))
        pieces += [self._literal([v]) for v in self._values if _number_fits(v, schema)]
        if not pieces:
            raise Unwritable("an empty range")
        return a.either(*pieces)

    def _array(self, schema: JSON, root: JSON, depth: int) -> Fragment:
        a = self._a
        items = schema.get("items", {})
        fewest, most = int(schema.get("minItems", 0)), min(int(schema.get("maxItems", MOST_ITEMS)), MOST_ITEMS)
        if fewest > most:
            raise Unwritable("too many items")
        open_, close = a.text("["), a.text("]")
        last = open_[1]
        for count in range(most + 1):
            if count >= fewest:
                a.silent[last].append(close[0])
            if count == most:
                break
            try:
                item = self.of(items, root, depth + 1)
            except Unwritable:
                if fewest:
                    raise
                break
            piece = a.then(a.text(","), item) if count else item
            a.silent[last].append(piece[0])
            last = piece[1]
        return open_[0], close[1]

    def _object(self, schema: JSON, root: JSON, depth: int) -> Fragment:
        """Members in the schema's order; optional ones may be left out."""
        a = self._a
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        if required - set(properties):
            raise Unwritable("a required member without a schema")
        open_, close = a.text("{"), a.text("}")
        # Two lines side by side: nothing written yet, and something written (then a comma comes first).
        bare, filled = open_[1], a.state()
        for name, inner in properties.items():
            try:
                first, later = self.of(inner, root, depth + 1), self.of(inner, root, depth + 1)
            except Unwritable:
                if name in required:
                    raise
                continue
            next_bare, next_filled = a.state(), a.state()
            one = a.then(a.text(_dumps(name) + ":"), first)
            more = a.then(a.text("," + _dumps(name) + ":"), later)
            a.silent[bare].append(one[0])
            a.silent[one[1]].append(next_filled)
            a.silent[filled].append(more[0])
            a.silent[more[1]].append(next_filled)
            if name not in required:
                a.silent[bare].append(next_bare)
                a.silent[filled].append(next_filled)
            bare, filled = next_bare, next_filled
        if not required:
            a.silent[bare].append(close[0])
        a.silent[filled].append(close[0])
        return open_[0], close[1]


def _bounds(schema: JSON) -> tuple[int, int]:
    """The whole numbers that a schema allows, both ends included."""
    low, high = -_BIG, _BIG
    for key, value in schema.items():
        if isinstance(value, bool):
            raise Unwritable(key)
        match key:
            case "minimum":
                low = max(low, _ceil(value))
            case "exclusiveMinimum":
                low = max(low, _floor(value) + 1)
            case "maximum":
                high = min(high, _floor(value))
            case "exclusiveMaximum":
                high = min(high, _ceil(value) - 1)
    return low, high


def _floor(value: float) -> int:
    return int(value // 1)


def _ceil(value: float) -> int:
    return -int(-value // 1)


def _number_fits(value: Any, schema: JSON) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and _fits(value, {**schema, "type": "number"}, {})
    )


def _resolved(schema: Any, root: JSON) -> JSON:
    """A schema with its local `$ref` followed; `true` is the open schema."""
    if schema is True:
        return {}
    for _ in range(8):
        if not isinstance(schema, dict):
            raise Unwritable("no schema")
        reference = schema.get("$ref")
        if reference is None:
            return schema
        if not isinstance(reference, str) or not reference.startswith("#/") or set(schema) - _FREE - {"$ref"}:
            raise Unwritable("a reference")
        target: Any = root
        for step in reference[2:].split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        schema = target
    raise Unwritable("references in a circle")


def _fits(value: Any, schema: JSON, root: JSON) -> bool:
    try:
        whole = {**schema, "$defs": root.get("$defs", {}), "definitions": root.get("definitions", {})}
        return bool(Draft202012Validator(whole, registry=Registry()).is_valid(value))
    except (SchemaError, Unresolvable, RecursionError, TypeError, ValueError):
        return False
