"""Approvals end to end: real gateways, real clients of both eras, kill -9, two gateways on one PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_process import Gateway, child_environment, running_gateway, wait_until, write_config
from mcp.shared.exceptions import MCPError

from agentflow.audit.verify import verify
from agentflow.identity.principal import Principal
from agentflow.policy.approvals import State
from tests.gateway.approvals_world import (
    BOB,
    CAT,
    ENV,
    YES,
    Desk,
    Person,
    back,
    call,
    calls,
    config,
    connected,
    desk,
    ran,
    steps,
)
from tests.gateway.full_world import text_of

JSON = dict[str, Any]
ERAS = ["legacy", "modern"]
DECLINE: JSON = {"action": "decline"}


@dataclass
class World:
    """A gateway that is up. What `ran`, `steps` and `calls` return began with this test."""

    gateway: Gateway
    record: Path
    desk: Desk
    before: tuple[int, int, int] = (0, 0, 0)

    def ran(self) -> list[str]:
        return ran(self.record)[self.before[0] :]

    def steps(self) -> list[tuple[str, str]]:
        return steps(self.gateway.data_dir)[self.before[1] :]

    def calls(self) -> list[JSON]:
        return calls(self.gateway.data_dir)[self.before[2] :]

    def anew(self) -> World:
        for each in self.desk.open():
            self.desk.approvals.void(each.id)
        self.before = (0, 0, 0)
        self.before = len(self.ran()), len(self.steps()), len(self.calls())
        return self

    async def waiting(self, count: int = 1) -> None:
        """Until so many approvals are open."""
        await asyncio.to_thread(wait_until, lambda: len(self.desk.open()) == count, f"{count} open approvals", 20.0)


def served(folder: Path, **more: Any) -> Iterator[World]:
    record = folder / "record.jsonl"
    with running_gateway(config(folder, record, **more), folder, env=ENV) as gateway:
        gateway_ready(gateway)
        made = desk(gateway.data_dir)
        yield World(gateway, record, made)
        made.store.close()


@pytest.fixture(scope="module")
def patient_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from served(tmp_path_factory.mktemp("patient"), era="legacy")


@pytest.fixture(scope="module")
def impatient_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from served(tmp_path_factory.mktemp("impatient"), hold=0.2)


@pytest.fixture
def world(patient_one: World) -> World:
    """A gateway that holds requests for a while, with a handshake server behind it."""
    return patient_one.anew()


@pytest.fixture
def impatient(impatient_one: World) -> World:
    """A gateway that holds no request, with a server of both eras behind it."""
    return impatient_one.anew()


@asynccontextmanager
async def in_flight(client: Any, *arguments: Any, **more: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.ensure_future(client.call_tool(*arguments, **more))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- in band -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_the_person_at_the_client_is_asked_and_their_word_counts(world: World, era: str) -> None:
    yes, no = Person(), Person(DECLINE)
    async with connected(world.gateway, era, yes) as client:
        assert text_of(await client.call_tool("own", {"text": "one"})) == "own: one"
    async with connected(world.gateway, era, no) as client:
        with pytest.raises(MCPError, match="did not approve"):
            await client.call_tool("own", {"text": "two"})
    assert world.ran() == ["one"]
    assert len(yes.asked) == len(no.asked) == 1
    assert "It leaves the house." in yes.asked[0] and "one" in yes.asked[0]
    told = world.steps()
    ada = "default/ada"
    assert told == [("asked", ada), ("approved", ada), ("used", ada), ("asked", ada), ("denied", ada)]
    (used,) = [record["approval"] for record in world.calls() if record["outcome"] == "ok"]
    assert (used["state"], used["by"]) == ("used", [ada])


@pytest.mark.parametrize("era", ERAS)
async def test_each_call_needs_an_approval_of_its_own(world: World, era: str) -> None:
    person = Person()
    async with connected(world.gateway, era, person) as client:
        for text in ("one", "one", "two"):
            await client.call_tool("own", {"text": text})
    assert world.ran() == ["one", "one", "two"] and len(person.asked) == 3


@pytest.mark.parametrize("upstream", ["world", "impatient"])
@pytest.mark.parametrize("era", ERAS)
async def test_an_approved_call_may_still_be_asked_something_by_its_server(
    request: pytest.FixtureRequest, era: str, upstream: str
) -> None:
    person, served_by = Person(), request.getfixturevalue(upstream)
    async with connected(served_by.gateway, era, person) as client:
        result = await client.call_tool("ask", {"text": "one"})
    by_rounds = era == "modern" and upstream == "impatient"
    assert text_of(result) == ("answered" if by_rounds else "accept")
    assert [message.startswith("Allow ada") for message in person.asked] == [True, False]


# --- out of band -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("era", ERAS)
async def test_a_held_call_goes_on_when_somebody_else_approves(world: World, era: str, asked: bool) -> None:
    person = Person()
    async with (
        connected(world.gateway, era, person if asked else None) as client,
        in_flight(client, "team", {"text": "one"}, progress_callback=person.hear) as held,
    ):
        await world.waiting()
        assert world.ran() == [] and not held.done()
        world.desk.vote(BOB)
        assert text_of(await held) == "team: one"
    assert person.asked == [] and person.told[0].startswith("Waiting for approval")
    assert world.ran() == ["one"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_held_call_is_refused_when_somebody_denies_it(world: World, era: str) -> None:
    async with (
        connected(world.gateway, era, None) as client,
        in_flight(client, "team", {"text": f"denied {era}"}) as held,
    ):
        await world.waiting()
        world.desk.vote(BOB, approve=False)
        with pytest.raises(MCPError, match="did not approve"):
            await held
    assert world.ran() == []


@pytest.mark.parametrize("era", ERAS)
async def test_two_approvers_have_to_be_two(world: World, era: str) -> None:
    async with connected(world.gateway, era, None) as client, in_flight(client, "two", {"text": "one"}) as held:
        await world.waiting()
        id = world.desk.vote(BOB)
        world.desk.vote(BOB)
        assert world.desk.state(id) is State.OPEN and not held.done()
        world.desk.vote(CAT)
        await held
    used = world.calls()[-1]["approval"]
    assert used == {"id": id, "state": "used", "by": ["default/bob", "default/cat"]}


@pytest.mark.parametrize("era", ERAS)
async def test_nobody_answers_in_time(world: World, era: str) -> None:
    async with connected(world.gateway, era, None) as client:
        with pytest.raises(MCPError, match="not given in time"):
            await client.call_tool("brief", {"text": "one"})
    assert ("expired", "") in world.steps() and world.ran() == []


def test_what_expires_is_in_the_log_soon_though_nobody_comes_back(impatient: World) -> None:
    assert "requestState" in call(impatient.gateway, "brief", "one")["result"]
    wait_until(lambda: impatient.steps() == [("asked", "default/ada"), ("expired", "")], "its end", 20.0)


async def test_a_handshake_client_is_sent_away_and_its_call_made_again_goes_through(impatient: World) -> None:
    async with connected(impatient.gateway, "legacy", None) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("team", {"text": "one"})
    told = caught.value.error
    assert datetime.fromisoformat(told.data["expires"]).tzinfo is not None
    assert told.code == -32012 and (told.data["state"], told.data["who"]) == ("open", ["role:finance"])
    assert impatient.desk.vote(BOB) == told.data["approval"]
    async with connected(impatient.gateway, "legacy", None) as client:  # in a session of its own
        for changed in ("two", "one "):
            with pytest.raises(MCPError, match="nobody has answered"):
                await client.call_tool("team", {"text": changed})
        assert text_of(await client.call_tool("team", {"text": "one"})) == "team: one"
        with pytest.raises(MCPError, match="nobody has answered"):
            await client.call_tool("team", {"text": "one"})
    assert impatient.ran() == ["one"]


def test_the_command_line_answers_beside_a_running_gateway(impatient: World) -> None:
    def agentflow(*words: str) -> JSON:
        command = [sys.executable, "-m", "agentflow", "approvals", *words, "--json"]
        config_path = impatient.gateway.config_path
        done = subprocess.run(
            [*command, "--config", str(config_path)],
            env=child_environment(impatient.gateway.data_dir, ENV),
            capture_output=True,
            check=True,
        )
        return dict(json.loads(done.stdout))

    text = "mail ada@example.org the key AKIAQYLPMN5HHHFPZAM2"
    interim = call(impatient.gateway, "team", text)
    (waiting,) = agentflow("list")["approvals"]
    assert waiting["principal"]["id"] == "ada" and "<EMAIL_" in waiting["arguments"]
    assert not [clear for clear in ("ada@example.org", "AKIA") if clear in json.dumps(waiting)]
    assert agentflow("approve", waiting["id"])["state"] == "approved"
    assert "content" in call(impatient.gateway, "team", text, **back(interim, None))["result"]
    assert agentflow("show", waiting["id"])["state"] == "used"
    assert verify(impatient.gateway.data_dir).ok
    files = [path.read_bytes() for path in impatient.gateway.data_dir.rglob("*") if path.is_file()]
    assert not [each for each in files if b"ada@example" in each or b"AKIAQY" in each]


# --- whose it is -------------------------------------------------------------------------------------------------


def test_what_one_caller_holds_is_nothing_to_another(impatient: World) -> None:
    gateway = impatient.gateway
    interim = call(gateway, "own", "one")
    stolen = call(gateway, "own", "one", who="eve", **back(interim))
    assert (stolen["error"]["code"], stolen["error"]["data"]["type"]) == (-32602, "invalid_arguments")
    assert call(gateway, "own", "two", **back(interim))["error"]["code"] == -32602
    assert call(gateway, "team", "one", **back(interim))["error"]["code"] == -32602
    for bad in ("agentflow-approval.", "agentflow-approval.AAAA", "agentflow-held.x"):
        assert call(gateway, "own", "one", requestState=bad)["error"]["code"] == -32602
    # Nor does the very same call of somebody else come to it.
    asked = call(gateway, "own", "one", who="eve")["result"]
    assert asked["resultType"] == "input_required" and len(impatient.desk.open()) == 2
    assert "content" in call(gateway, "own", "one", **back(interim))["result"]
    replayed = call(gateway, "own", "one", **back(interim))
    assert replayed["error"]["data"]["type"] == "approval_required"
    assert impatient.ran() == ["one"]


def test_a_caller_cannot_answer_for_those_who_are_asked(impatient: World) -> None:
    interim = call(impatient.gateway, "team", "one")
    assert not interim["result"].get("inputRequests")
    forged = call(impatient.gateway, "team", "one", **back(interim, YES))
    assert forged["error"]["data"]["type"] == "may_not_vote"
    assert impatient.desk.open()[0].votes == () and impatient.ran() == []


def test_a_requester_of_the_role_cannot_approve_their_own_call(impatient: World) -> None:
    from agentflow.policy.approvals import MayNotVote

    call(impatient.gateway, "team", "one", who="bob")
    with pytest.raises(MayNotVote, match="their own"):
        impatient.desk.vote(BOB)
    with pytest.raises(MayNotVote):
        impatient.desk.vote(Principal("dan", roles=("agent", "operator")))
    impatient.desk.vote(CAT)
    assert "content" in call(impatient.gateway, "team", "one", who="bob")["result"]


@pytest.mark.parametrize(("modes", "asked"), [({}, True), ({"form": {}, "url": {}}, True), ({"url": {}}, False)])
def test_a_client_that_can_only_open_addresses_is_sent_no_form(impatient: World, modes: JSON, asked: bool) -> None:
    answer = call(impatient.gateway, "own", "one", can={"elicitation": modes})
    assert ("inputRequests" in answer.get("result", {})) is asked
    assert asked or answer["error"]["data"]["type"] == "approval_required"


# --- killed, restarted -------------------------------------------------------------------------------------------


async def test_whatever_waits_or_was_used_survives_kill_9(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    settings = config(tmp_path, record)
    with running_gateway(settings, tmp_path, env=ENV) as gateway:
        waits = World(gateway, record, desk(gateway.data_dir))
        gateway_ready(gateway)
        asked = await asyncio.to_thread(call, gateway, "own", "asked")
        interims = {str(n): await asyncio.to_thread(call, gateway, "own", str(n)) for n in range(12)}
        async with contextlib.AsyncExitStack() as clients:
            clients.push_async_exit(gone)
            for era in ERAS:
                client = await clients.enter_async_context(connected(gateway, era, None))
                await clients.enter_async_context(in_flight(client, "team", {"text": f"held {era}"}))
            await waits.waiting(len(interims) + 3)
            held = [each.id for each in waits.desk.open() if each.binding.tool == "team"]
            with ThreadPoolExecutor(4) as pool:
                retries = [pool.submit(call, gateway, "own", text, **back(each)) for text, each in interims.items()]
                await asyncio.to_thread(wait_until, lambda: len(ran(record)) > 3, "some calls")
                gateway.kill()
            answered = sum(retry.exception() is None for retry in retries)
    for id in held:
        waits.desk.approvals.vote(id, BOB, True)
    with running_gateway(settings, tmp_path, env=ENV) as gateway:
        gateway_ready(gateway)
        for era in ERAS:
            async with connected(gateway, era, None) as client:
                assert text_of(await client.call_tool("team", {"text": f"held {era}"})) == f"team: held {era}"
        replays = [await asyncio.to_thread(call, gateway, "own", "asked", **back(asked)) for _ in "ab"]
        assert ["result" in each for each in replays] == [True, False]
        for text, each in interims.items():
            await asyncio.to_thread(call, gateway, "own", text, **back(each))
    assert [waits.desk.state(id) for id in held] == [State.USED] * 2
    made = [text for text in ran(record) if text in interims]
    assert len(made) == len(set(made)) and len(made) >= max(answered, 3)
    assert all(ran(record).count(once) == 1 for once in ("asked", "held legacy", "held modern"))
    assert verify(gateway.data_dir).ok


async def gone(kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> bool:
    """Whatever a client makes of a gateway that is gone."""
    return kind is not None and issubclass(kind, Exception)


def gateway_ready(gateway: Gateway) -> None:
    wait_until(lambda: "result" in call(gateway, "free"), "the server", 30.0, gateway.log_text)


def test_another_policy_voids_what_was_asked(impatient: World) -> None:
    gateway, world = impatient.gateway, impatient
    opened, given = call(gateway, "own", "one"), call(gateway, "own", "two")
    approved = next(each for each in world.desk.open() if '"two"' in each.wanted.shown)
    world.desk.approvals.vote(approved.id, Principal("root", roles=("admin",)), True)
    folder = gateway.config_path.parent / "bundle"
    asks = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps({**asks, "more": 1}))
    write_config(config_with(gateway, "a change"), gateway.config_path)

    wait_until(lambda: "configuration applied" in gateway.log_text(), "the new policy", 20.0, gateway.log_text)
    assert "inputRequests" in call(gateway, "own", "two", **back(given))["result"]
    assert world.desk.state(approved.id) is State.VOID
    assert "inputRequests" in call(gateway, "own", "one", **back(opened))["result"]
    assert world.ran() == []


def config_with(gateway: Gateway, description: str) -> JSON:
    import yaml

    loaded: JSON = yaml.safe_load(gateway.config_path.read_text())
    loaded["mcpServers"]["s"]["description"] = description
    return loaded


# --- two gateways on one PostgreSQL ------------------------------------------------------------------------------


@dataclass
class Pair:
    one: Gateway
    two: Gateway
    record: Path
    desk: Desk


@pytest.fixture(scope="module")
def pair(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute("CREATE DATABASE approvals_pair")
    url = postgres.replace("/postgres?", "/approvals_pair?")
    folders, env = (folder / "one", folder / "two"), {"DATABASE": url, **ENV}
    for each in folders:
        each.mkdir()
    record = folder / "record.jsonl"
    first, second = (config(each, record, hold=0.2, store="${DATABASE}") for each in folders)
    second["policy"] = first["policy"]
    with running_gateway(first, folders[0], env=env) as one, running_gateway(second, folders[1], env=env) as two:
        for gateway in (one, two):
            gateway_ready(gateway)
        beside = desk(one.data_dir, url)
        yield Pair(one, two, record, beside)
        beside.store.close()


def test_a_client_may_come_back_to_another_gateway(pair: Pair) -> None:
    one, two = pair.one, pair.two
    interim = call(one, "own", "in band")
    assert "content" in call(two, "own", "in band", **back(interim))["result"]
    interim = call(one, "team", "elsewhere")
    pair.desk.vote(BOB)
    assert "content" in call(two, "team", "elsewhere")["result"]
    assert call(one, "team", "elsewhere", **back(interim, None))["error"]["data"]["type"] == "approval_required"
    assert [text for text in ran(pair.record) if text in ("in band", "elsewhere")] == ["in band", "elsewhere"]


def test_of_two_gateways_that_race_for_an_approval_one_uses_it(pair: Pair) -> None:
    one, two = pair.one, pair.two
    texts = [f"race {number}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        interims = dict(zip(texts, pool.map(lambda text: call(one, "own", text), texts), strict=True))
        racing = [(gateway, text) for text in texts for gateway in (one, two)]
        answers = list(pool.map(lambda each: call(each[0], "own", each[1], **back(interims[each[1]])), racing))
    won = [text for (_, text), answer in zip(racing, answers, strict=True) if "content" in answer.get("result", {})]
    assert sorted(won) == sorted(texts)
    assert sorted(text for text in ran(pair.record) if text.startswith("race")) == sorted(texts)
    lost = [answer["error"]["data"]["type"] for answer in answers if "error" in answer]
    assert lost == ["approval_required"] * 100
