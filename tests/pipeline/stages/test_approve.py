"""Stage `approve`: nothing that needs consent goes on without it, whoever is asked and however."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from gateway_process import wait_until

from agentflow.audit.events import Event
from agentflow.config import StageConfig, StoreConfig
from agentflow.config_approvals import ApprovalsConfig
from agentflow.errors import (
    AgentFlowError,
    ApprovalRequired,
    InvalidArguments,
    LimitExceeded,
    StoreUnavailable,
    UpstreamError,
)
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
from agentflow.pipeline.rounds import Interim, Round, States
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.pipeline.stages.approve import Approve
from agentflow.policy.approvals import Approval, Approvals, MayNotVote, State
from agentflow.policy.approvals_memory import MemoryApprovals
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.policy.approvals_watch import Watch
from agentflow.store.opened import Store

CALLER = Principal("ada", roles=("agent",))
YES: JSON = {"action": "accept", "content": {"approve": True}}
CLEAR, TOKEN = "ada@example.org", "<EMAIL_1f3a>"
BOB = Principal("bob", roles=("finance",))
ROOT = Principal("root", roles=("admin",))


def call(
    ask: Ask | None = None, *, ttl: float = 60, approval: bool = True, who: Any = "caller", count: int = 1
) -> Call:
    wanted = {"who": who, "ttl": ttl, "prompt": "Mail leaves the house.", "count": count} if approval else None
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


def nowhere(event: Event) -> None:
    pass


def in_memory(max_open: int = 100) -> Approvals:
    return MemoryApprovals("default", nowhere, ApprovalsConfig(max_open=max_open))


def stage(
    approvals: Approvals | None = None, *, revision: str = "rev", auto: bool = False, hold: float = 0.0
) -> Approve:
    return Approve(approvals or in_memory(), lambda: revision, lambda call: auto, hold)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoredApprovals]:
    """Approvals in a store."""
    store = Store(tmp_path, StoreConfig())
    yield StoredApprovals(store, "default", lambda: b"k" * 32, nowhere)
    store.close()


async def test_a_person_has_as_long_as_the_decision_says_whatever_the_stages_timeout() -> None:
    answered = asyncio.Event()

    async def ask(method: str, params: JSON) -> JSON:
        await answered.wait()
        return YES

    async def dispatch(subject: Call) -> JSON:
        return {"content": []}

    pipeline = Pipeline([stage()], lambda subject: None, {"approve": StageConfig(timeout=1e-9)})
    running = asyncio.create_task(pipeline.handle(call(ask), dispatch))
    await asyncio.wait({running}, timeout=0.1)
    assert not running.done()
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
    assert (subject.approval["state"], subject.approval["by"]) == ("used", ["default/ada"])
    assert subject.session.approvals == {"mail/send": 1}


async def test_the_question_shows_labelled_arguments_and_a_form_to_say_yes() -> None:
    asked: list[JSON] = []
    await run(stage(), call(answering(YES, asked)))
    question = asked[0]
    assert "send on mail" in question["message"]
    assert "Mail leaves the house." in question["message"]
    assert TOKEN in question["message"]
    assert CLEAR not in question["message"]
    assert question["requestedSchema"]["properties"]["approve"]["type"] == "boolean"


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
    with pytest.raises(ApprovalRequired, match="cannot ask one") as caught:
        await run(stage(), call())
    assert "call again" in caught.value.fix and "autoApprove" in caught.value.fix
    assert caught.value.data.keys() == {"approval", "state", "who", "expires"}
    assert (caught.value.data["state"], caught.value.data["who"]) == ("open", ["caller"])


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


async def test_nothing_stays_in_hand_whatever_the_answer() -> None:
    made = stage(in_memory(2))
    for answer in (YES, {"action": "decline"}, UpstreamError(-1, "x"), RuntimeError("client gone")):
        with contextlib.suppress(ApprovalRequired, RuntimeError):
            await run(made, call(answering(answer)))
    assert not made._in_hand
    await run(made, call(answering(YES)))


@pytest.mark.parametrize("who", ["caller", "role:finance"])
async def test_a_request_that_is_cancelled_leaves_nothing_behind(kept: StoredApprovals, who: str) -> None:
    async def never(method: str, params: JSON) -> JSON:
        await asyncio.Event().wait()
        return YES

    made, before = stage(kept, hold=30), asyncio.all_tasks()
    held = asyncio.ensure_future(run(made, call(never, who=who)))
    await waiting(kept)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert not made._in_hand and not made._watch._waiting
    if made._watch._task is not None:
        await made._watch._task
    assert asyncio.all_tasks() == before
    kept.vote(kept.pending()[0].id, ROOT, True)
    assert (await run(stage(kept), call(who=who))).verdict is Verdict.PASS, "made again, it finds what was asked"


async def test_too_many_open_questions_refuse_the_next() -> None:
    made = stage(in_memory(1))
    with pytest.raises(ApprovalRequired):
        await run(made, call())
    other = call()
    other.params = {"name": "mail__send", "arguments": {"to": "somebody else"}}
    with pytest.raises(LimitExceeded):
        await run(made, other)


# --- others are asked --------------------------------------------------------------------------------------------


async def waiting(approvals: Approvals) -> str:
    """The id of what is open, once something is."""
    found = await asyncio.to_thread(wait_until, approvals.pending, "an open approval")
    return found[0].id


async def test_a_held_call_goes_on_as_soon_as_it_is_approved_elsewhere(kept: StoredApprovals) -> None:
    subject = call(who="role:finance")
    held = asyncio.ensure_future(run(stage(kept, hold=30), subject))
    id = await waiting(kept)
    assert not held.done()
    await asyncio.to_thread(kept.vote, id, BOB, True)
    assert (await held).verdict is Verdict.PASS
    assert subject.approval == {"id": id, "state": "used", "by": ["default/bob"]}
    used = kept.find(id)
    assert used is not None and (used.state, used.call) == (State.USED, subject.id)


async def test_a_held_call_that_is_denied_is_refused(kept: StoredApprovals) -> None:
    subject = call(who="role:finance")
    held = asyncio.ensure_future(run(stage(kept, hold=30), subject))
    await asyncio.to_thread(kept.vote, await waiting(kept), BOB, False)
    with pytest.raises(ApprovalRequired, match="did not approve"):
        await held
    assert subject.approval is not None and subject.approval["by"] == ["default/bob"]
    with pytest.raises(ApprovalRequired, match="did not approve"):  # nor are they asked again
        await run(stage(kept), call(who="role:finance"))


async def test_the_same_call_made_again_goes_through_once_it_is_approved(kept: StoredApprovals) -> None:
    with pytest.raises(ApprovalRequired) as caught:
        await run(stage(kept), call(who="role:finance"))
    with pytest.raises(ApprovalRequired) as again:
        await run(stage(kept), call(who="role:finance"))
    assert again.value.data["approval"] == caught.value.data["approval"]
    kept.vote(caught.value.data["approval"], BOB, True)
    assert (await run(stage(kept), call(who="role:finance"))).verdict is Verdict.PASS
    with pytest.raises(ApprovalRequired, match="nobody has answered"):
        await run(stage(kept), call(who="role:finance"))


async def test_an_approval_needs_no_question_to_the_caller_any_more(kept: StoredApprovals) -> None:
    with pytest.raises(ApprovalRequired) as caught:
        await run(stage(kept), call())
    kept.vote(caught.value.data["approval"], ROOT, True)
    assert (await run(stage(kept), call(answering(AssertionError())))).verdict is Verdict.PASS


async def test_somebody_else_may_answer_while_the_caller_is_being_asked(kept: StoredApprovals) -> None:
    left = asyncio.Event()

    async def never(method: str, params: JSON) -> JSON:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return YES

    subject = call(never)
    held = asyncio.ensure_future(run(stage(kept), subject))
    await asyncio.to_thread(kept.vote, await waiting(kept), ROOT, True)
    await held
    assert left.is_set() and subject.approval is not None and subject.approval["by"] == ["default/root"]


async def test_the_caller_and_another_may_both_be_needed(kept: StoredApprovals) -> None:
    subject = call(answering(YES), who=["caller", "role:finance"], count=2)
    held = asyncio.ensure_future(run(stage(kept, hold=30), subject))
    id = await waiting(kept)
    await asyncio.to_thread(wait_until, lambda: kept.look([id])[id].votes, "the caller's vote")
    assert not held.done()
    await asyncio.to_thread(kept.vote, id, BOB, True)
    await held
    assert subject.approval is not None and sorted(subject.approval["by"]) == ["default/ada", "default/bob"]


async def test_the_same_call_made_twice_at_once_needs_two_approvals(kept: StoredApprovals) -> None:
    made = stage(kept, hold=30)
    calls = {asyncio.ensure_future(run(made, call(who="role:finance"))) for _ in range(2)}
    first = await waiting(kept)
    await asyncio.to_thread(kept.vote, first, BOB, True)
    done, left = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    second = await waiting(kept)
    assert second != first
    await asyncio.to_thread(kept.vote, second, BOB, True)
    await asyncio.gather(*done, *left)


async def test_whoever_waits_is_told_so(kept: StoredApprovals) -> None:
    told: list[tuple[str, JSON]] = []

    async def tell(method: str, params: JSON) -> None:
        told.append((method, params))

    subject = call(who="role:finance")
    subject.params, subject.tell = {**subject.params, "_meta": {"progressToken": 7}}, tell
    with pytest.raises(ApprovalRequired):
        await run(stage(kept, hold=0.05), subject)
    ((method, said),) = told
    assert (method, said["progressToken"]) == ("notifications/progress", 7)
    assert said["message"].startswith("Waiting for approval")


async def test_those_who_wait_go_on_waiting_whatever_breaks(
    kept: StoredApprovals, caplog: pytest.LogCaptureFixture
) -> None:
    broken = 0

    def look(ids: Collection[str]) -> Mapping[str, Approval]:
        nonlocal broken
        broken += 1
        if broken < 4:
            raise StoreUnavailable("locked") if broken < 3 else RuntimeError("broken")
        return {id: kept.vote(id, ROOT, True) for id in ids}

    with pytest.raises(ApprovalRequired) as caught:
        await run(stage(kept), call(who="role:finance"))
    settled = await Watch(look, 0.01).settled(caught.value.data["approval"], 20)
    assert settled is not None and settled.state is State.APPROVED
    assert [each.message for each in caplog.records] == ["approvals cannot be looked at: locked"]


async def test_an_approvals_time_ends_a_held_call_too(kept: StoredApprovals) -> None:
    with pytest.raises(ApprovalRequired, match="in time"):
        await run(stage(kept, hold=30), call(who="role:finance", ttl=0.05))


# --- a client that is sent away and comes back -------------------------------------------------------------------

STATES = States(lambda: b"s" * 32)


def modern(params: JSON | None = None, principal: Principal = CALLER, **changed: Any) -> Call:
    """A 2026 client's call; with a `requestState` of ours it is what the gateway makes of it."""
    subject = call(answering(AssertionError()), **changed)
    sent = params or subject.params
    if STATES.ours(sent):
        subject.params, subject.round = STATES.opened("tools/call", sent, principal.key)
    else:
        subject.round = Round(STATES, principal.key, "tools/call", sent)
    subject.principal = principal
    return subject


