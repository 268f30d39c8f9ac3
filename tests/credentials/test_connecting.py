"""Who may connect to what, who learns of it, and what attackers in other browsers, tenants and servers get of it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from credentials.oauth_world import Guarded, Issuer, World, query_of, serving, world
from credentials.test_oauth_served import ENV, KEYS, ask, bearer, browse, configuration, said, tools
from gateway_process import Gateway, running_gateway, wait_until, write_config

JSON = dict[str, Any]
KEYS["eve"] = "eve-key-0123456789abcdef0"
ENVIRONMENT = {**ENV, "EVE_KEY": KEYS["eve"], "TWIN_KEY": "twin-key-0123456789abcdef"}


def governed(url: str, *, also: JSON | None = None, **auth: Any) -> JSON:
    """Alice is an operator; eve is one whom policy hides `desk` from; twin is another tenant's alice."""
    config = configuration(url, **auth)
    config["auth"]["api_keys"] = [
        {"id": "alice", "key": "${ALICE_KEY}", "roles": ["operator"]},
        {"id": "bob", "key": "${BOB_KEY}", "roles": ["viewer"]},
        {"id": "eve", "key": "${EVE_KEY}", "roles": ["outsider"]},
        {"id": "alice", "key": "${TWIN_KEY}", "roles": ["operator"], "tenant": "twins"},
    ]
    config["mcpServers"] |= also or {}
    return config


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def gateway(there: World, tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(governed(there.guarded.url), tmp_path, env=ENVIRONMENT) as up:
        yield up


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, World]]:
    """One gateway for those who only look at its pages."""
    with (
        world() as made,
        running_gateway(governed(made.guarded.url), tmp_path_factory.mktemp("public"), env=ENVIRONMENT) as up,
    ):
        yield up, made


def instructions(gateway: Gateway, **headers: str) -> str:
    told = gateway.rpc("server/discover", {}, **headers)
    return str(told["result"].get("instructions"))


