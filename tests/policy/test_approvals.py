"""Approvals: for exactly one call, once, in time, by those whom policy asks; in SQLite, PostgreSQL and memory alike."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gateway_process import wait_until
from pydantic import SecretStr

from agentflow.audit.events import Event
from agentflow.config import StoreConfig
from agentflow.config_approvals import ApprovalsConfig
from agentflow.errors import ApprovalRequired, AuditUnavailable, LimitExceeded, StoreUnavailable
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Session, UpstreamFacts
from agentflow.policy.approvals import (
    AlreadySettled,
    Approval,
    Approvals,
    Binding,
    MayNotVote,
    State,
    UnknownApproval,
    Wanted,
    binding_of,
)
from agentflow.policy.approvals_memory import MemoryApprovals
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.policy.approvals_watch import expire_forever
from agentflow.store.opened import Store

WANTED = Binding("default", "ada", "tools/call", "mail", "send", "hash", "rev")
ASKED = Wanted(("caller",), 1, 60.0, "Mail leaves the house.", '{"to":"<EMAIL_1>"}', ("asks_first: by rule",))
ADA = Principal("ada", roles=("agent",))
ROOT = Principal("root", roles=("admin",))
BOB = Principal("bob", roles=("finance",))
CAT = Principal("cat", roles=("finance",))
KEY = b"k" * 32


@dataclass
class Desk:
    """Approvals with a clock and a record of their own; `another` opens the same ones as another gateway would."""

    approvals: Approvals
    another: Callable[[], Approvals]
    events: list[Event] = field(default_factory=list)
    now: float = 1_000_000.0
    full: bool = False

    def clock(self) -> float:
        return self.now

    def record(self, event: Event) -> None:
        if self.full:
            raise AuditUnavailable("disk full")
        self.events.append(event)

    def told(self) -> list[tuple[str, str]]:
        return [(event.event, event.by) for event in self.events]

    def ask(self, binding: Binding = WANTED, **changed: Any) -> Approval:
        return self.approvals.ask(binding, dataclasses.replace(ASKED, **changed))

    def yes(self, approval: Approval, voter: Principal = ADA) -> Approval:
        return self.approvals.vote(approval.id, voter, True, in_band=voter is ADA)

    def no(self, approval: Approval, voter: Principal = ADA) -> Approval:
        return self.approvals.vote(approval.id, voter, False, in_band=voter is ADA)


def stored(folder: Path, url: str | None, config: ApprovalsConfig) -> Iterator[Desk]:
    opened: list[Store] = []

    def another() -> Approvals:
        opened.append(Store(folder, StoreConfig(url=SecretStr(url) if url else None)))
        return StoredApprovals(opened[-1], "default", lambda: KEY, lambda e: desk.record(e), config, desk.clock)

    desk = Desk(None, another)  # type: ignore[arg-type]
    desk.approvals = another()
    yield desk
    for store in opened:
        store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    yield from stored(tmp_path, url, ApprovalsConfig(max_open=3))


@pytest.fixture
def memory() -> Desk:
    desk = Desk(None, lambda: desk.approvals)  # type: ignore[arg-type]
    desk.approvals = MemoryApprovals("default", desk.record, ApprovalsConfig(max_open=3), desk.clock)
    return desk


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def any_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Every place where approvals can be."""
    if request.param == "memory":
        yield request.getfixturevalue("memory")
    else:
        url = request.getfixturevalue("database") if request.param == "postgres" else None
        yield from stored(tmp_path, url, ApprovalsConfig(max_open=3))


# --- once, for exactly this, in time ---------------------------------------------------------------------------


def test_what_was_not_answered_cannot_be_taken(any_desk: Desk) -> None:
    asked = any_desk.ask()
    assert asked.state is State.OPEN and not any_desk.approvals.take(asked.id, WANTED, "call")


def test_a_yes_is_used_up_by_the_first_who_takes_it(any_desk: Desk) -> None:
    asked = any_desk.ask()
    assert any_desk.yes(asked).state is State.APPROVED
    assert [any_desk.approvals.take(asked.id, WANTED, f"call-{n}") for n in range(3)] == [True, False, False]
    used = any_desk.approvals.find(asked.id)
    assert used is not None and (used.state, used.call, used.by) == (State.USED, "call-0", ("default/ada",))
    assert any_desk.told() == [("asked", "default/ada"), ("approved", "default/ada"), ("used", "default/ada")]


