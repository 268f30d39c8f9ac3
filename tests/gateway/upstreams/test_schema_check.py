"""Which JSON Schemas of tools can be used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator

from agentflow.gateway.upstreams.schema_check import _plain, schema_problem

JSON = dict[str, Any]


def deep(levels: int) -> JSON:
    schema: JSON = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return {"type": "object", "properties": {"x": schema}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": ["string", "null"]}}},
        {
            "$id": "https://example.com/s",
            "type": "object",
            "properties": {"a": {"$ref": "https://example.com/s#/$defs/A"}},
            "$defs": {"A": True},
        },
        {"type": "object", "properties": {"tree": {"$ref": "#"}}},
        {"type": "object", "patternProperties": {"^x": {"type": "string"}}},
        {"type": "object", "x-own": {"type": 7}},
        {"type": "object", "properties": {"a": {"default": {"$ref": "http://data.not/reference"}}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "items": [{}]},
    ],
)
def test_a_usable_schema_has_no_problem(schema: JSON) -> None:
    assert schema_problem(schema) == ""


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "objekt"}, "at /type"),
        ({"type": "object", "properties": []}, "at /properties"),
        ({"type": "object", "required": "a"}, "at /required"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "at /properties/a/pattern"),
        ({"type": "object", "properties": {"a": {"$ref": "https://evil.example/s.json"}}}, "leads out of it"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads out of it"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/Missing"}}}, "leads nowhere"),
        (deep(500), "nested deeper"),
        ({"type": "object", "patternProperties": {"a": 7}}, "at /patternProperties/a"),
    ],
)
def test_an_unusable_schema_is_told_why(schema: JSON, problem: str) -> None:
    assert problem in schema_problem(schema)


_values = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.5, "string", "object", "(", "#"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "required", "enum", "minimum", "minLength", "multipleOf", "anyOf"],
            )
            | st.sampled_from(
                ["pattern", "title", "uniqueItems", "const", "additionalProperties", "patternProperties", "x"],
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_values)
def test_the_fast_walk_never_vouches_for_what_the_meta_schema_refuses(value: Any) -> None:
    if _plain(value):
        try:
            Draft202012Validator.check_schema(value)
        except SchemaError as error:
            pytest.fail(f"{value!r}: {error.message}")
