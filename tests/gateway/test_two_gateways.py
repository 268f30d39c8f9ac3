"""Two gateway processes with data directories of their own and one PostgreSQL: what one knows, the other knows."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from databases import cut_off
from gateway_process import MODERN, REPOSITORY, Gateway, child_environment, fetch, running_gateway, wait_until

from agentflow.audit.read import entries

JSON = dict[str, Any]
HERE = REPOSITORY / "tests"
PERSON = {"mail": "alice.smith@corp-mail.com"}
LISTS: JSON = {"name": "list_drafts", "description": "Lists the drafts.", "inputSchema": {"type": "object"}}
SENDS: JSON = {"name": "send", "description": "Sends to one address.", "inputSchema": {"type": "object"}}
LIMIT = 120
KEYS = {"ops": "o" * 40, "ada": "a" * 40, "bob": "b" * 40, "eve": "e" * 40}
_ids = itertools.count(1)


@dataclass
class Pair:
    one: Gateway
    two: Gateway
    offer: Path
    filed: Path
    url: str
    env: dict[str, str]

    @property
    def both(self) -> tuple[Gateway, Gateway]:
        return self.one, self.two

    def command(self, gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
        """`agentflow …` beside one of the gateways."""
        return subprocess.run(
            [sys.executable, "-m", "agentflow", *words, "--config", str(gateway.config_path)],
            env=child_environment(gateway.data_dir, self.env),
            capture_output=True,
            text=True,
            check=False,
        )


def ask(gateway: Gateway, who: str, method: str, params: JSON | None = None, conversation: str = "") -> JSON:
    """One request of the 2026 era; the whole JSON-RPC answer."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        **({"agentflow/conversation": conversation} if conversation else {}),
    }
    params = {**(params or {}), "_meta": meta}
    headers = {
        "authorization": f"Bearer {KEYS[who]}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
        **({"mcp-name": params["name"]} if "name" in params else {}),
    }
    body = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params}
    _, answer, _ = fetch(gateway.url, json.dumps(body).encode(), headers)
    return dict(json.loads(answer))


def call(gateway: Gateway, who: str, tool: str, arguments: JSON | None = None, conversation: str = "") -> JSON:
    return ask(gateway, who, "tools/call", {"name": tool, "arguments": arguments or {}}, conversation)


def tools(gateway: Gateway) -> set[str]:
    return {tool["name"] for tool in ask(gateway, "ops", "tools/list")["result"]["tools"]}


