"""Canaries in a governed gateway: what callers, servers and people type is clear in no store, page, answer or command.

THREATS 18. Personal data and secrets go in wherever a governed gateway takes text; then everything that it keeps and
everything that it shows to its administrators is searched.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from gateway_process import wait_until
from security.governed import BOT_KEY, ENV, ROOT_KEY, Governed, filled, governed, page_routes, rest_routes
from security.test_canaries import API_KEY, CARD, Canaries, requests
from security.test_changing_tools import put, with_tool

from agentflow.admin.api.document import BASE
from agentflow.audit.read import entries

JSON = dict[str, Any]
# However it is written: in JSON, HTML, a URL or a differently cut address.
FOUND = re.compile(rb"canary(\d+)\.hush", re.I)
VALUE = "downstream-value-hush-0123456789"


@dataclass
class Sung:
    """What was sung where, the secrets that were made on the way, and what the stream of live records said."""

    house: Governed
    canaries: Canaries = field(default_factory=Canaries)
    typed: set[int] = field(default_factory=set)
    secrets: set[str] = field(default_factory=lambda: {CARD, API_KEY, VALUE, *ENV.values()})
    live: bytearray = field(default_factory=bytearray)

    def by_hand(self, where: str) -> str:
        """One that an administrator types for others to read: it may stand where it was typed, and only there."""
        self.typed.add(len(self.canaries.sung) + 1)
        return self.canaries.sing(where)

    def leaks(self, shown: dict[str, bytes], but: set[int] | None = None) -> list[str]:
        found = []
        for place, content in shown.items():
            numbers = {int(number) for number in FOUND.findall(content)} - (but or set())
            found += [f"{place}: {self.canaries.sung.get(number, number)}" for number in sorted(numbers)]
            found += [f"{place}: {secret}" for secret in self.secrets if secret.encode() in content]
        return found


@pytest.fixture(scope="module")
def sung(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sung]:
    with governed(tmp_path_factory.mktemp("governed")) as house:
        made = Sung(house)
        listener = threading.Thread(target=listen, args=(made,))
        listener.start()
        wait_until(lambda: made.live, "the stream of live records", evidence=house.gateway.log_text)
        calls(made)
        definitions(made)
        keys_and_credentials(made)
        people(made)
        strangers(made)
        wait_until(lambda: b"last of all" in made.live or last(made), "the end of the stream")
        yield made
        house.gateway.stop()
        listener.join(30)


def listen(made: Sung) -> None:
    head = {"authorization": f"Bearer {ROOT_KEY}"}
    url = f"{made.house.gateway.base}{BASE}/live/stream"
    with (
        suppress(httpx2.HTTPError),
        httpx2.Client(timeout=120, trust_env=False) as client,
        client.stream("GET", url, headers=head) as answer,
    ):
        for chunk in answer.iter_bytes():
            made.live += chunk


def last(made: Sung) -> bool:
    """One more call, so that the stream says something after everything else."""
    made.house.bot.call("desk__echo", {"text": "last of all"})
    return False


def calls(made: Sung) -> None:
    """Clients, and servers that fail on what they are told."""
    bot, sing = made.house.bot, made.canaries.sing
    for method, params in requests(made.canaries, "desk__"):
        with suppress(ValueError, StopIteration):
            bot.ask(method, params)
    for tool in ("desk__strict", "desk__fail", "desk__die", "desk__garbage", "mail__send_email", "own__echo"):
        bot.call(tool, {"text": f"{sing(tool)} {CARD} {API_KEY}", "to": sing(f"{tool} to"), "how": "plain"})
    for decided in ("denied", "still open"):
        held = bot.call("desk__strict", {"text": f"{sing(f'a call that is {decided}')} {CARD} {API_KEY}"})
        made.secrets.add(held["result"]["requestState"])


def definitions(made: Sung) -> None:
    """A server with personal data in a new definition, and in every part of a changed one, which people compare."""
    sing = made.canaries.sing
    tools = with_tool(lambda tool: tool.update(description=f"Sends it to {sing('description')}, {CARD}, {API_KEY}."))
    for path in (("title",), ("inputSchema", "properties", "to", "description"), ("_meta", "mail.example/team")):
        put(*path, value=sing(f"definition {path[-1]}"))(tools[0])
    put("inputSchema", "properties", sing("parameter name"), value={"enum": [sing("enum")]})(tools[0])
    new = {"name": "write_to", "description": f"Writes to {sing('new definition')}.", "inputSchema": {"type": "object"}}
    made.house.mail.change(tools=[*tools, new])
    wait_until(lambda: json.loads(made.house.rest("GET", "/quarantine")[1])["items"], "the held definition")
    wait_until(lambda: b'"write_to"' in made.house.rest("GET", "/catalogue/tools")[1], "the new definition")


def keys_and_credentials(made: Sung) -> None:
    """Secrets that are made or handed in here."""
    status, body = made.house.rest("POST", "/keys", b'{"principal": "ada", "roles": ["agent"]}')
    assert status == 201
    first = json.loads(body)
    status, body = made.house.rest("POST", f"/keys/{first['info']['id']}/rotate")
    assert status == 201, body
    second = json.loads(body)
    status, page = made.house.page("/ui/keys", {"principal": "cyd", "roles": "agent"})
    third = re.search(rb"af_\w{30,}", page)
    assert status == 200 and third, page
    by_command = made.house.command("keys", "create", "bob", "--roles", "agent", "--json")
    fourth = json.loads(by_command[by_command.index("{") :])
    made.secrets |= {first["key"], second["key"], third[0].decode(), fourth["key"]}
    assert all(len(secret) > 7 for secret in made.secrets)
    made.house.command("credentials", "set", "own", "--principal", "default/bot", typed=f"{VALUE}\n")
    assert "result" in made.house.bot.call("own__echo", {"text": made.canaries.sing("with a credential")})
    made.secrets.add(made.house.cookies["root"].partition("=")[2])


def people(made: Sung) -> None:
    """What administrators type: searches, comments, notes, bundles, names."""
    house, sing = made.house, made.canaries.sing
    for query in ("principal", "tool", "server", "since", "cursor", "surprise"):
        house.rest("GET", f"/audit/records?{query}={quote(sing(f'search {query}'))}")
        house.page(f"/ui/audit?{query}={quote(sing(f'search on the page {query}'))}")
    house.rest("GET", f"/catalogue/tools?principal={quote(sing('whose eyes'))}")
    for path in ("/servers/", "/keys/", "/approvals/", "/quarantine/", "/audit/records/", "/policies/replays/"):
        house.rest("GET", path + quote(sing(f"path {path}")))
    for path, body in {
        "/keys": {"principal": "x", "roles": [sing("role that is none")], sing("member"): 1},
        "/servers": {"name": sing("server's name"), "url": f"http://{sing('address')}/mcp"},
        "/policies": {"files": {"agentflow/a.rego": f"package agentflow\n{sing('broken bundle')}"}},
    }.items():
        assert house.rest("POST", path, json.dumps(body).encode())[0] >= 400
    house.rest("POST", "/keys", f"no JSON {sing('broken body')}".encode())
    bundle = json.loads(house.rest("GET", "/policies/file/files")[1])["files"]
    rule = f'package agentflow.extra\n\nimport rego.v1\n\nwhose := "{made.by_hand("bundle")}"\n'
    bundle["agentflow/extra.rego"] = rule
    note = f"for {made.by_hand('note of a bundle')}"
    status, body = house.rest("POST", "/policies", json.dumps({"files": bundle, "note": note}).encode())
    assert status == 201, body
    (waiting, *_) = json.loads(house.rest("GET", "/approvals")[1])["items"]
    comment = json.dumps({"comment": f"as {made.by_hand('comment')} says"}).encode()
    assert house.rest("POST", f"/approvals/{waiting['id']}/deny", comment)[0] == 200


def strangers(made: Sung) -> None:
    """Whoever is not known, and knocks."""
    house, sing = made.house, made.canaries.sing
    house.http("POST", "/ui/sign-in", f"key={quote(sing('wrong key'))}&next={quote(sing('next'))}".encode(),
               origin=house.gateway.base, content_type="application/x-www-form-urlencoded")  # fmt: skip
    for path in (f"{BASE}/keys", "/ui/keys", "/mcp", "/connect/far", "/oauth/callback/far"):
        for header in ("authorization", "x_api_key", "cookie", "referer", "user_agent"):
            house.http("GET", f"{path}?code={quote(sing(f'{path} code'))}", **{header: sing(f"{path} {header}")})
    house.http("GET", f"/connect/{quote(sing('whom to connect to'))}", authorization=f"Bearer {BOT_KEY}")


def test_nothing_that_is_kept_or_logged_is_clear(sung: Sung) -> None:
    """The audit log, every database of the store, vault and pins, and the log at its most talkative."""
    house = sung.house
    kept = {path.name: path.read_bytes() for path in house.gateway.data_dir.rglob("*") if path.is_file()}
    assert {"agentflow.db", "vault.db", "pins.db"} <= kept.keys()
    assert len(sung.canaries.sung) > 120
    apart = {name: content for name, content in kept.items() if name.startswith("agentflow.db")}
    others = {name: content for name, content in kept.items() if name not in apart}
    assert sung.leaks({**others, "log": house.gateway.log.read_bytes()}) == []
    assert sung.leaks(apart, but=sung.typed) == []


def test_no_answer_of_the_interface_and_no_live_record_is_clear(sung: Sung) -> None:
    house = sung.house
    shown = {"stream": bytes(sung.live)}
    for method, path in rest_routes():
        for known in ids(house, path) if method == "GET" and "stream" not in path else ():
            status, body = house.rest("GET", known.removeprefix(BASE))
            assert status == 200, (known, body)
            shown[known] = body
    assert len(shown) > 25 and b'"kind":"call"' in shown["stream"]
    held = b"".join(body for path, body in shown.items() if "/quarantine/" in path)
    assert b"EMAIL" in held and b"write_to" in shown[f"{BASE}/catalogue/tools"]
    assert b"<EMAIL_" in shown["stream"] and b"<EMAIL_" in shown[f"{BASE}/approvals?state=denied"]
    typed = {path for path in shown if "/policies" in path or "/approvals" in path}
    assert sung.leaks({path: body for path, body in shown.items() if path not in typed}) == []
    assert sung.leaks({path: body for path, body in shown.items() if path in typed}, but=sung.typed) == []
    for path in ("/readyz", "/healthz", f"{BASE}/overview"):
        assert sung.leaks({path: house.http("GET", path, authorization=f"Bearer {ROOT_KEY}")[1]}) == []


def test_no_page_is_clear(sung: Sung) -> None:
    house = sung.house
    shown = {}
    for method, path in page_routes():
        for known in ids(house, path) if method == "GET" and "sign" not in path and "static" not in path else ():
            status, body = house.page(known)
            assert status in (200, 204, 308, 404), (known, status)
            shown[known] = body
    assert len(shown) > 15 and any(b"&lt;EMAIL_" in body for body in shown.values())
    assert sung.leaks(shown, but=sung.typed) == []


def test_no_command_says_anything_clear(sung: Sung) -> None:
    house = sung.house
    record = next(e.record for e in entries(house.gateway.data_dir) if e.record.get("target") == "strict")
    approval = json.loads(house.rest("GET", "/approvals?state=open")[1])["items"][0]["id"]
    commands = [
        ("audit", "tail", "-n", "1000"), ("audit", "query", "-n", "0", "--jsonl"), ("audit", "verify"),
        *(("audit", "export", "--format", kind) for kind in ("jsonl", "ocsf", "cef")),
        ("approvals", "list", "--all"), ("approvals", "show", approval), ("approvals", "show", approval, "--json"),
        ("keys", "list", "--all"), ("credentials", "list", "--json"), ("pins", "list"), ("pins", "diff"),
        ("policy", "list"), ("policy", "explain", record["id"]), ("policy", "replay", "--since", "1d", "--json"),
        ("vault", "status"), ("db", "check"), ("config", "check"), ("config", "show"),
    ]  # fmt: skip
    shown = {" ".join(words): house.command(*words).encode() for words in commands}
    assert all(len(said) > 20 for said in shown.values()), {words: said[:200] for words, said in shown.items()}
    assert b"EMAIL" in shown["pins diff"] and b"<EMAIL_" in shown["audit query -n 0 --jsonl"]
    assert sung.leaks(shown, but=sung.typed) == []


def ids(house: Governed, path: str) -> list[str]:
    """The addresses that a route has now: with whatever there is in the place of its names."""
    plain = path.removeprefix(BASE).removeprefix("/ui")
    noun = plain.split("/")[1] if "/" in plain else ""
    if "{" not in path:
        more = {"approvals": "?state=denied", "audit/records": "?limit=500", "live": "?limit=100"}
        return [path, *(path + query for name, query in more.items() if path == f"{BASE}/{name}")]
    lists = {
        "servers": ("/servers", "name"), "quarantine": ("/quarantine", "id"), "keys": ("/keys", "id"),
        "approvals": ("/approvals?state=denied", "id"), "policies": ("/policies", "revision"),
        "audit": ("/audit/records?kind=call&limit=3", "id"),
    }  # fmt: skip
    if noun not in lists or "replays" in path:
        return []
    where, member = lists[noun]
    items = json.loads(house.rest("GET", where)[1])["items"]
    return [filled(path, lambda _, item=item: str(item.get(member) or item["record"][member])) for item in items[:4]]  # type: ignore[misc]
