"""Approvals: a person's consent to one call, bound to exactly that call.

It promises that an approval is taken at most once, only by the principal, tool, arguments and policy revision it was
given for, and not after its time. It refuses to remember what was approved in any readable form: arguments are kept
as a hash under a key that lives as long as the process.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from agentflow.pipeline.call import Call

_KEY = secrets.token_bytes(32)


class State(StrEnum):
    """Where an approval stands."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Binding:
    """What an approval is for. Two calls with equal bindings are the same call to whoever approves.

    Attributes:
        principal: `Principal.key`.
        server, tool: the upstream and its own name of the tool, prompt or resource.
        arguments: keyed hash of the canonical parameters.
        revision: of the policy that asked.
    """

    principal: str
    surface: str
    server: str
    tool: str
    arguments: str
    revision: str


@dataclass(slots=True)
class Approval:
    """One question put to a person. `expires` is on the monotonic clock, in seconds."""

    binding: Binding
    expires: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = State.OPEN
    by: str = ""


def binding_of(call: Call, revision: str) -> Binding:
    """Bind to this call as it stands now."""
    parts = {name: value for name, value in call.params.items() if name != "_meta"}
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    return Binding(
        principal=call.principal.key,
        surface=call.surface,
        server=call.upstream.name,
        tool=call.target,
        arguments=hashlib.blake2b(canonical, key=_KEY, digest_size=32).hexdigest(),
        revision=revision,
    )


class Approvals:
    """The open and given approvals of this process."""

    def __init__(self, *, limit: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Approval] = {}

    def open(self, binding: Binding, ttl: float) -> Approval:
        """Note that a person is being asked; the answer counts for `ttl` seconds from now.

        Raises:
            OverflowError: too many are open.
        """
        with self._lock:
            now = self._clock()
            if len(self._known) >= self._limit:
                self._known = {id_: kept for id_, kept in self._known.items() if kept.expires > now}
            if len(self._known) >= self._limit:
                raise OverflowError("too many approvals are open")
            approval = Approval(binding, now + ttl)
            self._known[approval.id] = approval
            return approval

    def answer(self, approval_id: str, *, approve: bool, by: str) -> State:
        """Record a person's answer to an open question; returns where the approval stands then."""
        with self._lock:
            approval = self._known.get(approval_id)
            if approval is None or approval.expires <= self._clock():
                return State.EXPIRED
            if approval.state is State.OPEN:
                approval.state = State.APPROVED if approve else State.DENIED
                approval.by = by
            return approval.state

    def take(self, approval_id: str, binding: Binding) -> Approval | None:
        """Use an approval up: return it if it was given, for exactly this, and in time; it is gone then."""
        with self._lock:
            approval = self._known.get(approval_id)
            if approval is None or approval.binding != binding:
                return None
            del self._known[approval_id]
            usable = approval.state is State.APPROVED and approval.expires > self._clock()
            return approval if usable else None

    def forget(self, approval_id: str) -> None:
        """Drop a question that will not be answered any more."""
        with self._lock:
            self._known.pop(approval_id, None)
