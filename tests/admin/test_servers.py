"""Servers: what is shown of them, and adding, switching and reconnecting them while the gateway runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest
from admin.conftest import Headquarters
from admin.offices import KEYS
from gateway_process import wait_until
from upstream_processes import fixture_over_http

from agentflow.errors import UpstreamUnavailable
from agentflow.gateway.upstreams import reach
from agentflow.gateway.upstreams.http1 import HttpClient

ROOT = {"authorization": f"Bearer {KEYS['ROOT']}"}


def names(house: Headquarters) -> set[str]:
    answer = house.gateway.rpc("tools/list", {}, **ROOT)
    assert "result" in answer, answer
    return {tool["name"] for tool in answer["result"]["tools"]}


def test_a_server_is_shown_without_what_may_be_secret(house: Headquarters) -> None:
    shown = house.office("VERA").good("GET", "/servers/mail")
    assert shown["status"] == "ready" and shown["origin"] == "file" and shown["enabled"]
    assert set(shown["offered"]) == {"send_email", "list_drafts"}
    assert "changing_server.py" not in str(shown) and str(house.mail.file) not in str(shown)


def test_a_list_is_given_in_parts(yard: Headquarters) -> None:
    office = yard.office("ROOT")
    first = office.good("GET", "/servers?limit=1")
    assert len(first["items"]) == 1 and first["next"]
    second = office.good("GET", f"/servers?limit=1&cursor={first['next']}")
    assert second["items"][0]["name"] != first["items"][0]["name"]


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "touch", "args": ["PROOF"]},
        {"type": "stdio", "command": "touch", "args": ["PROOF"]},
        {"type": "stdio"},
        {"transport": "stdio", "url": "http://127.0.0.1:1/mcp"},
        {"url": "http://127.0.0.1:1/mcp", "command": "touch", "args": ["PROOF"]},
        {"url": "http://127.0.0.1:1/mcp", "env": {"A": "b"}},
        {"url": "http://127.0.0.1:1/mcp", "cwd": "/"},
        {"type": "tools", "path": "/etc"},
        {"path": "/etc"},
        {"type": "openapi", "spec": "/etc/passwd"},
        {"spec": "http://127.0.0.1:1/openapi.json"},
        {"type": "http", "url": "http://127.0.0.1:1/mcp", "autoApprove": ["*"]},
        {"type": "http", "url": "http://127.0.0.1:1/mcp", "reach": "any"},
        {"type": "local", "command": "touch"},
    ],
)
def test_what_would_run_or_read_something_here_is_refused_and_nothing_starts(
    yard: Headquarters, entry: dict[str, Any], tmp_path: Path
) -> None:
    """THREATS 14."""
    proof = tmp_path / "proof"
    entry = {name: [str(proof) if part == "PROOF" else part for part in value] if name == "args" else value
             for name, value in entry.items()}  # fmt: skip
    before = {child.pid for child in psutil.Process(yard.gateway.pid).children(recursive=True)}
    answer = yard.office("ROOT").post("/servers", {"name": "sly", **entry})
    assert (answer.status, answer.kind) == (403, "forbidden")
    assert {child.pid for child in psutil.Process(yard.gateway.pid).children(recursive=True)} <= before
    assert not proof.exists()
    assert yard.office("ROOT").get("/servers/sly").status == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/mcp", "http://localhost:9/mcp", "http://[::1]:9/mcp", "http://0.0.0.0/mcp",
        "http://10.1.2.3/mcp", "http://192.168.1.1/mcp", "http://172.16.0.1/mcp", "http://100.64.0.1/mcp",
        "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/mcp", "http://[fd00:ec2::254]/mcp",
        "http://[::ffff:127.0.0.1]/mcp", "http://[::ffff:a9fe:a9fe]/", "http://[64:ff9b::a9fe:a9fe]/",
        "http://2130706433/mcp", "http://0x7f000001/mcp", "http://0177.0.0.1/mcp", "http://127.1/mcp",
        "http://224.0.0.1/mcp", "http://no-such-host.invalid/mcp",
    ],
)  # fmt: skip
def test_a_server_inside_this_network_is_refused(house: Headquarters, url: str) -> None:
    """THREATS 13."""
    answer = house.office("ROOT").post("/servers", {"name": "inside", "type": "http", "url": url})
    assert (answer.status, answer.kind) == (403, "forbidden"), answer.body


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"url": "ftp://example.com/"},
        {"url": "file:///etc/passwd", "type": "http"},
        {"url": "gopher://127.0.0.1/"},
        {"url": "http://user:secret@example.com/mcp"},
        {"url": "http://example.com/mcp", "surprise": 1},
        {"url": "http://example.com/mcp", "headers": {"A": "b\r\nHost: evil"}},
        {"url": 5},
        {"url": "http://127.0.0.1:1/mcp", "timeout": -1},
    ],
)
def test_an_entry_that_is_none_is_refused(yard: Headquarters, entry: dict[str, Any]) -> None:
    answer = yard.office("ROOT").post("/servers", {"name": "odd", **entry})
    assert answer.status == 422, answer.body
    assert "secret" not in answer.body.decode()


@pytest.mark.parametrize("name", ["", "../x", "a b", "-a", "a/b", "x" * 65, "agentflow", "mail"])
def test_a_name_that_is_none_or_taken_is_refused(yard: Headquarters, name: str) -> None:
    answer = yard.office("ROOT").post("/servers", {"name": name, "url": "http://127.0.0.1:1/mcp"})
    assert answer.status in (409, 422)


def test_an_added_server_is_offered_untrusted_and_survives_a_restart(own: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"admin": {"private_servers": ["127.0.0.1"]}}
    with fixture_over_http(tmp_path) as url:
        house = own(**settings)
        entry = {
            "name": "extra",
            "url": url,
            "trust": "trusted",
            "credentials": {"Authorization": "Bearer upstream-hush"},
        }
        added = house.office("ROOT").good("POST", "/servers", entry)
        assert (added["trust"], added["origin"], added["type"]) == ("untrusted", "api", "http")
        wait_until(lambda: any(name.startswith("extra__") for name in names(house)), "its tools")
        assert house.office("ROOT").post("/servers", entry).status == 409
        [record] = house.office("ROOT").records(kind="admin", event="server_added", outcome="ok")
        assert (record["by"], record["subject"]) == ("default/root", "extra")
        assert "hush" not in house.office("ROOT").get("/servers/extra").body.decode()
        house.gateway.stop()
        for path in house.gateway.data_dir.rglob("*"):
            assert path.is_dir() or b"upstream-hush" not in path.read_bytes(), path
        house = own(**settings)
        wait_until(lambda: any(name.startswith("extra__") for name in names(house)), "its tools after a restart")
        off = house.office("OPAL").good("POST", "/servers/extra/disable")
        assert not off["enabled"] and off["status"] == "disabled"
        assert not any(name.startswith("extra__") for name in names(house))
        house.office("OPAL").good("POST", "/servers/extra/enable")
        wait_until(lambda: any(name.startswith("extra__") for name in names(house)), "its tools again")
        assert house.office("OPAL").ask("DELETE", "/servers/extra").status == 403
        house.office("ROOT").good("DELETE", "/servers/extra")
        assert house.office("ROOT").get("/servers/extra").status == 404
        assert not any(name.startswith("extra__") for name in names(house))


def test_a_configured_server_is_switched_off_and_on_and_not_removed(yard: Headquarters) -> None:
    office = yard.office("OPAL")
    office.good("POST", "/servers/spare/disable")
    assert not any(name.startswith("spare__") for name in names(yard))
    assert office.get("/servers/spare").json["enabled"] is False
    assert office.post("/servers/spare/reconnect").status == 409
    office.good("POST", "/servers/spare/disable")  # again: nothing more to do
    office.good("POST", "/servers/spare/enable")
    wait_until(lambda: any(name.startswith("spare__") for name in names(yard)), "its tools")
    assert yard.office("ROOT").ask("DELETE", "/servers/spare").status == 409
    events = [record["event"] for record in yard.office("ROOT").records(kind="admin", outcome="ok")]
    assert events.count("server_disabled") == 1 and "server_enabled" in events


def test_a_reconnected_child_is_another_process(yard: Headquarters) -> None:
    def children() -> set[int]:
        return {
            child.pid
            for child in psutil.Process(yard.gateway.pid).children()
            if "mail.json" in " ".join(child.cmdline())
        }

    before = wait_until(children, "the children")
    yard.office("OPAL").good("POST", "/servers/mail/reconnect")
    wait_until(lambda: children() - before, "a new child")
    wait_until(lambda: before - children(), "an old one's end")
    assert any(name.startswith("mail__") for name in names(yard))


async def test_a_name_that_leads_inside_by_the_time_of_the_call_is_not_connected_to(monkeypatch: Any) -> None:
    """DNS rebinding between the check and the connection: what counts is where the connection goes."""
    client = HttpClient("http://rebinds.example:8080/mcp", public=True)
    asked: list[str] = []

    async def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", ("93.184.216.34", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    with pytest.raises(UpstreamUnavailable, match="not at a public address"):
        await client.send(b"GET", b"")
    assert asked == ["rebinds.example"]
    await client.close()


def test_the_operator_names_places_inside() -> None:
    allowed = ("mcp.internal", "10.0.0.1:8080", "[::1]:9")
    assert reach.listed("MCP.internal", 80, allowed) and reach.listed("10.0.0.1", 8080, allowed)
    assert reach.listed("::1", 9, allowed)
    assert not reach.listed("10.0.0.1", 80, allowed) and not reach.listed("::1", 10, allowed)
    assert not reach.listed("x.mcp.internal", 80, allowed)
