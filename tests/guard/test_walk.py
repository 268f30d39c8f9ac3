"""Every key and value that is data is seen; the protocol's own fields are not; what did not change is shared."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.walk import Kind, leaves, replace, rewrite, strings

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
bodies = st.dictionaries(st.text(max_size=8) | st.sampled_from(["content", "_meta", "arguments", "type"]), values)


def resolve(body: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        body = body[int(part)] if isinstance(body, list) else body[part]
    return body


def test_protocol_fields_are_left_alone_and_data_with_the_same_names_is_not() -> None:
    body = {
        "content": [
            {"type": "text", "text": "T", "mimeType": "text/plain", "annotations": {"audience": ["user"]}},
            {"type": "image", "data": "aWE=", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "x://u", "blob": "YQ==", "mimeType": "a/b"}},
            {"type": "resource_link", "uri": "x://v", "name": "N"},
        ],
        "structuredContent": {"type": "S1", "name": "S2", "data": "S3", "role": "S4", "cursor": "S5", "blob": "S6"},
        "_meta": {"progressToken": "p", "io.modelcontextprotocol/clientInfo": {"name": "c"}, "com.example/x": "M"},
        "nextCursor": "n",
        "requestState": "r",
        "resultType": "complete",
    }
    seen = {value for _, value in strings(body)}
    assert {"T", "x://u", "x://v", "N", "S1", "S2", "S3", "S4", "S5", "S6", "M"} <= seen
    assert not seen & {"text", "image", "aWE=", "image/png", "YQ==", "p", "c", "n", "r", "complete"}


def test_names_of_tools_are_left_alone_and_their_descriptions_are_not() -> None:
    body = {"tools": [{"name": "get_a", "title": "A", "description": "D", "inputSchema": {"properties": {"k": {}}}}]}
    seen = [value for _, value in strings(body)]
    assert "get_a" not in seen
    assert {"A", "D", "k"} <= set(seen)


def test_what_a_person_typed_into_a_form_is_data_and_a_sampled_block_is_protocol() -> None:
    form = {"action": "accept", "content": {"type": "X", "name": "Y"}}
    assert {"X", "Y"} <= {value for _, value in strings(form)}
    sampled = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Z"}}
    assert {value for _, value in strings(sampled)} == {"m", "Z"}


def test_answers_in_a_multi_round_trip_are_seen_and_their_ids_are_not() -> None:
    body = {"inputResponses": {"id@1": {"action": "accept", "content": {"mail": "M"}}}, "arguments": {"k@2": "A"}}
    seen = {value for _, value in strings(body)}
    assert {"M", "mail", "A", "k@2"} <= seen
    assert "id@1" not in seen


def test_addresses_are_marked_as_addresses() -> None:
    (leaf,) = [leaf for leaf in leaves({"uri": "x://y"}) if leaf.value == "x://y"]
    assert leaf.kind is Kind.URI


@given(bodies)
def test_pointers_lead_to_the_values(body: dict[str, Any]) -> None:
    for leaf in leaves(body):
        target = resolve(body, leaf.pointer)
        assert leaf.kind is Kind.KEY or target == leaf.value
    for pointer, text in strings({"arguments": body}):
        if "#" not in pointer:
            assert text == resolve({"arguments": body}, pointer) or pointer.rsplit("/", 1)[1] != ""


@given(bodies)
def test_nothing_changed_means_the_same_object(body: dict[str, Any]) -> None:
    assert rewrite(body, lambda text: text) is body


@given(bodies)
def test_a_rewrite_leaves_the_original_and_every_type_alone(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    after = rewrite({"arguments": body}, lambda text: text + "!")["arguments"]
    assert body == before

    def same(old: Any, new: Any) -> None:
        assert type(old) is type(new)
        if isinstance(old, dict):
            assert [key + "!" for key in old] == list(new)
            for (_, left), (_, right) in zip(old.items(), new.items(), strict=True):
                same(left, right)
        elif isinstance(old, list):
            for left, right in zip(old, new, strict=True):
                same(left, right)
        elif isinstance(old, str):
            assert new == (old + "!" if old else old)
        else:
            assert old == new or old != old

    same(body, after)


def test_only_the_way_to_a_change_is_copied() -> None:
    body = {"structuredContent": {"a": {"x": "old"}, "b": {"y": ["keep"]}}}
    new = rewrite(body, lambda text: "new" if text == "old" else text)
    assert new["structuredContent"]["a"] == {"x": "new"}
    assert new["structuredContent"]["b"] is body["structuredContent"]["b"]
    assert body["structuredContent"]["a"] == {"x": "old"}


def test_two_keys_that_become_one_lose_nothing() -> None:
    body = {"arguments": {"a": 1, "b": 2, "z": 3}}
    changed = replace(
        body, [(leaf, "z") for leaf in leaves(body) if leaf.kind is Kind.KEY and leaf.value in ("a", "b")]
    )
    assert list(changed["arguments"].items()) == [("z (2)", 1), ("z (3)", 2), ("z", 3)]


@pytest.mark.parametrize("opener", ['{"a":', "["])
def test_depth_never_breaks_the_walk(opener: str) -> None:
    body: Any = "deep"
    for _ in range(20_000):
        body = {"a": body} if opener == '{"a":' else [body]
    changed = rewrite({"arguments": body}, lambda text: "DEEP" if text == "deep" else text)["arguments"]
    while isinstance(changed, dict | list):
        changed = changed["a"] if isinstance(changed, dict) else changed[0]
    assert changed == "DEEP"


def test_strings_inside_json_inside_strings_are_yielded_decoded() -> None:
    inner = json.dumps({"note": "ignore\nall"})
    text = json.dumps({"inner": inner})
    assert dict(strings({"content": [{"type": "text", "text": text}]}))["/content/0/text#/inner#/note"] == "ignore\nall"
