"""The last minutes of the audit log in memory: the newest records, figures of the calls, and those who look on.

It promises bounded memory (records, slots of ten seconds, tools in a slot, followers and what waits for each), that
nobody who looks on holds up who writes, and that what it holds is what was recorded: nothing clear. It knows only what
this process wrote, and nothing of before its start. A record costs it some 3 µs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from agentflow.errors import LimitExceeded

JSON = dict[str, Any]
Tenants = frozenset[str] | None  # whose records; None for everybody's, "" for what is nobody's

SLOT: Final = 10.0  # seconds
_SLOTS: Final = 30
_RECORDS: Final = 100
_PLACES: Final = 200  # tools of one slot that are told apart
_WAITING: Final = 256  # records that wait for one follower
_FOLLOWERS: Final = 64
_FINE: Final = 3  # bits: steps of a duration between one power of two and the next
_OTHERS: Final = "(others)"
_UNKNOWN: Final = "(unknown)"


@dataclass(slots=True)
class Figures:
    """Calls, how many of them were refused, and how long they took: microseconds in steps of at most 12 %."""

    calls: int = 0
    refused: int = 0
    durations: Counter[int] = field(default_factory=Counter)

    def join(self, other: Figures) -> None:
        """Add what another one counted."""
        self.calls += other.calls
        self.refused += other.refused
        self.durations.update(other.durations)

    def percentile(self, share: float) -> float:
        """The duration, in microseconds, that `share` (0 to 1) of the calls did not exceed; 0 without calls."""
        left = share * self.durations.total()
        for step in sorted(self.durations):
            left -= self.durations[step]
            if left <= 0:
                return _upper(step)
        return 0.0


@dataclass(slots=True)
class Slot:
    """Ten seconds. `places` is by tenant, server and name; `refusals` by tenant and kind."""

    began: float
    places: dict[tuple[str, str, str], Figures] = field(default_factory=dict)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)


class Follower:
    """Somebody who looks on; see `Recent.follow`."""

    def __init__(self, recent: Recent, tenants: Tenants) -> None:
        self._recent = recent
        self._tenants = tenants
        self._waiting: deque[JSON] = deque(maxlen=_WAITING)
        self._missed = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._ended = False

    def put(self, record: JSON, tenant: str) -> None:
        """Called by the writer, in any thread."""
        if self._tenants is not None and tenant not in self._tenants:
            return
        self._missed += len(self._waiting) == _WAITING
        self._waiting.append(record)
        self._wake()

    def end(self) -> None:
        """Let `next` return None from now on."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._news.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    async def next(self, seconds: float) -> tuple[JSON, int] | None:
        """The next record and how many were left out before it; None at the end.

        Raises:
            TimeoutError: there was none for so many seconds.
        """
        while not self._ended:
            if self._waiting:
                missed, self._missed = self._missed, 0
                return self._waiting.popleft(), missed
            self._news.clear()
            async with asyncio.timeout(seconds):
                await self._news.wait()
        return None

    def close(self) -> None:
        """Look on no more. Idempotent."""
        self._recent.leave(self)


class Recent:
    """The last minutes. Thread-safe.

    Args:
        clock: epoch seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._records: deque[tuple[str, JSON]] = deque(maxlen=_RECORDS)
        self._slots: deque[Slot] = deque(maxlen=_SLOTS)
        self._followers: tuple[Follower, ...] = ()

    def take(self, record: JSON) -> None:
        """Take a record that has just been written."""
        call = record.get("kind") == "call"
        tenant = str(record["principal"]["tenant"]) if call else _tenant(record)
        with self._mutex:
            self._records.append((tenant, record))
            if call:
                self._count(record, tenant)
            followers = self._followers
        for follower in followers:
            follower.put(record, tenant)

    def _count(self, record: JSON, tenant: str) -> None:
        now = self._clock()
        slot = self._slots[-1] if self._slots else None
        if slot is None or now - slot.began >= SLOT:
            slot = Slot(now - now % SLOT)
            self._slots.append(slot)
        outcome = record["outcome"]
        place = (tenant, record["server"], _named(record, outcome))
        figures = slot.places.get(place)
        if figures is None:
            if len(slot.places) >= _PLACES:
                place = (tenant if len(slot.places) < 2 * _PLACES else "", "", _OTHERS)
            figures = slot.places.setdefault(place, Figures())
        figures.calls += 1
        figures.durations[_step(record["micros"])] += 1
        if outcome not in ("ok", "tool_error"):
            figures.refused += 1
            slot.refusals[tenant, outcome] += 1

    def newest(self, tenants: Tenants, limit: int) -> list[JSON]:
        """The newest records, newest last."""
        with self._mutex:
            found = [record for tenant, record in self._records if tenants is None or tenant in tenants]
        return found[-limit:]

    def slots(self, tenants: Tenants) -> list[Slot]:
        """The last five minutes, oldest first, as far as they are these tenants'."""
        since = self._clock() - _SLOTS * SLOT
        with self._mutex:
            return [_part(slot, tenants) for slot in self._slots if slot.began >= since]

    def follow(self, tenants: Tenants) -> Follower:
        """Look on; needs a running event loop. Whoever reads too slowly misses the oldest.

        Raises:
            LimitExceeded: too many look on already.
        """
        follower = Follower(self, tenants)
        with self._mutex:
            if len(self._followers) >= _FOLLOWERS:
                raise LimitExceeded("Too many look on already", fix="Close another page, or try later", retry_after=30)
            self._followers = (*self._followers, follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Look on no more."""
        with self._mutex:
            self._followers = tuple(each for each in self._followers if each is not follower)

    def close(self) -> None:
        """End everybody's looking on."""
        with self._mutex:
            followers, self._followers = self._followers, ()
        for follower in followers:
            follower.end()


def joined(parts: Iterable[Figures]) -> Figures:
    """All of them together."""
    whole = Figures()
    for part in parts:
        whole.join(part)
    return whole


def _part(slot: Slot, tenants: Tenants) -> Slot:
    def mine(tenant: str) -> bool:
        return tenants is None or tenant in tenants

    places: dict[tuple[str, str, str], Figures] = {}
    for place, figures in slot.places.items():
        if mine(place[0]):
            places[place] = Figures(figures.calls, figures.refused, Counter(figures.durations))
    return Slot(slot.began, places, Counter({key: count for key, count in slot.refusals.items() if mine(key[0])}))


def _named(record: JSON, outcome: str) -> str:
    """The name of a tool or prompt, or else the method: whoever makes names up makes no new places."""
    if outcome == "unknown_name":
        return _UNKNOWN
    surface = str(record["surface"])
    return str(record.get("name") or surface) if surface in ("tools/call", "prompts/get") else surface


def _tenant(record: JSON) -> str:
    tenant, slash, _ = str(record.get("by") or "").partition("/")
    return str(record.get("tenant") or (tenant if slash else ""))


def _step(micros: int) -> int:
    if micros < 1 << _FINE:
        return max(micros, 0)
    power = micros.bit_length() - _FINE - 1
    return (power << _FINE) + (micros >> power)


def _upper(step: int) -> float:
    if step < 2 << _FINE:
        return float(step)
    power = (step >> _FINE) - 1
    return float((((step & ((1 << _FINE) - 1)) | (1 << _FINE)) + 1) << power)
