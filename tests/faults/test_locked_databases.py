"""A database that somebody else holds: what needs it is refused in time and recorded, what does not goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern, Speaker
from gateway_process import Gateway, fetch, running_gateway

from agentflow.audit.read import entries
from agentflow.audit.verify import verify

ASKS = {"tools": ["strict"], "effect": "approve", "ttl": 300, "why": "ask", "approvers": {"who": ["role:admin"]}}
KEY = "root-key-0123456789-hush"
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("locked")
    config: dict[str, Any] = {
        "mcpServers": {"good": evil("--log", str(folder / "seen.jsonl"), trust="trusted")},
        "auth": {"api_keys": [{"id": "root", "key": "${ROOT_KEY}", "roles": ["admin"]}]},
        "approvals": {"hold": 0.1},
        "flow": {"enabled": False},
        "policy": {"data": {"settings": {"rules": {"asks": ASKS}, "toxic_flow": "off"}}},
    }
    with running_gateway(config, folder, env={"ROOT_KEY": KEY}) as running:
        for speaker in speakers(running):
            assert "result" in speaker.call("good__echo", {"text": "to opened.databases@example.org"})
            assert "error" not in HttpModern(running, HEADERS).call("good__strict", {"text": "asked before"})
        yield running


def speakers(gateway: Gateway) -> tuple[Speaker, ...]:
    return HttpModern(gateway, HEADERS), HttpLegacy(gateway, HEADERS)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else writes into this database meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        db.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


def seen(gateway: Gateway) -> str:
    return (gateway.config_path.parent / "seen.jsonl").read_text()


def test_while_the_vault_is_held_nothing_personal_leaves_and_the_rest_goes_on(gateway: Gateway) -> None:
    for number, speaker in enumerate(speakers(gateway)):
        with held(gateway.data_dir / "vault.db"):
            error = speaker.call("good__echo", {"text": f"to behind.the.lock{number}@example.org"})["error"]
            assert error["data"]["type"] == "vault_unavailable" and "behind.the.lock" not in json.dumps(error)
            assert "result" in speaker.call("good__echo", {"text": "nothing personal"})
        assert "result" in speaker.call("good__echo", {"text": f"to behind.the.lock{number}@example.org"})
    outcomes = [e.record["outcome"] for e in entries(gateway.data_dir) if e.record.get("target") == "echo"]
    assert outcomes.count("vault_unavailable") == 2, "what was refused is on record"
    assert verify(gateway.data_dir).ok


def test_while_the_store_is_held_nobody_is_asked_nothing_is_changed_and_the_rest_goes_on(gateway: Gateway) -> None:
    def made() -> int:
        status, body, _ = fetch(f"{gateway.base}/api/v1/keys", headers=HEADERS)
        assert status == 200
        return len(json.loads(body)["items"])

    before = made()
    for speaker in speakers(gateway):
        with held(gateway.data_dir / "agentflow.db"):
            error = speaker.call("good__strict", {"text": "must not run"})["error"]
            assert error["data"]["type"] == "store_unavailable", error
            assert "result" in speaker.call("good__echo", {"text": "nobody is asked about this"})
            status, body, _ = fetch(f"{gateway.base}/api/v1/keys", b'{"principal": "ada"}', HEADERS)
            assert status == 503 and b'"key"' not in body
        assert made() == before
    assert "must not run" not in seen(gateway)
    status, _, _ = fetch(f"{gateway.base}/api/v1/keys", b'{"principal": "ada"}', HEADERS)
    assert status == 201 and made() == before + 1
    assert verify(gateway.data_dir).ok and "Traceback" not in gateway.log_text()


def test_while_the_index_of_the_log_is_held_calls_are_recorded_all_the_same(gateway: Gateway) -> None:
    count = sum(1 for _ in entries(gateway.data_dir))
    with held(gateway.data_dir / "audit.db"):
        for speaker in speakers(gateway):
            assert "result" in speaker.call("good__echo", {"text": "recorded"})
        status, body, _ = fetch(f"{gateway.base}/api/v1/audit/records?limit=1", headers=HEADERS)
        assert status == 200 and json.loads(body)["items"]
    assert sum(1 for _ in entries(gateway.data_dir)) >= count + 2
