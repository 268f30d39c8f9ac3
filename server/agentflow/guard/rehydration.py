"""Putting values back in the place of their tokens, for the types that policy allows.

It promises: at any depth, in keys as in values, in whatever state a model left the token, also inside JSON, base64
and data URIs in a string; a value put inside escaped text is escaped like it; a token that stands alone where the
schema wants a number becomes a number again. Stand-ins (see `strategies`) are turned back where the configuration
makes any. What the vault does not know, or policy does not allow, stays as it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from agentflow.guard import schema as schemas
from agentflow.guard import tokens
from agentflow.guard.mangled import candidates
from agentflow.guard.pii import patterns
from agentflow.guard.strategies.found import Run, runs
from agentflow.guard.vault import Entry
from agentflow.guard.walk import JSON, Kind, Leaf, leaves, replace, serialised

_SEPARATORS: Final = re.compile(r"[ .\-]")
_MAX_NESTED: Final = 3
_SHORTEST_PACKED: Final = 14
_MOST_RUNS: Final = 1000  # in one message
_MOST_INNER: Final = 1000
_LONGEST_RUN: Final = 256
_LONGEST_NUMBER: Final = 32
_MOST: Final = 10**_LONGEST_NUMBER
# The strings of JSON, and its whole numbers.
_IN_JSON: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"|(?<![\d.eE+-])\d{5,}+(?![eE]|\.\d*[1-9])', re.DOTALL)
# Base64 of at least the shortest token.
_PACKED: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{14,}={0,2}(?![A-Za-z0-9+/_=-])")
_PACKED_BYTES: Final = patterns.compile_(rb"[A-Za-z0-9+/_-]{14,}")


@dataclass(frozen=True, slots=True)
class Rehydration:
    """What became of a body. `restored` counts tokens by type, `kept` those that policy holds back."""

    body: JSON
    restored: dict[str, int]
    kept: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of a text: what may be a token, what may be a stand-in, or a text inside that is written in some way."""

    start: int
    end: int
    spans: tuple[tokens.TokenSpan, ...] = ()
    inner: _Text | None = None
    written: str = ""  # `json`, `base64` or `base64url`


@dataclass(frozen=True, slots=True)
class _Text:
    """A text and the places in it; `literal` texts stand in JSON, where a value must be escaped."""

    text: str
    places: tuple[_Place, ...]


class _Known:
    """What the vault says about the names and stand-ins of a body, and what policy does."""

    def __init__(self, names: Mapping[str, Entry], stand_ins: Mapping[str, Entry], types: Sequence[str]) -> None:
        self._names = names
        self._stand_ins = stand_ins
        self._types = types
        self.restored: dict[str, int] = {}
        self.kept: dict[str, int] = {}

    def chosen(self, place: _Place, text: str) -> Iterator[tuple[tokens.TokenSpan, Entry]]:
        """The tokens in a place that the vault knows and policy gives back; counts them."""
        taken: list[tokens.TokenSpan] = []
        for span in place.spans:
            entry = self._entry(span, text)
            if entry is None or any(span.start < other.end and other.start < span.end for other in taken):
                continue
            taken.append(span)
            allowed = "*" in self._types or entry.type in self._types
            counts = self.restored if allowed else self.kept
            counts[entry.type] = counts.get(entry.type, 0) + 1
            if allowed:
                yield span, entry

    def _entry(self, span: tokens.TokenSpan, text: str) -> Entry | None:
        return self._names.get(span.name) if span.name else self._stand_ins.get(text[span.start : span.end])


class Values(Protocol):
    """What knows values by their tokens, as `Vault` does."""

    def values(self, tenant: str, names: Sequence[str], scope: str = "") -> Mapping[str, Entry]: ...

    def originals(self, tenant: str, texts: Sequence[str], scope: str = "") -> Mapping[str, Entry]: ...


def rehydrate(
    vault: Values,
    tenant: str,
    body: JSON,
    types: Sequence[str],
    input_schema: Any = None,
    *,
    scope: str = "",
    stand_ins: bool = False,
) -> Rehydration:
    """Return `body` with the tokens of `types` turned into their values.

    Args:
        types: PII types, or `"*"` for all.
        input_schema: JSON Schema of `body["arguments"]`, when there is one.
        scope: whose tokens mean something (see `Vault.tokens`).
        stand_ins: also look for synthetic and format-preserved values.

    Raises:
        VaultUnavailable: the vault could not be read.
    """
    data = serialised(body)
    if not types or not (stand_ins or data is None or tokens.suspect(data) or _PACKED_BYTES.search(data)):
        return Rehydration(body, {}, {})
    search = _Search(stand_ins)
    plan = [(leaf, text) for leaf in leaves(body, files=True) if (text := _leaf(leaf, search)).places]
    if not plan:
        return Rehydration(body, {}, {})
    spans = [(span, text.text) for _, outer in plan for text in _texts(outer) for p in text.places for span in p.spans]
    names = list(dict.fromkeys(span.name for span, _ in spans if span.name))
    shown = list(dict.fromkeys(text[span.start : span.end] for span, text in spans if not span.name))
    entries = vault.values(tenant, names, scope) if names else {}
    originals = vault.originals(tenant, shown, scope) if shown else {}
    if not entries and not originals:
        return Rehydration(body, {}, {})
    known = _Known(entries, originals, types)
    changes = []
    for leaf, text in plan:
        new = _restored(leaf, text, known, input_schema)
        if new is not None:
            changes.append((leaf, new))
    return Rehydration(replace(body, changes), known.restored, known.kept)


