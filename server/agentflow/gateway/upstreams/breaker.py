"""When not to try: exponential back-off between connection attempts, and a breaker for calls that keep failing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from agentflow.errors import UpstreamUnavailable

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
_BREAKERS = 256


class Backoff:
    """Delays of 0.5 s, doubling to 60 s, each shortened by up to half at random so that many do not knock at once."""

    def __init__(self) -> None:
        self.failures = 0

    def next(self) -> float:
        """Count a failure and return how many seconds to wait now."""
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self.failures, 10))
        self.failures += 1
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret

    def reset(self) -> None:
        self.failures = 0


class Breaker:
    """Opens after `threshold` failures in a row; then lets one call through every now and then to see.

    Args:
        threshold: failures in a row that open it.
        pause: seconds it stays open the first time; doubles to a minute while the trials fail.
        clock: seconds, monotonic.
    """

    def __init__(self, threshold: int = 5, pause: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = threshold
        self._first_pause = self._pause = pause
        self._clock = clock
        self._failures = 0
        self._closed_at = 0.0  # when a trial is allowed
        self._trial = False

    def admit(self, name: str) -> None:
        """Let a call through.

        Raises:
            UpstreamUnavailable: it is open.
        """
        if self._failures < self._threshold:
            return
        wait = self._closed_at - self._clock()
        if wait > 0 or self._trial:
            raise UpstreamUnavailable(
                f"{name} failed {self._failures} times in a row and is left alone for now",
                sent=False,
                retry_after=max(1, round(wait)),
            )
        self._trial = True

    def succeeded(self) -> None:
        """A call got an answer, be it an error of the tool's own."""
        self._failures = 0
        self._pause = self._first_pause
        self._trial = False

    def failed(self) -> bool:
        """A call got none; returns whether that opened the breaker."""
        self._failures += 1
        if self._failures < self._threshold:
            return False
        if self._trial:
            self._pause = min(LONGEST_DELAY, self._pause * 2)
        self._trial = False
        self._closed_at = self._clock() + self._pause
        return True

    def undecided(self) -> None:
        """A call was given up before anything was learnt."""
        self._trial = False


class Breakers:
    """One breaker for each of those who have a process or session of their own; the latest 256 are kept."""

    def __init__(self) -> None:
        self._kept: dict[str, Breaker] = {}

    def of(self, owner: str) -> Breaker:
        """The breaker of one owner."""
        breaker = self._kept.pop(owner, None) or Breaker()
        self._kept[owner] = breaker
        if len(self._kept) > _BREAKERS:
            del self._kept[next(iter(self._kept))]
        return breaker
