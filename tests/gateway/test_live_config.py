"""A configuration that changes under calls in flight: none is dropped, nothing is opened, nothing is left behind."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from faults.speakers import ENVELOPE, Stdio, stdio_gateway
from gateway_process import REPOSITORY, Gateway, fetch, running_gateway, wait_until, write_config
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from agentflow.audit.read import entries
from agentflow.audit.verify import verify
from agentflow.errors import AgentFlowError, ConfigError
from agentflow.gateway.http import HttpFront
from agentflow.gateway.serve import _follow
from agentflow.settings.file import check
from tests.gateway.full_world import until
from tests.gateway.service_world import READS, YES, Line, World, caller, config_of, heard, running, told, told_over_http

JSON = dict[str, Any]
KEY = "key-of-the-only-caller"
KEYS: JSON = {"api_keys": [{"id": "me", "key": KEY, "roles": ["operator"]}]}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server writes down what it hears."""
    return tmp_path_factory.mktemp("shared") / "shared.jsonl"


@pytest.fixture(scope="module")
def shared(record: Path) -> Iterator[JSON]:
    with told_over_http(record, tools={"write": {}, "read": READS, "big": {}}) as server:
        yield server


def settings(**members: Any) -> JSON:
    """A policy section."""
    return {"data": {"settings": members}}


FORBIDDEN = settings(forbidden=["none/none"])
ASK: JSON = {"ask": {"tools": ["write"], "effect": "approve"}}


# --- what a reload must not open -------------------------------------------------------------------------------


