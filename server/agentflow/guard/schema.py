"""What a JSON Schema says about one place in a value: just enough to keep its type.

It follows `properties`, `additionalProperties`, `patternProperties`, `items`, `prefixItems`, local `$ref` and
the combinators, and collects every subschema that may apply. It validates nothing and never fails: a place it
cannot find has no constraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_COMBINATORS: Final = ("allOf", "anyOf", "oneOf")
_MAX_SCHEMAS: Final = 64


def at(schema: Any, path: Sequence[str | int]) -> list[dict[str, Any]]:
    """Return the subschemas of `schema` that may apply at `path` (keys and indices)."""
    root = schema
    current = _expand(root, [schema])
    for step in path:
        below: list[Any] = []
        for node in current:
            below.extend(_children(node, step))
        current = _expand(root, below)
    return current


def types(schemas: Sequence[dict[str, Any]]) -> frozenset[str]:
    """Return every JSON type that the subschemas name, e.g. `{"integer", "null"}`."""
    names: set[str] = set()
    for node in schemas:
        kind = node.get("type")
        names.update([kind] if isinstance(kind, str) else [k for k in kind or () if isinstance(k, str)])
    return frozenset(names)


def _children(node: dict[str, Any], step: str | int) -> list[Any]:
    if isinstance(step, int):
        prefix = node.get("prefixItems")
        if isinstance(prefix, list) and step < len(prefix):
            return [prefix[step]]
        items = node.get("items")
        return items[step : step + 1] if isinstance(items, list) else [items]
    found = []
    properties = node.get("properties")
    if isinstance(properties, dict) and step in properties:
        found.append(properties[step])
    patterns = node.get("patternProperties")
    if isinstance(patterns, dict):  # all of them: an upstream's regular expression is not run for this
        found.extend(patterns.values())
    return found or [node.get("additionalProperties")]


def _expand(root: Any, schemas: list[Any]) -> list[dict[str, Any]]:
    """Follow references and combinators; bounded, so a circular schema ends."""
    queue = list(schemas)
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    for node in queue:
        if not isinstance(node, dict) or id(node) in seen or len(found) >= _MAX_SCHEMAS:
            continue
        seen.add(id(node))
        found.append(node)
        for name in _COMBINATORS:
            branches = node.get(name)
            if isinstance(branches, list):
                queue.extend(branches)
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            queue.append(_resolve(root, reference))
    return found


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for part in reference[1:].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node