@pytest.fixture(scope="module")
def pair(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    name = "two_gateways"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
    url = postgres.replace("/postgres?", f"/{name}?")
    folder = tmp_path_factory.mktemp("two")
    offer, filed = folder / "mail.json", folder / "filed.jsonl"
    offer.write_text(json.dumps({"tools": [LISTS, SENDS]}))
    person = [str(HERE / "pipeline" / "person_server.py"), json.dumps(PERSON), str(filed)]
    mail = [str(HERE / "security" / "changing_server.py"), str(offer), str(folder / "mail.calls")]
    config = {
        "mcpServers": {
            "person": {"command": sys.executable, "args": person, "trust": "trusted", "namespace": ""},
            "mail": {"command": sys.executable, "args": mail},
        },
        "flow": {"enabled": False},
        "store": {"url": "${STORE}"},
        "guard": {"master_key": "${MASTER}"},
        "limits": {"calls_per_minute": LIMIT, "classes": {"rare": {"calls_per_minute": 3}}},
        "auth": {"api_keys": [{"id": who, "key": f"${{KEY_{who}}}", "roles": ["operator"]} for who in KEYS]},
    }
    env = {"STORE": url, "MASTER": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="}
    env |= {f"KEY_{who}": key for who, key in KEYS.items()}
    with ExitStack() as running:
        gateways = []
        for each in ("one", "two"):
            (folder / each).mkdir()
            gateways.append(running.enter_context(running_gateway(config, folder / each, env=env)))
        made = Pair(*gateways, offer, filed, url, env)
        wanted = {"look_up", "file", "mail__list_drafts", "mail__send"}
        for gateway in made.both:
            wait_until(lambda g=gateway: wanted <= tools(g), "the tools", evidence=gateway.log_text)  # type: ignore[misc]
        yield made
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_one_setting_puts_all_of_it_into_the_database_and_no_file_is_left(pair: Pair) -> None:
    for gateway in pair.both:
        assert not list(gateway.data_dir.glob("*.db*"))
        checked = pair.command(gateway, "db", "check", "--json")
        told = json.loads(checked.stdout)
        assert checked.returncode == 0 and told["ok"], checked
        assert {each["name"] for each in told["databases"]} == {"store", "vault", "taint", "pins", "audit index"}
        assert {each["place"].rpartition("/")[2] for each in told["databases"]} == {"two_gateways"}


def test_a_token_of_one_gateway_is_a_value_at_the_other(pair: Pair) -> None:
    seen = [call(gateway, "ops", "look_up")["result"]["structuredContent"]["mail"] for gateway in pair.both]
    assert seen[0] == seen[1] and seen[0].startswith("<EMAIL_")
    for gateway in pair.both:
        assert "result" in call(gateway, "ops", "file", {"to": seen[0]})
    assert [json.loads(line) for line in pair.filed.read_text().splitlines()] == [{"to": PERSON["mail"]}] * 2


def test_what_a_conversation_read_at_one_gateway_taints_it_at_the_other(pair: Pair) -> None:
    assert "result" in call(pair.one, "bob", "mail__list_drafts", conversation="X")
    for conversation in ("X", "Y"):
        assert "result" in call(pair.two, "bob", "look_up", conversation=conversation)
    asked = [
        entry.record["asked"].get("taint", ())
        for entry in entries(pair.two.data_dir)
        if entry.record.get("name") == "look_up" and entry.record["principal"]["id"] == "bob"
    ]
    assert ["untrusted" in taint for taint in asked] == [True, False]


def test_what_is_approved_beside_one_gateway_is_in_force_at_both(pair: Pair) -> None:
    pair.offer.write_text(json.dumps({"tools": [LISTS, {**SENDS, "description": "Sends to two addresses."}]}))
    for gateway in pair.both:
        wait_until(lambda g=gateway: "mail__send" not in tools(g), "the change to be held", evidence=gateway.log_text)  # type: ignore[misc]
    listed = pair.command(pair.two, "pins", "list", "--held")
    assert "mail/send" in listed.stdout, listed
    approved = pair.command(pair.one, "pins", "approve", "mail/send")
    assert approved.returncode == 0, approved
    for gateway in pair.both:
        wait_until(lambda g=gateway: "mail__send" in tools(g), "the approval to be followed", evidence=gateway.log_text)  # type: ignore[misc]


def test_concurrent_callers_of_both_get_no_more_calls_than_the_limit(pair: Pair) -> None:
    began = time.monotonic()

    def caller(number: int) -> list[JSON]:
        return [call(pair.both[(number + turn) % 2], "ada", "look_up") for turn in range(25)]

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for found in pool.map(caller, range(8)) for answer in found]
    passed = sum("result" in answer for answer in answers)
    refused = [answer["error"]["data"] for answer in answers if "error" in answer]
    back = (time.monotonic() - began) * LIMIT / 60
    assert LIMIT <= passed <= LIMIT + back + 1
    assert {(data["type"], data.get("limit")) for data in refused} == {("limit_exceeded", "calls_per_minute")}
    assert all(data["retry_after"] > 0 for data in refused)


def test_a_database_that_is_lost_and_comes_back(pair: Pair) -> None:
    admin = psycopg.connect(pair.url, dbname="postgres", autocommit=True)
    with admin:
        admin.execute("ALTER DATABASE two_gateways ALLOW_CONNECTIONS false")
        try:
            cut_off(pair.url)
            for gateway in pair.both:
                refused = [call(gateway, "eve", "look_up")["error"]["data"]["type"] for _ in range(3)]
                assert set(refused) <= {"store_unavailable", "vault_unavailable"}, refused
                assert PERSON["mail"] not in gateway.log_text()
        finally:
            admin.execute("ALTER DATABASE two_gateways ALLOW_CONNECTIONS true")
    for gateway in pair.both:
        wait_until(lambda g=gateway: "result" in call(g, "eve", "look_up"), "the database", evidence=gateway.log_text)  # type: ignore[misc]