def get(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(url, headers=headers, trust_env=False)


def test_a_server_that_policy_hides_reads_as_one_that_does_not_exist(gateway: Gateway, there: World) -> None:
    for _ in range(2):  # before anybody has connected, and after
        hidden, unknown = (get(f"{gateway.base}/connect/{name}", **bearer("eve")) for name in ("desk", "disk"))
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.text.replace("desk", "disk") == unknown.text
        assert "desk" not in instructions(gateway, **bearer("eve"))
        assert get(f"{gateway.base}/connect/desk", **bearer("bob")).status_code == 303
        browse(gateway, there, "alice")
        assert tools(gateway, "alice") == {"desk__whoami"}


def test_who_has_to_connect_first_reads_that_in_the_instructions(gateway: Gateway, there: World) -> None:
    told = instructions(gateway, **bearer("alice"))
    assert f"{gateway.base}/connect/desk" in told
    browse(gateway, there, "alice")
    assert "/connect/desk" not in instructions(gateway, **bearer("alice"))
    assert "/connect/desk" in instructions(gateway, **bearer("bob"))


def test_a_server_of_another_tenant_shows_to_nobody_else(there: World, tmp_path: Path) -> None:
    config = governed(there.guarded.url)
    config["mcpServers"]["desk"]["tenants"] = ["twins"]
    twin = {"authorization": "Bearer twin-key-0123456789abcdef"}
    with running_gateway(config, tmp_path, env=ENVIRONMENT) as gateway:
        assert get(f"{gateway.base}/connect/desk", **bearer("alice")).status_code == 404
        assert "desk" not in instructions(gateway, **bearer("alice"))
        assert get(f"{gateway.base}/connect/desk", **twin).status_code == 303
        assert "/connect/desk" in instructions(gateway, **twin)


def test_one_name_in_two_tenants_is_two_people(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    twin = {"authorization": "Bearer twin-key-0123456789abcdef"}
    assert gateway.rpc("tools/list", {}, **twin)["result"]["tools"] == []
    call = {"name": "desk__whoami", "arguments": {}}
    assert gateway.rpc("tools/call", call, **twin)["error"]["data"]["type"] == "unknown_name"
    assert all(each["who"] in (None, "alice-at-desk") for each in there.guarded.heard)


def test_an_answer_of_one_authorization_server_is_not_taken_for_anothers(tmp_path: Path) -> None:
    """The mix-up attack (RFC 9700, section 4.4), where neither server says which one it is."""
    honest, evil = Issuer(names_itself=False), Issuer(names_itself=False)
    good, bad = Guarded(honest), Guarded(evil)
    apps = [(each.port, each.app()) for each in (honest, evil, good, bad)]
    also = {"mine": {"url": bad.url, "auth": "oauth"}}
    with serving(*apps), running_gateway(governed(good.url, also=also), tmp_path, env=ENVIRONMENT) as gateway:
        honest.person = "alice-at-desk"
        with httpx2.Client(trust_env=False) as browser:
            first = query_of(browser.get(f"{gateway.base}/connect/desk", headers=bearer("alice")).headers["location"])
            begun = query_of(browser.get(f"{gateway.base}/connect/mine", headers=bearer("alice")).headers["location"])
            # Evil sends the browser on to the honest server, as the gateway's client there.
            sent_on = {**begun, "client_id": first["client_id"], "redirect_uri": first["redirect_uri"]}
            back = browser.get(f"{honest.url}/authorize?{urlencode(sent_on)}").headers["location"]
            answer = browser.get(back)
        assert (answer.status_code == 400 and "other_browser" in answer.text) or "issuer_mismatch" in answer.text
        assert evil.grants("authorization_code") == []


def test_a_page_of_anothers_making_connects_nobody(public: tuple[Gateway, World]) -> None:
    """Login CSRF: the attacker's key, or the attacker's answer, in the victim's browser."""
    gateway, there = public
    form = {"key": KEYS["eve"]}
    for sent in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": f"{gateway.base}0"},
    ):
        answer = httpx2.post(f"{gateway.base}/connect/desk", data=form, headers=sent, trust_env=False)
        assert answer.status_code == 403, sent
    there.issuer.person = "alice-at-desk"
    begun = get(f"{gateway.base}/connect/desk", **bearer("alice"))
    attackers = get(begun.headers["location"]).headers["location"]  # the attacker's own, to the last step
    cookie = begun.headers["set-cookie"].partition("=")[0]
    for cookies in ({}, {cookie: ""}, {cookie: "a" * 43}):
        begun = get(f"{gateway.base}/connect/desk", **bearer("alice"))
        attackers = get(begun.headers["location"]).headers["location"]
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        assert "other_browser" in get(attackers, **sent).text
    assert there.issuer.grants("authorization_code") == []


def test_nothing_in_an_address_leads_anywhere_else(public: tuple[Gateway, World]) -> None:
    gateway, there = public
    for query in ("?next=https://evil.example", "?redirect_uri=https://evil.example", "?scope=a%0d%0aset-cookie:x"):
        answer = get(f"{gateway.base}/connect/desk{query}", **bearer("alice"))
        assert answer.headers["location"].startswith(f"{there.issuer.url}/authorize?")
        assert "evil" not in answer.headers["location"] and "set-cookie:x" not in str(answer.headers)
    for place in ("//evil.example", "https://evil.example", "..%2f..%2fevil", "%0d%0aset-cookie:x", "<script>"):
        assert get(f"{gateway.base}/connect/{place}", **bearer("alice")).status_code == 404
        page = get(f"{gateway.base}/connect/{place}", accept="text/html")
        assert "<script>" not in page.text
        action = re.search(r'action="([^"]*)"', page.text)
        assert action is None or re.fullmatch(r"[A-Za-z0-9%._~-]*", action[1]), action
    for query in ("", "?state=x&code=y", "?error=%3Cscript%3E&state=x", "?state=a&state=b", "?code=" + "x" * 30_000):
        answer = get(f"{gateway.base}/oauth/callback/desk{query}", accept="text/html")
        assert answer.status_code in (400, 414, 431) and "script>" not in answer.text, query[:40]


def test_the_scope_that_a_server_misses_is_asked_for_however_one_comes_there(public: tuple[Gateway, World]) -> None:
    gateway, _ = public
    page = get(f"{gateway.base}/connect/desk?scope=files:write", accept="text/html")
    action = re.search(r'action="([^"]*)"', page.text)
    assert action is not None
    form = {"key": KEYS["alice"]}
    begun = httpx2.post(f"{gateway.base}/connect/{action[1]}", data=form, trust_env=False)
    assert query_of(begun.headers["location"])["scope"].split() == ["read", "files:write"]


def test_who_connects_as_somebody_else_has_no_session_of_the_former_account(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    former = {each["headers"].get("mcp-session-id") for each in there.guarded.heard}
    there.issuer.person = "second-account"
    with httpx2.Client(follow_redirects=True, trust_env=False) as browser:
        begun = browser.get(f"{gateway.base}/connect/desk", headers=bearer("alice"), follow_redirects=False)
        assert browser.get(begun.headers["location"]).status_code == 200
    there.guarded.heard.clear()
    assert said(ask(gateway, "alice")) == "second-account"
    later = [each for each in there.guarded.heard if each["who"] == "second-account"]
    assert not former & {each["headers"].get("mcp-session-id") for each in later} - {None}


def test_a_credential_stays_behind_when_a_reload_moves_its_server(there: World, tmp_path: Path) -> None:
    thief = Guarded(there.issuer, listing=True)
    with serving((thief.port, thief.app())):
        config = governed(there.guarded.url)
        with running_gateway(config, tmp_path, env=ENVIRONMENT) as gateway:
            browse(gateway, there, "alice")
            assert said(ask(gateway, "alice")) == "alice-at-desk"
            begun = get(f"{gateway.base}/connect/desk", **bearer("alice"))  # and one that is under way
            tokens = set(there.issuer.tokens)
            config["mcpServers"]["desk"]["url"] = thief.url
            write_config(config, gateway.config_path)
            error = wait_until(lambda: ask(gateway, "alice").get("error"), "the reload", 20)
            assert error["data"]["type"] == "credential_required", error
            back = get(begun.headers["location"]).headers["location"]
            cookie = begun.headers["set-cookie"].partition(";")[0]
            assert "changed" in get(back, cookie=cookie).text
            assert not any(token in json.dumps(thief.heard) for token in tokens | set(there.issuer.tokens))


def test_nothing_of_a_token_is_in_any_file_or_answer(there: World, tmp_path: Path) -> None:
    there.issuer.lasts = 1.0
    answers = []
    with running_gateway(governed(there.guarded.url), tmp_path, env=ENVIRONMENT) as gateway:
        answers.append(browse(gateway, there, "alice").text)
        gate = there.issuer.gate = threading.Event()
        gate.set()
        for _ in range(4):
            answers.append(json.dumps(ask(gateway, "alice")))
            time.sleep(0.4)
        codes = [form["code"] for form in there.issuer.grants("authorization_code")]
        verifiers = [form["code_verifier"] for form in there.issuer.grants("authorization_code")]
        there.issuer.refuse = "invalid_grant"
        there.issuer.end_tokens()
        answers.append(json.dumps(ask(gateway, "alice")))
        answers.append(gateway.log_text())
        secrets = {*codes, *verifiers, *(form["refresh_token"] for form in there.issuer.grants("refresh_token"))}
        secrets |= {each["headers"].get("authorization", "Bearer x" * 9)[7:] for each in there.guarded.heard}
        assert len(secrets) > 5
    found = b"\0".join([*(each.encode() for each in answers),
                        *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())])  # fmt: skip
    assert not [each for each in secrets if each.encode() in found]


def test_a_server_that_refuses_every_token_does_not_have_them_all_renewed(gateway: Gateway, there: World) -> None:
    browse(gateway, there, "alice")
    assert said(ask(gateway, "alice")) == "alice-at-desk"
    there.guarded.url_only = "https://nobody.example"  # no token is for it any more
    for _ in range(5):
        assert ask(gateway, "alice")["error"]["data"]["type"] == "credential_required"
    assert len(there.issuer.grants("refresh_token")) == 1
    there.guarded.url_only = ""
    assert said(ask(gateway, "alice")) == "alice-at-desk"


def test_nobody_is_mixed_up_while_the_server_comes_and_goes(tmp_path: Path) -> None:
    issuer = Issuer()
    guarded = Guarded(issuer)
    wrong: list[str] = []
    with serving((issuer.port, issuer.app())):
        up = serving((guarded.port, guarded.app()))
        up.__enter__()
        with running_gateway(governed(guarded.url), tmp_path, env=ENVIRONMENT) as gateway:
            for name in ("alice", "bob"):
                browse(gateway, World(issuer, guarded), name)
            stop = threading.Event()

            def hammer(name: str) -> None:
                while not stop.is_set():
                    answer = ask(gateway, name)
                    if "result" in answer and said(answer) != f"{name}-at-desk":
                        wrong.append(f"{name}: {answer}")

            threads = [threading.Thread(target=hammer, args=(name,)) for name in ("alice", "bob") * 2]
            for thread in threads:
                thread.start()
            try:
                up.__exit__(None, None, None)
                issuer.end_tokens()
                guarded.heard.append({"who": None, "port": 0, "method": "restart", "headers": {}})
                up = serving((guarded.port, guarded.app()))
                up.__enter__()
                for name in ("alice", "bob"):
                    wait_until(lambda name=name: ask(gateway, name).get("result"), f"{name} to be served", 40)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
                up.__exit__(None, None, None)
    assert not wrong
    epochs: list[dict[int, set[str]]] = [{}]
    sessions: dict[str, set[str]] = {}
    for each in guarded.heard:
        if each["method"] == "restart":
            epochs.append({})
        elif each["who"]:
            epochs[-1].setdefault(each["port"], set()).add(each["who"])
            if session := each["headers"].get("mcp-session-id"):
                sessions.setdefault(session, set()).add(each["who"])
    assert all(len(who) == 1 for epoch in epochs for who in epoch.values())
    assert all(len(who) == 1 for who in sessions.values())
    assert len(issuer.grants("refresh_token")) <= 2 + 2