@dataclass(slots=True)
class _Search:
    """What is looked for in one body, and how much more may be tried; see `tokens.Effort`."""

    stand_ins: bool
    effort: tokens.Effort = field(default_factory=tokens.Effort)
    runs: int = _MOST_RUNS
    inner: int = _MOST_INNER


def _leaf(leaf: Leaf, search: _Search) -> _Text:
    value = leaf.value
    if isinstance(value, str):
        return _Text(value, tuple(_places(value, search, 0)))
    if not -_MOST <= value <= _MOST or value != int(value):
        return _Text("", ())
    digits = str(int(value))
    spans = _number_spans(digits, 0, search)
    return _Text(digits, (_Place(0, len(digits), spans),) if spans else ())


def _number_spans(digits: str, start: int, search: _Search) -> tuple[tokens.TokenSpan, ...]:
    """What a number may be: a number token, a stand-in; one that looks like a token may be either."""
    spans = []
    if len(digits) == 16 and digits[0] == "8":
        spans.append(tokens.TokenSpan(start, start + 16, digits, ""))
    if search.stand_ins and search.runs > 0 and len(digits) <= _LONGEST_NUMBER:
        search.runs -= 1
        spans.append(tokens.TokenSpan(start, start + len(digits), "", ""))
    return tuple(spans)


def _places(text: str, search: _Search, depth: int) -> list[_Place]:
    """What may have to be put back in a text, in order, without overlap."""
    suspicious = tokens.suspect(text.encode("utf-8", "surrogatepass"))
    if (suspicious or search.stand_ins) and depth < _MAX_NESTED and _holds_json(text):
        return _in_json(text, search, depth)
    return _read(text, search, depth, suspicious)


def _read(text: str, search: _Search, depth: int, suspicious: bool, more: Sequence[Run] = ()) -> list[_Place]:
    """The places in a text as it stands; `more` are runs that may be stand-ins besides those it shows."""
    offers = candidates(text, search.effort) if suspicious else []
    if search.stand_ins and search.runs > 0:
        found = [*more, *runs(text)][: search.runs]
        search.runs -= len(found)
        offers = _with_runs(offers, found)
    places = [
        _Place(each[0].start, each[0].end, each)
        if len(each) == 1
        else _Place(min(span.start for span in each), max(span.end for span in each), each)
        for each in offers
    ]
    if depth < _MAX_NESTED and len(text) >= _SHORTEST_PACKED:
        packed = _packed(text, places, search, depth)
        if packed:
            places = sorted([*places, *packed], key=lambda place: place.start)
    return places


def _with_runs(
    offers: Sequence[tuple[tokens.TokenSpan, ...]], found: Sequence[Run]
) -> list[tuple[tokens.TokenSpan, ...]]:
    """Add runs that may be stand-ins, as spans without a name; what overlaps is one place, longer runs first."""
    spans = [tokens.TokenSpan(run.start, run.end, "", "") for run in found]
    spans.sort(key=lambda span: span.start - span.end)
    everything = [*(span for offer in offers for span in offer), *spans]
    order = {span: index for index, span in enumerate(everything)}
    merged: list[list[tokens.TokenSpan]] = []
    end = -1
    for span in sorted(order, key=lambda span: (span.start, -span.end)):
        if merged and span.start < end:
            merged[-1].append(span)
        else:
            merged.append([span])
        end = max(end, span.end)
    return [tuple(sorted(each, key=order.__getitem__)) for each in merged]


def _in_json(text: str, search: _Search, depth: int) -> list[_Place]:
    """What is in the JSON in a text: in a string with escapes as it reads decoded, in all else as it stands."""
    inner: list[_Place] = []
    whole: list[Run] = []
    parts: list[str] = []
    position = 0
    for match in _IN_JSON.finditer(text):
        start, end = match.span(1)
        if start >= 0 and "\\" in match[1]:
            place = _literal(match[1], start, end, search, depth)
            if place is not None:
                inner.append(place)
            parts += [text[position:start], '"' * (end - start)]
            position = end
        elif search.stand_ins and len(whole) < search.runs:
            start, end = match.span(match.lastindex or 0)
            if 0 < end - start <= _LONGEST_RUN:
                whole.append(Run(start, end))
    rest = "".join([*parts, text[position:]])
    suspicious = tokens.suspect(rest.encode("utf-8", "surrogatepass"))
    places = [
        place if place.inner is not None else _Place(place.start, place.end, tuple(map(_for_json, place.spans)))
        for place in _read(rest, search, depth, suspicious, whole)
    ]
    return sorted([*places, *inner], key=lambda place: place.start) if inner else places


