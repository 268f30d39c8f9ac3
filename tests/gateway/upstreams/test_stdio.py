"""A child process as an upstream: it may do what it likes, and harms at most its own call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from gateway.upstreams.exchanges import ALICE, LIMITS, Client, alive, call, raw, said, settled, tasks, until

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import (
    Unsupported,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.gateway.upstreams.peer import Peer
from agentflow.gateway.upstreams.port import ClientIdentity, Era
from agentflow.gateway.upstreams.stdio import StdioConnector

JSON = dict[str, Any]
Open = Callable[..., Any]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Opened:
    """Connects with one connector per call, remembers what arrived unsolicited, and closes everything."""

    def __init__(self) -> None:
        self.connectors: list[StdioConnector] = []
        self.heard: list[tuple[str, JSON]] = []

    async def __call__(
        self,
        config: ServerConfig,
        era: Era | None = None,
        limits: LimitsConfig = LIMITS,
        identity: ClientIdentity = ALICE,
    ) -> Peer:
        connector = StdioConnector("raw", config, limits)
        self.connectors.append(connector)
        return await connector.connect(identity, era, lambda method, params: self.heard.append((method, params)))


@pytest.fixture
async def connect() -> AsyncIterator[Opened]:
    before = tasks()
    opened = Opened()
    yield opened
    await asyncio.gather(*(connector.close() for connector in opened.connectors))
    await settled(before)


async def ask(peer: Peer, name: str, client: Client | None = None, timeout: float = 20.0, **arguments: Any) -> str:
    return said(await peer.request("tools/call", call(name, **arguments), client or Client(), timeout))


async def test_the_handshake_carries_the_clients_own_name_and_capabilities(connect: Opened) -> None:
    peer = await connect(raw(), "legacy")
    assert (peer.era, peer.protocol, peer.instructions) == ("legacy", "2025-11-25", "Be careful.")
    assert peer.server_info["client"] == {"name": "desk", "version": "7"}
    assert peer.stateful


async def test_a_modern_request_carries_the_envelope_and_a_legacy_one_does_not(connect: Opened) -> None:
    modern = await connect(raw("--era", "modern"), None)
    params = call("echo") | {"_meta": {"own": 1, "io.modelcontextprotocol/logLevel": "x"}}
    seen = (await modern.request("tools/call", params, Client(log_level="debug"), 20))["_meta"]["seen"]
    assert seen == {
        "own": 1,
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "desk", "version": "7"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        "io.modelcontextprotocol/logLevel": "debug",
    }
    legacy = await connect(raw(), "legacy")
    params = call("echo") | {"_meta": {"own": 1, "io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
    assert (await legacy.request("tools/call", params, Client(), 20))["_meta"]["seen"] == {"own": 1}


@pytest.mark.parametrize("reaction", ["error", "exit"])
async def test_a_handshake_only_server_is_found_whatever_it_does_at_the_probe(connect: Opened, reaction: str) -> None:
    peer = await connect(raw("--on-probe", reaction))
    assert peer.era == "legacy"
    assert await ask(peer, "echo", a=1) == '{"a": 1}'


async def test_a_server_that_ignores_the_probe_is_asked_the_old_way(
    connect: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentflow.gateway.upstreams.handshake.PROBE_PATIENCE", 0.2)
    assert (await connect(raw("--on-probe", "ignore"))).era == "legacy"


async def test_an_era_the_server_does_not_speak_is_unsupported(connect: Opened) -> None:
    with pytest.raises(Unsupported):
        await connect(raw("--era", "modern"), "legacy")
    with pytest.raises(Unsupported):
        await connect(raw("--era", "legacy"), "modern")


async def test_concurrent_calls_get_their_own_answers(connect: Opened) -> None:
    peer = await connect(raw())
    answers = await asyncio.gather(*(ask(peer, "echo", n=n) for n in range(50)))
    assert [json.loads(answer)["n"] for answer in answers] == list(range(50))


async def test_progress_reaches_its_call_under_the_clients_own_token(connect: Opened) -> None:
    peer, client = await connect(raw()), Client()
    params = call("progress", steps=3) | {"_meta": {"progressToken": "mine"}}
    await peer.request("tools/call", params, client, 20)
    assert client.heard == [
        ("notifications/progress", {"progressToken": "mine", "progress": step}) for step in range(3)
    ]


async def test_progress_extends_the_timeout_of_its_call(connect: Opened) -> None:
    peer = await connect(raw())
    params = call("progress", steps=8, pause=0.25) | {"_meta": {"progressToken": 1}}
    assert said(await peer.request("tools/call", params, Client(), 1.0)) == "done"


async def test_a_log_message_reaches_the_call_in_flight(connect: Opened) -> None:
    peer, client = await connect(raw()), Client()
    await ask(peer, "log", client)
    assert client.heard == [("notifications/message", {"level": "info", "data": "hello"})]
    assert connect.heard == []


@pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list"])
async def test_what_the_server_asks_is_put_to_the_client_of_the_call(connect: Opened, method: str) -> None:
    async def reply(method: str, params: JSON) -> JSON:
        return {"action": "accept"}

    peer, client = await connect(raw()), Client(reply=reply)
    assert await ask(peer, "ask", client, method=method) == '{"action": "accept"}'
    assert client.asked == [(method, {"message": "Which?"})]


async def test_a_client_that_refuses_is_quoted_with_its_own_code(connect: Opened) -> None:
    async def reply(method: str, params: JSON) -> JSON:
        raise UpstreamError(-1, "User rejected", {"a": 1})

    peer = await connect(raw())
    answer = await ask(peer, "ask", Client(reply=reply), method="elicitation/create")
    assert json.loads(answer) == {"code": -1, "message": "User rejected", "data": {"a": 1}}


async def test_a_request_that_no_client_serves_and_a_ping_are_answered_here(connect: Opened) -> None:
    peer, client = await connect(raw()), Client()
    assert json.loads(await ask(peer, "ask", client, method="exotic/thing"))["code"] == -32601
    assert json.loads(await ask(peer, "ask", client, method="ping")) is None  # `{}` is what the raw child shows as null
    assert client.asked == []


async def test_waiting_for_the_client_does_not_count_against_the_server(connect: Opened) -> None:
    async def reply(method: str, params: JSON) -> JSON:
        await asyncio.sleep(1.2)
        return {"action": "decline"}

    peer = await connect(raw())
    answer = await ask(peer, "ask", Client(reply=reply), timeout=1.0, method="elicitation/create")
    assert answer == '{"action": "decline"}'


async def test_a_cancelled_call_is_cancelled_at_the_server(connect: Opened) -> None:
    peer = await connect(raw())
    task = asyncio.create_task(ask(peer, "hang"))
    assert await ask(peer, "echo") == "{}"  # so the hanging call is with the server
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(json.loads(await ask(peer, "cancelled"))) == 1


async def test_a_call_that_takes_too_long_times_out_and_is_cancelled_at_the_server(connect: Opened) -> None:
    peer = await connect(raw())
    with pytest.raises(UpstreamTimeout, match="did not answer tools/call within"):
        await ask(peer, "hang", timeout=0.1)
    assert len(json.loads(await ask(peer, "cancelled"))) == 1


async def test_garbage_is_ignored_and_counted(connect: Opened) -> None:
    peer = await connect(raw())
    assert await ask(peer, "garbage") == "after garbage"
    assert peer.garbage == 7
    assert await ask(peer, "echo") == "{}"


async def test_a_second_answer_is_ignored(connect: Opened) -> None:
    peer = await connect(raw())
    assert await ask(peer, "twice") == "first"
    assert await ask(peer, "echo") == "{}"
    assert peer.garbage == 1


async def test_a_child_that_dies_ends_its_calls_with_exit_code_and_last_words(connect: Opened) -> None:
    peer = await connect(raw())
    other = asyncio.create_task(ask(peer, "hang"))
    await ask(peer, "echo")
    with pytest.raises(UpstreamProtocolError, match="exited with code 3: database is on fire"):
        await ask(peer, "crash")
    with pytest.raises(UpstreamProtocolError, match="broke off"):
        await other
    assert peer.closed.is_set()
    with pytest.raises(UpstreamUnavailable) as refused:
        await ask(peer, "echo")
    assert refused.value.data["sent"] is False


async def test_a_line_beyond_the_limit_ends_the_connection_and_the_child(connect: Opened) -> None:
    peer = await connect(raw(), limits=LimitsConfig(max_result=1024 * 1024))
    pid = int(await ask(peer, "pid"))
    with pytest.raises(UpstreamProtocolError, match="longer than 1048576 bytes"):
        await ask(peer, "big")
    await until(lambda: not alive(pid))


async def test_a_child_that_ignores_everything_is_killed_and_reaped(
    connect: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentflow.gateway.upstreams.stdio._GRACE", 0.3)
    peer = await connect(raw("--stubborn"))
    pid = int(await ask(peer, "pid"))
    await peer.close()
    assert not alive(pid)
    with pytest.raises(ProcessLookupError):  # not even a zombie is left
        os.kill(pid, 0)


async def test_closing_leaves_no_grandchild_behind(connect: Opened) -> None:
    peer = await connect(raw())
    pid = int(await ask(peer, "orphan"))
    assert alive(pid)
    await peer.close()
    await until(lambda: not alive(pid))


async def test_a_dead_child_is_noticed_though_its_own_child_holds_the_pipe(connect: Opened) -> None:
    peer = await connect(raw())
    orphan = int(await ask(peer, "orphan"))
    with pytest.raises(UpstreamProtocolError, match="exited with code 3"):
        await ask(peer, "crash")
    await until(lambda: not alive(orphan))


async def test_the_child_sees_a_short_list_of_variables_and_what_is_configured(
    connect: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("WANTED", "yes")
    monkeypatch.setenv("LC_TIME", "C")
    peer = await connect(raw(env={"MINE": "1"}, env_allow=("WANTED",)))
    seen = json.loads(await ask(peer, "env"))
    assert "SECRET_TOKEN" not in seen
    assert (seen["MINE"], seen["WANTED"], seen["LC_TIME"], seen["PATH"]) == ("1", "yes", "C", os.environ["PATH"])


async def test_a_command_that_does_not_exist_is_named(connect: Opened, tmp_path: Any) -> None:
    with pytest.raises(UpstreamUnavailable, match="'no-such-program'") as error:
        await connect(ServerConfig(command="no-such-program"))
    assert "install" in error.value.fix
    with pytest.raises(UpstreamUnavailable, match="cwd"):
        await connect(raw(cwd=tmp_path / "nowhere"))


async def test_a_program_that_is_no_server_is_reported_with_its_output(connect: Opened) -> None:
    script = "import sys; print('usage: thing', file=sys.stderr); sys.exit(64)"
    with pytest.raises(UpstreamProtocolError, match="exited with code 64: usage: thing"):
        await connect(ServerConfig(command=sys.executable, args=("-S", "-c", script)))


async def test_a_server_that_never_answers_times_out_and_is_ended(connect: Opened) -> None:
    config = ServerConfig(command=sys.executable, args=("-S", "-c", "import time; time.sleep(600)"), timeout=0.5)
    with pytest.raises(UpstreamTimeout):
        await connect(config)
    assert not connect.connectors[0]._children


async def test_a_child_that_floods_its_log_is_not_blocked(connect: Opened) -> None:
    script = (
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    sys.stderr.write('noise ' * 200000); sys.stderr.flush()\n"
        "    m = json.loads(line)\n"
        "    if 'id' in m: print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result':"
        " {'protocolVersion': '2025-06-18', 'capabilities': {}}}), flush=True)\n"
    )
    peer = await connect(ServerConfig(command=sys.executable, args=("-S", "-c", script)), "legacy")
    assert peer.protocol == "2025-06-18"


async def test_a_child_that_reads_nothing_delays_only_its_own_calls(connect: Opened) -> None:
    script = (
        "import sys, json, time\n"
        "m = json.loads(sys.stdin.readline())\n"
        "print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result':"
        " {'protocolVersion': '2025-06-18', 'capabilities': {}}}), flush=True)\n"
        "time.sleep(600)\n"
    )
    peer = await connect(ServerConfig(command=sys.executable, args=("-S", "-c", script)), "legacy")
    blob = "x" * 1024 * 1024
    outcomes = await asyncio.gather(
        *(ask(peer, "echo", timeout=0.5, blob=blob) for _ in range(4)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [UpstreamTimeout] * 4
    await peer.close()
