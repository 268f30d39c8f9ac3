"""What counts as the same definition."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.pins.canonical import body, canonical, digest, parsed

TOOL: dict[str, Any] = {
    "name": "send_email",
    "title": "Send an e-mail",
    "description": "Sends an e-mail.",
    "inputSchema": {
        "type": "object",
        "properties": {"to": {"type": "string", "description": "Who"}, "how": {"enum": ["plain", "html"]}},
        "required": ["to", "how"],
    },
    "outputSchema": {"type": "object", "properties": {"id": {"type": "string", "default": "a"}}},
    "annotations": {"title": "Send", "readOnlyHint": False, "destructiveHint": True},
    "icons": [{"src": "https://a.example/i.png", "mimeType": "image/png"}],
    "execution": {"taskSupport": "optional"},
    "_meta": {"x.example/tag": 1},
    "future": {"member": [1, 2]},
}


def of(definition: dict[str, Any]) -> bytes:
    return digest(canonical("tool", definition))


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(item, chance) for key, item in items}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(st.randoms(use_true_random=False))
def test_the_order_of_members_is_no_change(chance: random.Random) -> None:
    assert of(shuffled(TOOL, chance)) == of(TOOL)


def test_the_order_of_required_names_is_no_change_that_of_an_enum_is_one() -> None:
    other = copy.deepcopy(TOOL)
    other["inputSchema"]["required"].reverse()
    assert of(other) == of(TOOL)
    other["inputSchema"]["properties"]["how"]["enum"].reverse()
    assert of(other) != of(TOOL)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


@pytest.mark.parametrize("path", places(TOOL)[1:], ids=lambda path: ".".join(map(str, path)))
def test_a_change_anywhere_is_a_change(path: tuple[Any, ...]) -> None:
    other = copy.deepcopy(TOOL)
    at: Any = other
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    assert of(other) != of(TOOL), "left out"
    other = copy.deepcopy(TOOL)
    at = other
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = "another"
    assert of(other) != of(TOOL), "replaced"


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), ("é", "e\u0301"), ("a", "a "), ("a", "a\u200b"), (None, "null"), ([], {}), ("", None)],
)
def test_what_only_looks_the_same_is_not(one: Any, other: Any) -> None:
    assert of({"name": "t", "x": one}) != of({"name": "t", "x": other})


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSONS, max_size=4))
def test_any_definition_has_a_form_that_stands_for_it(definition: dict[str, Any]) -> None:
    data = canonical("tool", definition)
    again = parsed(data)
    assert canonical("tool", again) == data
    if '"required"' not in json.dumps(definition):
        assert again == definition


@pytest.mark.parametrize("odd", [2**70, "\ud800", "\x00", {"deep": [[[[1]]]]}])
def test_odd_values_are_told_apart_too(odd: Any) -> None:
    assert of({"name": "t", "x": odd}) != of({"name": "t", "x": "odd"})


def test_what_a_resource_holds_is_none_of_its_definition() -> None:
    one = {"uri": "a://b", "name": "b", "size": 3, "annotations": {"lastModified": "2026-01-01", "priority": 1}}
    later = {**one, "size": 4, "annotations": {"lastModified": "2026-02-02", "priority": 1}}
    assert canonical("resource", one) == canonical("resource", later)
    assert canonical("resource", one) != canonical("resource", {**one, "annotations": {"priority": 0.5}})
    assert canonical("tool", one) != canonical("tool", later)


def test_a_renamed_tool_keeps_its_body_and_another_does_not() -> None:
    other = copy.deepcopy(TOOL) | {"name": "mail_it", "title": "Mail it"}
    other["annotations"]["title"] = "Mail"
    renamed = [body("tool", d["name"], canonical("tool", d)) for d in (TOOL, other)]
    assert renamed[0] == renamed[1] != b""
    another = {**TOOL, "description": "Sends an e-mail!"}
    assert body("tool", "send_email", canonical("tool", another)) != renamed[0]
    assert body("tool", "t", canonical("tool", {"name": "t", "inputSchema": {}})) == b"", "says too little to tell"
