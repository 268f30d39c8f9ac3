"""Who may vote on an approval, and what a vote makes of it: the rules that every place where approvals are kept obeys.

- Whoever makes the call may say yes or no to it only where policy asks the caller, at the very client that makes it.
- `role:R` is anybody of the caller's tenant with role R; `principal:T/ID` exactly that principal.
- Gateway-wide administrators (role `admin` in the home tenant) may stand in for anybody. Another tenant's
  administrators may answer for their tenant's callers, and are no more than any other role beyond that.
- One denial is enough; a yes may be taken back for as long as it has not been used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agentflow.identity.principal import Principal
from agentflow.policy.approvals import CALLER, LIVE, AlreadySettled, Approval, MayNotVote, State, Wanted

ADMIN: Final = "admin"
COMMENT: Final = 500  # characters of a comment that are kept
FOLLOWS: Final = 900.0  # seconds in which a used approval covers further rounds of its call


def may_vote(approval: Approval, voter: Principal, home: str, *, in_band: bool = False) -> bool:
    """Whether this principal is one of those asked. `home` is the tenant of gateway-wide administrators."""
    who = approval.wanted.who
    if approval.is_own(voter) or in_band:
        return in_band and CALLER in who and approval.is_own(voter)
    if ADMIN in voter.roles and (voter.tenant == home or (CALLER in who and voter.tenant == approval.binding.tenant)):
        return True
    return any(_is(voter, each, approval.binding.tenant) for each in who)


def _is(voter: Principal, asked: str, tenant: str) -> bool:
    kind, _, name = asked.partition(":")
    if kind == "role":
        return voter.tenant == tenant and name in voter.roles
    return kind == "principal" and tuple(name.partition("/")[::2]) == (voter.tenant, voter.id)


def standing(approval: Approval, voter: Principal, approve: bool, home: str, *, in_band: bool) -> State | None:
    """Where the approval stands once this vote is cast; None where it says nothing new.

    Raises:
        MayNotVote: it is not for this principal to say.
        AlreadySettled: nothing is asked any more.
    """
    if not may_vote(approval, voter, home, in_band=in_band):
        if approval.is_own(voter):
            raise MayNotVote("Nobody approves a call of their own", fix="ask somebody else to look at it")
        asked = ", ".join(approval.wanted.who)
        raise MayNotVote(f"This approval is for others to give: {asked}", fix="ask one of them to look at it")
    said = approval.vote_of(voter)
    if said is not None and said.approve is approve:
        return None
    if approval.state not in LIVE or (approve and approval.state is not State.OPEN):
        raise AlreadySettled(
            f"This approval is {approval.state} already", fix="have the call made again", state=str(approval.state)
        )
    if not approve:
        return State.DENIED
    given = sum(vote.approve for vote in approval.votes) + 1
    return State.APPROVED if given >= approval.wanted.needed else State.OPEN


def fitting(found: Iterable[Approval], wanted: Wanted, requester: Principal | tuple[str, str]) -> Approval | None:
    """Of the approvals of one call the one that answers what is wanted now, if any.

    What was approved comes first, then what is open, then what somebody else has denied: the same call made again
    does not ask them again. Who is asked, how many of them and the policy's words have to be the same.
    """
    own = requester if isinstance(requester, tuple) else (requester.tenant, requester.id)
    best: dict[State, Approval] = {}
    for each in found:
        if (
            answers(each, wanted)
            and each.wanted.prompt == wanted.prompt
            and not (each.state is State.DENIED and _denied_by(each, own))
        ):
            best.setdefault(each.state, each)
    return best.get(State.APPROVED) or best.get(State.OPEN) or best.get(State.DENIED)


def answers(approval: Approval, wanted: Wanted) -> bool:
    """Whether the people who are asked now are those who were asked then."""
    return (approval.wanted.who, approval.wanted.needed) == (wanted.who, wanted.needed)


def names(voter: Principal) -> str:
    """How `who` names this very principal."""
    return f"principal:{voter.tenant}/{voter.id}"


def _denied_by(approval: Approval, who: tuple[str, str]) -> bool:
    return any(not vote.approve and (vote.tenant, vote.principal) == who for vote in approval.votes)
