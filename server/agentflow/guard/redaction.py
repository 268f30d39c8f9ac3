"""Replacing PII in a message by tokens: find, name, rewrite.

It promises: one look at the whole body, one vault transaction, and a body of the same shape. Strings stay
strings, numbers stay numbers, and text that holds JSON still parses: an escaped string inside it is decoded,
redacted and escaped again, a bare number becomes a number token. Equal values get equal names wherever they stand.

Where a schema restricts a value further, the replacement follows where it can: `format: email` gets an address in
`redacted.invalid`; a number with a `maximum` below the number tokens becomes its `minimum` or 0, which cannot be
turned back. Other string constraints (`pattern`, `maxLength`, `enum`, other formats) are not followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from agentflow.guard import schema as schemas
from agentflow.guard import tokens
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.vault import Vault
from agentflow.guard.walk import JSON, Kind, Leaf, leaves, masked_pointer, replace

_MAX_NESTED: Final = 3
_CONTEXT: Final = 48
_SMALLEST_NUMBER: Final = 10_000_000
_LITERAL: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)', re.DOTALL)
_NUMBER_END: Final = re.compile(r"(?:\.0+)?\s*[,\]}]")
# A resource's address keeps its host: without it nobody could read the resource.
_NOT_IN_URIS: Final = frozenset({"IP", "MAC"})

Value = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class Edit:
    """A span of a text to be replaced: a value, or an escaped JSON string with edits of its own."""

    start: int
    end: int
    value: Value | None = None
    decoded: str = ""
    inner: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Redaction:
    """What became of a body: itself when nothing was found.

    Attributes:
        counts: values by type.
        paths: JSON pointers to what was found; a member whose name is personal itself appears as its type.
    """

    body: JSON
    counts: dict[str, int]
    paths: list[str]


def serialised(body: JSON) -> bytes | None:
    """Return `body` as bytes for a quick look, or None when it holds what orjson does not write."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return None


class Tokeniser:
    """Replaces PII by tokens of one vault, written in one style."""

    def __init__(self, matcher: PiiMatcher, vault: Vault, style: tokens.TokenFormat) -> None:
        self._matcher = matcher
        self._vault = vault
        self._style = style

    def redact(
        self,
        tenant: str,
        body: JSON,
        types: Sequence[str] = ("*",),
        *,
        numbers: bool = True,
        output_schema: Any = None,
    ) -> Redaction:
        """Return `body` with every value of `types` replaced.

        Args:
            types: PII types, or `"*"` for all.
            numbers: whether a number must stay a number; else it becomes a token like any string.
            output_schema: JSON Schema of `body["structuredContent"]`, when there is one.

        Raises:
            VaultUnavailable: a new token could not be kept.
        """
        if not types or self._clean(body):
            return Redaction(body, {}, [])
        wanted = None if "*" in types else frozenset(types)
        found = leaves(body, self._clean, files=True)
        plan = [(leaf, edits) for leaf in found if (edits := self._edits(leaf, wanted, numbers))]
        if not plan:
            return Redaction(body, {}, [])
        values = [value for _, edits in plan for value in _values(edits)]
        names = dict(zip(values, self._vault.tokens(tenant, values), strict=True))
        changes = [(leaf, self._replacement(leaf, edits, names, output_schema)) for leaf, edits in plan]
        counts: dict[str, int] = {}
        for kind, _ in values:
            counts[kind] = counts.get(kind, 0) + 1
        paths = [masked_pointer(leaf.pointer, self._matcher.mask) for leaf, _ in plan]
        return Redaction(replace(body, changes), counts, paths)

    def _clean(self, item: Any) -> bool:
        """Whether a quick look shows that nothing is to be found; it cannot see into a file's base64."""
        data = serialised(item)
        return data is not None and not self._matcher.suspect(data) and b'"blob"' not in data

    def _edits(self, leaf: Leaf, wanted: frozenset[str] | None, numbers: bool) -> tuple[Edit, ...]:
        value = leaf.value
        if not isinstance(value, str):
            return self._number_edits(value, leaf.label, wanted, numbers)
        edits = scan(self._matcher, value, leaf.label)
        if edits and (wanted is not None or leaf.kind is Kind.URI):
            edits = _only(edits, wanted, _NOT_IN_URIS if leaf.kind is Kind.URI else frozenset())
        return edits

    def _number_edits(
        self, value: int | float, label: str, wanted: frozenset[str] | None, keep: bool
    ) -> tuple[Edit, ...]:
        if not _SMALLEST_NUMBER <= value < 1e19 or value != int(value):
            return ()
        digits = str(int(value))
        found = self._matcher.find(digits, label)
        if len(found) != 1 or found[0].end - found[0].start != len(digits):
            return ()
        kind = found[0].type
        if wanted is not None and kind not in wanted:
            return ()
        return (Edit(0, len(digits), (kind, int(digits) if keep else digits)),)

    def _replacement(
        self, leaf: Leaf, edits: tuple[Edit, ...], names: dict[Value, str], output_schema: Any
    ) -> str | int | float:
        place = []
        if output_schema is not None and leaf.kind is Kind.VALUE and leaf.path[0] == "structuredContent":
            place = schemas.at(output_schema, leaf.path[1:])
        value = leaf.value
        if not isinstance(value, str):
            (edit,) = edits
            name = names[edit.value or ("", "")]
            if not name.isdigit():
                return self._spell(name)
            number = _within(int(name), place)
            return float(number) if isinstance(value, float) else number
        whole = edits[0].value if edits[0].end - edits[0].start == len(value) else None
        if whole is not None and whole[0] == "EMAIL" and any(node.get("format") == "email" for node in place):
            return names[whole] + tokens.MAIL_DOMAIN
        return self._rendered(value, edits, names)

    def _rendered(self, text: str, edits: tuple[Edit, ...], names: dict[Value, str]) -> str:
        parts, position = [], 0
        for edit in edits:
            parts.append(text[position : edit.start])
            if edit.value is not None:
                parts.append(self._spell(names[edit.value]))
            else:
                inner = self._rendered(edit.decoded, edit.inner, names)
                parts.append(json.dumps(inner, ensure_ascii=text[edit.start : edit.end].isascii())[1:-1])
            position = edit.end
        parts.append(text[position:])
        return "".join(parts)

    def _spell(self, name: str) -> str:
        return name if name.isdigit() else tokens.render(name, self._style)