async def _status(front: HttpFront, host: str, *headers: tuple[bytes, bytes]) -> int:
    """The status of an empty POST to the endpoint."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "headers": [(b"host", host.encode()), *headers],
    }
    sent: list[Any] = []

    async def receive() -> JSON:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    await front(scope, receive, send)
    return int(sent[0]["status"])


async def test_the_keys_of_a_reachable_gateway_cannot_be_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(tmp_path, {}, auth=KEYS, serve={"host": "10.0.0.7"})
    async with running(config) as world:
        service = world.service
        manager = StreamableHTTPSessionManager(service.front.server)
        front = HttpFront(manager, lambda: service.authenticator, config.serve, config.limits, service.report)
        assert await _status(front, "10.0.0.7:8808") == 401
        edited = "127.0.0.1"
        for host in (edited, "10.0.0.7"):
            with pytest.raises(ConfigError, match=r"10\.0\.0\.7"):
                await service.apply(config_of(tmp_path, {}, serve={"host": host}))
        # The way of the file: an edit that is refused, then one that is not.
        path = tmp_path / "agentflow.yaml"
        path.write_text("nonsense: true")  # an edit that differs from this one is an edit, whenever the first look is
        following = asyncio.ensure_future(_follow(service, path))
        before = service.authenticator
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ONE", KEY.replace("only", "next"))
            await until(lambda: "nonsense" in caplog.text, "the file is followed")
            caplog.clear()
            write_config({"serve": {"host": edited}, "flow": {"enabled": False}}, path)
            one = {"id": "you", "key": "${ONE}", "roles": ["operator"]}
            await until(lambda: "configuration not applied" in caplog.text, "the edit is refused")
            assert service.authenticator is before is front.authenticator
            assert await _status(front, "10.0.0.7:8808") == 401
            write_config({"serve": {"host": edited}, "auth": {"api_keys": [one]}, "flow": {"enabled": False}}, path)
            await until(lambda: front.authenticator is not before, "the edit with another key is applied")
        assert await _status(front, "10.0.0.7:8808") == 401
        assert await _status(front, "10.0.0.7:8808", (b"x-api-key", KEY.encode())) == 401
        following.cancel()


async def test_a_key_that_is_taken_away_counts_no_more_while_clients_are_still_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, {}, auth=KEYS)
    async with running(config) as world:
        service, telling = world.service, asyncio.Event()
        manager = StreamableHTTPSessionManager(service.front.server)
        front = HttpFront(manager, lambda: service.authenticator, config.serve, config.limits, service.report)
        bearer = (b"authorization", f"Bearer {KEY}".encode())
        assert await _status(front, "127.0.0.1:8808", bearer) == 415  # known, and its request is no good

        async def stuck(_: object) -> None:
            telling.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(service.front, "catalogue_changed", stuck)
        other = {"api_keys": [{"id": "you", "key": KEY.replace("only", "next")}]}
        applying = asyncio.ensure_future(service.apply(config_of(tmp_path, {}, auth=other)))
        await until(lambda: service.config.auth.api_keys[0].id == "you" and telling.is_set(), "clients are being told")
        assert not applying.done()
        assert await _status(front, "127.0.0.1:8808", bearer) == 401
        applying.cancel()
        await asyncio.gather(applying, return_exceptions=True)


async def test_a_server_with_the_gateway_s_own_name_is_refused(tmp_path: Path) -> None:
    mine = {"agentflow": told(tmp_path / "r.jsonl", tools={"write": {}})}
    with pytest.raises(ConfigError, match="agentflow"):
        async with running(config_of(tmp_path, mine)):
            raise AssertionError("it started")
    path = write_config({"mcpServers": mine}, tmp_path / "agentflow.yaml")
    problems = [problem for problem in check(path, {}) if problem.path == "mcpServers.agentflow"]
    assert [problem.severity for problem in problems] == ["error"], problems
    async with running(config_of(tmp_path, {})) as world:
        with pytest.raises(ConfigError, match="agentflow"):
            await world.service.apply(config_of(tmp_path, mine))
        assert await world.tools() == set()


# --- calls in flight -------------------------------------------------------------------------------------------


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between open and read
        return True


def _pids(record: Path) -> set[int]:
    return {json.loads(line)["pid"] for line in record.read_text().splitlines()}


async def _slow(world: World, record: Path, file: Path) -> asyncio.Task[JSON]:
    """A call that ends when `file` is there, and has come to its server."""
    task = asyncio.ensure_future(world.call("slow", {"until": str(file)}))
    await until(lambda: heard(record, "tools/call"), "the call comes to its server")
    return task


@pytest.mark.parametrize("edit", ["removed", "changed", "everything"])
async def test_a_call_under_which_the_configuration_changes_is_answered_and_recorded(tmp_path: Path, edit: str) -> None:
    record, go = tmp_path / "r.jsonl", tmp_path / "go"
    server = told(record, tools={"slow": {}})
    sections: dict[str, JSON] = {
        "removed": {"servers": {}},
        "changed": {"servers": {"s": {**server, "namespace": "other"}}},
        "everything": {"servers": {}, "policy": FORBIDDEN, "guard": {"token_format": "redacted"}},
    }
    async with running(config_of(tmp_path, {"s": server})) as world:
        slow = await _slow(world, record, go)
        old, engine = world.service._parts, world.service._parts.engine
        await world.service.apply(config_of(tmp_path, **sections[edit]))
        assert "slow" not in await world.tools()
        assert not slow.done() and not all(map(_gone, _pids(record)))
        question = {"version": "agentflow/1"}
        answered = engine.decide(question)
        go.touch()
        result = await slow
        assert result["result"]["content"][0]["text"] == "slow: "
        (call,) = [r for r in world.records() if r["surface"] == "tools/call"]
        assert (call["outcome"], call["name"]) == ("ok", "slow")
        assert answered == engine.decide(question) or edit == "everything"
        await until(lambda: not world.service._former, "what was replaced is closed")
        first = _pids(record) if edit != "changed" else {_answering(record)}
        await until(lambda: all(map(_gone, first)), "the replaced server's processes end")
        assert _closed(lambda: engine.decide({"version": "x"})) == (edit == "everything")
        assert _closed(lambda: old.pii.vault.values("default", ["EMAIL_0"])) == (edit == "everything")
    assert verify(tmp_path / "data").ok


def _left(world: World) -> list[Any]:
    """What is there still of former configurations, and work in the background that will end."""
    lasting = ("_refresh_forever", "follow")  # the latter of keys, of servers and policies kept in the store
    work = [cast(Any, task.get_coro()).__name__ for task in world.service._tasks]
    return [*world.service._former, *(name for name in work if name not in lasting)]


def _answering(record: Path) -> int:
    """The process that got the first call."""
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return int(next(line["pid"] for line in lines if line["method"] == "tools/call"))


def _closed(use: Callable[[], Any]) -> bool:
    try:
        found = use()
    except Exception:
        return True
    return any("closed" in message for _, message in getattr(found, "reasons", ()))


async def test_a_call_outlives_several_edits(tmp_path: Path) -> None:
    """The vault goes with the second edit, the server with the third; a later call is done before the first."""
    record, other = tmp_path / "r.jsonl", tmp_path / "o.jsonl"
    servers = {"s": told(record, tools={"slow": {}}), "t": told(other, tools={"slow": {}}, server={"namespace": "t"})}
    redacted = {"token_format": "redacted"}
    async with running(config_of(tmp_path, servers)) as world:
        first = await _slow(world, record, tmp_path / "first")
        await world.service.apply(config_of(tmp_path, servers, catalogue={"page_size": 7}))
        second = asyncio.ensure_future(
            world.call("t__slow", {"until": str(tmp_path / "second"), "text": "a@b.example"})
        )
        await until(lambda: heard(other, "tools/call"), "the second call comes to its server")
        await world.service.apply(config_of(tmp_path, servers, guard=redacted))
        await world.service.apply(config_of(tmp_path, {}, guard=redacted))
        (tmp_path / "second").touch()
        assert "<EMAIL_" in (await second)["result"]["content"][0]["text"]
        for _ in range(20):  # whatever is closed at once is closed now
            await asyncio.sleep(0)
        (tmp_path / "first").touch()
        assert "result" in await first
        await until(lambda: not world.service._former, "what was replaced is closed")
        assert not world.service._former


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_an_approval_outlives_an_edit_but_not_the_policy_that_asked(
    shared: JSON, record: Path, tmp_path: Path, era: str
) -> None:
    server = {"s": shared}

    async def answered(world: World, edited: Any) -> JSON:
        """Call, edit while the person thinks, answer yes."""
        if era == "modern":
            client = caller(era="modern")
            interim = (await world.call("write", {"text": "a"}, client))["result"]
            await world.service.apply(edited)
            (name,) = interim["inputRequests"]
            retry = {"name": "write", "arguments": {"text": "a"}, "requestState": interim["requestState"]}
            return await world.ask("tools/call", {**retry, "inputResponses": {name: YES}}, client)

        async def thinking() -> JSON:
            await world.service.apply(edited)
            return YES

        return await world.call("write", {"text": "a"}, caller(line=Line({"elicitation/create": lambda _: thinking()})))

    before = len(heard(record, "tools/call"))
    async with running(config_of(tmp_path, server, policy=settings(rules=ASK))) as world:
        more = {**server, "t": {**shared, "namespace": "t"}}
        assert "result" in await answered(world, config_of(tmp_path, more, policy=settings(rules=ASK)))
        forbidden = settings(rules=ASK, forbidden=["s/write"])
        answer = await answered(world, config_of(tmp_path, more, policy=forbidden))
        assert len(heard(record, "tools/call")) == before + 1
        outcomes = [r["outcome"] for r in world.records() if r["surface"] == "tools/call"]
        if era == "modern":  # the call comes back as a new one, and is decided by what is in force now
            assert answer["error"]["data"]["type"] == "unknown_name", answer
            assert outcomes == ["input_required", "ok", "input_required", "unknown_name"]
        else:
            assert answer["error"]["code"] == -32012 and "policy" in answer["error"]["message"], answer
            assert outcomes == ["ok", "approval_required"]
        await until(lambda: not world.service._former, "what was replaced is closed")


async def test_calls_that_come_while_the_configuration_changes_are_all_served(shared: JSON, tmp_path: Path) -> None:
    server = {"s": shared}
    stop, answers = asyncio.Event(), []

    async def calls(world: World, who: int) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            client = caller("operator", "modern", tenant=f"tenant-{who}-{number % 50}")
            answers.append(await world.call("read", {"text": "a"}, client))

    async with running(config_of(tmp_path, server)) as world:
        work = [asyncio.ensure_future(calls(world, who)) for who in range(4)]
        for number in range(3):
            edit = {"policy": settings(forbidden=[f"none/{number}"]), "guard": {"token_ttl_days": 90 + number}}
            changed = {"s": {**server["s"], "description": f"edit {number}"}}
            await world.service.apply(config_of(tmp_path, changed, **edit))
        stop.set()
        await asyncio.gather(*work)
        wrong = [answer for answer in answers if "error" in answer]
        assert not wrong and len(answers) > 10, (len(answers), wrong[:3])
        recorded = [r for r in world.records() if r["surface"] == "tools/call"]
        assert len(recorded) == len(answers)


@pytest.mark.parametrize("edit", ["policy", "removed"])
async def test_a_call_that_is_still_being_looked_up_is_not_dropped_either(
    shared: JSON, tmp_path: Path, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config_of(tmp_path, {"s": shared})) as world:
        engine, asked, go = world.service._parts.engine, asyncio.Event(), asyncio.Event()
        decide = engine.decide_soon

        async def held(*documents: JSON) -> Any:
            asked.set()
            await go.wait()
            return await decide(*documents)

        monkeypatch.setattr(engine, "decide_soon", held)
        call = asyncio.ensure_future(world.call("read", {"text": "a"}))  # is it visible at all?
        await asked.wait()
        monkeypatch.undo()
        servers = {"s": shared} if edit == "policy" else {}
        await world.service.apply(config_of(tmp_path, servers, policy=FORBIDDEN))
        for _ in range(20):  # whatever is closed at once is closed now
            await asyncio.sleep(0)
        go.set()
        assert "result" in await call
        await until(lambda: not world.service._former, "what was replaced is closed")
        assert _closed(lambda: engine.decide({"version": "x"}))


async def test_a_server_that_starts_slowly_again_keeps_its_tools_and_its_calls(tmp_path: Path) -> None:
    go = tmp_path / "go"
    server = told(tmp_path / "r.jsonl", tools={"write": {}})
    wait = f'while [ ! -e {go} ]; do sleep 0.02; done; exec "$@"'
    held = {**server, "command": "/bin/sh", "args": ["-c", wait, "sh", server["command"], *server["args"]]}
    go.touch()
    async with running(config_of(tmp_path, {"s": held})) as world:
        go.unlink()
        await world.service.apply(config_of(tmp_path, {"s": held}, limits={"max_result": 50_000}))
        assert await world.tools() == {"write"}
        call = asyncio.ensure_future(world.call("write", {"text": "a"}))
        await until(lambda: world.service.gateway.pipeline._running, "the call is under way")
        go.touch()
        assert "result" in await call
        # Another program may offer anything: nothing of the former one is shown for it.
        go.unlink()
        other = {**held, "args": [*held["args"], "--era", "both"]}
        await world.service.apply(config_of(tmp_path, {"s": other}, limits={"max_result": 50_000}))
        assert await world.tools() == set()
        go.touch()


async def test_an_edit_of_other_limits_restarts_no_server(shared: JSON, tmp_path: Path) -> None:
    async with running(config_of(tmp_path, {"s": shared})) as world:
        members = world.service._members
        await world.service.apply(config_of(tmp_path, {"s": shared}, limits={"calls_per_minute": 1}))
        assert world.service._members == members
        assert ["result" in await world.call("read") for _ in range(2)] == [True, False]


def test_a_signal_ends_a_held_call_cleanly(tmp_path: Path) -> None:
    config = {
        "mcpServers": {"s": told(tmp_path / "r.jsonl", era="legacy", tools={"ask": {}})},
        "flow": {"enabled": False},
    }
    with running_gateway(config, tmp_path) as gateway:
        gateway.wait_for_tools("ask")
        assert _ask_modern(gateway)["result"]["resultType"] == "input_required"
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(10) == 0, gateway.log_text()
        wait_until(lambda: all(map(_gone, _pids(tmp_path / "r.jsonl"))), "its server's processes end")
        outcomes = [e.record["outcome"] for e in entries(gateway.data_dir) if e.record.get("name") == "ask"]
        assert outcomes == ["input_required", "cancelled"]
        assert "Traceback" not in gateway.log_text() and verify(gateway.data_dir).ok


def _ask_modern(gateway: Gateway) -> JSON:
    """`tools/call` of `ask` by a 2026 client whose person can be asked."""
    meta = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    params = {"name": "ask", "arguments": {}, "_meta": meta}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "ask",
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    _, answer, _ = fetch(gateway.url, body, headers)
    text = answer.decode()
    return dict(json.loads(text[text.index("{") :]))


# --- what a reload changes -------------------------------------------------------------------------------------


async def test_changed_limits_hold_at_the_servers_too(shared: JSON, tmp_path: Path) -> None:
    server = {"s": shared}
    async with running(config_of(tmp_path, server)) as world:
        assert "result" in await world.call("big", {"text": "90000"})
        await world.service.apply(config_of(tmp_path, server, limits={"max_result": 50_000}))
        assert "error" in await world.call("big", {"text": "90000"})
        assert "result" in await world.call("big", {"text": "10"})


def test_changed_roles_of_the_local_caller_hold_on_stdio(tmp_path: Path) -> None:
    config = {
        "mcpServers": {"s": told(tmp_path / "r.jsonl", tools={"write": {}, "read": READS})},
        "flow": {"enabled": False},
    }
    path = write_config(config, tmp_path / "agentflow.yaml")

    def names(speaker: Stdio) -> set[str]:
        return {tool["name"] for tool in speaker.ask("tools/list")["result"]["tools"]}

    with stdio_gateway(path, tmp_path) as speaker:
        wait_until(lambda: names(speaker) == {"write", "read"}, "both tools")
        write_config({**config, "auth": {"local": {"roles": ["viewer"]}}}, path)
        wait_until(lambda: names(speaker) == {"read"}, "what the new role shows", 15, speaker.log_text)
        assert speaker.call("write", {})["error"]["message"] == "Unknown tool: write"
        write_config(config, path)
        wait_until(lambda: names(speaker) == {"write", "read"}, "both tools again", 15, speaker.log_text)


async def test_policy_can_count_the_calls_of_a_session(shared: JSON, record: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(REPOSITORY / "policies", bundle)
    (bundle / "agentflow" / "third.rego").write_text("""package agentflow

