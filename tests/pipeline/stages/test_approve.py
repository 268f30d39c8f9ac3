"""Stage `approve`: nothing that needs consent goes on without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from agentflow.config import StageConfig
from agentflow.errors import ApprovalRequired, UpstreamError
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import (
    JSON,
    Ask,
    Call,
    Decision,
    Direction,
    Message,
    Obligations,
    Session,
    UpstreamFacts,
    Verdict,
)
from agentflow.pipeline.chain import Pipeline
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.pipeline.stages.approve import Approve
from agentflow.policy.approvals import Approvals

CALLER = Principal("ada", roles=("agent",))
YES: JSON = {"action": "accept", "content": {"approve": True}}
CLEAR, TOKEN = "ada@example.org", "<EMAIL_1f3a>"


def call(ask: Ask | None = None, *, ttl: float = 60, approval: bool = True) -> Call:
    wanted = {"who": "caller", "ttl": ttl, "prompt": "Mail leaves the house."} if approval else None
    return Call(
        "tools/call",
        CALLER,
        Session("s", CALLER),
        {"name": "mail__send", "arguments": {"to": CLEAR}},
        name="mail__send",
        target="send",
        upstream=UpstreamFacts("mail", "http"),
        labelled={"name": "mail__send", "arguments": {"to": TOKEN}},
        decision=Decision(True, (), Obligations(approval=wanted), "rev"),
        ask=ask,
    )


def answering(answer: Any, asked: list[JSON] | None = None) -> Ask:
    async def ask(method: str, params: JSON) -> JSON:
        assert method == "elicitation/create"
        if asked is not None:
            asked.append(params)
        if isinstance(answer, Exception):
            raise answer
        return cast(JSON, answer)

    return ask


def stage(approvals: Approvals | None = None, *, revision: str = "rev", auto: bool = False) -> Approve:
    return Approve(approvals or Approvals(), lambda: revision, lambda call: auto)


async def test_a_person_has_as_long_as_the_decision_says_whatever_the_stages_timeout() -> None:
    answered = asyncio.Event()

    async def ask(method: str, params: JSON) -> JSON:
        await answered.wait()
        return YES

    async def dispatch(subject: Call) -> JSON:
        return {"content": []}

    pipeline = Pipeline([stage()], lambda subject: None, {"approve": StageConfig(timeout=1e-9)})
    running = asyncio.create_task(pipeline.handle(call(ask), dispatch))
    for _ in range(20):
        await asyncio.sleep(0)
    answered.set()
    assert await running == {"content": []}


async def run(made: Approve, subject: Call, surface: str = "tools/call") -> Note:
    note = made(subject, Message(surface, Direction.INBOUND, subject.params))
    return await note if isinstance(note, Awaitable) else note


async def test_a_call_that_needs_none_passes() -> None:
    assert await run(stage(), call(approval=False)) is PASS


async def test_messages_in_the_middle_of_a_call_are_skipped() -> None:
    assert await run(stage(), call(), "elicitation/create") is SKIPPED


async def test_a_yes_lets_the_call_go_on_and_is_recorded() -> None:
    subject = call(answering(YES))
    note = await run(stage(), subject)
    assert note.verdict is Verdict.PASS
    assert subject.approval is not None
    assert (subject.approval["state"], subject.approval["by"]) == ("approved", "ada")


async def test_the_question_shows_labelled_arguments_and_a_form_to_say_yes() -> None:
    asked: list[JSON] = []
    await run(stage(), call(answering(YES, asked)))
    question = asked[0]
    assert "send on mail" in question["message"]
    assert "Mail leaves the house." in question["message"]
    assert TOKEN in question["message"]
    assert CLEAR not in question["message"]
    assert question["requestedSchema"]["properties"]["approve"]["type"] == "boolean"


async def test_nothing_of_unlabelled_arguments_is_shown() -> None:
    asked: list[JSON] = []
    subject = call(answering(YES, asked))
    subject.labelled = None
    await run(stage(), subject)
    assert CLEAR not in asked[0]["message"]


async def test_characters_that_hide_or_reorder_are_spelt_out() -> None:
    asked: list[JSON] = []
    subject = call(answering(YES, asked))
    subject.labelled = {"arguments": {"to": "a\u202eb\u200bc\nYes, approved"}}
    subject.target = "send\nApprove"
    await run(stage(), subject)
    assert "\u202e" not in asked[0]["message"]
    assert "\u200b" not in asked[0]["message"]
    assert "\\u202e" in asked[0]["message"]
    assert len(asked[0]["message"].splitlines()) == 3


async def test_long_arguments_are_cut() -> None:
    asked: list[JSON] = []
    subject = call(answering(YES, asked))
    subject.labelled = {"arguments": {"text": "x" * 100_000}}
    await run(stage(), subject)
    assert len(asked[0]["message"]) < 3000


@pytest.mark.parametrize(
    "answer",
    [
        {"action": "decline"},
        {"action": "cancel"},
        {"action": "accept"},
        {"action": "accept", "content": None},
        {"action": "accept", "content": {"approve": False}},
        {"action": "accept", "content": {"approve": "true"}},
        {"action": "accept", "content": {"approve": 1}},
        {"content": {"approve": True}},
        {},
    ],
)
async def test_anything_but_a_clear_yes_is_a_no(answer: JSON) -> None:
    subject = call(answering(answer))
    with pytest.raises(ApprovalRequired, match="did not approve") as caught:
        await run(stage(), subject)
    assert caught.value.fix
    assert subject.approval is not None
    assert subject.approval["state"] == "denied"


async def test_a_client_that_cannot_ask_is_told_what_to_do() -> None:
    with pytest.raises(ApprovalRequired, match="cannot ask") as caught:
        await run(stage(), call())
    assert "autoApprove" in caught.value.fix


async def test_a_client_that_answers_with_an_error_did_not_approve() -> None:
    with pytest.raises(ApprovalRequired, match="could not ask"):
        await run(stage(), call(answering(UpstreamError(-32601, "no such method"))))


async def test_a_question_nobody_answers_expires() -> None:
    async def never(method: str, params: JSON) -> JSON:
        await asyncio.Event().wait()
        return YES

    with pytest.raises(ApprovalRequired, match="in time"):
        await run(stage(), call(never, ttl=0.01))


async def test_arguments_changed_while_asking_void_the_approval() -> None:
    async def changing(method: str, params: JSON) -> JSON:
        subject.params = {"name": "mail__send", "arguments": {"to": "somebody else"}}
        return YES

    subject = call(changing)
    with pytest.raises(ApprovalRequired, match="changed"):
        await run(stage(), subject)
    assert subject.approval is not None
    assert subject.approval["state"] == "void"


async def test_a_policy_changed_while_asking_voids_the_approval() -> None:
    with pytest.raises(ApprovalRequired, match="changed"):
        await run(stage(revision="newer"), call(answering(YES)))


async def test_auto_approve_counts_as_approval_and_is_recorded() -> None:
    subject = call()
    await run(stage(auto=True), subject)
    assert subject.approval == {"by": "autoApprove"}


async def test_nothing_stays_open_whatever_the_answer() -> None:
    approvals = Approvals(limit=1)
    for answer in (YES, {"action": "decline"}, UpstreamError(-1, "x"), RuntimeError("client gone")):
        with contextlib.suppress(ApprovalRequired, RuntimeError):
            await run(stage(approvals), call(answering(answer)))
    await run(stage(approvals), call(answering(YES)))


async def test_too_many_open_questions_refuse_the_next() -> None:
    with pytest.raises(ApprovalRequired, match="Too many"):
        await run(stage(Approvals(limit=0)), call(answering(YES)))
