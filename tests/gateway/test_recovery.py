"""Servers that die, restart, forget, are late or never answer: their own calls suffer, once, and nobody else's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway_process import REPOSITORY, Gateway, child_environment, free_port, running_gateway, wait_until

from tests.gateway.full_world import (
    LEGACY,
    MODERN,
    Record,
    Seen,
    client_of,
    full_over_http,
    full_over_stdio,
    other_server,
    text_of,
    until,
)

JSON = dict[str, Any]
ERAS = (LEGACY, MODERN)
# What 2026-07-28 deprecates still has to pass through.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


def health(gateway: Gateway, name: str) -> JSON:
    servers = json.loads(gateway.get("/readyz")[1])["servers"]
    return next(dict(each) for each in servers if each["name"] == name)


def said(answer: JSON) -> Any:
    assert "result" in answer, answer
    return json.loads(answer["result"]["content"][0]["text"])


def agentflow(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, on the gateway's own configuration."""
    command = [sys.executable, "-m", "agentflow", *arguments]
    env = child_environment(gateway.data_dir)
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, cwd=REPOSITORY)


# --- child processes -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["legacy", "modern"])
def children(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Record]]:
    folder = tmp_path_factory.mktemp(f"children-{request.param}")
    servers = {"child": full_over_stdio("child", folder, request.param)}
    with running_gateway({"mcpServers": servers}, folder) as gateway:
        gateway.wait_for_tools("child__echo")
        yield gateway, Record(folder / "child.jsonl")


def test_a_killed_child_is_started_again_for_the_next_call(children: tuple[Gateway, Record]) -> None:
    gateway, _ = children
    first = said(gateway.call("child__count"))
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: not alive(first["pid"]), "the child's end")
    second = said(gateway.call("child__count"))
    assert second["pid"] != first["pid"]
    assert second["count"] == 1


def alive(pid: int) -> bool:
    """Whether there is anything left of the process. While one of its threads ends, its pipes are still open."""
    return Path(f"/proc/{pid}").exists()


def test_all_children_killed_at_once_come_back(children: tuple[Gateway, Record]) -> None:
    gateway, record = children
    gateway.call("child__echo")
    for pid in {entry["pid"] for entry in record.of("started")}:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "result" in gateway.call("child__echo"), "a call that works again", evidence=gateway.log_text)
    wait_until(lambda: health(gateway, "child")["status"] == "ready", "the server is ready again")
    assert "child__echo" in gateway.tool_names()


def test_a_call_whose_child_dies_under_it_fails_and_is_not_repeated(children: tuple[Gateway, Record]) -> None:
    gateway, record = children
    before = len(record.of("died"))
    answer = gateway.call("child__die")
    assert answer["error"]["code"] == -32015, answer
    assert "child" in answer["error"]["message"]
    assert "result" in gateway.call("child__echo")
    assert len(record.of("died")) == before + 1
    assert len(record.calls("die")) == before + 1


# --- servers over HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_restarted_server_that_forgot_its_sessions_is_called_anew(era: str, tmp_path: Path) -> None:
    port = free_port()
    with running_gateway({"mcpServers": {"web": {"url": f"http://127.0.0.1:{port}/mcp"}}}, tmp_path) as gateway:

        async def across(mode: str) -> None:
            seen = Seen()
            async with client_of(gateway, mode, seen) as client:
                with full_over_http("web", tmp_path, era, port):
                    await until(lambda: "web__count" in gateway.tool_names(), "the server comes up")
                    if mode == LEGACY:
                        await client.subscribe_resource("web://one")
                    assert json.loads(text_of(await client.call_tool("web__count")))["count"] == 1
                with full_over_http("web", tmp_path, era, port):
                    assert json.loads(text_of(await client.call_tool("web__count")))["count"] == 1
                    if mode == LEGACY:
                        await client.call_tool("web__touch")
                        await until(
                            lambda: "notifications/resources/updated" in seen.methods(), "the subscription lives"
                        )

        for mode in ERAS:
            anyio.run(across, mode)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_call_whose_server_dies_under_it_fails_and_is_not_repeated(era: str, tmp_path: Path) -> None:
    port = free_port()
    record = Record(tmp_path / "web.jsonl")
    with running_gateway({"mcpServers": {"web": {"url": f"http://127.0.0.1:{port}/mcp"}}}, tmp_path) as gateway:
        with full_over_http("web", tmp_path, era, port):
            gateway.wait_for_tools("web__die")
            gateway.call("web__echo")
            answer = gateway.call("web__die")
            assert answer["error"]["code"] == -32015, answer
        with full_over_http("web", tmp_path, era, port):
            wait_until(lambda: "result" in gateway.call("web__echo"), "a call that works again")
            assert len(record.of("died")) == 1
            assert len(record.calls("die")) == 1