import rego.v1

objections contains {"code": "enough", "message": "twice is enough"} if {
	input.session.counts[concat("/", [input.call.server, input.call.tool])] >= 2
}
""")
    server, before = {"s": {**shared, "namespace": "ns"}}, len(heard(record, "tools/call"))
    async with running(config_of(tmp_path, server, policy={"bundle": bundle})) as world:
        assert ["result" in await world.call("ns__write") for _ in range(4)] == [True, True, False, False]
        third = await world.call("ns__write")
        assert third["error"]["code"] == -32010 and third["error"]["data"]["reasons"][0]["code"] == "enough"
        assert "ns__write" in await world.tools()
        assert ["result" in await world.call("ns__read") for _ in range(3)] == [True, True, False]
        other = caller(tenant="other")
        assert "result" in await world.call("ns__write", {}, other)
        assert len(heard(record, "tools/call")) == before + 5


async def test_a_reload_that_cannot_be_built_leaves_everything_as_it_was(shared: JSON, tmp_path: Path) -> None:
    server = {"s": shared}
    async with running(config_of(tmp_path, server)) as world:
        parts = world.service._parts
        for wrong in ({"policy": {"bundle": tmp_path}}, {"pipeline": {"order": ["limit"]}}):
            with pytest.raises(AgentFlowError):
                await world.service.apply(config_of(tmp_path, {}, **wrong))
        assert world.service._parts is parts and "result" in await world.call("write")


async def test_no_mistake_of_ours_ends_live_reload(
    shared: JSON, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config_of(tmp_path, {"s": shared})) as world:
        service, path = world.service, tmp_path / "agentflow.yaml"
        path.write_text("nonsense: true")
        following = asyncio.ensure_future(_follow(service, path))
        await until(lambda: "nonsense" in caplog.text, "the file is followed")
        write_config({"flow": {"enabled": False}, "policy": settings(rules=5)}, path)
        await until(lambda: "settings.rules" in caplog.text, "an impossible value is named")
        before = service.config
        with monkeypatch.context() as patch:

            async def mistaken(_: object) -> None:
                raise AttributeError("a mistake")

            patch.setattr(service, "apply", mistaken)
            write_config({"flow": {"enabled": False}, "limits": {"max_concurrent": 7}}, path)
            await until(lambda: "AttributeError" in caplog.text, "the mistake is logged")
        write_config({"flow": {"enabled": False}, "policy": FORBIDDEN}, path)
        await until(lambda: service.config is not before, "the next edit is applied")
        following.cancel()
    assert "internal_error" in [entry.record.get("outcome") for entry in entries(before.data_dir)]


async def test_bounds_of_conversations_change_only_with_the_configuration(
    shared: JSON, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config_of(tmp_path, {"s": shared})) as world:
        bounds: list[int] = []
        monkeypatch.setattr(world.service._parts.conversations, "bound", lambda live, *_: bounds.append(live))
        guard = {"taint": {"live": 17}}
        with pytest.raises(AgentFlowError):
            await world.service.apply(config_of(tmp_path, {}, guard=guard, pipeline={"order": ["limit"]}))
        assert bounds == []
        await world.service.apply(config_of(tmp_path, {"s": shared}, guard=guard))
        assert bounds == [17]


async def test_another_database_of_the_vault_is_said_not_to_be_that_of_conversations(
    shared: JSON, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(config_of(tmp_path, {"s": shared})) as world:
        with pytest.raises(AgentFlowError):
            await world.service.apply(
                config_of(tmp_path, {}, guard={"vault": {"url": "postgresql://127.0.0.1:9/none"}})
            )
        assert "conversations stay in the database they are in" in caplog.text
