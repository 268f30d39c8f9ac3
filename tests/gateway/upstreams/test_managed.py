"""A configured server stays what it promises to be while its processes come and go."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway.upstreams.exchanges import ALICE, BOB, LIMITS, Client, alive, call, raw, said, settled, tasks, until
from gateway.upstreams.http_servers import serving

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import UpstreamError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnavailable
from agentflow.gateway.upstreams import managed
from agentflow.gateway.upstreams.build import build
from agentflow.gateway.upstreams.managed import ManagedUpstream
from agentflow.gateway.upstreams.port import ClientIdentity, Health, Upstream

JSON = dict[str, Any]
SDK = ServerConfig(command=sys.executable, args=(str(Path(__file__).with_name("sdk_server.py")),))


class World:
    """Builds upstreams and remembers what they reported."""

    def __init__(self) -> None:
        self.upstreams: list[ManagedUpstream] = []
        self.healths: list[Health] = []
        self.unsolicited: list[tuple[str, JSON, ClientIdentity | None]] = []

    def start(self, config: ServerConfig, limits: LimitsConfig = LIMITS, name: str = "raw") -> ManagedUpstream:
        def changed(upstream: Upstream) -> None:
            self.healths.append(upstream.health)

        def unsolicited(upstream: Upstream, method: str, params: JSON, identity: ClientIdentity | None) -> None:
            self.unsolicited.append((method, params, identity))

        upstream = build(name, config, limits, on_change=changed, on_unsolicited=unsolicited)
        self.upstreams.append(upstream)
        upstream.start()
        return upstream

    async def ready(self, config: ServerConfig, limits: LimitsConfig = LIMITS) -> ManagedUpstream:
        upstream = self.start(config, limits)
        await upstream.settled()
        assert upstream.health.status == "ready", upstream.health
        return upstream


@pytest.fixture
async def world() -> AsyncIterator[World]:
    before = tasks()
    world = World()
    yield world
    await asyncio.gather(*(upstream.close() for upstream in world.upstreams))
    await settled(before)


async def ask(upstream: ManagedUpstream, name: str, client: Client | None = None, /, **arguments: Any) -> str:
    return said(await upstream.request("tools/call", call(name, **arguments), client or Client(), timeout=20))


def names(upstream: ManagedUpstream) -> list[str]:
    return [tool["name"] for tool in upstream.listing.tools]


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


async def test_what_a_server_offers_is_known_before_anybody_calls(world: World) -> None:
    upstream = await world.ready(raw())
    assert "echo" in names(upstream)
    assert upstream.listing.instructions == "Be careful."
    assert [resource["uri"] for resource in upstream.listing.resources] == ["raw://one"]
    assert (upstream.health.eras, upstream.health.protocol) == (("legacy",), "2025-11-25")
    assert (upstream.facts.name, upstream.facts.kind, upstream.facts.trust) == ("raw", "stdio", "untrusted")


async def test_starting_returns_at_once_and_calls_wait_for_the_first_connection(world: World) -> None:
    upstream = world.start(raw())
    assert upstream.health.status == "connecting"
    assert await ask(upstream, "echo") == "{}"


async def test_a_disabled_server_is_never_started(world: World, tmp_path: Path) -> None:
    upstream = world.start(raw("--starts", str(tmp_path / "starts"), disabled=True))
    await upstream.settled()
    with pytest.raises(UpstreamUnavailable, match="disabled"):
        await ask(upstream, "echo")
    assert lines(tmp_path / "starts") == 0


async def test_a_dead_server_is_unavailable_with_a_reason_and_delays_nobody(world: World) -> None:
    dead = world.start(ServerConfig(command="no-such-program"), name="dead")
    slow = world.start(
        ServerConfig(command=sys.executable, args=("-S", "-c", "import time; time.sleep(60)")), name="slow"
    )
    upstream = await world.ready(raw())
    await dead.settled()
    assert await ask(upstream, "echo") == "{}"
    assert dead.health.status == "unavailable"
    assert "no-such-program" in dead.health.reason
    assert slow.health.status == "connecting"
    with pytest.raises(UpstreamUnavailable) as error:
        await ask(dead, "echo")
    assert error.value.data["sent"] is False


async def test_a_server_that_comes_up_late_is_connected(world: World, tmp_path: Path) -> None:
    upstream = world.start(raw("--starts", str(tmp_path / "starts"), "--fail-start", "3"))
    await upstream.settled()
    assert "not ready yet" in upstream.health.reason
    await until(lambda: upstream.health.status == "ready")
    assert await ask(upstream, "echo") == "{}"


async def test_each_client_of_a_stateful_server_has_a_process_of_its_own(world: World) -> None:
    upstream = await world.ready(raw())
    first, again = await ask(upstream, "pid", Client(ALICE)), await ask(upstream, "pid", Client(ALICE))
    other_client = replace(ALICE, info='{"name":"other","version":"1"}')
    pids = {first, await ask(upstream, "pid", Client(BOB)), await ask(upstream, "pid", Client(other_client))}
    assert first == again
    assert len(pids) == 3


async def test_many_first_calls_at_once_start_one_process(world: World, tmp_path: Path) -> None:
    upstream = await world.ready(raw("--starts", str(tmp_path / "starts")))
    started = lines(tmp_path / "starts")
    assert len(set(await asyncio.gather(*(ask(upstream, "pid") for _ in range(20))))) == 1
    assert lines(tmp_path / "starts") == started + 1


async def test_the_longest_idle_client_makes_room_for_a_new_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "CHILDREN", 2)
    upstream = await world.ready(raw())
    clients = [Client(replace(ALICE, principal=f"p{n}")) for n in range(3)]
    pids = [int(await ask(upstream, "pid", client)) for client in clients]
    await until(lambda: not alive(pids[0]))
    assert [int(await ask(upstream, "pid", client)) for client in clients[1:]] == pids[1:]


async def test_a_call_waits_for_room_while_all_processes_are_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "CHILDREN", 1)
    upstream = await world.ready(raw())
    busy = asyncio.create_task(ask(upstream, "hang", Client(ALICE)))
    assert await ask(upstream, "echo", Client(ALICE)) == "{}"
    waiting = asyncio.create_task(ask(upstream, "echo", Client(BOB)))
    with pytest.raises(UpstreamUnavailable, match="no connection to spare"):
        await upstream.request("tools/call", call("echo"), Client(BOB), timeout=0.2)
    busy.cancel()
    assert await waiting == "{}"


async def test_a_client_speaks_its_own_era_where_the_server_speaks_both(world: World) -> None:
    upstream = await world.ready(SDK)
    assert await ask(upstream, "ask", Client(replace(ALICE, era="legacy"))) == "2025-11-25"
    assert await ask(upstream, "ask", Client(replace(ALICE, era="modern"))) == "2026-07-28"
    assert upstream.health.eras == ("legacy", "modern")
    assert upstream.listing.tools[0]["inputSchema"]["$defs"]


@pytest.mark.parametrize(("speaks", "era"), [("legacy", "modern"), ("modern", "legacy")])
async def test_a_client_of_the_other_era_gets_the_era_there_is(
    world: World, tmp_path: Path, speaks: str, era: Any
) -> None:
    upstream = await world.ready(raw("--era", speaks, "--starts", str(tmp_path / "starts")))
    assert await ask(upstream, "echo", Client(replace(ALICE, era=era))) == "{}"
    assert upstream.health.eras == (speaks,)
    started = lines(tmp_path / "starts")
    assert await ask(upstream, "echo", Client(replace(BOB, era=era))) == "{}"
    assert lines(tmp_path / "starts") == started + 1, "the other era was tried again"


async def test_a_killed_child_is_replaced_and_the_call_sent(world: World) -> None:
    upstream = await world.ready(raw())
    pid = int(await ask(upstream, "pid"))
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid))
    slot = next(iter(upstream._pool))
    await until(lambda: slot.connection is not None and slot.connection.closed.is_set())
    assert int(await ask(upstream, "pid")) != pid


async def test_a_tool_is_not_run_twice_when_its_server_dies_of_it(world: World, tmp_path: Path) -> None:
    upstream = await world.ready(raw("--count", str(tmp_path / "count")))
    with pytest.raises(UpstreamProtocolError, match="exited with code 3"):
        await ask(upstream, "crash")
    assert lines(tmp_path / "count") == 1
    assert await ask(upstream, "echo") == "{}"


async def test_a_tool_that_says_twice_does_no_harm_is_tried_once_more(world: World, tmp_path: Path) -> None:
    upstream = await world.ready(raw("--count", str(tmp_path / "count"), "--hint"))
    with pytest.raises(UpstreamProtocolError):
        await ask(upstream, "crash")
    assert lines(tmp_path / "count") == 2


async def test_the_gateways_own_connection_is_restored(world: World) -> None:
    upstream = await world.ready(raw())
    (child,) = upstream._connector._children  # type: ignore[attr-defined]
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: upstream.health.status == "unavailable")
    assert "signal 9" in upstream.health.reason
    assert "echo" in names(upstream), "the listing outlives the connection"
    await until(lambda: upstream.health.status == "ready")
    assert upstream.health.restarts == 1
    assert [health.status for health in world.healths].count("ready") >= 2


async def test_one_who_breaks_his_own_process_is_left_alone_and_nobody_else(world: World) -> None:
    upstream = await world.ready(raw())
    for _ in range(5):
        with pytest.raises(UpstreamProtocolError):
            await ask(upstream, "crash", Client(ALICE))
    with pytest.raises(UpstreamUnavailable, match="failed 5 times in a row"):
        await ask(upstream, "echo", Client(ALICE))
    assert await ask(upstream, "echo", Client(BOB)) == "{}"


async def test_a_tools_own_errors_never_open_the_breaker(world: World) -> None:
    upstream = await world.ready(raw())
    for _ in range(8):
        with pytest.raises(UpstreamError) as error:
            await ask(upstream, "unheard of")
        assert error.value.rpc_code == -32602
    assert await ask(upstream, "echo") == "{}"


async def test_a_slow_call_times_out_and_the_others_do_not(world: World) -> None:
    upstream = await world.ready(raw())
    slow = asyncio.create_task(upstream.request("tools/call", call("hang"), Client(), timeout=0.3))
    assert await ask(upstream, "echo") == "{}"
    with pytest.raises(UpstreamTimeout):
        await slow
    assert await ask(upstream, "echo") == "{}"


async def test_a_changed_list_is_fetched_again(world: World) -> None:
    upstream = await world.ready(raw())
    await ask(upstream, "grow")
    await until(lambda: "grown" in names(upstream))


async def test_nobody_sees_what_anothers_session_made_of_the_server(world: World) -> None:
    upstream = await world.ready(raw())
    await ask(upstream, "echo", Client(BOB))
    listed = upstream.listing
    await ask(upstream, "grow", Client(ALICE))
    await ask(upstream, "echo", Client(ALICE))
    await until(lambda: not upstream._stale.is_set())
    assert upstream.listing == listed


async def test_a_modern_server_is_listened_to(world: World) -> None:
    upstream = await world.ready(SDK)
    modern = Client(replace(ALICE, era="modern"))
    await upstream.request("resources/subscribe", {"uri": "note://one"}, modern)
    await ask(upstream, "change", modern)
    await until(lambda: world.unsolicited)
    method, params, identity = world.unsolicited[0]
    assert (method, params["uri"], identity) == ("notifications/resources/updated", "note://one", modern.identity)
    await until(lambda: "new2" in names(upstream))
    await upstream.request("resources/unsubscribe", {"uri": "note://one"}, modern)
    world.unsolicited.clear()
    await ask(upstream, "change", modern)
    await until(lambda: "new3" in names(upstream))
    assert world.unsolicited == []


async def test_a_legacy_change_over_the_sdk_is_noticed(world: World) -> None:
    upstream = await world.ready(SDK)
    await ask(upstream, "change", Client(replace(ALICE, era="legacy")))
    await until(lambda: "new2" in names(upstream))


async def test_an_update_that_belongs_to_no_call_is_passed_on_with_its_client(world: World) -> None:
    upstream = await world.ready(raw())
    await upstream.request("resources/subscribe", {"uri": "raw://one"}, Client(ALICE))
    await until(lambda: world.unsolicited)
    assert world.unsolicited == [("notifications/resources/updated", {"uri": "raw://one"}, ALICE)]


async def test_subscriptions_survive_the_death_of_the_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "_SWEEP_SECONDS", 0.2)
    upstream = await world.ready(raw())
    await upstream.request("resources/subscribe", {"uri": "raw://one"}, Client(ALICE))
    pid = int(await ask(upstream, "pid"))
    world.unsolicited.clear()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: world.unsolicited)
    assert world.unsolicited[0] == ("notifications/resources/updated", {"uri": "raw://one"}, ALICE)


async def test_a_listing_beyond_the_limit_is_refused_as_a_whole(world: World) -> None:
    upstream = world.start(raw("--tools", "50"), LimitsConfig(max_tools_per_server=20))
    await upstream.settled()
    assert upstream.health.status == "unavailable"
    assert "more than 20 tools" in upstream.health.reason
    assert upstream.listing.tools == ()


async def test_allow_and_deny_choose_the_tools_shown(world: World) -> None:
    upstream = await world.ready(raw(allow=("e*", "p*"), deny=("*v",)))
    assert names(upstream) == ["echo", "pid", "progress"]


async def test_a_broken_tool_file_is_a_problem_of_the_listing(world: World, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("from fastmcp.tools import tool\n@tool\ndef add(a: int) -> int: return a + 1\n")
    (tmp_path / "bad.py").write_text("this is no python")
    upstream = await world.ready(ServerConfig(path=tmp_path))
    assert names(upstream) == ["add"]
    assert "bad.py" in upstream.listing.problems[0]
    for era in ("legacy", "modern"):
        client = Client(replace(ALICE, era=era))  # type: ignore[arg-type]
        assert json.loads(await ask(upstream, "add", client, a=1)) == 2
    assert len(upstream._pool) == 2


async def test_closing_ends_every_process_and_is_idempotent(world: World) -> None:
    upstream = await world.ready(raw())
    pids = [int(await ask(upstream, "pid", Client(who))) for who in (ALICE, BOB)]
    hanging = asyncio.create_task(ask(upstream, "hang"))
    await ask(upstream, "echo")
    await upstream.close()
    await upstream.close()
    with pytest.raises((UpstreamProtocolError, UpstreamUnavailable)):
        await hanging
    assert not any(map(alive, pids))


async def test_closing_while_still_connecting_leaves_nothing(world: World) -> None:
    upstream = world.start(ServerConfig(command=sys.executable, args=("-S", "-c", "import time; time.sleep(600)")))
    await until(lambda: upstream._connector._children)  # type: ignore[attr-defined]
    (child,) = upstream._connector._children  # type: ignore[attr-defined]
    await upstream.close()
    assert not alive(child.pid)


@pytest.mark.parametrize("stateless", [True, False])
async def test_an_http_server_is_managed_like_any_other_in_both_eras(world: World, stateless: bool) -> None:
    from fastmcp import FastMCP

    server = FastMCP("web")

    @server.tool
    def twice(n: int) -> int:
        return 2 * n

    app = server.http_app(stateless_http=stateless)
    async with serving(app) as url:
        upstream = await world.ready(ServerConfig(url=f"{url}/mcp"))
        for era in ("legacy", "modern"):
            for who in (ALICE, BOB):
                client = Client(replace(who, era=era))  # type: ignore[arg-type]
                assert json.loads(await ask(upstream, "twice", client, n=4)) == 8
        assert upstream.health.eras == ("legacy", "modern")
    with pytest.raises((UpstreamUnavailable, UpstreamProtocolError)):
        await ask(upstream, "twice", Client(replace(ALICE, era="modern")), n=1)
    await until(lambda: upstream.health.status == "unavailable")
