"""What a policy can read is never understated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.policy.projection import Projection, paths_read


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("x if input.call.tool", {("call", "tool")}),
        ("x := input.call", {("call",)}),
        ("f(input)", {()}),
        ('x := input["call"]', {()}),
        ("x := input.call[key]", {("call",)}),
        ("import input.call as c", {("call",)}),
        ("x := input.\n  call", {()}),
        ('x := $"{input.session.taint}"', {("session", "taint")}),
        ("x := data.input.call", set()),
        ("x := my_input.call", set()),
        ("x := inputs.call", set()),
        ("# the input document\nx := input.time.hour", {("time", "hour")}),
        ("x := `\n# input.call.tool\n`", {("call", "tool")}),
        ('x := "#" ; input.call.tool', {("call", "tool")}),
    ],
)
def test_the_paths_a_text_may_read(text: str, paths: set[tuple[str, ...]]) -> None:
    assert paths_read([text]) == paths


def test_only_what_is_read_is_kept() -> None:
    document = {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "f": 4}
    assert Projection([("a", "c", "d"), ("f",)])(document) == {"a": {"c": {"d": 2}}, "f": 4}
    assert Projection([("a", "c", "d"), ("a",)])(document) == {"a": document["a"]}
    assert Projection([()])(document) is document
    assert Projection([("a", "x"), ("f", "deeper")])(document) == {"a": {}}


def test_reads_answers_for_prefixes_and_for_what_lies_below() -> None:
    projection = Projection([("a", "b")])
    assert projection.reads(("a",))
    assert projection.reads(("a", "b"))
    assert projection.reads(("a", "b", "c"))
    assert not projection.reads(("a", "c"))
    assert not Projection([]).reads(("a",))
    assert Projection([()]).reads(("anything",))


paths = st.sets(st.lists(st.sampled_from("abc"), max_size=3).map(tuple), max_size=5)
documents = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=12
).filter(lambda value: isinstance(value, dict))


@given(paths, documents)
def test_every_path_read_gives_the_same_value_after_the_cut(
    paths: set[tuple[str, ...]], document: dict[str, object]
) -> None:
    cut = Projection(paths)(document)
    for path in paths:
        before: object = document
        after: object = cut
        for name in path:
            before = before.get(name) if isinstance(before, dict) else None
            after = after.get(name) if isinstance(after, dict) else None
        assert before == after