@pytest.mark.parametrize("member", [field.name for field in dataclasses.fields(Binding)])
def test_a_yes_is_for_exactly_what_was_asked(any_desk: Desk, member: str) -> None:
    asked = any_desk.ask()
    any_desk.yes(asked)
    assert not any_desk.approvals.take(asked.id, dataclasses.replace(WANTED, **{member: "other"}), "call")
    assert any_desk.approvals.take(asked.id, WANTED, "call")


def test_a_no_is_final(any_desk: Desk) -> None:
    asked = any_desk.ask()
    assert any_desk.no(asked).state is State.DENIED
    for approve in (True, False):
        with pytest.raises(AlreadySettled):
            any_desk.approvals.vote(asked.id, ROOT, approve)
    assert not any_desk.approvals.take(asked.id, WANTED, "call")


def test_a_yes_can_be_taken_back_until_it_is_used(any_desk: Desk) -> None:
    asked = any_desk.ask()
    any_desk.yes(asked)
    assert any_desk.no(asked, ROOT).state is State.DENIED
    assert not any_desk.approvals.take(asked.id, WANTED, "call")
    other = any_desk.ask(prompt="another")
    any_desk.yes(other)
    assert any_desk.approvals.take(other.id, WANTED, "call")
    with pytest.raises(AlreadySettled):
        any_desk.no(other, ROOT)


def test_time_runs_out_before_and_after_the_answer(any_desk: Desk) -> None:
    late, stale = any_desk.ask(), any_desk.ask(prompt="another")
    any_desk.yes(stale)
    any_desk.now += 60.0
    with pytest.raises(AlreadySettled, match="expired"):
        any_desk.yes(late)
    assert not any_desk.approvals.take(stale.id, WANTED, "call")
    assert {each.id for each in any_desk.approvals.pending(state=State.EXPIRED)} == {late.id, stale.id}
    assert any_desk.approvals.pending() == []
    any_desk.approvals.look([late.id, stale.id])
    any_desk.approvals.look([late.id, stale.id])
    assert [name for name, _ in any_desk.told()].count("expired") == 2
    assert any_desk.ask().id not in (late.id, stale.id)


def test_what_expires_is_noted_though_nobody_looks(any_desk: Desk) -> None:
    any_desk.ask()
    any_desk.approvals.expire()
    assert any_desk.told() == [("asked", "default/ada")]
    any_desk.now += 60.0
    any_desk.approvals.expire()
    any_desk.approvals.expire()
    assert any_desk.told() == [("asked", "default/ada"), ("expired", "")]


async def test_a_gateway_notes_what_expires_even_after_a_failure(any_desk: Desk) -> None:
    looks = 0

    def approvals() -> Approvals:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StoreUnavailable("gone for a moment")
        return any_desk.approvals

    any_desk.ask()
    any_desk.now += 60.0
    keeping = asyncio.ensure_future(expire_forever(approvals, 0.01))
    await asyncio.to_thread(wait_until, lambda: ("expired", "") in any_desk.told(), "its end")
    keeping.cancel()


def test_saying_the_same_twice_changes_nothing(any_desk: Desk) -> None:
    asked = any_desk.ask()
    assert any_desk.yes(asked) == any_desk.yes(asked)
    any_desk.approvals.take(asked.id, WANTED, "call")
    assert any_desk.yes(asked).state is State.USED
    assert len(any_desk.told()) == 3


def test_an_unknown_approval_is_said_to_be_unknown(any_desk: Desk) -> None:
    assert any_desk.approvals.find("f" * 32) is None
    any_desk.ask()
    with pytest.raises(UnknownApproval):
        any_desk.approvals.vote("f" * 32, ROOT, True)
    assert not any_desk.approvals.take("f" * 32, WANTED, "call")


# --- the same call made again ----------------------------------------------------------------------------------


def test_the_same_call_finds_what_was_asked_or_given_for_it(any_desk: Desk) -> None:
    asked = any_desk.ask()
    assert any_desk.ask().id == asked.id
    any_desk.yes(asked, ROOT)
    assert (again := any_desk.ask()).id == asked.id and again.state is State.APPROVED
    any_desk.approvals.take(asked.id, WANTED, "call")
    assert any_desk.ask().id != asked.id


