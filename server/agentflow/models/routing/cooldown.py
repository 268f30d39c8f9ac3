"""Models that failed several times in a row, or said when to come back, are left alone for a while.

After the rest one more failure is enough for the next one; a success clears the slate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 600.0  # seconds; however long a provider asks for


@dataclass(slots=True)
class _Rest:
    streak: int = 0
    until: float = -math.inf
    ordered: bool = False  # the provider said so


class Cooldowns:
    """Who rests, by the key of its arm.

    Args:
        failures: in a row, after which a model rests; seconds: for how long.
        clock: monotonic seconds.
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._rests: dict[str, _Rest] = {}

    def failed(self, key: str, *, retry_after: float | None = None, at_once: bool = False) -> None:
        """A failure; one that says when to come back, or that will not pass by itself, begins a rest at once."""
        rest = self._rests.setdefault(key, _Rest())
        rest.streak += 1
        seconds = self._seconds if at_once or rest.streak >= self._failures else 0.0
        rest.ordered = retry_after is not None and math.isfinite(retry_after) and retry_after > 0
        if rest.ordered and retry_after is not None:
            seconds = max(seconds, min(retry_after, _LONGEST))
        if seconds:
            rest.streak = max(rest.streak, self._failures) - 1
            rest.until = max(rest.until, self._clock() + seconds)

    def served(self, key: str) -> None:
        """A success."""
        self._rests.pop(key, None)

    def left(self, key: str) -> float:
        """Seconds that it still rests; 0 where it does not."""
        rest = self._rests.get(key)
        return max(0.0, rest.until - self._clock()) if rest is not None else 0.0

    def ordered(self, key: str) -> bool:
        """Whether it rests because its provider said when to come back."""
        rest = self._rests.get(key)
        return rest is not None and rest.ordered and self.left(key) > 0

    def all(self) -> dict[str, float]:
        """Seconds left by key, of those that rest."""
        return {key: left for key in sorted(self._rests) if (left := self.left(key)) > 0}
