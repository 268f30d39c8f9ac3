"""Stage `approve`: where the decision demands it, a person says yes before the call goes on.

It promises that nothing passes without consent to exactly this call: by this principal, with these arguments, under
the policy revision that asked, once, in time. It refuses when nobody can be asked, and on every answer but a clear
yes. The person is shown labelled arguments only, and no character that could make them read as something else.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Literal

import orjson

from agentflow.errors import AgentFlowError, ApprovalRequired
from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.policy.approvals import Approvals, Binding, State, binding_of

_SHOWN_ARGUMENTS = 2000  # characters
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Cs"})


class Approve:
    """The stage.

    Args:
        approvals: where open questions are kept.
        revision: the policy revision in force now; an answer to a superseded policy's question does not count.
        auto_approved: whether the operator's `autoApprove` list consents to this call beforehand.
    """

    name = "approve"
    kind: Literal["validator"] = "validator"
    directions = frozenset({Direction.INBOUND})
    own_timeout = True  # a person has as long as the decision's `ttl` says

    def __init__(
        self, approvals: Approvals, revision: Callable[[], str], auto_approved: Callable[[Call], bool]
    ) -> None:
        self._approvals = approvals
        self._revision = revision
        self._auto_approved = auto_approved

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Pass, or return an awaitable that asks.

        Raises:
            ApprovalRequired: nobody can be asked, or the answer was no, late or void.
        """
        if message.surface != call.surface:
            return SKIPPED
        wanted = call.decision.obligations.approval if call.decision is not None else None
        if wanted is None:
            return PASS
        if self._auto_approved(call):
            call.approval = {"by": "autoApprove"}
            return Note(Verdict.PASS, call.approval)
        if call.ask is None:
            raise ApprovalRequired(
                "This call needs a person's approval, and this client cannot ask one.",
                fix="use a client with elicitation, or have the operator add the tool to the server's autoApprove",
            )
        return self._asked(call, wanted)

    async def _asked(self, call: Call, wanted: JSON) -> Note:
        assert call.decision is not None
        assert call.ask is not None
        binding = binding_of(call, call.decision.revision)
        ttl = float(wanted["ttl"])
        try:
            approval = self._approvals.open(binding, ttl)
        except OverflowError:
            raise ApprovalRequired(
                "Too many calls wait for approval.", fix="answer or cancel some, then retry"
            ) from None
        try:
            async with asyncio.timeout(ttl):
                answer = await call.ask("elicitation/create", _question(call, wanted))
            approve = _is_yes(answer)
            state = self._approvals.answer(approval.id, approve=approve, by=call.principal.id)
        except TimeoutError:
            state = State.EXPIRED
        except AgentFlowError as error:
            raise ApprovalRequired(
                "This call needs a person's approval, and the client could not ask for it.",
                fix="use a client with elicitation, or have the operator add the tool to the server's autoApprove",
                cause=error.kind,
            ) from error
        finally:
            if approval.state is not State.APPROVED:
                self._approvals.forget(approval.id)
        return self._settled(call, approval.id, state, binding)

    def _settled(self, call: Call, approval_id: str, state: State, binding: Binding) -> Note:
        call.approval = {"id": approval_id, "state": str(state), "by": call.principal.id}
        if state is State.DENIED:
            raise ApprovalRequired("The person asked did not approve this call.", fix="do not repeat it unchanged")
        if state is not State.APPROVED:
            raise ApprovalRequired("The approval was not given in time.", fix="call again and answer the question")
        # The call as it stands now, under the policy in force now.
        if self._approvals.take(approval_id, binding_of(call, self._revision())) is None:
            self._approvals.forget(approval_id)
            call.approval["state"] = "void"
            raise ApprovalRequired(
                "The policy or the call changed while the approval was given.", fix="call again and answer the question"
            )
        return Note(Verdict.PASS, call.approval)


def _is_yes(answer: JSON) -> bool:
    content = answer.get("content")
    return answer.get("action") == "accept" and isinstance(content, dict) and content.get("approve") is True


def _question(call: Call, wanted: JSON) -> JSON:
    labelled = call.labelled if call.labelled is not None else {}
    arguments = labelled.get("arguments", {name: value for name, value in labelled.items() if name == "uri"})
    shown = orjson.dumps(arguments, default=str).decode() if call.labelled is not None else "(not shown)"
    if len(shown) > _SHOWN_ARGUMENTS:
        shown = f"{shown[:_SHOWN_ARGUMENTS]}… ({len(shown)} characters)"
    lines = [
        f"Allow {call.principal.id} to call {call.target or call.surface} on {call.upstream.name or 'the gateway'}?",
        *([wanted["prompt"]] if wanted.get("prompt") else []),
        f"Arguments: {shown}",
    ]
    return {
        "mode": "form",
        "message": "\n".join(_plain(line) for line in lines),
        "requestedSchema": {
            "type": "object",
            "properties": {
                "approve": {"type": "boolean", "title": "Approve", "description": "Yes, do it.", "default": False}
            },
            "required": ["approve"],
        },
    }


def _plain(text: str) -> str:
    """Spell out characters that are invisible or that reorder what is read."""
    return "".join(f"\\u{ord(char):04x}" if unicodedata.category(char) in _INVISIBLE else char for char in text)
