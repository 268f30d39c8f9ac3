"""Servers and commands come from the operator's file alone: no route or message adds one, no shell reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, Speaker, raw_http
from gateway_process import running_gateway
from security.conftest import ADA, House

SERVER = {"mcpServers": {"mine": {"command": "touch", "args": ["pwned"]}}}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_there_is_no_route_that_takes_a_server(house: House, method: str) -> None:
    body = json.dumps(SERVER).encode()
    for route in ("/servers", "/api/servers", "/config", "/admin", "/mcp/servers", "/api/v1/mcpServers", "/reload"):
        head = f"{method} {route} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {ADA['authorization']}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        answer = raw_http(house.gateway, head.encode() + body)
        assert answer.startswith(b"HTTP/1.1 404"), (route, answer)


@pytest.mark.parametrize(
    "method", ["servers/add", "config/set", "agentflow/reload", "mcpServers", "tools/add", "initialize/servers"]
)
def test_there_is_no_message_that_takes_a_server(house: House, ada_session: HttpLegacy, method: str) -> None:
    speakers: tuple[Speaker, ...] = (house.ada, ada_session)
    for speaker in speakers:
        assert speaker.ask(method, SERVER)["error"]["code"] == -32601
    assert "result" in house.ada.ask("tools/list", SERVER)
    assert sorted({tool["name"].split("__")[0] for tool in house.ada.ask("tools/list")["result"]["tools"]}) == [
        "asker",
        "canary",
        "child",
        "plain",
        "web",
    ]


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    poison = ["; touch pwned1", "$(touch pwned2)", "`touch pwned3`", "| touch pwned4", "&& touch pwned5", "> pwned6"]
    config = {
        "mcpServers": {
            "good": evil(),
            "words": evil(*poison),
            "name": {"command": "true; touch pwned7", "args": []},
            "path": {"command": "$(touch pwned8)"},
        },
        "flow": {"enabled": False},
    }
    with running_gateway(config, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        status = json.loads(gateway.get("/readyz")[1])
        states = {server["name"]: server["status"] for server in status["servers"]}
        assert states["good"] == "ready" and states["name"] == states["path"] == "unavailable"
    assert not list(tmp_path.rglob("pwned*"))
