"""The grammar of plans: whatever a model would rather write, the plan is valid and names an allowed tool."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from agentflow.models.local.decoding import Decoder, Vocabulary
from agentflow.models.local.grammar import Unwritable, plan_grammar, schema_grammar

JSON = dict[str, Any]
BYTES = Vocabulary([bytes([b]) for b in range(256)])
WORDS = Vocabulary(
    [bytes([b]) for b in range(256)]
    + [
        w.encode()
        for w in ('{"', '":', '","', "tool", "arguments", "find_", "customer", "null", "}}", '"}}', " Ada", "é", "12")
    ]
)

TOOLS: dict[str, JSON] = {
    "find_customer": {
        "type": "object",
        "properties": {"query": {"type": "string", "minLength": 1}},
        "required": ["query"],
        "additionalProperties": False,
    },
    "get_customer": {
        "type": "object",
        "properties": {"customer_id": {"type": "integer", "minimum": 1}},
        "required": ["customer_id"],
    },
    "search_tickets": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 12},
            "status": {
                "anyOf": [{"enum": ["open", "pending", "closed"], "type": "string"}, {"type": "null"}],
                "default": None,
            },
            "limit": {"type": "integer", "minimum": 5, "maximum": 250},
        },
        "required": ["query"],
    },
    "statistics": {
        "type": "object",
        "properties": {
            "numbers": {"type": "array", "items": {"type": "number", "minimum": -2.5, "maximum": 1000}, "minItems": 1},
            "measure": {"$ref": "#/$defs/Measure"},
            "when": {"type": "string", "format": "date"},
        },
        "required": ["numbers", "measure"],
        "$defs": {"Measure": {"type": "string", "enum": ["mean", "médian"]}},
    },
    "list_notes": {"type": "object", "properties": {}},
}


def write(walk: Any, seed: int, vocabulary: Vocabulary = WORDS, budget: int = 120) -> str:
    rng = random.Random(seed)
    return Decoder(walk, vocabulary, budget).write(rng.choice)


def test_a_model_that_writes_at_random_still_writes_valid_plans() -> None:
    walk = plan_grammar(TOOLS)
    named = set()
    for seed in range(150):
        plan = json.loads(write(walk, seed))
        named.add(plan["tool"])
        if plan["tool"] is None:
            assert plan == {"tool": None}
            continue
        assert set(plan) == {"tool", "arguments"}
        Draft202012Validator(TOOLS[plan["tool"]]).validate(plan["arguments"])
    assert named == {None, *TOOLS}


def test_every_allowed_tool_can_be_named_and_no_other() -> None:
    walk = plan_grammar(TOOLS)
    for name in TOOLS:
        assert walk.read(walk.start, f'{{"tool":"{name}",'.encode()) >= 0
    assert walk.read(walk.start, b'{"tool":"delete_customer"') < 0
    assert walk.read(walk.start, b'{"tool":"find_customers"') < 0


def test_without_tools_the_only_plan_is_to_stop() -> None:
    assert write(plan_grammar({}), 1) == '{"tool":null}'


@pytest.mark.parametrize("budget", [0, 1, 3, 7, 20])
def test_a_plan_that_is_cut_short_is_ended_within_the_grammar(budget: int) -> None:
    walk = plan_grammar(TOOLS)
    for seed in range(20):
        plan = json.loads(write(walk, seed, budget=budget))
        assert plan["tool"] is None or plan["tool"] in TOOLS
        if plan["tool"] is not None:
            Draft202012Validator(TOOLS[plan["tool"]]).validate(plan["arguments"])


def test_copied_strings_come_from_the_values_at_hand() -> None:
    walk = plan_grammar({"find_customer": TOOLS["find_customer"]}, ["Ada Lindqvist", 'He said "no"', 7], copied=True)
    seen = {json.loads(write(walk, seed)).get("arguments", {}).get("query") for seed in range(60)}
    assert seen == {None, "Ada Lindqvist", 'He said "no"'}


def test_a_tool_whose_required_argument_cannot_be_promised_is_left_out() -> None:
    pattern = {"type": "object", "properties": {"id": {"type": "string", "pattern": "^SO-[0-9]+$"}}, "required": ["id"]}
    assert write(plan_grammar({"get_order": pattern}), 3) == '{"tool":null}'
    walk = plan_grammar({"get_order": pattern}, ["SO-10001", "Ada"])
    plans = {write(walk, seed) for seed in range(30)}
    assert plans == {'{"tool":null}', '{"tool":"get_order","arguments":{"id":"SO-10001"}}'}


def test_an_optional_argument_that_cannot_be_promised_is_never_written() -> None:
    schema = {
        "type": "object",
        "properties": {"tags": {"type": "array", "uniqueItems": True}, "n": {"type": "boolean"}},
    }
    walk = schema_grammar(schema)
    assert {write(walk, seed) for seed in range(40)} == {"{}", '{"n":true}', '{"n":false}'}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"not": {"type": "string"}}, id="not"),
        pytest.param({"allOf": [{"type": "string"}]}, id="allOf"),
        pytest.param({"type": "integer", "multipleOf": 3}, id="multipleOf"),
        pytest.param({"type": "integer", "minimum": 5, "maximum": 4}, id="empty range"),
        pytest.param({"type": "object", "required": ["a"]}, id="a required member without a schema"),
        pytest.param({"$ref": "https://example.com/schema"}, id="a remote reference"),
        pytest.param({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, id="references in a circle"),
        pytest.param({"type": "array", "items": {"type": "string"}, "minItems": 99}, id="too many items"),
        pytest.param({"oneOf": [{"type": "integer"}, {"type": "number"}]}, id="oneOf that overlaps"),
    ],
)
def test_what_cannot_be_promised_is_refused(schema: JSON) -> None:
    with pytest.raises(Unwritable):
        schema_grammar(schema)


@given(low=st.integers(-3000, 3000), size=st.integers(0, 3000), seed=st.integers(0, 10**6))
def test_whole_numbers_stay_within_their_range(low: int, size: int, seed: int) -> None:
    walk = schema_grammar({"type": "integer", "minimum": low, "maximum": low + size})
    assert low <= int(write(walk, seed, BYTES)) <= low + size
    assert walk.accepts(walk.read(walk.start, str(low).encode()))
    assert walk.accepts(walk.read(walk.start, str(low + size).encode()))
    assert walk.read(walk.start, str(low + size + 1).encode()) < 0 or not walk.accepts(
        walk.read(walk.start, str(low + size + 1).encode())
    )


@given(low=st.floats(-50, 50), size=st.floats(1.5, 60), seed=st.integers(0, 10**6))
def test_fractions_stay_within_their_range(low: float, size: float, seed: int) -> None:
    schema = {"type": "number", "minimum": low, "exclusiveMaximum": low + size}
    Draft202012Validator(schema).validate(json.loads(write(schema_grammar(schema), seed, BYTES, budget=12)))


@given(shortest=st.integers(0, 6), more=st.integers(0, 6), seed=st.integers(0, 10**6))
def test_strings_are_valid_utf8_of_bounded_length(shortest: int, more: int, seed: int) -> None:
    schema = {"type": "string", "minLength": shortest, "maxLength": shortest + more}
    assert shortest <= len(json.loads(write(schema_grammar(schema), seed, BYTES))) <= shortest + more


def test_a_choice_outside_the_allowed_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="not allowed"):
        Decoder(plan_grammar(TOOLS), WORDS).write(lambda options: 0)
