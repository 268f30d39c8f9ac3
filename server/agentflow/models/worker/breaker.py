"""Circuit breakers, and how much of a provider is used at once and in a minute: one `Gate` for each provider.

A breaker opens after failures in a row that say something of the provider as a whole (no connection, 5xx, no answer,
key refused), lets one request through after a while, and closes when that one is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from agentflow.config_models import ProviderConfig
from agentflow.models.worker.provider import FailureKind

_MINUTE: Final = 60.0
_GONE: Final = -1.0  # tokens of an entry that is no longer counted
_COUNTED: Final[frozenset[FailureKind]] = frozenset({"unreachable", "server", "timeout", "auth"})
State = Literal["closed", "open", "half-open"]


class Breaker:
    """Whether a provider is asked at all.

    Args:
        failures: in a row, that open it; pause: seconds until it is tried again.
        clock: seconds, monotonic.
    """

    def __init__(self, failures: int, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._row = 0
        self._until = 0.0
        self._trying = False

    @property
    def state(self) -> State:
        """`half-open`: the next request decides."""
        if self._row < self._limit:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    def wait(self) -> float:
        """Seconds until a request may go out; 0: now."""
        state = self.state
        if state == "closed" or (state == "half-open" and not self._trying):
            return 0.0
        return max(0.05, self._until - self._clock())

    def asked(self) -> None:
        """A request goes out."""
        self._trying = self.state == "half-open"

    def answered(self, failure: FailureKind | None) -> None:
        """It came back; a failure that is the request's own counts as an answer. None: answered."""
        self._trying = False
        if failure in _COUNTED:
            self._row += 1
            if self._row >= self._limit:
                self._until = self._clock() + self._pause
        else:
            self._row = 0

    def given_up(self) -> None:
        """The caller left before anything came back: nothing was learnt."""
        self._trying = False


class Gate:
    """One provider's bounds: requests under way, requests and tokens in any minute.

    Args:
        config: says how many.
        clock: seconds, monotonic.
    """

    def __init__(self, config: ProviderConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = config.max_concurrent
        self._requests = config.requests_per_minute
        self._tokens = config.tokens_per_minute
        self._clock = clock
        self._window: deque[list[float]] = deque()  # [when, tokens] of the last minute
        self._used = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.under_way = 0

    def wait(self, tokens: int) -> float:
        """Seconds until a request of so many tokens may go out, as far as can be told; 0: now."""
        if self.under_way >= self._most:
            return 0.05
        return self._pace(tokens)

    def _pace(self, tokens: int) -> float:
        now = self._clock()
        while self._window and self._window[0][0] <= now - _MINUTE:
            gone = self._window.popleft()
            self._used -= gone[1]
            gone[1] = _GONE
        if self._requests is not None and len(self._window) >= self._requests:
            return self._window[len(self._window) - self._requests][0] + _MINUTE - now
        if self._tokens is None or not self._window or self._used + tokens <= self._tokens:
            return 0.0  # one larger than the limit goes out alone
        over = self._used + tokens - self._tokens
        for when, counted in self._window:
            over -= counted
            if over <= 0:
                return when + _MINUTE - now
        return self._window[-1][0] + _MINUTE - now

    async def enter(self, tokens: int) -> Pass:
        """Wait for a turn, first come first served, and take it. Cancel to give up."""
        while True:
            if self.under_way >= self._most:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                try:
                    await turn
                except asyncio.CancelledError:
                    if turn.done() and not turn.cancelled():
                        self._wake()
                    raise
                finally:
                    if turn in self._waiting:
                        self._waiting.remove(turn)
                continue
            pause = self._pace(tokens)
            if pause <= 0:
                break
            await asyncio.sleep(pause)
        entry = [self._clock(), float(tokens)]
        self._window.append(entry)
        self._used += tokens
        self.under_way += 1
        return Pass(self, entry)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def left(self, entry: list[float], tokens: int | None) -> None:
        """A request came back having used `tokens` (None: as reckoned)."""
        self.under_way -= 1
        if tokens is not None and entry[1] != _GONE:
            self._used += tokens - entry[1]
            entry[1] = float(tokens)
        self._wake()

    def minute(self) -> tuple[int, int]:
        """Requests and tokens in the last minute."""
        self._pace(0)
        return len(self._window), int(self._used)


class Pass:
    """A turn at a gate. Give it back once."""

    def __init__(self, gate: Gate, entry: list[float]) -> None:
        self._gate = gate
        self._entry = entry
        self._back = False

    def back(self, tokens: int | None = None) -> None:
        """Let the next one in; `tokens` that were used, if known. A second time changes nothing."""
        if not self._back:
            self._back = True
            self._gate.left(self._entry, tokens)
