"""Limits and breakers of a provider, by a clock that is turned by hand."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.config_models import ProviderConfig
from agentflow.models.worker.breaker import Breaker, Gate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock, **limits: int) -> Gate:
    told = {"kind": "openai_compatible", "base_url": "http://localhost/v1", **limits}
    return Gate(ProviderConfig.model_validate(told), clock)


def test_failures_in_a_row_open_a_breaker_and_one_answer_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(3, 30.0, clock)
    for failure in ("server", "timeout", None, "server", "unreachable"):
        breaker.answered(failure)  # type: ignore[arg-type]
    assert (breaker.state, breaker.wait()) == ("closed", 0.0)
    breaker.answered("auth")
    assert breaker.state == "open"
    assert breaker.wait() == 30.0
    clock.now = 30.0
    assert (breaker.state, breaker.wait()) == ("half-open", 0.0)
    breaker.asked()
    assert breaker.wait() > 0  # one request at a time finds out
    breaker.answered(None)
    assert breaker.state == "closed"


def test_a_trial_that_fails_keeps_it_open_and_one_that_is_given_up_says_nothing() -> None:
    clock = Clock()
    breaker = Breaker(1, 30.0, clock)
    breaker.answered("server")
    clock.now = 31.0
    breaker.asked()
    breaker.given_up()
    assert breaker.wait() == 0.0
    breaker.asked()
    breaker.answered("server")
    assert breaker.wait() == 30.0


@pytest.mark.parametrize("fault", ["context_window", "content_filter", "bad_request", "rate_limit", "protocol"])
def test_a_requests_own_faults_open_nothing(fault: str) -> None:
    breaker = Breaker(1, 30.0)
    breaker.answered(fault)  # type: ignore[arg-type]
    assert breaker.state == "closed"


async def test_requests_in_a_minute_are_bounded_in_every_minute() -> None:
    clock = Clock()
    bounded = gate(clock, requests_per_minute=2)
    for when in (0.0, 50.0):
        clock.now = when
        (await bounded.enter(1)).back()
    assert bounded.wait(1) == 10.0
    clock.now = 60.0
    assert bounded.wait(1) == 0.0
    (await bounded.enter(1)).back()
    assert bounded.wait(1) == 50.0


async def test_tokens_in_a_minute_are_counted_as_they_were_used() -> None:
    clock = Clock()
    bounded = gate(clock, tokens_per_minute=100)
    turn = await bounded.enter(90)
    assert bounded.wait(20) == 60.0
    turn.back(30)
    assert bounded.wait(20) == 0.0
    assert bounded.minute() == (1, 30)
    assert bounded.wait(71) == 60.0
    clock.now = 60.0
    assert bounded.wait(5_000) == 0.0  # more than a minute's tokens go out alone


async def test_whoever_waits_is_let_in_in_turn_and_may_leave() -> None:
    bounded = gate(Clock(), max_concurrent=1)
    first = await bounded.enter(1)
    order: list[int] = []

    async def enter(number: int) -> None:
        turn = await bounded.enter(1)
        order.append(number)
        turn.back()

    tasks = [asyncio.create_task(enter(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    first.back()
    first.back()  # a second time changes nothing
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 2, 3]
    assert bounded.under_way == 0
