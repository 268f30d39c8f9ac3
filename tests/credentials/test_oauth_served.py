"""People connect to a server that wants tokens of their own, through a real gateway."""

from __future__ import annotations

import concurrent.futures
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from credentials.oauth_world import World, query_of, world
from gateway_process import Gateway, child_environment, running_gateway, wait_until, write_config

from agentflow.audit.read import entries

JSON = dict[str, Any]
KEYS = {"alice": "alice-key-0123456789abcdef", "bob": "bob-key-0123456789abcdef"}
ENV = {"ALICE_KEY": KEYS["alice"], "BOB_KEY": KEYS["bob"]}


def configuration(url: str, **auth: Any) -> JSON:
    callers = [{"id": name, "key": f"${{{name.upper()}_KEY}}", "roles": ["operator"]} for name in KEYS]
    server = {"url": url, "auth": {"type": "oauth", **auth}, "trust": "trusted"}
    config: JSON = {"mcpServers": {"desk": server}, "auth": {"api_keys": callers}, "flow": {"enabled": False}}
    return config


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def gateway(there: World, tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(configuration(there.guarded.url), tmp_path, env=ENV) as up:
        yield up


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


def browse(gateway: Gateway, there: World, name: str, server: str = "desk") -> httpx2.Response:
    """Connect `name` as a browser would, to the last page."""
    there.issuer.person = f"{name}-at-desk"
    with httpx2.Client(follow_redirects=True, trust_env=False) as browser:
        begun = browser.get(f"{gateway.base}/connect/{server}", headers=bearer(name), follow_redirects=False)
        assert begun.status_code == 303, f"{begun.text}\n{gateway.log_text()[-6000:]}"
        return browser.get(begun.headers["location"])


def ask(gateway: Gateway, name: str, tool: str = "desk__whoami") -> JSON:
    return gateway.rpc("tools/call", {"name": tool, "arguments": {}}, **bearer(name))


def said(answer: JSON) -> str:
    assert "result" in answer, answer
    return str(answer["result"]["content"][0]["text"])


def tools(gateway: Gateway, name: str) -> set[str]:
    answer = gateway.rpc("tools/list", {}, **bearer(name))
    assert "result" in answer, f"{answer}\n{gateway.log_text()}"
    return {tool["name"] for tool in answer["result"]["tools"]}


def test_two_people_connect_and_each_acts_as_itself_alone(gateway: Gateway, there: World) -> None:
    assert tools(gateway, "alice") == set()
    for name in KEYS:
        assert browse(gateway, there, name).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        names = ["alice", "bob"] * 20
        answers = list(pool.map(lambda name: said(ask(gateway, name)), names))
    assert answers == [f"{name}-at-desk" for name in names]
    ports = {each["who"]: set() for each in there.guarded.heard if each["who"]}
    for each in there.guarded.heard:
        if each["who"]:
            ports[each["who"]].add(each["port"])
    assert not ports["alice-at-desk"] & ports["bob-at-desk"]  # never one connection for both
    everything = json.dumps(there.guarded.heard)
    assert not any(key in everything for key in KEYS.values())  # the callers' own keys go nowhere
    registered = [each for what, each in there.issuer.asked if what == "register"]
    assert len(registered) == 1 and registered[0]["redirect_uris"] == [f"{gateway.base}/oauth/callback/desk"]


def test_who_has_not_connected_is_offered_nothing_and_learns_nothing(gateway: Gateway, there: World) -> None:
    there.guarded.own["alice-at-desk"] = ["secret_of_alice"]
    browse(gateway, there, "alice")
    assert tools(gateway, "alice") == {"desk__whoami", "desk__secret_of_alice"}
    assert tools(gateway, "bob") == set()
    hidden = ask(gateway, "bob", "desk__whoami")["error"]
    unknown = ask(gateway, "bob", "desk__no_such_tool")["error"]
    assert hidden["code"] == unknown["code"] and hidden["data"]["type"] == "unknown_name" == unknown["data"]["type"]
    browse(gateway, there, "bob")
    assert tools(gateway, "bob") == {"desk__whoami"}
    assert ask(gateway, "bob", "desk__secret_of_alice")["error"]["data"]["type"] == "unknown_name"
    assert said(ask(gateway, "alice", "desk__secret_of_alice")) == "alice-at-desk"


def test_a_token_that_ends_in_the_middle_is_renewed_once_for_fifty_calls(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    there.issuer.end_tokens()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: said(ask(gateway, "alice")), range(50)))
    assert set(answers) == {"alice-at-desk"}
    assert len(there.issuer.grants("refresh_token")) == 1