def scan(matcher: PiiMatcher, text: str, context: str = "", depth: int = 0) -> tuple[Edit, ...]:
    """Return the edits that would take every value out of `text`, in order."""
    found = matcher.find(text, context)
    edits = [Edit(start, end, (kind, text[start:end])) for kind, start, end, _ in found]
    if "\\" in text and '"' in text and depth < _MAX_NESTED and (edits or "\\u" in text or "\\/" in text):
        edits = _with_literals(matcher, text, edits, depth)
    if edits and text.lstrip()[:1] in ("{", "["):
        edits = [_as_number(text, edit) for edit in edits]
    return tuple(edits)


def _with_literals(matcher: PiiMatcher, text: str, edits: list[Edit], depth: int) -> list[Edit]:
    """Give each escaped JSON string in `text` its own edits, in place of those made on its escaped form."""
    inside: list[Edit] = []
    decoded_spans: list[tuple[int, int]] = []
    for match in _LITERAL.finditer(text):
        start, end = match.span(1)
        if text.find("\\", start, end) < 0:
            continue
        try:
            decoded = json.loads(f'"{match[1]}"', strict=False)
        except ValueError:
            continue
        decoded_spans.append((start, end))
        inner = scan(matcher, decoded, text[max(0, start - _CONTEXT) : max(0, start - 1)], depth + 1)
        if inner:
            inside.append(Edit(start, end, None, decoded, inner))
    if not decoded_spans:
        return edits
    outside = _outside(edits, decoded_spans)
    return sorted([*outside, *inside], key=lambda edit: edit.start)


def _outside(edits: list[Edit], spans: list[tuple[int, int]]) -> Iterator[Edit]:
    """Yield the edits that touch none of the spans; both are in order."""
    index = 0
    for edit in edits:
        while index < len(spans) and spans[index][1] <= edit.start:
            index += 1
        if index == len(spans) or spans[index][0] >= edit.end:
            yield edit


def _as_number(text: str, edit: Edit) -> Edit:
    """Turn a value that is a bare number of the JSON in `text` into an integer value."""
    if edit.value is None or not isinstance(edit.value[1], str):
        return edit
    digits = edit.value[1]
    if not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
        return edit
    before = text[max(0, edit.start - _CONTEXT) : edit.start].rstrip()[-1:]
    if before in (":", ",", "[") and _NUMBER_END.match(text, edit.end, edit.end + _CONTEXT):
        return Edit(edit.start, edit.end, (edit.value[0], int(digits)))
    return edit


def _only(edits: tuple[Edit, ...], wanted: frozenset[str] | None, unwanted: frozenset[str]) -> tuple[Edit, ...]:
    kept = []
    for edit in edits:
        if edit.value is not None:
            if (wanted is None or edit.value[0] in wanted) and edit.value[0] not in unwanted:
                kept.append(edit)
        elif inner := _only(edit.inner, wanted, unwanted):
            kept.append(Edit(edit.start, edit.end, None, edit.decoded, inner))
    return tuple(kept)


def _values(edits: Iterable[Edit]) -> Iterator[Value]:
    for edit in edits:
        if edit.value is not None:
            yield edit.value
        else:
            yield from _values(edit.inner)


def _within(number: int, place: list[dict[str, Any]]) -> int:
    """Return `number`, or where the schema does not allow one so large, the smallest it allows from 0 up."""
    tops = [node[name] for node in place for name in ("maximum", "exclusiveMaximum") if _is_number(node.get(name))]
    if all(number < top for top in tops):
        return number
    floors = [node["minimum"] for node in place if _is_number(node.get("minimum"))]
    floors += [int(node["exclusiveMinimum"]) + 1 for node in place if _is_number(node.get("exclusiveMinimum"))]
    return max([0, *(int(-(-floor // 1)) for floor in floors)])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
