"""When an upstream is left alone."""

from __future__ import annotations

import pytest

from agentflow.errors import UpstreamUnavailable
from agentflow.gateway.upstreams.breaker import Backoff, Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(threshold=3, pause=5.0, clock=clock)
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
        breaker.admit("x")
    with pytest.raises(UpstreamUnavailable) as error:
        opened(Clock()).admit("x")
    assert error.value.data == {"sent": False, "retry_after": 5}


def test_after_its_pause_one_call_may_try_and_its_outcome_counts() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 5.0
    breaker.admit("x")
    with pytest.raises(UpstreamUnavailable):
        breaker.admit("x")  # one at a time
    assert breaker.failed()
    clock.now = 14.9
    with pytest.raises(UpstreamUnavailable):
        breaker.admit("x")  # the pause has doubled
    clock.now = 15.0
    breaker.admit("x")
    breaker.succeeded()
    breaker.admit("x")
    breaker.admit("x")


def test_a_trial_that_was_given_up_leaves_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = 5.0
    breaker.admit("x")
    breaker.undecided()
    breaker.admit("x")


def test_the_delay_doubles_up_to_a_minute_and_starts_over() -> None:
    backoff = Backoff()
    delays = [backoff.next() for _ in range(12)]
    for delay, full in zip(delays, [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60], strict=True):
        assert full / 2 <= delay <= full
    backoff.reset()
    assert backoff.next() <= 0.5
