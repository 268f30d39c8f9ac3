"""Approvals: people's consent to one call, bound to exactly that call.

An approval is asked for one principal, tool, set of arguments and policy revision, and counts for a limited time:

    open ──▶ approved ──▶ used          open ──▶ denied, expired, void          approved ──▶ denied, expired, void

It promises that an approval is taken at most once, whoever tries and however often; that only those whom the policy
named may vote on it, each once, and never whoever made the call (save where policy asks just them, in band). It
refuses to remember what was approved in any readable form but the labelled one: arguments are kept as a keyed hash.

`approvals_rules` says who may vote; `approvals_stored` keeps approvals in the store, for all gateways on it;
`approvals_memory` keeps them in one process, where the store cannot be had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from agentflow.errors import AgentFlowError
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call

CALLER: Final = "caller"  # in `who`: the person at the client that makes the call


class State(StrEnum):
    """Where an approval stands."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"
    VOID = "void"  # the policy that asked is no longer in force


LIVE: Final = frozenset({State.OPEN, State.APPROVED})


class UnknownApproval(AgentFlowError):
    """No such approval, or none that this principal may know of."""

    kind = "unknown_approval"


class MayNotVote(AgentFlowError):
    """The policy asks somebody else, or it is the voter's own call."""

    kind = "may_not_vote"


class AlreadySettled(AgentFlowError):
    """It has been denied, used or voided, has expired, or was approved before. `data["state"]` says which."""

    kind = "approval_settled"


@dataclass(frozen=True, slots=True)
class Binding:
    """What an approval is for. Two calls with equal bindings are the same call to whoever approves.

    Attributes:
        tenant, principal: who calls; the principal as its id within the tenant.
        surface: the MCP method.
        server, tool: the upstream and its own name of the tool, prompt or resource.
        arguments: keyed hash of the canonical parameters and of the tool's or prompt's definition (hex).
        revision: of the policy that asked.
    """

    tenant: str
    principal: str
    surface: str
    server: str
    tool: str
    arguments: str
    revision: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked, and what the people who are asked get to see.

    Attributes:
        who: any of these may vote: `caller`, `role:<role>`, `principal:<tenant>/<id>`.
        needed: distinct principals that have to approve.
        ttl: seconds from now in which the approval can be given and used.
        prompt: the policy's own words.
        shown: the labelled arguments, cut to a bound, invisible characters spelt out.
        reasons: the decision's, `code: message`.
    """

    who: tuple[str, ...]
    needed: int
    ttl: float
    prompt: str = ""
    shown: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """What one person said: a principal of a tenant, at `time` (epoch seconds)."""

    tenant: str
    principal: str
    approve: bool
    time: float
    comment: str = ""

    @property
    def voter(self) -> str:
        """Who it was, as `tenant/id`."""
        return f"{self.tenant}/{self.principal}"


@dataclass(frozen=True, slots=True)
class Approval:
    """One question put to people, with everything that they need to answer it; nothing in it is clear.

    Attributes:
        binding: the call. `binding.arguments` is a hash; `wanted.shown` is for people.
        state: as of the moment it was read: one whose time is over is `expired`, whatever is stored.
        created, expires, settled: epoch seconds; settled when it left `open` or `approved`.
        call: record id of the call that used it, or "".
    """

    id: str
    binding: Binding
    wanted: Wanted
    state: State
    created: float
    expires: float
    settled: float | None = None
    call: str = ""
    votes: tuple[Vote, ...] = ()

    @property
    def requester(self) -> str:
        """Who makes the call, as `tenant/id`."""
        return f"{self.binding.tenant}/{self.binding.principal}"

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands in a list, newest first."""
        return self.created, self.id

    @property
    def by(self) -> tuple[str, ...]:
        """Who approved so far, or, of a denied one, who denied."""
        return tuple(vote.voter for vote in self.votes if vote.approve is (self.state is not State.DENIED))

    def vote_of(self, voter: Principal) -> Vote | None:
        """What this principal has said, if anything."""
        own = (vote for vote in self.votes if (vote.tenant, vote.principal) == (voter.tenant, voter.id))
        return next(own, None)

    def is_own(self, voter: Principal) -> bool:
        """Whether it is about a call of this very principal."""
        return (voter.tenant, voter.id) == (self.binding.tenant, self.binding.principal)