@pytest.mark.parametrize("member", ["tenant", "principal", "surface", "server", "tool", "arguments"])
def test_another_call_is_asked_about_anew(any_desk: Desk, member: str) -> None:
    asked = any_desk.ask()
    any_desk.yes(asked)
    other = any_desk.ask(dataclasses.replace(WANTED, **{member: "other"}))
    assert other.id != asked.id and other.state is State.OPEN
    assert any_desk.ask().id == asked.id


def test_another_revision_of_the_policy_voids_what_the_former_asked(any_desk: Desk) -> None:
    opened, given = any_desk.ask(), any_desk.ask(prompt="another")
    any_desk.yes(given)
    newer = any_desk.ask(dataclasses.replace(WANTED, revision="newer"))
    assert newer.id not in (opened.id, given.id)
    for each in (opened, given):
        found = any_desk.approvals.find(each.id)
        assert found is not None and found.state is State.VOID
        with pytest.raises(AlreadySettled, match="void"):
            any_desk.yes(opened)
    assert not any_desk.approvals.take(given.id, WANTED, "call")
    assert [name for name, _ in any_desk.told()].count("void") == 2


def test_a_stricter_question_is_not_answered_by_a_milder_one(desk: Desk) -> None:
    mild = desk.ask(who=("role:finance",))
    desk.yes(mild, BOB)
    for changed in ({"needed": 2}, {"who": ("role:board",)}, {"prompt": "Careful: it was told to."}):
        asked = desk.ask(**{"who": ("role:finance",), **changed})
        assert asked.id != mild.id and asked.state is State.OPEN


def test_what_another_call_in_flight_is_asked_about_is_left_to_it(any_desk: Desk) -> None:
    asked = any_desk.ask()
    assert any_desk.approvals.ask(WANTED, ASKED, [asked.id]).id != asked.id


def test_a_denied_call_made_again_does_not_ask_the_same_people_again(desk: Desk) -> None:
    asked = desk.ask(who=("role:finance",))
    desk.no(asked, BOB)
    assert desk.ask(who=("role:finance",)).state is State.DENIED
    desk.now += 60
    assert desk.ask(who=("role:finance",)).state is State.OPEN


def test_a_caller_who_said_no_may_think_again(any_desk: Desk) -> None:
    any_desk.no(any_desk.ask())
    assert any_desk.ask().state is State.OPEN


def test_open_questions_of_one_caller_are_bounded(any_desk: Desk) -> None:
    for number in range(3):
        any_desk.ask(prompt=str(number))
    with pytest.raises(LimitExceeded, match="3 calls"):
        any_desk.ask(prompt="one too many")
    assert any_desk.ask(dataclasses.replace(WANTED, principal="bob")).state is State.OPEN
    any_desk.now += 60
    assert any_desk.ask(prompt="room again").state is State.OPEN


# --- who may say yes ---------------------------------------------------------------------------------------------

ELSEWHERE = Principal("eve", roles=("admin", "finance"), tenant="other")
NAMESAKE = Principal("ada", roles=("finance",), tenant="other")


@pytest.mark.parametrize(
    ("who", "voter", "may"),
    [
        (("caller",), ROOT, True),
        (("caller",), BOB, False),
        (("caller",), ELSEWHERE, False),
        (("role:finance",), BOB, True),
        (("role:finance",), Principal("dan", roles=("Finance", "operator")), False),
        (("role:finance",), ROOT, True),
        (("role:finance",), ELSEWHERE, False),
        (("role:finance",), NAMESAKE, False),
        (("principal:default/bob",), BOB, True),
        (("principal:default/bob",), CAT, False),
        (("principal:other/eve",), ELSEWHERE, True),
        (("principal:other/bob",), BOB, False),
        (("principal:default/zoe", "role:finance"), CAT, True),
        (("role:finance", "principal:default/ada"), Principal("ada", roles=("finance", "admin")), False),
        (("caller",), Principal("ada", roles=("admin",)), False),
    ],
)
def test_those_whom_policy_asks_may_answer_and_nobody_else(
    desk: Desk, who: tuple[str, ...], voter: Principal, may: bool
) -> None:
    asked = desk.ask(who=who)
    if may:
        assert desk.approvals.vote(asked.id, voter, True).state is State.APPROVED
        return
    for approve in (True, False):
        with pytest.raises(MayNotVote):
            desk.approvals.vote(asked.id, voter, approve)
    assert desk.approvals.find(asked.id) == asked


