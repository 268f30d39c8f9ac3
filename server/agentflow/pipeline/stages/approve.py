"""Stage `approve`: where the decision demands it, people say yes before the call goes on.

It promises that nothing passes without consent to exactly this call: by this principal, with these arguments, under
the policy revision that asked, once, in time, from as many people as policy says. The caller is asked in band: a
handshake client by elicitation, a 2026 one by an interim result that it comes back from, to this gateway or another.
Whoever else is asked answers out of band, while the request is held for a while; after that the same call made again
finds the approval that is open or was given meanwhile.

It refuses on every answer but a clear yes. People are shown labelled arguments only, and no character that could make
them read as something else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal

from agentflow.errors import AgentFlowError, ApprovalRequired
from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict
from agentflow.pipeline.rounds import ANSWER, Interim, Resumed, Round, stale
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.policy.approvals import CALLER, LIVE, AlreadySettled, Approval, Approvals, Binding, State, Wanted
from agentflow.policy.approvals_rules import answers
from agentflow.policy.approvals_shown import question, wanted_of
from agentflow.policy.approvals_watch import Watch

_TELLS = 10.0  # seconds between two notes of progress to a client that waits
_GRACE = 1.0  # seconds beyond an approval's time until nobody looks for its end any more


class Approve:
    """The stage.

    Args:
        approvals: where approvals are kept.
        revision: the policy revision in force now; an answer to a superseded policy's question does not count.
        auto_approved: whether the operator's `autoApprove` list consents to this call beforehand.
        hold: seconds a request stays open while others than its caller are asked.
    """

    name = "approve"
    kind: Literal["validator"] = "validator"
    directions = frozenset({Direction.INBOUND})
    own_timeout = True  # people have as long as the decision's `ttl` says

    def __init__(
        self,
        approvals: Approvals,
        revision: Callable[[], str],
        auto_approved: Callable[[Call], bool],
        hold: float = 45.0,
    ) -> None:
        self._approvals = approvals
        self._revision = revision
        self._auto_approved = auto_approved
        self._hold = hold
        self._watch = Watch(approvals.look)
        self._in_hand: set[str] = set()  # ids of what a person at some client is being asked just now

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Pass, or return an awaitable that asks.

        Raises:
            ApprovalRequired: the answer was no, late or void, or nobody has answered yet.
            InvalidArguments: the client came back with a `requestState` that leads nowhere.
            LimitExceeded: too many of this caller's calls wait.
            StoreUnavailable: approvals cannot be kept now.
        """
        if message.surface != call.surface:
            return SKIPPED
        wanted = call.decision.obligations.approval if call.decision is not None else None
        if wanted is None:
            return PASS
        if self._auto_approved(call):
            call.approval = {"by": "autoApprove"}
            return Note(Verdict.PASS, call.approval)
        return self._consented(call, wanted)

    async def _consented(self, call: Call, obligation: JSON) -> Note:
        assert call.decision is not None
        binding = await asyncio.to_thread(self._approvals.binding, call, call.decision.revision)
        resumed = call.round.resumed if call.round is not None else None
        asked = wanted_of(call, obligation)
        if resumed is not None and resumed.leg:
            return await self._followed(call, resumed, binding, asked)
        approval = await self._come_back(call, resumed, binding, asked) if resumed is not None else None
        new = approval is None
        while True:
            if approval is None:
                approval = await asyncio.to_thread(self._approvals.ask, binding, asked, tuple(self._in_hand))
            _note(call, approval)
            if approval.state is State.OPEN:
                approval = await self._answered(call, approval)
                _note(call, approval)
            if approval.state is State.APPROVED:
                if await self._taken(call, approval):
                    return self._used(call, approval)
                approval = await asyncio.to_thread(self._approvals.find, approval.id)
            if new and approval is not None and approval.state is State.USED:
                approval = None  # the very same call, made twice at once, was faster: each needs its own
                continue
            raise _refusal(call, approval)

    # A client that comes back ---------------------------------------------------------------------------------

    async def _come_back(self, call: Call, resumed: Resumed, binding: Binding, asked: Wanted) -> Approval | None:
        """The approval a client was told to wait for, with its own answer; None where it has to be asked anew.

        It has to be what policy wants now: meanwhile the conversation may have read what makes it ask others.
        """
        approval = await asyncio.to_thread(self._approvals.find, resumed.approval)
        if approval is None or not approval.is_own(call.principal):
            raise stale()
        live = approval.state in LIVE
        same = approval.binding == binding and answers(approval, asked) and approval.wanted.prompt == asked.prompt
        if approval.state is State.VOID or (live and not same):
            return None
        if resumed.answer is not None and live:
            approve = _is_yes(resumed.answer)
            if approval.state is State.OPEN or not approve:
                return await self._voted(call, approval, approve)
        return approval

    async def _followed(self, call: Call, resumed: Resumed, binding: Binding, asked: Wanted) -> Note:
        """A further round of a call that went on: covered by the approval that its first round used."""
        follow = self._approvals.follow
        given = await asyncio.to_thread(self._approvals.find, resumed.approval)
        in_force = binding.revision == self._revision() and given is not None and answers(given, asked)
        if not in_force or not await asyncio.to_thread(follow, resumed.approval, binding, resumed.leg, call.id):
            raise stale()
        call.approval = {"id": resumed.approval, "state": str(State.USED), "round_of": resumed.leg}
        return Note(Verdict.PASS, call.approval)

    # Waiting for answers --------------------------------------------------------------------------------------

    async def _answered(self, call: Call, approval: Approval) -> Approval:
        by_caller = CALLER in approval.wanted.who and approval.vote_of(call.principal) is None
        if by_caller and call.ask is not None:
            if call.round is not None:
                raise await _interim(call, call.round, approval, {ANSWER: question(call, approval)})
            approval = await self._asked_in_band(call, approval)
            if approval.state is not State.OPEN:
                return approval
        elif by_caller and approval.wanted.who == (CALLER,):
            # Nobody else has been asked: to keep the request open would only keep its client waiting.
            raise _unanswered(call, approval, "This call needs a person's approval, and this client cannot ask one.")
        return await self._held(call, approval)

    async def _asked_in_band(self, call: Call, approval: Approval) -> Approval:
        """Ask the person at the client, and go on as well when somebody else settles it meanwhile."""
        assert call.ask is not None
        asking = asyncio.ensure_future(call.ask("elicitation/create", question(call, approval)["params"]))
        waiting = asyncio.ensure_future(self._watch.settled(approval.id, _left(approval) + _GRACE))
        self._in_hand.add(approval.id)
        try:
            await asyncio.wait({asking, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return await self._voted(call, approval, _is_yes(asking.result()))
            settled = waiting.result()
        except AgentFlowError as error:
            if asking.done() and asking.exception() is error:
                raise _unanswered(
                    call, approval, "This call needs a person's approval, and the client could not ask for it.",
                    cause=error.kind,
                ) from error  # fmt: skip
            raise
        finally:
            self._in_hand.discard(approval.id)
            asking.cancel()
            waiting.cancel()
            await asyncio.gather(asking, waiting, return_exceptions=True)
        if settled is None:
            raise _late()
        return settled

    async def _voted(self, call: Call, approval: Approval, approve: bool) -> Approval:
        try:
            return await asyncio.to_thread(self._approvals.vote, approval.id, call.principal, approve, in_band=True)
        except AlreadySettled:
            settled = await asyncio.to_thread(self._approvals.find, approval.id)
            if settled is not None and (approve or settled.state is not State.USED):
                return settled
            raise

    async def _held(self, call: Call, approval: Approval) -> Approval:
        """Keep the request open for a while, in case somebody answers; then send the client away for now."""
        ends = time.monotonic() + min(_left(approval) + _GRACE, self._hold)
        token = (call.params.get("_meta") or {}).get("progressToken")
        told = 0
        while (left := ends - time.monotonic()) > 0:
            if token is not None and call.tell is not None:
                told += 1
                waits = f"Waiting for approval {approval.id}"
                said = {"progressToken": token, "progress": told / 1000, "message": waits}
                await call.tell("notifications/progress", said)
            settled = await self._watch.settled(approval.id, min(left, _TELLS))
            if settled is not None:
                return settled
        if call.round is not None:
            raise await _interim(call, call.round, approval, {})
        raise _unanswered(call, approval, "This call needs a person's approval, and nobody has answered yet.")

    # Using it up ----------------------------------------------------------------------------------------------

    async def _taken(self, call: Call, approval: Approval) -> bool:
        """Use it for the call as it stands now, under the policy in force now."""
        revision = self._revision()
        now = await asyncio.to_thread(self._approvals.binding, call, revision)
        if now == approval.binding:
            return await asyncio.to_thread(self._approvals.take, approval.id, now, call.id)
        await asyncio.to_thread(self._approvals.void, approval.id)
        return False

    def _used(self, call: Call, approval: Approval) -> Note:
        call.approval = {"id": approval.id, "state": str(State.USED), "by": list(approval.by)}
        counts, counted = call.session.approvals, f"{call.upstream.name}/{call.target}"
        counts[counted] = counts.get(counted, 0) + 1
        return Note(Verdict.PASS, call.approval)


async def _interim(call: Call, round: Round, approval: Approval, questions: JSON) -> Interim:
    own, answers = call.params.get("requestState"), call.params.get("inputResponses")
    state = await asyncio.to_thread(round.state, approval.id, "", own, answers)
    result: JSON = {"resultType": "input_required", "requestState": state}
    if questions:
        result["inputRequests"] = questions
    return Interim("This call waits for a person's approval.", result)


def _is_yes(answer: JSON) -> bool:
    content = answer.get("content")
    return answer.get("action") == "accept" and isinstance(content, dict) and content.get("approve") is True


def _left(approval: Approval) -> float:
    return max(0.0, approval.expires - time.time())


def _note(call: Call, approval: Approval) -> None:
    call.approval = {"id": approval.id, "state": str(approval.state)}
    if approval.by:
        call.approval["by"] = list(approval.by)


def _unanswered(call: Call, approval: Approval, message: str, **more: Any) -> ApprovalRequired:
    return ApprovalRequired(
        message,
        fix="call again once it is approved; `agentflow approvals list` shows what waits. An operator may add the tool "
        "to the server's autoApprove",
        approval=approval.id,
        state=str(approval.state),
        who=list(approval.wanted.who),
        expires=datetime.fromtimestamp(approval.expires, UTC).isoformat(timespec="seconds"),
        **more,
    )


def _late() -> ApprovalRequired:
    return ApprovalRequired("The approval was not given in time.", fix="call again and have it answered")


def _refusal(call: Call, approval: Approval | None) -> ApprovalRequired:
    state = State.EXPIRED if approval is None else approval.state
    if approval is not None:
        _note(call, approval)
    if state is State.DENIED:
        return ApprovalRequired("The person asked did not approve this call.", fix="do not repeat it unchanged")
    if state is State.USED:
        return ApprovalRequired("This approval has been used.", fix="call again without requestState")
    if state is State.VOID:
        return ApprovalRequired(
            "The policy, the call or what is stored of its approval changed while it was given.",
            fix="call again and have it answered",
        )
    return _late()
