"""Approvals: what waits for people, and their votes. Policy says who is asked; `policy.approvals_rules` holds to it.

Administrators and operators see what their tenant's callers wait for; whoever else is asked sees what it is asked.
To anybody else there is nothing here.
"""

from __future__ import annotations

import base64
import binascii
import functools

import orjson

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, ASKED, OPERATOR, Caller
from agentflow.admin.governed import Approval, Vote
from agentflow.admin.models import Page
from agentflow.admin.threads import in_thread
from agentflow.errors import Forbidden, InvalidArguments, NotFound
from agentflow.gateway.service import Service
from agentflow.policy import approvals
from agentflow.policy.approvals import State
from agentflow.policy.approvals_rules import may_vote

_ROUND = 200  # approvals read at a time
_ROUNDS = 20
_COUNTED = 100


@action(ADMIN, OPERATOR, ASKED)
async def listed(
    service: Service,
    caller: Caller,
    state: State | None = State.OPEN,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Approval]:
    """What the caller may see, newest first; of one state, or of all.

    Raises:
        Forbidden: the caller administers nothing, and nobody asks it anything.
        InvalidArguments: the cursor is none of ours.
        StoreUnavailable: they cannot be read.
    """
    found = await queue(service, caller, state, limit, cursor)
    if not found.items and not _sees_tenant(caller):
        raise Forbidden("Nobody asks you anything", fix="Policy says who approves what")
    return found


@action(ADMIN, OPERATOR, ASKED)
async def queue(
    service: Service, caller: Caller, state: State | None = State.OPEN, limit: int = 100, cursor: str | None = None
) -> Page[Approval]:
    """The same, and nothing for whoever is asked nothing. Raises as `listed`, save Forbidden."""
    found = await _read(service, caller, state, limit, None if cursor is None else _before(cursor))
    following = _cursor(found[limit - 1].place) if len(found) > limit else None
    return Page(items=[_told(service, caller, each) for each in found[:limit]], next=following)


async def waiting(service: Service, caller: Caller) -> int:
    """How many calls wait for this caller's own vote, of the newest hundred that it sees."""
    found = await _read(service, caller, State.OPEN, _COUNTED, None)
    home = service.config.auth.home_tenant
    return sum(may_vote(each, caller.principal, home) for each in found[:_COUNTED])


async def _read(
    service: Service, caller: Caller, state: State | None, limit: int, before: tuple[float, str] | None
) -> list[approvals.Approval]:
    """The newest that the caller sees, `limit` of them and more where there are more."""
    # Who is asked may be of any tenant: `principal:T/ID`.
    tenant, asked = (caller.tenant, None) if _sees_tenant(caller) else (None, caller.principal)
    found: list[approvals.Approval] = []
    for _ in range(_ROUNDS):
        ask = functools.partial(service.parts.approvals.pending, tenant, state, _ROUND, before, asked)
        part = await in_thread(ask)
        found += [each for each in part if _sees(service, caller, each)]
        if len(found) > limit or len(part) < _ROUND:
            break
        before = part[-1].place
    return found


@action(ADMIN, OPERATOR, ASKED)
async def show(service: Service, caller: Caller, approval_id: str) -> Approval:
    """One approval.

    Raises:
        NotFound: there is none of that id in the caller's reach.
        Forbidden: the caller administers nothing, and is not asked.
    """
    return _told(service, caller, await _found(service, caller, approval_id))


@action(ADMIN, OPERATOR, ASKED, event="approval_approved")
async def approve(service: Service, caller: Caller, approval_id: str, comment: str = "") -> Approval:
    """Say yes to a call; it goes on once enough people have.

    Raises:
        NotFound: there is none of that id in the caller's reach.
        Forbidden: the caller administers nothing, and is not asked.
        MayNotVote: policy asks somebody else, or it is the caller's own call.
        AlreadySettled: nothing is asked any more.
    """
    return await _voted(service, caller, approval_id, True, comment)


@action(ADMIN, OPERATOR, ASKED, event="approval_denied")
async def deny(service: Service, caller: Caller, approval_id: str, comment: str = "") -> Approval:
    """Say no to a call; one is enough.

    Raises:
        NotFound: there is none of that id in the caller's reach.
        Forbidden: the caller administers nothing, and is not asked.
        MayNotVote: policy asks somebody else, or it is the caller's own call.
        AlreadySettled: nothing is asked any more.
    """
    return await _voted(service, caller, approval_id, False, comment)


async def _voted(service: Service, caller: Caller, approval_id: str, yes: bool, comment: str) -> Approval:
    found = await _found(service, caller, approval_id)
    vote = service.parts.approvals.vote
    settled = await in_thread(vote, found.id, caller.principal, yes, comment)
    event = "approval_approved" if yes else "approval_denied"
    details = {"requester": settled.requester, "state": str(settled.state)}
    note(service, caller, event, settled.id, tenant=settled.binding.tenant, details=details)
    return _told(service, caller, settled)


async def _found(service: Service, caller: Caller, approval_id: str) -> approvals.Approval:
    found = await in_thread(service.parts.approvals.find, approval_id)
    if found is not None and _sees(service, caller, found):
        return found
    if not _sees_tenant(caller):
        raise Forbidden("Nobody asks you that", fix="Policy says who approves what")
    raise NotFound("There is no such approval")


def _sees_tenant(caller: Caller) -> bool:
    return not {ADMIN, OPERATOR}.isdisjoint(caller.principal.roles)


def _sees(service: Service, caller: Caller, found: approvals.Approval) -> bool:
    own = _sees_tenant(caller) and caller.tenant in (None, found.binding.tenant)
    return own or may_vote(found, caller.principal, service.config.auth.home_tenant)


def _told(service: Service, caller: Caller, found: approvals.Approval) -> Approval:
    bound, wanted = found.binding, found.wanted
    mine = found.state in approvals.LIVE and may_vote(found, caller.principal, service.config.auth.home_tenant)
    return Approval(
        id=found.id,
        state=str(found.state),
        requester=found.requester,
        tenant=bound.tenant,
        surface=bound.surface,
        server=bound.server,
        tool=bound.tool,
        arguments=wanted.shown,
        revision=bound.revision,
        prompt=wanted.prompt,
        reasons=list(wanted.reasons),
        who=list(wanted.who),
        needed=wanted.needed,
        votes=[Vote(voter=v.voter, approve=v.approve, time=v.time, comment=v.comment) for v in found.votes],
        created=found.created,
        expires=found.expires,
        settled=found.settled,
        call=found.call,
        mine=mine,
    )


def _cursor(place: tuple[float, str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _before(cursor: str) -> tuple[float, str]:
    try:
        created, id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return float(created), str(id)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidArguments("The cursor is not one this gateway gave out", fix="List again without it") from None