def test_a_tenants_administrator_answers_for_its_callers_only(desk: Desk) -> None:
    theirs = dataclasses.replace(WANTED, tenant="other", principal="zoe")
    assert desk.approvals.vote(desk.ask(theirs).id, ELSEWHERE, True).state is State.APPROVED
    with pytest.raises(MayNotVote):
        desk.approvals.vote(desk.ask(theirs, who=("role:board",)).id, ELSEWHERE, True)
    with pytest.raises(MayNotVote):
        desk.approvals.vote(desk.ask().id, ELSEWHERE, True)


def test_a_caller_cannot_answer_in_band_what_others_are_asked(desk: Desk) -> None:
    asked = desk.ask(who=("role:finance",))
    with pytest.raises(MayNotVote, match="their own"):
        desk.approvals.vote(asked.id, Principal("ada", roles=("finance", "admin")), True, in_band=True)
    with pytest.raises(MayNotVote):
        desk.approvals.vote(asked.id, BOB, True, in_band=True)


def test_two_approvers_are_two_people(desk: Desk) -> None:
    asked = desk.ask(who=("role:finance",), needed=2)
    assert desk.yes(asked, BOB).state is State.OPEN
    assert desk.yes(asked, BOB).state is State.OPEN
    assert not desk.approvals.take(asked.id, WANTED, "call")
    second = desk.yes(asked, CAT)
    assert second.state is State.APPROVED and second.by == ("default/bob", "default/cat")
    assert desk.approvals.take(asked.id, WANTED, "call")


def test_one_denial_is_enough_and_a_mind_may_change_before(desk: Desk) -> None:
    asked = desk.ask(who=("role:finance",), needed=2)
    desk.yes(asked, BOB)
    denied = desk.no(asked, BOB)
    assert denied.state is State.DENIED and denied.by == ("default/bob",) and len(denied.votes) == 1


def test_names_that_run_together_are_told_apart(desk: Desk) -> None:
    theirs = dataclasses.replace(WANTED, tenant="a/b", principal="c")
    asked = desk.ask(theirs, who=("principal:a/b/c", "principal:d/e"), needed=2)
    voter = Principal("b/c", tenant="a")
    assert desk.yes(asked, voter).state is State.OPEN
    with pytest.raises(MayNotVote):
        desk.yes(asked, Principal("c", tenant="a/b"))
    assert desk.yes(asked, Principal("e", tenant="d")).state is State.APPROVED


# --- what lasts --------------------------------------------------------------------------------------------------


def test_another_gateway_sees_and_uses_it(desk: Desk) -> None:
    asked = desk.ask(who=("role:finance",))
    other = desk.another()
    assert other.find(asked.id) == asked and other.pending() == [asked]
    other.vote(asked.id, BOB, True, "looks right")
    found = desk.approvals.find(asked.id)
    assert found is not None and found.votes[0].comment == "looks right"
    assert desk.another().take(asked.id, WANTED, "call") and not desk.approvals.take(asked.id, WANTED, "call")


def test_of_many_who_take_at_once_exactly_one_gets_it(desk: Desk) -> None:
    both = desk.approvals, desk.another()
    with ThreadPoolExecutor(6) as pool:
        for _ in range(15):
            asked = desk.ask(prompt=secrets.token_hex(4))
            desk.yes(asked, ROOT)
            took = pool.map(lambda n, id=asked.id: both[n % 2].take(id, WANTED, str(n)), range(6))
            assert sum(took) == 1


def test_votes_of_the_same_instant_all_count(desk: Desk) -> None:
    both = desk.approvals, desk.another()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            asked = desk.ask(who=("role:finance",), needed=2, prompt=secrets.token_hex(4))
            casting = [(both[0], BOB), (both[1], CAT), (both[0], CAT), (both[1], BOB)]
            votes = [pool.submit(approvals.vote, asked.id, voter, True) for approvals, voter in casting]
            assert State.APPROVED in [vote.result().state for vote in votes]
            found = desk.approvals.find(asked.id)
            assert found is not None and found.state is State.APPROVED and len(found.votes) == 2
            assert desk.approvals.take(asked.id, WANTED, "call")