async def sent_away(approvals: Approvals, **changed: Any) -> JSON:
    subject = modern(**changed)
    with pytest.raises(Interim) as caught:
        await run(stage(approvals), subject)
    assert subject.approval is not None and subject.approval["state"] == "open"
    return caught.value.result


def back(interim: JSON, answer: JSON | None = None, **changed: Any) -> JSON:
    retry: JSON = {"name": "mail__send", "arguments": {"to": CLEAR}, "requestState": interim["requestState"], **changed}
    return retry if answer is None else {**retry, "inputResponses": {"approval": answer}}


async def test_a_2026_client_is_sent_away_with_the_question_and_comes_back_with_the_answer(
    kept: StoredApprovals,
) -> None:
    interim = await sent_away(kept)
    (asked,) = interim["inputRequests"].values()
    assert asked["method"] == "elicitation/create" and TOKEN in asked["params"]["message"]
    subject = modern(back(interim, YES))
    assert subject.params == {"name": "mail__send", "arguments": {"to": CLEAR}}
    assert (await run(stage(kept), subject)).verdict is Verdict.PASS
    assert subject.approval is not None and subject.approval["by"] == ["default/ada"]


async def test_what_a_client_came_back_with_once_leads_nowhere_again(kept: StoredApprovals) -> None:
    interim = await sent_away(kept)
    await run(stage(kept), modern(back(interim, YES)))
    for _ in range(2):
        with pytest.raises(ApprovalRequired, match="has been used"):
            await run(stage(kept), modern(back(interim, YES)))


