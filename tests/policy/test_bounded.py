"""Only what cannot run away or crash is evaluated inside the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.config import PolicyConfig
from agentflow.policy.bounded import bounded
from agentflow.policy.bundle import read_bundle
from agentflow.policy.selectors import MATCH

HEAD = "package agentflow\n\nimport rego.v1\n\n"


def with_rules(*patterns: str, forbidden: tuple[str, ...] = ()) -> bool:
    data = {"settings": {"forbidden": list(forbidden), "rules": {"r": {"servers": list(patterns)}}}}
    bundle = read_bundle(PolicyConfig(data=data))
    return bounded(bundle.modules, bundle.data)


def test_the_default_bundle_is_bounded_whatever_its_ordinary_rules() -> None:
    assert with_rules("pay", "crm-*", "*eu*", forbidden=("crm*/drop_*",))


def test_patterns_that_backtrack_far_are_not() -> None:
    assert not with_rules("*a*b*")
    assert not with_rules("pay", forbidden=("a*/b*c*",))


@pytest.mark.parametrize("settings", [None, [], {"rules": []}, {"rules": {"r": []}}, {"rules": {"r": {"tools": "x"}}}])
def test_settings_that_match_rego_does_not_expect_are_not(settings: Any) -> None:
    bundle = read_bundle(PolicyConfig())
    assert not bounded(bundle.modules, {"settings": settings})


@pytest.mark.parametrize("pattern", ["a?", "[a-z]", "{a,b}", "a\\*", 1])
def test_patterns_with_other_signs_are_not(pattern: object) -> None:
    modules = read_bundle(PolicyConfig()).modules
    assert not bounded(modules, {"settings": {"forbidden": [pattern], "rules": {}}})


def test_globs_of_a_changed_match_rego_are_not() -> None:
    bundle = read_bundle(PolicyConfig())
    changed = {**bundle.modules, MATCH: bundle.modules[MATCH] + "\n# mine\n"}
    assert not bounded(changed, bundle.data)


@pytest.mark.parametrize(
    "text",
    [
        'decision := {"allow": true} if input.n > 1',
        'decision := {"allow": true} if count(input.list) == 2',
        'decision := {"allow": why(input.n)}\n\nwhy(n) := "regex.match(a)" # walk(n)',
    ],
)
def test_small_policies_are(text: str) -> None:
    assert bounded({"p.rego": HEAD + text}, {})


@pytest.mark.parametrize(
    "text",
    [
        'decision := {"allow": true} if regex.match("(a+)+$", input.text)',
        'decision := {"allow": true} if regex . match("(a+)+$", input.text)',
        'decision := {"allow": true} if regex\n.match ("(a+)+$", input.text)',
        'decision := {"allow": true} if regex["match"]("(a+)+$", input.text)',
        'decision := {"allow": true} if glob.match(input.pattern, null, input.text)',
        "decision := count(numbers.range(1, 1000000))",
        "decision := data.other.f(1)",
        'decision := inner with input as {"k": "a"}\n\ninner := 1',
        "decision := {1 | walk(input, [_, 1])}",
        'text := `a " b`\n\ndecision := regex.match("a", "\\"")',
    ],
)
def test_what_might_run_away_or_is_not_understood_is_not(text: str) -> None:
    assert not bounded({"p.rego": HEAD + text}, {})


def test_a_function_of_another_package_is_no_excuse() -> None:
    other = "package other\n\nimport rego.v1\n\nwalk(x) := x\n"
    assert not bounded({"p.rego": HEAD + "decision := {x | walk(input, [_, x])}", "o.rego": other}, {})