def test_whoever_denies_is_told_whether_it_came_in_time(desk: Desk) -> None:
    both = desk.approvals, desk.another()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            asked = desk.ask(prompt=secrets.token_hex(4))
            desk.yes(asked, ROOT)
            denied, took = (
                pool.submit(both[0].vote, asked.id, ROOT, False),
                pool.submit(both[1].take, asked.id, WANTED, "c"),
            )
            assert took.result() is isinstance(denied.exception(), AlreadySettled)


def test_the_same_question_asked_by_two_gateways_at_once_is_one(desk: Desk) -> None:
    both = desk.approvals, desk.another()
    with ThreadPoolExecutor(6) as pool:
        ids = {each.id for each in pool.map(lambda n: both[n % 2].ask(WANTED, ASKED), range(6))}
    assert len(ids) == 1


def test_a_further_round_is_covered_once(any_desk: Desk) -> None:
    asked = any_desk.ask()
    any_desk.yes(asked)
    follow = any_desk.approvals.follow
    assert not follow(asked.id, WANTED, "", "call-2")
    any_desk.approvals.take(asked.id, WANTED, "call-1")
    assert not follow(asked.id, dataclasses.replace(WANTED, arguments="other"), "call-1", "call-2")
    assert [follow(asked.id, WANTED, "call-1", "call-2"), follow(asked.id, WANTED, "call-1", "call-3")] == [True, False]
    assert follow(asked.id, WANTED, "call-2", "call-3")
    any_desk.now += 901
    assert not follow(asked.id, WANTED, "call-3", "call-4")


def test_no_step_counts_that_cannot_be_recorded(desk: Desk) -> None:
    asked = desk.ask()
    desk.full = True
    with pytest.raises(AuditUnavailable):
        desk.yes(asked)
    with pytest.raises(AuditUnavailable):
        desk.ask(prompt="another")
    desk.full = False
    assert desk.approvals.pending(state=None) == [asked]
    desk.yes(asked)
    desk.full = True
    with pytest.raises(AuditUnavailable):
        desk.approvals.take(asked.id, WANTED, "call")
    desk.full = False
    assert desk.approvals.take(asked.id, WANTED, "call")


def test_a_use_is_on_disk_before_it_is_told_of(desk: Desk) -> None:
    """Killed in between, the log has no use too many: never two of one approval."""

    class Killed(BaseException):
        pass

    def killed(event: Event) -> None:
        if event.event == "used":
            found = desk.another().find(asked.id)
            seen.append(found.state if found else None)
            raise Killed

    seen: list[State | None] = []
    asked = desk.ask()
    desk.yes(asked)
    desk.record = killed  # type: ignore[method-assign]
    desk.approvals = desk.another()
    with pytest.raises(Killed):
        desk.approvals.take(asked.id, WANTED, "call")
    assert seen == [State.USED] and not desk.approvals.take(asked.id, WANTED, "call")


def test_what_people_add_to_their_vote_is_written_out(any_desk: Desk) -> None:
    asked = any_desk.ask()
    voted = any_desk.approvals.vote(asked.id, ROOT, True, "fine\u202e\x00\x1b[2J" + "x" * 600)
    assert voted.votes[0].comment.startswith("fine\\u202e\\u0000\\u001b[2J") and len(voted.votes[0].comment) == 500


def test_lists_are_by_tenant_and_state_and_paged(desk: Desk) -> None:
    for number in range(3):
        desk.now += 1
        desk.ask(dataclasses.replace(WANTED, principal=f"p{number}"))
    desk.now += 1
    theirs = desk.ask(dataclasses.replace(WANTED, tenant="other"))
    desk.approvals.vote(theirs.id, ROOT, False)
    found = desk.approvals.pending("default")
    assert [each.binding.principal for each in found] == ["p2", "p1", "p0"]
    assert desk.approvals.pending("other") == []
    assert [each.id for each in desk.approvals.pending(state=State.DENIED)] == [theirs.id]
    assert len(desk.approvals.pending(state=None)) == 4
    assert desk.approvals.pending(asked=Principal("zoe", tenant="other"), state=None) == [
        desk.approvals.find(theirs.id)
    ]


