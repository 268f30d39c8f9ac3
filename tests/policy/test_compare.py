"""What differs between two bundles, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from agentflow.config import PolicyConfig
from agentflow.policy.bundle import Bundle, read_bundle
from agentflow.policy.compare import differences

Read = Callable[[str, dict[str, str], object], Bundle]
HEAD = "package agentflow\n\nimport rego.v1\n\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def bundle(name: str, files: dict[str, str], data: object) -> Bundle:
        folder = tmp_path / name
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(HEAD + text)
        (folder / "data.json").write_bytes(orjson.dumps(data))
        return read_bundle(PolicyConfig(bundle=folder))

    return bundle


def said(before: Bundle, after: Bundle) -> dict[str, str]:
    return {difference.name: difference.kind for difference in differences(before, after)}


def test_rules_settings_and_tests_are_told_apart(read: Read) -> None:
    one = read(
        "a",
        {"p.rego": "x := 1\n\ny := 1\n\ndefault z := 1\n", "p_test.rego": "test_x if x == 1\n"},
        {"s": {"a": 1, "b": 2}},
    )
    other = read(
        "b",
        {"p.rego": "x := 2\n\ndefault z := 1\n\nw if {\n\ttrue\n}\n", "p_test.rego": "test_x if x == 2\n"},
        {"s": {"a": True, "c": 3}},
    )
    found = differences(one, other)
    assert [(each.what, each.kind, each.name) for each in found] == [
        ("data", "changed", "s.a"),
        ("data", "removed", "s.b"),
        ("data", "added", "s.c"),
        ("rule", "added", "agentflow.w"),
        ("rule", "changed", "agentflow.x"),
        ("rule", "removed", "agentflow.y"),
        ("test", "changed", "agentflow.test_x"),
    ]
    assert found[0].lines() == ["s.a: 1 → true"]
    assert found[4].lines() == ["agentflow.x", "    -x := 1", "    +x := 2"]


def test_moved_rules_comments_and_blank_lines_are_no_difference(read: Read) -> None:
    one = read("a", {"p.rego": "# why\nx if {\n\ta\n}\n\na := 1\n", "q.rego": "x if b\n\nb := 2\n"}, {})
    other = read("b", {"all.rego": "b := 2\na := 1\nx if b\n\n\nx if {\n\ta\n}\n"}, {})
    assert said(one, other) == {}


def test_one_of_several_bodies_is_shown_as_the_change(read: Read) -> None:
    one = read("a", {"p.rego": "x if 1 == 1\n\nx if 2 == 2\n"}, {})
    other = read("b", {"p.rego": "x if 1 == 1\n\nx if 2 == 3\n"}, {})
    (found,) = differences(one, other)
    assert "    -x if 2 == 2" in found.lines()
    assert "    +x if 2 == 3" in found.lines()
