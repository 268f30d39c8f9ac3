"""Who can write to the database, but has no key of the vault, has no call approved: on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from gateway_process import wait_until

from agentflow.config import StoreConfig
from agentflow.config_approvals import ApprovalsConfig
from agentflow.errors import ApprovalRequired
from agentflow.pipeline.call import Call, Direction, Message, Session, UpstreamFacts
from agentflow.pipeline.stage import Note
from agentflow.pipeline.stages.approve import Approve
from agentflow.policy.approvals import AlreadySettled, Approval, Binding, State, binding_of
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.policy.decision import Decision, Obligations
from agentflow.store.opened import Store
from agentflow.store.tables import APPROVAL_VOTES as VOTES
from agentflow.store.tables import APPROVALS
from tests.policy.test_approvals import ADA, BOB, CAT, KEY, ROOT, WANTED, Desk, stored

FINANCE = ("role:finance",)


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    yield from stored(tmp_path, url, ApprovalsConfig(max_open=9))


def write(desk: Desk, *statements: Any) -> None:
    """As somebody does who has the database and nothing else."""
    assert isinstance(desk.approvals, StoredApprovals)
    with desk.approvals._store.database().begin() as db:
        for statement in statements:
            db.execute(statement)


def rows(desk: Desk, table: sa.Table) -> Sequence[Any]:
    assert isinstance(desk.approvals, StoredApprovals)
    with desk.approvals._store.database().read() as db:
        return db.execute(table.select()).mappings().all()


def put(asked: Approval, **values: Any) -> Any:
    return APPROVALS.update().where(APPROVALS.c.id == asked.id).values(**values)


def refused(desk: Desk, asked: Approval, binding: Binding = WANTED) -> None:
    """It is usable by nobody, void for good, and that was recorded once."""
    assert not desk.approvals.take(asked.id, binding, "call")
    found = desk.approvals.find(asked.id)
    assert found is not None and found.state is State.VOID
    assert not desk.another().take(asked.id, binding, "call")
    assert [event.event for event in desk.events if event.subject == asked.id].count("altered") == 1
    assert "used" not in [event.event for event in desk.events]


def test_a_state_that_nobody_voted_for_is_not_believed(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE)
    write(desk, put(asked, state="approved"))
    refused(desk, asked)


def test_one_yes_of_two_is_not_both(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE, needed=2)
    desk.yes(asked, BOB)
    write(desk, put(asked, state="approved"))
    refused(desk, asked)


def test_a_vote_that_was_written_into_the_database_does_not_count(desk: Desk) -> None:
    asked, other = desk.ask(who=FINANCE), desk.ask(who=FINANCE, prompt="another")
    desk.yes(other, CAT)
    seals = [row["seal"] for row in rows(desk, VOTES)]
    forged = {"approval": asked.id, "voter": CAT.key, "approve": True, "time": desk.now, "comment": ""}
    for seal in (b"", secrets.token_bytes(32), *seals):  # the last one is that of a true vote on something else
        write(desk, VOTES.delete().where(VOTES.c.approval == asked.id), VOTES.insert().values(**forged, seal=seal))
        found = desk.approvals.find(asked.id)
        assert found is not None and found.votes == () and found.state is State.OPEN
    write(desk, put(asked, state="approved"))
    refused(desk, asked)


def test_a_forged_vote_is_none_of_the_two_that_are_needed(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE, needed=2)
    forged = {"approval": asked.id, "voter": CAT.key, "approve": True, "time": desk.now, "seal": b"x" * 32}
    write(desk, VOTES.insert().values(**forged))
    assert desk.yes(asked, BOB).state is State.OPEN
    assert desk.yes(asked, CAT).state is State.APPROVED  # what is true replaces what was forged
    assert desk.approvals.take(asked.id, WANTED, "call")


@pytest.mark.parametrize(
    "changed",
    [{"approve": True}, {"voter": CAT.key}, {"time": 1.0}, {"comment": "never said"}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_vote_that_was_altered_does_not_count(desk: Desk, changed: dict[str, Any]) -> None:
    asked = desk.ask(who=FINANCE)
    desk.approvals.vote(asked.id, BOB, "approve" not in changed, "fine")
    write(desk, VOTES.update().values(**changed), put(asked, state="approved", settled=None))
    refused(desk, asked)


def test_a_denial_is_not_turned_into_its_opposite(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE)
    desk.no(asked, BOB)
    write(desk, put(asked, state="open", settled=None))
    with pytest.raises(AlreadySettled, match="void"):
        desk.yes(asked, CAT)
    refused(desk, asked)


ALTERED: dict[str, Any] = {
    "arguments": "other", "tenant": "other", "principal": "eve", "surface": "prompts/get", "server": "bank",
    "tool": "pay", "revision": "newer", "who": json.dumps(["role:agent"]), "needed": 1, "expires": 9e9,
    "prompt": "Nothing to see.", "shown": "{}", "reasons": [],
}  # fmt: skip


@pytest.mark.parametrize("voted", [True, False], ids=["after the votes", "before them"])
def test_a_question_that_was_altered_is_answered_by_nobody(desk: Desk, voted: bool) -> None:
    for member, value in ALTERED.items():
        asked = desk.ask(who=FINANCE, needed=2, prompt=f"Asked about {member}.")
        for voter in (BOB, CAT) if voted else ():
            desk.yes(asked, voter)
        write(desk, put(asked, **{member: value}))
        if not voted:
            with pytest.raises(AlreadySettled, match="void"):
                desk.yes(asked, ROOT)
        bound = member in Binding.__dataclass_fields__
        refused(desk, asked, dataclasses.replace(WANTED, **{member: value}) if bound else WANTED)


def test_an_approval_that_was_copied_to_another_id_is_none(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE)
    desk.yes(asked, BOB)
    assert desk.approvals.take(asked.id, WANTED, "call")
    desk.events.clear()
    (approval,), (vote,) = rows(desk, APPROVALS), rows(desk, VOTES)
    copy = {**approval, "id": "c" * 32, "state": "approved", "settled": None}
    write(desk, APPROVALS.insert().values(**copy), VOTES.insert().values(**{**vote, "approval": copy["id"]}))
    forged = desk.approvals.look([copy["id"]])[copy["id"]]
    assert forged.state is State.VOID
    refused(desk, forged)
    assert desk.ask(who=FINANCE).id not in (asked.id, forged.id)


def test_a_use_that_nobody_approved_covers_no_further_round(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE)
    write(desk, put(asked, state="used", settled=desk.now, call="one"))
    assert not desk.approvals.follow(asked.id, WANTED, "one", "two")
    refused(desk, asked)


def test_what_was_forged_is_neither_listed_as_approved_nor_as_open(desk: Desk) -> None:
    asked, true = desk.ask(who=FINANCE), desk.ask(who=FINANCE, prompt="another")
    write(desk, put(asked, state="approved"), put(true, shown="{}"))
    assert desk.approvals.pending(state=State.APPROVED) == desk.approvals.pending() == []
    assert {each.id for each in desk.approvals.pending(state=State.VOID)} == {asked.id, true.id}
    assert [event.event for event in desk.events].count("altered") == 2


def test_another_key_believes_nothing(desk: Desk) -> None:
    asked = desk.ask(who=FINANCE)
    desk.yes(asked, BOB)
    assert isinstance(desk.approvals, StoredApprovals)
    foreign = StoredApprovals(desk.approvals._store, "default", lambda: b"q" * 32, desk.record, clock=desk.clock)
    assert not foreign.take(asked.id, WANTED, "call")
    assert desk.told()[-1] == ("altered", "")


async def test_the_call_behind_it_is_refused_as_one_that_needs_approval(tmp_path: Path) -> None:
    """Forged while the request is held, through the stage itself."""
    store, events = Store(tmp_path, StoreConfig()), list[Any]()
    kept = StoredApprovals(store, "default", lambda: KEY, events.append)
    call = Call("tools/call", ADA, Session("s", ADA), {"name": "pay", "arguments": {"sum": 1}}, target="pay")
    call.upstream = UpstreamFacts("bank", "stdio")
    asks = {"who": FINANCE[0], "ttl": 60, "prompt": ""}
    call.decision = Decision(allow=True, revision="rev", obligations=Obligations(approval=asks))
    stage = Approve(kept, lambda: "rev", lambda call: False, hold=20.0)
    asking = stage(call, Message(call.surface, Direction.INBOUND, call.params))
    assert not isinstance(asking, Note)
    going = asyncio.ensure_future(asking)
    await asyncio.to_thread(wait_until, kept.pending, "the question")
    waiting = kept.pending()
    with store.database().begin() as db:
        db.execute(put(waiting[0], state="approved"))
    with pytest.raises(ApprovalRequired, match="changed"):
        await going
    assert waiting[0].binding == binding_of(call, "rev", KEY)
    assert [event.event for event in events] == ["asked", "altered"]
    store.close()