def test_a_credential_that_cannot_be_renewed_asks_its_person_to_connect_again(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    there.issuer.end_tokens()
    there.issuer.refreshes.clear()
    error = ask(gateway, "alice")["error"]
    assert error["data"]["type"] == "credential_required" and error["data"]["server"] == "desk"
    assert error["data"]["connect_url"] == f"{gateway.base}/connect/desk"
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"


def test_an_issuer_that_is_busy_loses_nobody_its_credential(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    there.issuer.end_tokens()
    there.issuer.refuse = "busy"
    assert ask(gateway, "alice")["error"]["data"]["type"] == "upstream_unavailable"
    there.issuer.refuse = ""
    assert said(ask(gateway, "alice")) == "alice-at-desk"


def test_credentials_outlive_the_gateway_and_nothing_of_them_lies_open(there: World, tmp_path: Path) -> None:
    config = configuration(there.guarded.url)
    with running_gateway(config, tmp_path, env=ENV) as gateway:
        browse(gateway, there, "alice")
        assert said(ask(gateway, "alice")) == "alice-at-desk"
        port = urlsplit(gateway.base).port
        gateway.kill()
    with running_gateway(config, tmp_path, env=ENV, port=port) as gateway:
        assert said(ask(gateway, "alice")) == "alice-at-desk"
    secrets = [*there.issuer.tokens, *there.issuer.refreshes, *KEYS.values()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path


def test_a_gateway_killed_while_it_renews_leaves_a_credential_whole_or_asks_again(there: World, tmp_path: Path) -> None:
    config = configuration(there.guarded.url, timeout=1)
    with running_gateway(config, tmp_path, env=ENV) as gateway:
        browse(gateway, there, "alice")
        port = urlsplit(gateway.base).port
        assert said(ask(gateway, "alice")) == "alice-at-desk"
        there.issuer.end_tokens()
        there.issuer.gate = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(ask, gateway, "alice")
            wait_until(lambda: there.issuer.grants("refresh_token"), "the refresh")
            gateway.kill()  # the old refresh token is used up, the new one is on its way
            there.issuer.gate.set()
            with pytest.raises(OSError):
                call.result()
    there.issuer.gate = None
    with running_gateway(config, tmp_path, env=ENV, port=port) as gateway:
        tools(gateway, "alice")
        answer = ask(gateway, "alice")
        assert answer["error"]["data"]["type"] in ("credential_required", "unknown_name"), answer
        browse(gateway, there, "alice")
        assert said(ask(gateway, "alice")) == "alice-at-desk"


def test_what_the_browser_brings_back_counts_once_for_the_browser_that_began(gateway: Gateway, there: World) -> None:
    there.issuer.person = "alice-at-desk"
    with httpx2.Client(trust_env=False) as browser:
        begun = browser.get(f"{gateway.base}/connect/desk", headers=bearer("alice"))
        cookie = begun.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "path=/oauth/callback" in cookie
        back = browser.get(begun.headers["location"]).headers["location"]
        assert query_of(begun.headers["location"])["resource"] == there.guarded.url
        foreign = httpx2.get(back, trust_env=False)  # somebody else's browser
        assert foreign.status_code == 400 and "other_browser" in foreign.text
        assert browser.get(back).status_code == 400  # and that state is used up
        begun = browser.get(f"{gateway.base}/connect/desk", headers=bearer("alice"))
        back = browser.get(begun.headers["location"]).headers["location"]
        assert browser.get(back).status_code == 200
        assert browser.get(back).status_code == 400  # once
        begun = browser.get(f"{gateway.base}/connect/desk", headers=bearer("alice"))
        back = browser.get(begun.headers["location"]).headers["location"]
        mixed = back.replace(
            query_of(back)["iss"].replace(":", "%3A").replace("/", "%2F"), "http%3A%2F%2Fother.example"
        )
        assert mixed != back
        answer = browser.get(mixed)
        assert answer.status_code == 400 and "issuer_mismatch" in answer.text
        begun = browser.get(f"{gateway.base}/connect/desk", headers=bearer("alice"))
        back = browser.get(begun.headers["location"]).headers["location"]
        silent = "&".join(part for part in back.split("&") if not part.startswith("iss="))
        assert browser.get(silent).status_code == 400  # it had announced that it would name itself
    codes = len(there.issuer.grants("authorization_code"))
    assert codes == 1


def test_a_stranger_is_asked_who_it_is_and_another_site_cannot_connect_anybody(gateway: Gateway, there: World) -> None:
    page = httpx2.get(f"{gateway.base}/connect/desk", headers={"accept": "text/html"}, trust_env=False)
    assert page.status_code == 401 and 'type="password"' in page.text and "default-src 'none'" in page.headers[
        "content-security-policy"]  # fmt: skip
    wrong = httpx2.post(f"{gateway.base}/connect/desk", data={"key": "not-a-key-at-all-000"}, trust_env=False)
    assert wrong.status_code == 401
    right = httpx2.post(f"{gateway.base}/connect/desk", data={"key": KEYS["bob"]}, trust_env=False)
    assert right.status_code == 303 and right.headers["location"].startswith(there.issuer.url)
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    posted = httpx2.post(f"{gateway.base}/connect/desk", data={"key": KEYS["bob"]}, headers=foreign, trust_env=False)
    assert posted.status_code == 403
    assert httpx2.get(f"{gateway.base}/connect/nowhere", headers=bearer("bob"), trust_env=False).status_code == 404


def test_the_command_line_lists_and_revokes_in_a_running_gateway(gateway: Gateway, there: World) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agentflow", "credentials", *words, "--config", str(gateway.config_path)]
        env = child_environment(gateway.data_dir, ENV)
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    listed = run("list", "--json")
    assert listed.returncode == 0, listed.stderr
    (row,) = json.loads(listed.stdout)
    assert (row["tenant"], row["principal"], row["server"], row["kind"]) == ("default", "alice", "desk", "oauth")
    assert row["used"] is not None and not set(row) & {"sealed", "version"}
    refresh = next(iter(there.issuer.refreshes))
    removed = run("revoke", "desk", "--principal", "default/alice")
    assert removed.returncode == 0, removed.stderr
    assert there.issuer.revoked == [refresh]

    def refused() -> JSON | None:
        return ask(gateway, "alice").get("error")

    error = wait_until(refused, "the revocation to be noticed", 5)
    assert error["data"]["type"] == "credential_required"
    records = [each.record for each in entries(gateway.data_dir)]
    names = {record.get("event") for record in records if record.get("kind") == "key"}
    assert names >= {"credential_stored", "credential_used", "credential_revoked"}, names


def test_a_client_that_can_show_an_address_is_told_in_the_way_made_for_it(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    there.issuer.end_tokens()
    there.issuer.refreshes.clear()
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
    }
    headers = {
        **bearer("alice"),
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "desk__whoami",
    }
    params: JSON = {"name": "desk__whoami", "arguments": {}, "_meta": meta}
    body: JSON = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    first = httpx2.post(gateway.url, json=body, headers=headers, trust_env=False).json()["result"]
    assert first["resultType"] == "input_required", first
    ((key, question),) = first["inputRequests"].items()
    assert question["params"]["mode"] == "url" and question["params"]["url"] == f"{gateway.base}/connect/desk"
    browse(gateway, there, "alice")
    params |= {"requestState": first["requestState"], "inputResponses": {key: {"action": "accept"}}}
    second = httpx2.post(gateway.url, json=body, headers=headers, trust_env=False, timeout=30).json()
    assert second["result"]["content"][0]["text"] == "alice-at-desk", second


def test_short_lived_tokens_are_renewed_before_they_end(there: World, tmp_path: Path) -> None:
    there.issuer.lasts = 2.0
    with running_gateway(configuration(there.guarded.url), tmp_path, env=ENV) as gateway:
        browse(gateway, there, "alice")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert said(ask(gateway, "alice")) == "alice-at-desk"
            time.sleep(0.2)
    assert 1 <= len(there.issuer.grants("refresh_token")) <= 8


def test_the_command_line_connects_a_person_through_a_loopback_redirect(there: World, tmp_path: Path) -> None:
    config = configuration(there.guarded.url)
    config["mcpServers"]["wiki"] = {"url": "https://wiki.example/mcp", "auth": "static"}
    path = write_config(config, tmp_path / "agentflow.yaml")
    agentflow = [sys.executable, "-m", "agentflow", "credentials"]
    env = child_environment(tmp_path / "data", ENV)
    connect = [*agentflow, "connect", "desk", "--principal", "default/alice", "--no-browser", "--config", str(path)]
    there.issuer.person = "alice-at-desk"
    with subprocess.Popen(connect, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        lines = iter(process.stderr.readline, "")
        url = next(line.strip() for line in lines if line.strip().startswith("http"))
        redirect = query_of(url)["redirect_uri"]
        assert redirect.startswith("http://127.0.0.1:") and redirect.endswith("/oauth/callback")
        assert httpx2.get(redirect.replace("/oauth/callback", "/other"), trust_env=False).status_code == 404
        page = httpx2.get(url, follow_redirects=True, trust_env=False)
        assert page.status_code == 200 and "Connected" in page.text
        assert process.wait(60) == 0
        assert "is connected" in process.stdout.read()
    put = [*agentflow, "set", "wiki", "--principal", "default/bob", "--config", str(path), "--json"]
    done = subprocess.run(put, env=env, input="the-key-of-bob\n", capture_output=True, text=True, check=True)
    assert "the-key-of-bob" not in done.stdout + done.stderr
    for odd in (
        b"two\nlines\n",
        b"",
        b" \n",
        b"\xff\xfe",
        "schlüssel".encode(),
        b"a\0b",
        b"a\r\nX-Role: admin",
        b"x" * 99_999,
    ):
        bad = subprocess.run(put, env=env, input=odd, capture_output=True)
        assert bad.returncode == 2 and b"Traceback" not in bad.stderr and b"fix" in bad.stdout + bad.stderr, bad
    closed = subprocess.run(f"exec <&-; {shlex.join(put)}", shell=True, env=env, capture_output=True)
    assert closed.returncode == 2 and b"Traceback" not in closed.stderr, closed
    listed = subprocess.run(
        [*agentflow, "list", "--config", str(path), "--json"], env=env, capture_output=True, text=True, check=True
    )
    rows = [(each["principal"], each["server"], each["kind"]) for each in json.loads(listed.stdout)]
    assert rows == [("alice", "desk", "oauth"), ("bob", "wiki", "static")]
    with running_gateway(config, tmp_path, env=ENV) as gateway:
        assert said(ask(gateway, "alice")) == "alice-at-desk"
