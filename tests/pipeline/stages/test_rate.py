"""Calls that policy counts apart: in a bucket of their own, and never uncounted."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.config import LimitsConfig, RateClass
from agentflow.errors import LimitExceeded, PolicyDenied, StoreUnavailable
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Decision, Direction, Message, Obligations, Session, Verdict
from agentflow.pipeline.rates import LocalRates, Rates, Taken
from agentflow.pipeline.stage import Note
from agentflow.pipeline.stages.limit import Limit
from agentflow.pipeline.stages.rate import Rate

ADA, BOB = Principal("ada"), Principal("bob")
LIMITS = LimitsConfig(classes={"heavy": RateClass(calls_per_minute=2), "light": RateClass(calls_per_minute=9)})


def made(rate_class: str | None = "heavy", who: Principal = ADA) -> tuple[Call, Message]:
    call = Call("tools/call", who, Session("s", who), {"name": "echo", "arguments": {}})
    call.decision = Decision(True, obligations=Obligations(rate_class=rate_class), revision="r1")
    return call, Message(call.surface, Direction.INBOUND, call.params)


class Elsewhere:
    """Counts where it has to be waited for."""

    def __init__(self) -> None:
        self._local = LocalRates()
        self.broken = False

    async def take(self, key: str, rate: int) -> Taken:
        if self.broken:
            raise StoreUnavailable("gone")
        return self._local.take(key, rate)

    def close(self) -> None:
        pass


@pytest.fixture(params=[LocalRates, Elsewhere])
def rates(request: pytest.FixtureRequest) -> Rates:
    found: Rates = request.param()
    return found


async def run(stage: Any, call: Call, message: Message) -> Note:
    note = stage(call, message)
    return note if isinstance(note, Note) else await note


async def test_a_class_is_counted_for_each_caller_apart(rates: Rates) -> None:
    stage = Rate(LIMITS, rates)
    for _ in range(2):
        assert (await run(stage, *made())).detail == {"rate_class": "heavy"}
    with pytest.raises(LimitExceeded, match="More than 2 heavy calls per minute") as refused:
        await run(stage, *made())
    assert refused.value.data["limit"] == "rate_class" and refused.value.data["rate_class"] == "heavy"
    assert refused.value.data["retry_after"] > 0
    await run(stage, *made("light"))
    await run(stage, *made(who=BOB))


async def test_a_call_of_no_class_is_not_counted(rates: Rates) -> None:
    stage = Rate(LIMITS, rates)
    for _ in range(20):
        assert (await run(stage, *made(None))).verdict is Verdict.PASS
    call, message = made()
    call.decision = None
    assert (await run(stage, call, message)).detail is None
    call, _ = made()
    inner = Message("elicitation/create", Direction.INBOUND, {})
    assert (await run(stage, call, inner)).verdict is Verdict.SKIPPED


async def test_a_class_that_nobody_has_defined_is_a_refusal(rates: Rates) -> None:
    with pytest.raises(PolicyDenied, match=r"limits\.classes") as refused:
        await run(Rate(LIMITS, rates), *made("unheard"))
    assert refused.value.data["reasons"][0]["code"] == "rate_class_unknown"
    assert refused.value.data["revision"] == "r1"


async def test_class_and_caller_are_counted_both(rates: Rates) -> None:
    limits = LIMITS.model_copy(update={"calls_per_minute": 4})
    limit, stage = Limit(limits, rates), Rate(limits, rates)
    for rate_class in ("heavy", "heavy", "light", "light"):
        call, message = made(rate_class)
        await run(limit, call, message)
        await run(stage, call, message)
        limit.release(call)
    assert call.calls_left == 0
    call, message = made("light")
    with pytest.raises(LimitExceeded, match="More than 4 calls per minute"):
        await run(limit, call, message)


async def test_what_cannot_be_counted_is_refused_and_holds_no_slot() -> None:
    rates = Elsewhere()
    rates.broken = True
    limit = Limit(LimitsConfig(calls_per_minute=5, max_concurrent_per_principal=1), rates)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await run(limit, *made())
    rates.broken = False
    await run(limit, *made())
    with pytest.raises(LimitExceeded, match="wait for one to end"):
        await run(limit, *made())


async def test_while_a_call_waits_to_be_counted_it_holds_its_slot() -> None:
    limit = Limit(LimitsConfig(calls_per_minute=5, max_concurrent_per_principal=1), Elsewhere())
    waiting = limit(*made())
    assert not isinstance(waiting, Note)
    with pytest.raises(LimitExceeded, match="wait for one to end"):
        limit(*made())
    await waiting