def test_pages_leave_nothing_out_and_repeat_nothing_though_all_came_at_once(any_desk: Desk) -> None:
    made = {any_desk.ask(dataclasses.replace(WANTED, principal=f"p{number}")).id for number in range(7)}
    pages, before = [], None
    while page := any_desk.approvals.pending(limit=2, before=before):
        pages += [each.id for each in page]
        before = page[-1].place
    assert len(pages) == 7 and set(pages) == made


def test_whoever_is_asked_by_name_finds_it_in_another_tenant_and_nothing_else_there(desk: Desk) -> None:
    asked = desk.ask(who=("principal:other/eve%_",))
    desk.ask(dataclasses.replace(WANTED, principal="bob"), who=("principal:other/eve",))
    found = desk.approvals.pending(asked=Principal("eve%_", tenant="other"))
    assert [each.id for each in found] == [asked.id]


def test_what_has_long_been_settled_is_forgotten(desk: Desk) -> None:
    desk.no(desk.ask())
    desk.now += 31 * 86_400
    kept = desk.ask()
    assert desk.approvals.pending(state=None) == [kept]


def test_nothing_is_opened_or_imported_before_the_first_question(tmp_path: Path) -> None:
    approvals = StoredApprovals(Store(tmp_path / "none", StoreConfig()), "default", lambda: KEY, lambda event: None)
    assert approvals.find("a") is None and approvals.pending() == []
    assert not (tmp_path / "none").exists()


def test_a_store_that_cannot_be_used_answers_for_nobody(tmp_path: Path) -> None:
    url = SecretStr("postgresql://127.0.0.1:1/nothing")
    approvals = StoredApprovals(Store(tmp_path, StoreConfig(url=url)), "default", lambda: KEY, lambda event: None)
    for step in (
        lambda: approvals.ask(WANTED, ASKED),
        lambda: approvals.vote("a", ROOT, True),
        lambda: approvals.take("a", WANTED, "call"),
        lambda: approvals.find("a"),
    ):
        with pytest.raises(StoreUnavailable):
            step()


def test_without_a_store_nobody_but_the_caller_can_be_asked(memory: Desk) -> None:
    for who, needed in ((("role:finance",), 1), (("caller",), 2), (("caller", "role:finance"), 1)):
        with pytest.raises(ApprovalRequired, match="without a store") as caught:
            memory.ask(who=who, needed=needed)
        assert "store" in caught.value.fix


# --- the binding -------------------------------------------------------------------------------------------------


def bound(key: bytes = KEY, definition: dict[str, Any] | None = None, **arguments: object) -> Binding:
    caller = Principal("ada")
    params = {"name": "send", "arguments": arguments, "_meta": {"progressToken": id(arguments)}}
    made = Call("tools/call", caller, Session("s", caller), params, target="send")
    made.upstream, made.definition = UpstreamFacts("mail", "stdio"), definition
    return binding_of(made, "rev", key)


def test_a_binding_tells_arguments_apart_and_does_not_show_them() -> None:
    assert bound(a=1, b="x") == bound(b="x", a=1)
    assert bound(a=1) != bound(a=1.5)
    assert bound(a="1") != bound(a=1)
    assert bound(a=1) != bound(b"q" * 32, a=1)
    assert "secret" not in str(bound(a="secret"))


def test_a_tool_that_changed_is_another_one_to_whoever_approved_it() -> None:
    known = {"name": "send", "description": "Sends mail.", "annotations": {"destructiveHint": True}}
    assert bound(definition=known, a=1) == bound(definition=dict(reversed(known.items())), a=1)
    assert bound(definition=known, a=1) != bound(definition={**known, "description": "Sends mail, and a copy."}, a=1)


def test_a_binding_names_no_address_with_personal_data_in_it() -> None:
    caller = Principal("ada")
    made = Call("resources/read", caller, Session("s", caller), {"uri": "mail://ada@example.org/1"})
    made.target, made.labelled = "mail://ada@example.org/1", {"uri": "mail://<EMAIL_1>/1"}
    assert binding_of(made, "rev", KEY).tool == ""
    made.params = {"uri": "mail://inbox/1"}
    made.target, made.labelled = "mail://inbox/1", {"uri": "mail://inbox/1"}
    assert binding_of(made, "rev", KEY).tool == "mail://inbox/1"