async def test_of_replays_at_once_one_goes_on(kept: StoredApprovals) -> None:
    interim = await sent_away(kept)
    replays = (run(stage(kept), modern(back(interim, YES))) for _ in range(5))
    ends = await asyncio.gather(*replays, return_exceptions=True)
    assert sum(isinstance(end, Note) for end in ends) == 1, ends
    assert all(isinstance(end, Note | AgentFlowError) for end in ends)


@pytest.mark.parametrize("answer", [{"action": "decline"}, {"action": "accept", "content": {}}, {}])
async def test_a_2026_client_that_says_anything_but_yes_is_refused(kept: StoredApprovals, answer: JSON) -> None:
    interim = await sent_away(kept)
    with pytest.raises(ApprovalRequired, match="did not approve"):
        await run(stage(kept), modern(back(interim, answer)))
    with pytest.raises(ApprovalRequired, match="did not approve"):
        await run(stage(kept), modern(back(interim, YES)))


async def test_a_2026_client_that_does_not_answer_is_asked_again(kept: StoredApprovals) -> None:
    interim = await sent_away(kept)
    with pytest.raises(Interim) as caught:
        await run(stage(kept), modern(back(interim)))
    assert caught.value.result["inputRequests"] == interim["inputRequests"]
    assert len(kept.pending()) == 1


