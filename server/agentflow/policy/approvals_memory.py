"""Approvals of one process, for an installation without the extra `store`.

It promises the same as `approvals_stored`, except that nothing outlives the process. It refuses to ask anybody but the
caller: nobody else would have a way to answer.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from agentflow.audit.events import Event
from agentflow.config_approvals import ApprovalsConfig
from agentflow.errors import ApprovalRequired, LimitExceeded
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call
from agentflow.policy import approvals_rules as rules
from agentflow.policy.approvals import (
    CALLER,
    LIVE,
    Approval,
    Binding,
    State,
    UnknownApproval,
    Vote,
    Wanted,
    binding_of,
    name_of,
)
from agentflow.policy.approvals_shown import plain

_DEFAULT: Final = ApprovalsConfig()


class MemoryApprovals:
    """The approvals of this process: an `Approvals`. See `StoredApprovals` for the arguments."""

    def __init__(
        self,
        home: str,
        record: Callable[[Event], object],
        config: ApprovalsConfig = _DEFAULT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home, self._record, self._config, self._clock = home, record, config, clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._known: dict[str, Approval] = {}

    def binding(self, call: Call, revision: str) -> Binding:
        return binding_of(call, revision, self._key)

    def ask(self, binding: Binding, wanted: Wanted, apart: Collection[str] = ()) -> Approval:
        if wanted.who != (CALLER,) or wanted.needed > 1:
            raise ApprovalRequired(
                f"This call needs the approval of {', '.join(wanted.who)}, who cannot be asked without a store",
                fix="have the operator run pip install 'agentflow-gateway[store]'",
            )
        with self._lock:
            now = self._sweep()
            found = [each for each in reversed(self._known.values()) if _same_call(each.binding, binding)]
            for each in found:
                if each.binding.revision != binding.revision and each.state in LIVE:
                    self._put(each, State.VOID, "void")
            same = (each for each in found if each.binding == binding and each.id not in apart and each.expires > now)
            live = [each for each in same if each.state in LIVE or each.state is State.DENIED]
            if fitting := rules.fitting(live, wanted, (binding.tenant, binding.principal)):
                return fitting
            self._bounded(binding)
            made = Approval(secrets.token_hex(16), binding, wanted, State.OPEN, now, now + wanted.ttl)
            self._note(made, "asked", made.requester)
            self._known[made.id] = made
            return made

    def find(self, id: str) -> Approval | None:
        return self.look([id]).get(id)

    def look(self, ids: Collection[str]) -> Mapping[str, Approval]:
        with self._lock:
            self._sweep()
            return {id: self._known[id] for id in ids if id in self._known}

    def pending(
        self,
        tenant: str | None = None,
        state: State | None = State.OPEN,
        limit: int = 100,
        before: tuple[float, str] | None = None,
        asked: Principal | None = None,
    ) -> Sequence[Approval]:
        with self._lock:
            self._sweep()
            known = sorted(self._known.values(), key=lambda each: each.place, reverse=True)
        found = [
            each
            for each in known
            if tenant in (None, each.binding.tenant)
            and state in (None, each.state)
            and (before is None or each.place < before)
            and (asked is None or asked.tenant == each.binding.tenant)
        ]
        return found[:limit]

    def expire(self) -> None:
        with self._lock:
            self._sweep()

    def vote(self, id: str, voter: Principal, approve: bool, comment: str = "", *, in_band: bool = False) -> Approval:
        with self._lock:
            now, approval = self._sweep(), self._known.get(id)
            if approval is None:
                raise UnknownApproval(f"There is no approval {id!r}")
            state = rules.standing(approval, voter, approve, self._home, in_band=in_band)
            if state is None:
                return approval
            vote = Vote(voter.tenant, voter.id, approve, now, plain(comment)[: rules.COMMENT])
            others = tuple(each for each in approval.votes if (each.tenant, each.principal) != (voter.tenant, voter.id))
            said = "approved" if approve else "denied"
            return self._put(replace(approval, votes=(*others, vote)), state, said, name_of(voter))

    def take(self, id: str, binding: Binding, call: str) -> bool:
        with self._lock:
            self._sweep()
            approval = self._known.get(id)
            if approval is None or approval.state is not State.APPROVED or approval.binding != binding:
                return False
            self._put(replace(approval, call=call), State.USED, "used", approval.requester, call=call)
            return True

    def follow(self, id: str, binding: Binding, before: str, call: str) -> bool:
        with self._lock:
            now, approval = self._clock(), self._known.get(id)
            if approval is None or (approval.state, approval.call, approval.binding) != (State.USED, before, binding):
                return False
            self._known[id] = replace(approval, call=call)
            return (approval.settled or 0) > now - rules.FOLLOWS

    def void(self, id: str) -> None:
        with self._lock:
            approval = self._known.get(id)
            if approval is not None and approval.state in LIVE:
                self._put(approval, State.VOID, "void")

    def _sweep(self) -> float:
        """Note what has expired, forget what has long been settled."""
        now = self._clock()
        for each in list(self._known.values()):
            if each.state in LIVE and each.expires <= now:
                self._put(each, State.EXPIRED, "expired")
            elif each.settled is not None and max(each.settled + rules.FOLLOWS, each.expires) < now:
                del self._known[each.id]
        return now

    def _bounded(self, binding: Binding) -> None:
        own = binding.tenant, binding.principal
        opened = [each for each in self._known.values() if each.state is State.OPEN]
        count = sum((each.binding.tenant, each.binding.principal) == own for each in opened)
        if count >= self._config.max_open:
            raise LimitExceeded(
                f"{count} calls of this caller wait for approval",
                fix="have some answered, or wait until they expire",
                limit="approvals.max_open",
                max=self._config.max_open,
            )

    def _put(self, approval: Approval, state: State, event: str, by: str = "", **details: str) -> Approval:
        self._note(approval, event, by, **details)
        made = replace(approval, state=state, settled=None if state in LIVE else self._clock())
        self._known[approval.id] = made
        return made

    def _note(self, approval: Approval, event: str, by: str, **details: str) -> None:
        bound = approval.binding
        about = {"requester": approval.requester, "server": bound.server, "tool": bound.tool, "surface": bound.surface}
        self._record(
            Event("approval", event, by=by, tenant=bound.tenant, subject=approval.id, details={**about, **details})
        )


def _same_call(one: Binding, other: Binding) -> bool:
    return replace(one, revision="") == replace(other, revision="")