class Approvals(Protocol):
    """Where approvals are. Every method may wait for a disk or a network: on the event loop, call it in a thread.

    Every method may raise `StoreUnavailable` and, where it records a step, `AuditUnavailable`: then nothing changed.
    """

    def binding(self, call: Call, revision: str) -> Binding:
        """What an approval of this call, as it stands now, is bound to."""
        ...

    def ask(self, binding: Binding, wanted: Wanted, apart: Collection[str] = ()) -> Approval:
        """The approval of this call: one that is open, approved or was denied by somebody else, or a new one.

        An open question under another revision of the policy is void from now on.

        Args:
            apart: ids of approvals that belong to other calls in flight.

        Raises:
            LimitExceeded: too many are open for this principal.
            ApprovalRequired: what the policy wants cannot be had here.
        """
        ...

    def find(self, id: str) -> Approval | None:
        """The approval of this id."""
        ...

    def look(self, ids: Collection[str]) -> Mapping[str, Approval]:
        """Those of these ids that there are. What has expired is noted as such."""
        ...

    def pending(
        self,
        tenant: str | None = None,
        state: State | None = State.OPEN,
        limit: int = 100,
        before: tuple[float, str] | None = None,
        asked: Principal | None = None,
    ) -> Sequence[Approval]:
        """Approvals, newest first.

        Args:
            tenant: only of this tenant's principals.
            state: only those that stand so now; None for all.
            before: only what comes after this one, to page on: `Approval.place` of the last that was seen.
            asked: only those that this principal may be asked about: of its own tenant, or naming it.
        """
        ...

    def expire(self) -> None:
        """Note what has expired. Costs next to nothing where nothing was ever asked."""
        ...

    def vote(self, id: str, voter: Principal, approve: bool, comment: str = "", *, in_band: bool = False) -> Approval:
        """Record what somebody says; return where the approval stands then. Saying the same again changes nothing.

        The first denial settles it, also where it was approved and not used yet.

        Args:
            in_band: the voter was asked at the client that makes the call.

        Raises:
            UnknownApproval: there is none of this id.
            MayNotVote: the policy asks somebody else, or it is the voter's own call.
            AlreadySettled: nothing is asked any more.
        """
        ...

    def take(self, id: str, binding: Binding, call: str) -> bool:
        """Use an approval up for exactly this: whether it was approved, in time, and nobody was faster.

        Args:
            call: id of the record of the call that now goes on.
        """
        ...

    def follow(self, id: str, binding: Binding, before: str, call: str) -> bool:
        """Whether an approval used by the call `before` covers its next round `call`; true once for each round."""
        ...

    def void(self, id: str) -> None:
        """The policy that asked is no longer in force: nothing can come of this approval."""
        ...


def name_of(principal: Principal) -> str:
    """A principal as people read it and votes name it."""
    return f"{principal.tenant}/{principal.id}"


def binding_of(call: Call, revision: str, key: bytes) -> Binding:
    """Bind to this call as it stands now.

    Args:
        key: under which its parameters, as canonical JSON without `_meta`, are hashed (BLAKE2b). What a later round of
            an approved call adds to them is left out: that it belongs to this call its requestState has shown. The
            definition of a tool or prompt, by which people knew what they approved, goes into the hash as well.
    """
    later = call.round is not None and call.round.resumed is not None and call.round.resumed.leg
    left_out = {"_meta", "requestState", "inputResponses"} if later else {"_meta"}
    parts = {name: value for name, value in call.params.items() if name not in left_out}
    known = None if call.surface == "resources/read" else call.definition
    canonical = json.dumps([parts, known], sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    return Binding(
        tenant=call.principal.tenant,
        principal=call.principal.id,
        surface=call.surface,
        server=call.upstream.name,
        tool=_tool(call),
        arguments=hashlib.blake2b(canonical, key=key, digest_size=32).hexdigest(),
        revision=revision,
    )


def _tool(call: Call) -> str:
    """The upstream's own name, or "" for an address in which personal data was found: its hash is in `arguments`."""
    uri = call.params.get("uri")
    if uri is None:
        return call.target
    labelled = call.labelled.get("uri") if call.labelled is not None else None
    return call.target if labelled == uri else ""