def _for_json(span: tokens.TokenSpan) -> tokens.TokenSpan:
    return span._replace(escape=f"{span.escape}+json" if span.escape else "json")


def _literal(written: str, start: int, end: int, search: _Search, depth: int) -> _Place | None:
    """A string in JSON, without its quotes, when something in it may have to be put back."""
    data = written.encode("utf-8", "surrogatepass")
    if not (search.stand_ins or tokens.suspect(data) or _PACKED_BYTES.search(data)):
        return None
    if search.inner <= 0:
        return None
    search.inner -= 1
    decoded = json.loads(f'"{written}"', strict=False)
    inner = tuple(_places(decoded, search, depth + 1))
    return _Place(start, end, inner=_Text(decoded, inner), written="json") if inner else None


def _packed(text: str, places: Sequence[_Place], search: _Search, depth: int) -> list[_Place]:
    """Texts in base64 that may hold a token."""
    found: list[_Place] = []
    index = 0
    for match in _PACKED.finditer(text):
        start, end = match.span()
        while index < len(places) and places[index].end <= start:
            index += 1
        if search.inner <= 0:
            break
        if index < len(places) and places[index].start < end:
            continue
        decoded = _decoded(match[0])
        if decoded is not None and tokens.suspect(decoded.encode()):
            search.inner -= 1
            inner = tuple(_places(decoded, search, depth + 1))
            if inner:
                url = "-" in match[0] or "_" in match[0]
                found.append(_Place(start, end, inner=_Text(decoded, inner), written="base64url" if url else "base64"))
    return found


def _decoded(packed: str) -> str | None:
    bare = packed.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _texts(text: _Text) -> Iterator[_Text]:
    yield text
    for place in text.places:
        if place.inner is not None:
            yield from _texts(place.inner)


def _restored(leaf: Leaf, text: _Text, known: _Known, input_schema: Any) -> str | int | float | None:
    """The leaf's new value, or None where nothing of it changes."""
    value = leaf.value
    if not isinstance(value, str):
        for _, entry in known.chosen(text.places[0], text.text):
            number = int(entry.value)
            return float(number) if isinstance(value, float) else number
        return None
    if len(text.places) == 1 and text.places[0].inner is None:
        place = text.places[0]
        if value[: place.start].strip() == "" and value[place.end :].strip() == "":
            return _alone(leaf, text, known, input_schema)
    return _filled(text, known)


def _alone(leaf: Leaf, text: _Text, known: _Known, input_schema: Any) -> str | int | None:
    """A string that is nothing but one place: a number where the schema wants one."""
    place = text.places[0]
    chosen = list(known.chosen(place, text.text))
    if len(chosen) == 1 and (chosen[0][0].start, chosen[0][0].end) == (place.start, place.end):
        number = _number(leaf, chosen[0][1], input_schema)
        if number is not None:
            return number
    return _put(text.text, chosen) if chosen else None


def _number(leaf: Leaf, entry: Entry, input_schema: Any) -> int | None:
    """The value as a number, where the schema wants one and no string."""
    path = leaf.path
    if input_schema is None or leaf.kind is not Kind.VALUE or path[0] != "arguments":
        return None
    wanted = schemas.types(schemas.at(input_schema, path[1:]))
    digits = _SEPARATORS.sub("", str(entry.value))
    if "string" in wanted or not wanted & {"integer", "number"} or not digits.isdecimal():
        return None
    return int(digits)


def _filled(text: _Text, known: _Known) -> str | None:
    """The text with its tokens turned back; None where none was."""
    parts: list[str] = []
    position, changed = 0, False
    for place in text.places:
        parts.append(text.text[position : place.start])
        position = place.end
        old = text.text[place.start : place.end]
        new: str | None
        if place.inner is not None:
            inner = _filled(place.inner, known)
            new = None if inner is None else _written(inner, place.written, old)
        else:
            chosen = list(known.chosen(place, text.text))
            shifted = [
                (span._replace(start=span.start - place.start, end=span.end - place.start), e) for span, e in chosen
            ]
            new = _put(old, shifted) if chosen else None
        parts.append(old if new is None else new)
        changed = changed or new is not None
    parts.append(text.text[position:])
    return "".join(parts) if changed else None


def _put(text: str, chosen: Sequence[tuple[tokens.TokenSpan, Entry]]) -> str:
    parts, position = [], 0
    for span, entry in sorted(chosen):
        parts += [text[position : span.start], tokens.escaped(str(entry.value), span.escape)]
        position = span.end
    return "".join([*parts, text[position:]])


def _written(text: str, how: str, old: str) -> str:
    if how == "json":
        return json.dumps(text, ensure_ascii=old.isascii())[1:-1]
    packed = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    if how == "base64url":
        packed = packed.replace("+", "-").replace("/", "_")
    return packed if old.endswith("=") or len(old) % 4 == 0 else packed.rstrip("=")


def _holds_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True
