"""Putting PII values back in the place of their tokens, for the types that policy allows.

It promises: at any depth, in keys as in values, in whatever spelling a model left the token; a value put inside
escaped text is escaped like it; a token that stands alone where the schema wants a number becomes a number again.
What the vault does not know, or policy does not allow, stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentflow.guard import schema as schemas
from agentflow.guard import tokens
from agentflow.guard.redaction import serialised
from agentflow.guard.vault import Entry, Vault
from agentflow.guard.walk import JSON, Kind, Leaf, leaves, replace

_SEPARATORS: Final = re.compile(r"[ .\-]")


@dataclass(frozen=True, slots=True)
class Rehydration:
    """What became of a body. `restored` counts tokens by type, `kept` those that policy holds back."""

    body: JSON
    restored: dict[str, int]
    kept: dict[str, int]


def rehydrate(vault: Vault, tenant: str, body: JSON, types: Sequence[str], input_schema: Any = None) -> Rehydration:
    """Return `body` with the tokens of `types` turned into their values.

    Args:
        types: PII types, or `"*"` for all.
        input_schema: JSON Schema of `body["arguments"]`, when there is one.

    Raises:
        VaultUnavailable: the vault could not be read.
    """
    data = serialised(body)
    if not types or (data is not None and not tokens.suspect(data)):
        return Rehydration(body, {}, {})
    plan = [(leaf, spans) for leaf in leaves(body) if (spans := _spans(leaf))]
    names = list({span.name for _, spans in plan for span in spans})
    known = vault.values(tenant, names) if names else {}
    allowed = {name: entry for name, entry in known.items() if "*" in types or entry.type in types}
    restored: dict[str, int] = {}
    kept: dict[str, int] = {}
    changes = []
    for leaf, spans in plan:
        for span in spans:
            if span.name in known:
                counts = restored if span.name in allowed else kept
                counts[known[span.name].type] = counts.get(known[span.name].type, 0) + 1
        if any(span.name in allowed for span in spans):
            changes.append((leaf, _restored(leaf, spans, allowed, input_schema)))
    return Rehydration(replace(body, changes), restored, kept)


def _spans(leaf: Leaf) -> list[tokens.TokenSpan]:
    value = leaf.value
    if isinstance(value, str):
        return tokens.find(value)
    if tokens.NUMBER_FIRST <= value <= tokens.NUMBER_LAST and value == int(value):
        return [tokens.TokenSpan(0, 0, str(int(value)), "")]
    return []


def _restored(
    leaf: Leaf, spans: list[tokens.TokenSpan], allowed: Mapping[str, Entry], input_schema: Any
) -> str | int | float:
    value = leaf.value
    if not isinstance(value, str):
        number = int(allowed[spans[0].name].value)
        return float(number) if isinstance(value, float) else number
    first = spans[0]
    if len(spans) == 1 and value[: first.start].strip() == "" and value[first.end :].strip() == "":
        number_or_none = _number(leaf, allowed[first.name], input_schema)
        if number_or_none is not None:
            return number_or_none
    return _filled(value, spans, allowed)


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


def _filled(text: str, spans: list[tokens.TokenSpan], allowed: Mapping[str, Entry]) -> str:
    holds_json = _holds_json(text)
    parts, position = [], 0
    for span in spans:
        entry = allowed.get(span.name)
        if entry is None:
            continue
        parts.append(text[position : span.start])
        escape = span.escape or ("json" if holds_json else "")
        parts.append(tokens.escaped(str(entry.value), escape))
        position = span.end
    parts.append(text[position:])
    return "".join(parts)


def _holds_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
