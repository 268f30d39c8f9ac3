"""From JSON to a decision: only what is exactly one is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.audit.asked import told
from agentflow.pipeline.call import Obligations
from agentflow.policy.decision import WrongType, denied, is_fault, parse, stricter

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
        {"allow": True, "obligations": {"approval": {**ASK, "ttl": -1}}},
        {"allow": True, "obligations": {"approval": {**ASK, "ttl": float("nan")}}},
        {"allow": True, "obligations": {"approval": {**ASK, "ttl": float("inf")}}},
        {"allow": True, "obligations": {"approval": {**ASK, "ttl": 1e18}}},
        {"allow": True, "obligations": {"approval": {**ASK, "count": float("nan")}}},
        {"allow": True, "obligations": {"approval": {**ASK, "count": float("inf")}}},
        {"allow": True, "obligations": {"max_result_bytes": float("inf")}},
        {"allow": True, "obligations": {"cache_ttl": float("nan")}},
        {"allow": True, "obligations": {"approval": {**ASK, "who": "cfo"}}},
        {"allow": True, "obligations": {"approval": {**ASK, "prompt": 1}}},
        {"allow": True, "obligations": {"approval": {**ASK, "who": []}}},
        {"allow": True, "obligations": {"approval": {**ASK, "who": ["caller", "cfo"]}}},
        {"allow": True, "obligations": {"approval": {**ASK, "who": "role:"}}},
        {"allow": True, "obligations": {"approval": {**ASK, "who": "principal:bob"}}},
        {"allow": True, "obligations": {"approval": {**ASK, "count": 0}}},
        {"allow": True, "obligations": {"approval": {**ASK, "count": 1.5}}},
        {"allow": True, "obligations": {"approval": {**ASK, "count": True}}},
        {"allow": True, "obligations": {"approval": {**ASK, "count": 1000}}},
        {"allow": True, "obligations": {"max_result_bytes": -1}},
        {"allow": True, "obligations": {"max_result_bytes": True}},
        {"allow": True, "obligations": {"cache_ttl": "1"}},
        {"allow": True, "obligations": {"injection": "shred"}},
        {"allow": True, "obligations": {"injection": True}},
        {"allow": True, "obligations": {"mask": "EMAIL"}},
        {"allow": True, "obligations": {"mask": ["email"]}},
        {"allow": True, "obligations": {"rate_class": ""}},
        {"allow": True, "obligations": {"rate_class": ["slow"]}},
        {"allow": True, "obligations": {"model_tier": "huge"}},
        {"allow": True, "obligations": {"model_tier": ["bronze"]}},
        {"allow": True, "obligations": {"log_level": "loud"}},
        {"allow": True, "obligations": {"log_level": 10}},
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


def test_obligations_of_every_kind_are_typed_and_told() -> None:
    owed = {"mask": ["IBAN", "EMAIL"], "rate_class": "slow", "model_tier": "bronze", "log_level": "info"}
    decision = parse({"allow": True, "obligations": owed}, "")
    assert decision.obligations == Obligations(
        mask=("EMAIL", "IBAN"), rate_class="slow", model_tier="bronze", log_level="info"
    )
    shown = told(decision)["obligations"]
    assert {name: shown[name] for name in owed} == {**owed, "mask": ("EMAIL", "IBAN")}
    assert not owed.keys() & told(parse({"allow": True}, ""))["obligations"].keys()


@pytest.mark.parametrize(
    ("own", "origin", "masked"),
    [
        (("EMAIL",), (), ()),
        (("EMAIL",), ("EMAIL", "IBAN"), ("EMAIL",)),
        (("*",), ("IBAN",), ("IBAN",)),
        (("EMAIL",), ("*",), ("EMAIL",)),
    ],
)
def test_what_only_one_of_two_decisions_masks_is_a_token(
    own: tuple[str, ...], origin: tuple[str, ...], masked: tuple[str, ...]
) -> None:
    joined = stricter(Obligations(redact=(), mask=own), Obligations(redact=(), mask=origin))
    assert joined.mask == masked
    assert {*own, *origin} <= set(joined.redact)


@pytest.mark.parametrize(
    ("asked", "typed"),
    [
        ({"who": "role:finance"}, {"who": "role:finance"}),
        ({"who": ["role:finance"], "count": 1}, {"who": "role:finance"}),
        ({"who": ["role:b", "caller", "role:b"]}, {"who": ["caller", "role:b"]}),
        ({"who": "principal:t/bob@x.org", "count": 2}, {"who": "principal:t/bob@x.org", "count": 2}),
    ],
)
def test_policy_may_ask_others_and_several(asked: Any, typed: Any) -> None:
    decision = parse({"allow": True, "obligations": {"approval": {**ASK, **asked}}}, "rev")
    assert decision.obligations.approval == {**ASK, **typed}


def test_of_reasons_and_texts_without_end_a_part_is_kept() -> None:
    reasons = [{"code": f"c{number:04}", "message": "m" * 10_000_000} for number in range(3)]
    kept = parse({"allow": False, "reasons": [*reasons, *({"code": f"d{n}", "message": ""} for n in range(500))]}, "")
    assert len(kept.reasons) == 100
    assert {len(message) for _, message in kept.reasons} == {0, 1000}
    asked = {"who": "caller", "ttl": 60, "prompt": "p" * 10_000_000}
    approval = parse({"allow": True, "obligations": {"approval": asked}}, "").obligations.approval
    assert approval is not None and len(approval["prompt"]) == 1000
    for obligation in ({"rate_class": "c" * 5000}, {"approval": {**asked, "who": [f"role:{n}" for n in range(101)]}}):
        with pytest.raises(WrongType):
            parse({"allow": True, "obligations": obligation}, "")
