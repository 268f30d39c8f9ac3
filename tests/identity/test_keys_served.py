"""Stored keys through real gateways: made, used, replaced, revoked and expired while they serve; on both databases."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import BOTH_KINDS, ENVELOPE, HttpLegacy, connect, exchange, message
from gateway_process import MODERN, Gateway, child_environment, free_port, running_gateway, wait_until, write_config

from agentflow.cli import main

Run = Callable[..., dict[str, Any]]
CONFIG = {"mcpServers": {"child": evil(trust="trusted")}, "flow": {"enabled": False}, "auth": {"recheck": 0.5}}


@dataclass
class Place:
    """Where a gateway is to run: its configuration and its database."""

    folder: Path
    config: dict[str, Any]
    env: dict[str, str]
    run: Run

    @contextlib.contextmanager
    def gateway(self, *arguments: str, **more: Any) -> Iterator[Gateway]:
        with running_gateway({**self.config, **more}, self.folder, env=self.env, arguments=arguments) as gateway:
            yield gateway

    def everything(self) -> bytes:
        """All that gateway and commands have left behind, and all that the database says."""
        left = b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())
        if "STORE" in self.env:
            import psycopg

            with psycopg.connect(self.env["STORE"]) as db:
                tables = db.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
                for schema, name in tables:
                    if schema.startswith("agentflow"):
                        left += repr(db.execute(f'SELECT * FROM "{schema}"."{name}"').fetchall()).encode()  # type: ignore[arg-type]
        return left


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    config, env = dict(CONFIG), {}
    if request.param == "postgresql":
        env["STORE"] = request.getfixturevalue("database")
        config["store"] = {"url": "${STORE}"}
    for name, value in {**env, "AGENTFLOW_DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(name, value)
    path = write_config(config, tmp_path / "agentflow.yaml")

    def run(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["keys", *words, "--json", "--config", str(path)]) == 0, capsys.readouterr()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return Place(tmp_path, config, env, run)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask(gateway: Gateway, headers: dict[str, str]) -> int:
    """The status of a bare call."""
    sent = {**BOTH_KINDS, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "child__echo"}
    params = {"name": "child__echo", "arguments": {"text": "hi"}, "_meta": ENVELOPE}
    return exchange(gateway, message("tools/call", params, 1), {**sent, **headers})[0]


def events(gateway: Gateway, capsys: pytest.CaptureFixture[str], kind: str = "key") -> list[dict[str, Any]]:
    """Records of a kind, oldest first."""
    capsys.readouterr()
    assert main(["audit", "query", "--kind", kind, "--jsonl", "-n", "0", "--config", str(gateway.config_path)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return sorted((each.get("record", each) for each in found), key=lambda record: float(record["time"]))


class Stream:
    """A handshake session's GET stream, held open."""

    def __init__(self, session: HttpLegacy) -> None:
        self.socket: socket.socket = connect(session.gateway)
        head = {**session.sent(), "accept": "text/event-stream", "host": "localhost", "connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.socket.sendall(f"GET /mcp HTTP/1.1\r\n{lines}\r\n".encode())
        self.head = self.socket.recv(65536)

    def wait_for_end(self) -> None:
        self.socket.settimeout(20)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        finally:
            self.socket.close()


def test_from_the_first_key_on_callers_need_one_and_a_revoked_one_ends_its_session(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with place.gateway() as gateway:
        gateway.wait_for_tools("child__echo")
        assert ask(gateway, {}) == 200
        ada = place.run("create", "ada", "--tenant", "acme", "--label", "first")
        assert ask(gateway, bearer(ada["key"])) == 200 == ask(gateway, {"x-api-key": ada["key"]})
        wait_until(lambda: ask(gateway, {}) == 401, "callers without a key to be refused")
        eve = place.run("create", "eve", "--tenant", "acme")
        session = HttpLegacy(gateway, bearer(ada["key"]))
        stream = Stream(session)
        assert stream.head.startswith(b"HTTP/1.1 200") and "result" in session.call("child__echo", {"text": "hi"})
        stolen = {**session.sent(), **bearer(eve["key"])}
        assert exchange(gateway, message("ping", {}, 1), stolen)[0] == 404
        place.run("revoke", ada["id"])
        wait_until(lambda: exchange(gateway, message("ping", {}, 2), session.sent())[0] == 401, "the key to be refused")
        stream.wait_for_end()
        assert ask(gateway, bearer(ada["key"])) == 401 and ask(gateway, bearer(eve["key"])) == 200
        seen = [(each["event"], each["subject"], each.get("outcome")) for each in events(gateway, capsys)]
    assert seen == [
        ("created", ada["id"], "ok"), ("used", ada["id"], None), ("created", eve["id"], "ok"),
        ("used", eve["id"], None), ("revoked", ada["id"], "ok"), ("refused", ada["id"], "revoked"),
    ]  # fmt: skip
    shown = place.run("show", eve["id"])
    assert shown["used"] and shown["state"] == "active"
    left = place.everything()
    for key in (ada["key"], eve["key"]):
        secret = key.encode()[16:]
        assert not any(secret[at : at + 10] in left for at in range(len(secret) - 9))


def test_a_key_that_expires_ends_its_session(place: Place) -> None:
    with place.gateway() as gateway:
        gateway.wait_for_tools("child__echo")
        key = place.run("create", "ada", "--expires", "3s")["key"]
        session = HttpLegacy(gateway, bearer(key))
        stream = Stream(session)
        assert stream.head.startswith(b"HTTP/1.1 200")
        wait_until(lambda: exchange(gateway, message("ping", {}, 1), session.sent())[0] == 401, "the key to expire")
        stream.wait_for_end()


def test_replacing_a_key_under_load_refuses_nobody(place: Place) -> None:
    with place.gateway() as gateway:
        gateway.wait_for_tools("child__echo")
        keys = [place.run("create", "ada")]
        session = HttpLegacy(gateway, bearer(keys[0]["key"]))
        statuses: list[int] = []
        done = threading.Event()

        def caller(number: int) -> None:
            while not done.is_set():
                statuses.append(ask(gateway, bearer(keys[-1 - number % min(2, len(keys))]["key"])))

        callers = [threading.Thread(target=caller, args=(number,)) for number in range(4)]
        for each in callers:
            each.start()
        try:
            for _ in range(4):
                before = len(statuses)
                keys.append(place.run("rotate", keys[-1]["id"], "--grace", "1h"))
                wait_until(lambda before=before: len(statuses) > before + 20, "calls with the new key")  # type: ignore[misc]
        finally:
            done.set()
            for each in callers:
                each.join()
        assert set(statuses) == {200}
        session.headers = bearer(keys[-1]["key"])  # the session goes on with the new key
        assert "result" in session.call("child__echo", {"text": "hi"})
        now = place.run("rotate", keys[-1]["id"], "--grace", "0")
        wait_until(lambda: ask(gateway, bearer(keys[-1]["key"])) == 401, "the old key to be refused")
        assert ask(gateway, bearer(now["key"])) == 200


def test_two_gateways_on_one_database_follow_each_other_s_keys(database: str, tmp_path: Path) -> None:
    env = {"STORE": database, "KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="}
    shared = {**CONFIG, "store": {"url": "${STORE}"}, "guard": {"master_key": "${KEY}", "vault": {"url": "${STORE}"}}}
    with contextlib.ExitStack() as stack:
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateways.append(stack.enter_context(running_gateway(shared, tmp_path / name, env=env)))
        one, two = gateways
        for each in gateways:
            each.wait_for_tools("child__echo")
        made = _keys(one, env, "create", "ada")
        assert ask(two, bearer(made["key"])) == 200 == ask(one, bearer(made["key"]))
        new = _keys(two, env, "rotate", made["id"])
        assert ask(one, bearer(new["key"])) == 200
        _keys(one, env, "revoke", new["id"])
        wait_until(lambda: ask(two, bearer(new["key"])) == 401, "the other gateway to refuse it")
        assert ask(two, bearer(made["key"])) == 200


def _keys(gateway: Gateway, env: dict[str, str], *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "agentflow", "keys", *words, "--json", "--config", str(gateway.config_path)]
    answer = subprocess.run(command, env=child_environment(gateway.data_dir, env), capture_output=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_beyond_loopback_a_stored_key_is_enough_and_nobody_gets_in_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    path = write_config(CONFIG, tmp_path / "agentflow.yaml")
    everywhere = ("--host", "0.0.0.0", "--port", str(free_port()), "--config", str(path))
    assert main(["serve", *everywhere]) == 1
    assert "agentflow keys create" in capsys.readouterr().err
    assert main(["keys", "create", "ada", "--json", "--config", str(path)]) == 0
    made = json.loads(capsys.readouterr().out)
    with running_gateway(CONFIG, tmp_path, arguments=("--host", "0.0.0.0")) as gateway:
        assert ask(gateway, {}) == 401 and ask(gateway, bearer(made["key"])) == 200
        assert main(["keys", "revoke", made["id"], "--config", str(path)]) == 0
        wait_until(lambda: ask(gateway, bearer(made["key"])) == 401, "the key to be refused")
        assert ask(gateway, {}) == 401