async def test_a_state_is_its_principals_and_its_requests(kept: StoredApprovals) -> None:
    interim = await sent_away(kept)
    state = interim["requestState"]
    for sent, who in (
        (back(interim, YES), Principal("eve", roles=("agent",))),
        (back(interim, YES), Principal("ada", tenant="other")),
        (back(interim, YES, arguments={"to": "eve@example.org"}), CALLER),
        (back(interim, YES, name="mail__delete"), CALLER),
        (back(interim, YES, requestState=state[:-2] + "AA"), CALLER),
        (back(interim, YES, requestState="agentflow-approval."), CALLER),
        (back(interim, YES, requestState="agentflow-approval.!é"), CALLER),
    ):
        with pytest.raises(InvalidArguments, match="requestState"):
            modern(sent, who)
    other = States(lambda: b"t" * 32)
    with pytest.raises(InvalidArguments):
        other.opened("tools/call", back(interim, YES), CALLER.key)
    assert kept.pending()[0].votes == ()


async def test_a_forged_answer_does_not_approve_what_others_are_asked(kept: StoredApprovals) -> None:
    interim = await sent_away(kept, who="role:finance")
    assert "inputRequests" not in interim
    with pytest.raises(MayNotVote):
        await run(stage(kept), modern(back(interim, YES), who="role:finance"))
    assert kept.pending()[0].votes == ()


async def test_a_2026_client_comes_back_for_what_others_said(kept: StoredApprovals) -> None:
    interim = await sent_away(kept, who="role:finance")
    with pytest.raises(Interim):
        await run(stage(kept), modern(back(interim), who="role:finance"))
    kept.vote(kept.pending()[0].id, BOB, True)
    assert (await run(stage(kept), modern(back(interim), who="role:finance"))).verdict is Verdict.PASS


async def test_a_caller_who_says_no_is_heard_though_somebody_approved(kept: StoredApprovals) -> None:
    interim = await sent_away(kept)
    kept.vote(kept.pending()[0].id, ROOT, True)
    with pytest.raises(ApprovalRequired, match="did not approve"):
        await run(stage(kept), modern(back(interim, {"action": "decline"})))


@pytest.mark.parametrize("now", [{"who": "role:finance"}, {"who": ["caller", "role:finance"], "count": 2}])
async def test_an_answer_to_a_milder_question_does_not_count_once_policy_asks_others(
    kept: StoredApprovals, now: JSON
) -> None:
    interim = await sent_away(kept)
    with pytest.raises(Interim) as caught:
        await run(stage(kept), modern(back(interim, YES), **now))
    assert caught.value.result["requestState"] != interim["requestState"]
    assert [each.votes for each in kept.pending()] == [(), ()]
    kept.vote(kept.pending()[-1].id, ROOT, True)  # nor does somebody else's yes to it
    with pytest.raises(Interim):
        await run(stage(kept), modern(back(interim), **now))


