"""From JSON to a decision: only what is exactly one is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.pipeline.call import Obligations
from agentflow.policy.decision import WrongType, denied, is_fault, parse

ASK = {"who": "caller", "ttl": 60, "prompt": "sure?"}


def test_a_full_decision_is_typed() -> None:
    decision = parse(
        {
            "allow": True,
            "reasons": [{"code": "b", "message": "B"}, {"code": "a", "message": "A"}],
            "obligations": {
                "redact": ["PHONE", "EMAIL"],
                "rehydrate": ["*"],
                "approval": ASK,
                "max_result_bytes": 10,
                "cache_ttl": 1.5,
            },
        },
        "rev",
    )
    assert decision.allow
    assert decision.reasons == (("a", "A"), ("b", "B"))
    assert decision.obligations == Obligations(("EMAIL", "PHONE"), ("*",), ASK, 10, 1.5)
    assert decision.revision == "rev"


def test_what_is_left_out_takes_the_safe_default() -> None:
    assert parse({"allow": True}, "").obligations == Obligations()
    assert parse({"allow": False}, "").reasons == (("not_allowed", "denied without a reason"),)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "true",
        [],
        {},
        {"allow": "true"},
        {"allow": 1},
        {"allow": None},
        {"allow": True, "extra": 1},
        {"allow": True, "reasons": "because"},
        {"allow": True, "reasons": ["because"]},
        {"allow": True, "reasons": [{"code": "x"}]},
        {"allow": True, "reasons": [{"code": 1, "message": "m"}]},
        {"allow": True, "obligations": []},
        {"allow": True, "obligations": {"shred": True}},
        {"allow": True, "obligations": {"redact": "*"}},
        {"allow": True, "obligations": {"redact": None}},
        {"allow": True, "obligations": {"rehydrate": ["email"]}},
        {"allow": True, "obligations": {"rehydrate": [1]}},
        {"allow": True, "obligations": {"approval": True}},
        {"allow": True, "obligations": {"approval": {"ttl": 1}}},
        {"allow": True, "obligations": {"approval": {**ASK, "ttl": 0}}},
        {"allow": True, "obligations": {"approval": {**ASK, "ttl": "60"}}},
        {"allow": True, "obligations": {"approval": {**ASK, "who": "cfo"}}},
        {"allow": True, "obligations": {"approval": {**ASK, "prompt": 1}}},
        {"allow": True, "obligations": {"max_result_bytes": -1}},
        {"allow": True, "obligations": {"max_result_bytes": True}},
        {"allow": True, "obligations": {"cache_ttl": "1"}},
        {"allow": True, "obligations": {"injection": "shred"}},
        {"allow": True, "obligations": {"injection": True}},
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(WrongType):
        parse(value, "")


@pytest.mark.parametrize("action", ["annotate", "spotlight", "cut", "quarantine", "block"])
def test_a_policy_says_what_is_done_about_injected_instructions(action: str) -> None:
    assert parse({"allow": True, "obligations": {"injection": action}}, "").obligations.injection == action


def test_a_fault_is_told_from_a_denial() -> None:
    assert is_fault(denied("policy_timeout", "late", ""))
    assert not is_fault(parse({"allow": False, "reasons": [{"code": "rule", "message": ""}]}, ""))
