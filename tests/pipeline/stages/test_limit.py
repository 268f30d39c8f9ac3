"""How much one caller may ask, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.config import LimitsConfig
from agentflow.errors import LimitExceeded
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Decision, Direction, Message, Obligations, Session
from agentflow.pipeline.rates import LocalRates
from agentflow.pipeline.stages.limit import Limit, too_often

ADA, BOB = Principal("ada"), Principal("bob")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(who: Principal = ADA, params: dict[str, Any] | None = None) -> tuple[Call, Message]:
    call = Call("tools/call", who, Session("s", who), params or {"name": "echo", "arguments": {}})
    return call, Message("tools/call", Direction.INBOUND, call.params)


def nested(depth: int) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(depth - 1):
        body = {"a": body}
    return body


def test_depth_is_counted_to_the_level() -> None:
    limit = Limit(LimitsConfig(max_depth=20))
    limit(*made(params=nested(20)))
    with pytest.raises(LimitExceeded) as refused:
        limit(*made(params=nested(21)))
    assert refused.value.data == {"limit": "max_depth", "max": 20}


def test_depth_ten_thousand_is_refused_without_recursion() -> None:
    with pytest.raises(LimitExceeded):
        Limit(LimitsConfig())(*made(params=nested(10_000)))


def test_a_large_request_is_refused() -> None:
    limit = Limit(LimitsConfig(max_body=1000))
    with pytest.raises(LimitExceeded, match="1000 bytes"):
        limit(*made(params={"text": "x" * 1001}))


def test_a_result_is_held_to_the_bound_that_policy_sets() -> None:
    limit = Limit(LimitsConfig())
    call, _ = made()
    call.decision = Decision(True, obligations=Obligations(max_result_bytes=100))
    limit(call, Message(call.surface, Direction.OUTBOUND, {"content": [{"type": "text", "text": "x" * 40}]}))
    with pytest.raises(LimitExceeded, match="100 bytes"):
        limit(call, Message(call.surface, Direction.OUTBOUND, {"content": [{"type": "text", "text": "x" * 100}]}))


def test_concurrency_is_limited_per_principal_and_given_back() -> None:
    limit = Limit(LimitsConfig(max_concurrent_per_principal=2))
    first, message = made()
    limit(first, message)
    limit(*made())
    with pytest.raises(LimitExceeded) as refused:
        limit(*made())
    assert refused.value.data["limit"] == "max_concurrent_per_principal"
    assert refused.value.data["retry_after"] > 0
    limit(*made(BOB))
    limit.release(first)
    limit(*made())


def test_concurrency_is_limited_overall() -> None:
    limit = Limit(LimitsConfig(max_concurrent=2))
    limit(*made(ADA))
    limit(*made(BOB))
    with pytest.raises(LimitExceeded) as refused:
        limit(*made(Principal("eve")))
    assert refused.value.data["limit"] == "max_concurrent"


def test_a_refused_call_holds_nothing_and_releasing_it_gives_nothing_back() -> None:
    limit = Limit(LimitsConfig(max_concurrent_per_principal=1))
    first, message = made()
    limit(first, message)
    second, other = made()
    with pytest.raises(LimitExceeded):
        limit(second, other)
    limit.release(second)
    with pytest.raises(LimitExceeded):
        limit(*made())
    limit.release(first)
    limit.release(first)
    limit(*made())


def test_answers_in_the_middle_of_a_call_are_measured_but_take_no_slot() -> None:
    limit = Limit(LimitsConfig(max_concurrent_per_principal=1, max_depth=5))
    call, message = made()
    limit(call, message)
    limit(call, Message("elicitation/create", Direction.INBOUND, {"action": "accept"}))
    with pytest.raises(LimitExceeded):
        limit(call, Message("elicitation/create", Direction.INBOUND, nested(6)))


def test_calls_per_minute_refill_evenly_and_say_how_long_to_wait() -> None:
    clock = Clock()
    limit = Limit(LimitsConfig(calls_per_minute=60), LocalRates(clock))
    for _ in range(60):
        limit(*made())
    with pytest.raises(LimitExceeded) as refused:
        limit(*made())
    assert refused.value.data["retry_after"] == pytest.approx(1.0)
    limit(*made(BOB))
    clock.now = 1.01
    limit(*made())
    with pytest.raises(LimitExceeded):
        limit(*made())


def test_no_rate_is_no_limit() -> None:
    limit = Limit(LimitsConfig(calls_per_minute=0))
    for _ in range(200):
        call, message = made()
        limit(call, message)
        limit.release(call)


@pytest.mark.parametrize("wait", [0.0000001, 0.0004, 0.5, 59.9999])
def test_a_refusal_names_a_wait_that_is_long_enough_and_never_none(wait: float) -> None:
    said = too_often(60, wait).data["retry_after"]
    assert wait <= said <= wait + 0.001