async def test_a_later_round_is_not_covered_once_policy_asks_others(kept: StoredApprovals) -> None:
    subject = modern(back(await sent_away(kept), YES))
    await run(stage(kept), subject)
    assert subject.round is not None
    interim = await subject.round.going_on(subject, {"resultType": "input_required", "inputRequests": {"q": {}}})
    with pytest.raises(InvalidArguments, match="requestState"):
        await run(stage(kept), modern(back(interim), who="role:finance"))


async def test_under_another_policy_a_2026_client_is_asked_anew(kept: StoredApprovals) -> None:
    interim = await sent_away(kept)
    subject = modern(back(interim, YES))
    subject.decision = Decision(True, (), subject.decision.obligations, "newer")  # type: ignore[union-attr]
    with pytest.raises(Interim) as caught:
        await run(stage(kept, revision="newer"), subject)
    assert caught.value.result["requestState"] != interim["requestState"]
    assert [each.state for each in kept.pending(state=None)] == [State.OPEN, State.VOID]


async def test_an_approval_covers_the_later_rounds_of_its_call_each_once(kept: StoredApprovals) -> None:
    subject = modern(back(await sent_away(kept), YES))
    await run(stage(kept), subject)
    assert subject.round is not None
    asked = {"resultType": "input_required", "inputRequests": {"q": {}}, "requestState": "the upstream's"}
    interim = await subject.round.going_on(subject, asked)
    assert interim["requestState"] != "the upstream's" and interim["inputRequests"] == {"q": {}}
    retry = {**back(interim), "inputResponses": {"q": {"action": "accept"}}}
    following = modern(retry)
    assert following.params["requestState"] == "the upstream's" and "q" in following.params["inputResponses"]
    assert (await run(stage(kept), following)).verdict is Verdict.PASS
    for replayed in (modern(retry), modern({**retry, "inputResponses": {}})):
        with pytest.raises(InvalidArguments, match="requestState"):
            await run(stage(kept), replayed)
    assert following.round is not None
    further = await following.round.going_on(following, {"resultType": "input_required", "inputRequests": {"q": {}}})
    last = modern(back(further))
    assert "requestState" not in last.params
    assert (await run(stage(kept), last)).verdict is Verdict.PASS
    assert subject.session.approvals == {"mail/send": 1} and following.session.approvals == {}


async def test_people_asked_about_an_answer_only_are_asked_once_and_it_arrives(kept: StoredApprovals) -> None:
    """A call went out unasked, its server asked something, and policy wants people to see the answer."""
    sent: JSON = {"name": "mail__send", "arguments": {"to": CLEAR}, "requestState": "its own"}
    sent["inputResponses"] = {"q": {"action": "accept", "content": {"amount": 5}}}
    subject = modern(sent)
    subject.params, subject.labelled = sent, sent
    with pytest.raises(Interim) as caught:
        await run(stage(kept), subject)
    assert '"amount":5' in kept.pending()[0].wanted.shown
    following = modern(back(caught.value.result, YES))
    assert following.params == sent
    assert (await run(stage(kept), following)).verdict is Verdict.PASS
    assert len(kept.pending(state=None)) == 1


async def test_an_interim_result_of_a_call_that_needed_no_approval_is_left_alone() -> None:
    subject = modern(approval=False)
    assert subject.round is not None
    result = {"resultType": "input_required", "requestState": "its own"}
    assert await subject.round.going_on(subject, result) is result


async def test_the_chain_answers_with_the_interim_result_and_dispatches_nothing(kept: StoredApprovals) -> None:
    async def dispatch(subject: Call) -> JSON:
        raise AssertionError

    recorded: list[Call] = []
    subject = modern()
    answer = await Pipeline([stage(kept)], recorded.append).handle(subject, dispatch)
    assert answer["resultType"] == "input_required"
    assert [each.outcome for each in recorded] == ["input_required"]
