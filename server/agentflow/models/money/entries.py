"""What the worker tells the ledger of a request, and what it gets: whom it is charged to, what was reserved, used.

Money is whole nano-dollars, latencies are seconds. Nothing in here is clear: names, ids and numbers only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Charge:
    """Who pays for one request, and for what.

    Attributes:
        run: the run it belongs to; "" is a run of its own.
        run_cost, run_tokens: what that run may still spend, or its limit: the ledger keeps the count either way.
        provider, model, name, tier: the deployment that is asked.
        tool: on whose behalf; "" counts as `purpose`.
        fingerprint: a keyed digest of the request, equal for equal ones; finds what a cache would have saved.
    """

    tenant: str
    project: str = ""
    principal: str = ""
    run: str = ""
    run_cost: int | None = None
    run_tokens: int | None = None
    provider: str = ""
    model: str = ""
    tier: str = ""
    purpose: str = "chat"
    name: str = ""
    tool: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request used in the end.

    Attributes:
        cached: tokens of the prompt that the provider had cached.
        nano: what it costs; 0 for an answer of our own cache.
        saved: what an answer of our own cache would have cost.
        error: why it failed, one word of ours; "" where it did not.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    nano: int = 0
    latency: float = 0.0
    success: bool = True
    from_cache: bool = False
    saved: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """A budget's spending has reached a share of its limit, for the first time in this period.

    Attributes:
        budget: its name; subject: whose, where it stands for several.
        level: 75, 90 or 100 per cent.
        resets: epoch seconds; None of a run's.
    """

    budget: str
    tenant: str
    subject: str
    level: int
    spent: int
    limit: int
    resets: float | None


class Key(NamedTuple):
    """Whose money a budget counts together."""

    budget: str
    tenant: str
    subject: str


class Place(NamedTuple):
    """One counter of a budget: whose money, in which period (the day it begins, or a run)."""

    budget: str
    tenant: str
    subject: str
    period: str

    @property
    def key(self) -> Key:
        """Whose money."""
        return Key(self.budget, self.tenant, self.subject)


@dataclass(slots=True)
class Reservation:
    """So much may be spent on one request. To be settled or released once; a second time changes nothing.

    Attributes:
        nano, tokens: reserved at most.
        held: the counters it is in; none where no budget applies.
    """

    id: str
    charge: Charge
    nano: int
    tokens: int
    held: tuple[Place, ...] = ()
    run: bool = False  # counted in the run's own limit
    done: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that wants room: up to `nano` (None: nobody knows its price) and `tokens`."""

    id: str
    charge: Charge
    nano: int | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that has ended: what it held, and what it used.

    Attributes:
        at: when, by the monotonic clock.
        again: whether it may have been told before.
    """

    id: str
    charge: Charge
    usage: Usage
    held: tuple[Place, ...] = ()
    nano: int = 0
    tokens: int = 0
    at: float = field(default_factory=time.monotonic)
    again: bool = False
