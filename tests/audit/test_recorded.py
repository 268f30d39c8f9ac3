"""A gateway in its own process: everything it decides is recorded as documented, signed, indexed and verifiable."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import HttpModern, stdio_gateway
from gateway_process import Gateway, fetch, running_gateway, wait_until, write_config
from jsonschema import Draft202012Validator

from agentflow.audit import index, record
from agentflow.audit.query import Filter
from agentflow.audit.read import entries
from agentflow.audit.verify import verify

SCHEMA = Draft202012Validator(json.loads(Path(record.__file__).with_name("record.schema.json").read_text()))
KEY = "a-key-of-a-test-that-is-long-enough"
ADA = "ada.lovelace@example.org"


def config(log: Path, **more: Any) -> dict[str, Any]:
    return {"mcpServers": {"good": evil("--log", str(log))}, "flow": {"enabled": False}, **more}


def test_a_request_that_never_became_a_call_is_recorded_and_one_that_did_only_once(tmp_path: Path) -> None:
    with running_gateway(config(tmp_path / "seen.jsonl"), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        speaker = HttpModern(gateway)
        for method, params, expected in (
            ("foo/bar", {}, ("request", "unknown_method")),
            ("tools/call", {"name": 5}, ("request", "malformed")),
            ("tools/call", {"name": "nope"}, ("call", "unknown_name")),
            ("tools/list", {}, ("call", "ok")),
        ):
            before = len(told(gateway))
            speaker.ask(method, params)
            assert [(each["kind"], each["outcome"]) for each in told(gateway)[before:]] == [expected], method


def told(gateway: Gateway, **wanted: Any) -> list[dict[str, Any]]:
    return [entry.record for entry in entries(gateway.data_dir) if Filter(**wanted).matches(entry.record)]


def test_refused_requests_reloads_starts_and_ends_are_recorded(tmp_path: Path) -> None:
    auth = {"api_keys": [{"id": "ada", "key": "${ADAS_KEY}", "roles": ["operator"], "tenant": "acme"}]}
    settings = config(tmp_path / "seen.jsonl", auth=auth, limits={"max_body": 2000})
    with running_gateway(settings, tmp_path, env={"ADAS_KEY": KEY}) as gateway:
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        known = {**headers, "authorization": f"Bearer {KEY}"}
        for status, body, sent in (
            (401, b"{}", headers),
            (401, b"{}", {**headers, "authorization": f"Bearer {ADA}"}),
            (421, b"{}", {**headers, "host": f"{ADA}.example"}),
            (413, b"x" * 3000, known),
            (415, b"{}", {**known, "content-type": "text/plain"}),
            (400, b"{", known),
        ):
            assert fetch(gateway.url, body, sent)[0] == status
        reasons = [each["outcome"] for each in told(gateway, kind="request")]
        assert reasons == ["unauthenticated", "unauthenticated", "foreign_host", "too_large", "not_json", "malformed"]
        assert [each.get("by") for each in told(gateway, kind="request")] == [None] * 3 + ["acme/ada"] * 3
        write_config({**settings, "policy": {"data": {"acl": {"deny": ["x"]}}}}, gateway.config_path)
        wait_until(lambda: told(gateway, kind="gateway", event="reconfigured"), "the reload", 30, gateway.log_text)
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "x.rego").write_text("package agentflow.authz\n\nallow := {")
        write_config({**settings, "policy": {"bundle": str(tmp_path / "broken")}}, gateway.config_path)
        wait_until(lambda: told(gateway, kind="policy", event="refused"), "the refusal", 30, gateway.log_text)
        write_config({**settings, "policy": {"timeout": -1}}, gateway.config_path)
        wait_until(lambda: told(gateway, kind="gateway", event="refused"), "the refusal", 30, gateway.log_text)
    found = [entry.record for entry in entries(gateway.data_dir)]
    assert [(each["kind"], each["event"]) for each in found[:2]] == [("gateway", "started"), ("policy", "loaded")]
    assert (found[-1]["kind"], found[-1]["event"]) == ("gateway", "stopped")
    for each in found:
        SCHEMA.validate(each)
    everything = b"".join(path.read_bytes() for path in (gateway.data_dir / "audit").rglob("*") if path.is_file())
    assert ADA.encode() not in everything and KEY.encode() not in everything
    result = verify(gateway.data_dir)
    assert (result.ok, result.signed) == (True, result.records), result


def test_a_line_on_stdio_that_is_refused_is_recorded(tmp_path: Path) -> None:
    path = write_config(config(tmp_path / "seen.jsonl"), tmp_path / "agentflow.yaml")
    with stdio_gateway(path, tmp_path) as speaker:
        speaker.write(b'{"jsonrpc": "' + ADA.encode() + b"\n")
        assert speaker.read()["error"]["code"] == -32700
        (found,) = [entry.record for entry in entries(speaker.data_dir) if entry.record["kind"] == "request"]
    assert (found["outcome"], found["details"]) == ("parse_error", {"transport": "stdio"})
    assert found["by"] == "default/local"
    SCHEMA.validate(found)


def test_a_running_gateway_signs_and_indexes_and_no_state_of_the_index_stops_it(tmp_path: Path) -> None:
    with running_gateway(config(tmp_path / "seen.jsonl"), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        path = gateway.data_dir / index.FILE
        for number, damage in enumerate(("deleted", "noise", "locked", "none")):
            for turn in range(5):
                assert "result" in gateway.call("good__echo", {"text": f"{ADA} {number} {turn}"})
            wait_until(path.exists, "the index", 30, gateway.log_text)
            if damage == "deleted":
                path.unlink()
            elif damage == "noise":
                path.write_bytes(os.urandom(20_000))
        wait_until(lambda: _indexed(gateway.data_dir) == len(list(entries(gateway.data_dir))), "all of it", 30,
                   gateway.log_text)  # fmt: skip
        wait_until(lambda: _all_signed(gateway.data_dir), "a signed head", 30, gateway.log_text)
        for each in told(gateway):
            SCHEMA.validate(each)
        store = index.SqliteIndex(path)
        wanted = Filter(tool="good__echo", pii="EMAIL")
        found = index._by_index(gateway.data_dir, wanted, None, store)
        store.close()
        assert found == index.search(gateway.data_dir, wanted, None, None)
        assert len(found) == 20
        assert ADA.encode() not in path.read_bytes()


def _indexed(data_dir: Path) -> int:
    """How many records the gateway itself has put into the index."""
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{data_dir / index.FILE}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM record").fetchone()[0])
    except sqlite3.Error:
        return -1


def _all_signed(data_dir: Path) -> bool:
    result = verify(data_dir)
    assert result.ok, result
    return result.signed == result.records


@pytest.mark.parametrize("variable", ["AGENTFLOW_AUDIT__SIGNING_KEY"])
def test_the_key_may_come_from_the_environment(tmp_path: Path, variable: str) -> None:
    with running_gateway(config(tmp_path / "seen.jsonl"), tmp_path, env={variable: "A" * 43 + "="}) as gateway:
        gateway.wait_for_tools("good__echo")
        assert not (gateway.data_dir / "audit.key").exists()
