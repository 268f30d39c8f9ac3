"""What a schema says about a place is found through references, combinators and arrays."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.guard import schema

SCHEMA: dict[str, Any] = {
    "$defs": {"card": {"type": "integer", "maximum": 5}, "loop": {"anyOf": [{"$ref": "#/$defs/loop"}]}},
    "properties": {
        "card": {"$ref": "#/$defs/card"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "list": {"items": {"type": ["string", "number"]}},
        "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}]},
        "loop": {"$ref": "#/$defs/loop"},
        "bad": {"$ref": "#/nowhere"},
    },
    "additionalProperties": {"type": "boolean"},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("card",), {"integer"}),
        (("maybe",), {"integer", "null"}),
        (("list", 3), {"string", "number"}),
        (("pair", 1), {"integer"}),
        (("other",), {"boolean"}),
        (("loop",), set()),
        (("bad",), set()),
        (("card", "deeper", 0), set()),
    ],
)
def test_types_at_a_place(path: tuple[str | int, ...], expected: set[str]) -> None:
    assert schema.types(schema.at(SCHEMA, path)) == expected


@pytest.mark.parametrize("broken", [None, True, [], "x", {"properties": 3}, {"anyOf": 1}, {"$ref": 5}])
def test_a_broken_schema_says_nothing(broken: Any) -> None:
    assert schema.types(schema.at(broken, ("a", 0))) == set()