def test_a_server_that_is_down_at_start_is_told_of_and_comes_up_by_itself(tmp_path: Path) -> None:
    port = free_port()
    with full_over_http("up", tmp_path) as url:
        servers = {"up": {"url": url}, "late": {"url": f"http://127.0.0.1:{port}/mcp"}}
        with running_gateway({"mcpServers": servers}, tmp_path) as gateway:
            gateway.wait_for_tools("up__echo")
            wait_until(lambda: health(gateway, "late")["status"] == "unavailable", "the server is given up for now")
            assert "Connection refused" in health(gateway, "late")["reason"]
            assert json.loads(gateway.get("/readyz")[1])["status"] == "degraded"

            shown = agentflow(gateway, "status", "--url", gateway.base)
            assert shown.returncode == 1, shown
            (line,) = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["late"]]
            assert "unavailable" in line
            assert "Connection refused" in line
            answer = gateway.call("late__echo")
            assert answer["error"]["code"] == -32602  # nobody has ever seen its tools

            with full_over_http("late", tmp_path, port=port):
                gateway.wait_for_tools("late__echo")
                assert "result" in gateway.call("late__echo")
                shown = agentflow(gateway, "status", "--json", "--url", gateway.base)
                assert shown.returncode == 0, shown
                statuses = {each["name"]: each["status"] for each in json.loads(shown.stdout)["servers"]}
                assert statuses == {"up": "ready", "late": "ready", "agentflow": "ready"}
            wait_until(lambda: health(gateway, "late")["status"] == "unavailable", "its going is noticed")
            assert "late__echo" in gateway.tool_names()  # an outage does not take tools out of a conversation
            refused = gateway.call("late__echo")
            assert refused["error"]["code"] == -32014, refused
            assert "late" in refused["error"]["message"]


def test_a_server_that_never_answers_delays_nobody_else(tmp_path: Path) -> None:
    with full_over_http("up", tmp_path) as url, other_server("mute", tmp_path) as port:
        servers = {"mute": {"url": f"http://127.0.0.1:{port}/mcp"}, "up": {"url": url}}
        with running_gateway({"mcpServers": servers}, tmp_path) as gateway:
            # Ready, and the very first listing is whole, though that server has not said a word.
            assert "up__echo" in gateway.tool_names()
            assert health(gateway, "mute")["status"] == "connecting"
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: gateway.call("up__echo"), range(24)))
            assert all("result" in answer for answer in answers)
            assert health(gateway, "mute")["status"] == "connecting"


# --- the command line against a running gateway ----------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("plain")
    with (
        full_over_http("web", folder) as url,
        running_gateway({"mcpServers": {"web": {"url": url}}}, folder) as gateway,
    ):
        gateway.wait_for_tools("web__echo")
        yield gateway


def test_the_command_line_lists_calls_and_explains(plain: Gateway) -> None:
    where = ("--url", plain.base)
    shown = agentflow(plain, "tools", *where)
    assert shown.returncode == 0, shown
    assert "web__echo" in shown.stdout

    called = agentflow(plain, "call", "web__echo", "city=Alta", "--explain", "--config", str(plain.config_path), *where)
    assert called.returncode == 0, called
    ran = {line.split()[0] for line in called.stdout.splitlines() if line.strip()}
    assert {"limit", "validate", "screen", "label", "decide", "rehydrate", "taint", "redact"} <= ran, called.stdout
    assert "decision: allow" in called.stdout

    raw = agentflow(plain, "call", "web__echo", "--args", '{"city": "Alta"}', "--explain", "--json", *where)
    assert raw.returncode == 0, raw
    body = json.loads(raw.stdout)
    assert body["result"]["structuredContent"]["leg"]["city"] == "Alta"
    assert body["record"]["outcome"] == "ok"
    assert body["record"]["name"] == "web__echo"

    failed = agentflow(plain, "call", "web__fail", *where)
    assert failed.returncode == 1, failed
    assert "the reactor is cold" in failed.stderr
    unknown = agentflow(plain, "call", "web__nothing", *where)
    assert unknown.returncode == 1
    assert "-32602" in unknown.stderr


def test_the_audit_log_is_read_and_verified_while_the_gateway_writes_it(plain: Gateway) -> None:
    plain.call("web__echo", {"city": "Narvik"})
    plain.call("web__fail")
    shown = agentflow(plain, "audit", "tail", "-n", "2", "--config", str(plain.config_path))
    assert shown.returncode == 0, shown
    first, second = shown.stdout.splitlines()
    assert "tools/call web__echo" in first
    assert "ok" in first
    assert "tools/call web__fail" in second
    verified = agentflow(plain, "audit", "verify", "--json", "--config", str(plain.config_path))
    assert verified.returncode == 0, verified
    found = json.loads(verified.stdout)
    assert found["ok"] is True
    assert found["records"] >= 2
