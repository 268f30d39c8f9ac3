"""A disk that is full or cannot be written, and a gateway that is killed: no call without its record."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern, Speaker, stdio_gateway, wait_for_tools
from gateway_process import Gateway, child_environment, running_gateway, wait_until, write_config

from agentflow.audit import retire, signing
from agentflow.audit.read import entries
from agentflow.audit.verify import verify
from agentflow.config import AuditConfig

AUDIT, VAULT = -32017, -32009
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def config(log: Path) -> dict[str, Any]:
    return {"mcpServers": {"good": evil("--log", str(log))}, "flow": {"enabled": False}}


def segment(data_dir: Path) -> Path:
    return max((data_dir / "audit").rglob("*.jsonl"))


def calls(log: Path) -> int:
    """How many tool calls reached the upstream."""
    return log.read_text().count('"tools/call"')


def fill(pid: int, data_dir: Path) -> None:
    """From now on no file of the process grows beyond the audit log's present size, as if the disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (segment(data_dir).stat().st_size + 100, resource.RLIM_INFINITY))


def written(data_dir: Path) -> int:
    return sum(1 for entry in entries(data_dir) if entry.record["kind"] == "call")


def refused_while_full(speaker: Speaker, pid: int, data_dir: Path, log: Path) -> None:
    """Calls are refused without running, unrecorded ones there are none, and all is well once there is room."""
    for _ in range(30):  # the log must be larger than whatever else the process writes
        assert "result" in speaker.call("good__echo", {"text": "x" * 1000})
    before = written(data_dir)
    fill(pid, data_dir)
    first = speaker.call("good__echo", {"text": "sent on, and then not recordable"})
    assert first["error"]["code"] == AUDIT and "sent on" not in str(first)
    sent = calls(log)
    for answer in (speaker.call("good__echo", {"text": "a"}), speaker.call("nope"), speaker.ask("tools/list")):
        assert answer["error"]["code"] == AUDIT and answer["error"]["data"]["type"] == "audit_unavailable"
        assert answer["error"]["data"]["fix"]
    assert calls(log) == sent, "a call ran that could not be recorded"
    assert written(data_dir) == before
    resource.prlimit(pid, resource.RLIMIT_FSIZE, NO_LIMIT)
    assert "result" in speaker.call("good__echo", {"text": "there is room again"})
    assert written(data_dir) == before + 1
    assert verify(data_dir).ok, verify(data_dir)
    events = [entry.record.get("event") for entry in entries(data_dir) if entry.record["kind"] == "log"]
    assert events == ["writable_again"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_with_a_full_disk_calls_are_refused_over_http_and_recover(tmp_path: Path, era: str) -> None:
    log = tmp_path / "seen.jsonl"
    with running_gateway(config(log), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        speaker: Speaker = HttpModern(gateway) if era == "modern" else HttpLegacy(gateway)
        refused_while_full(speaker, gateway.pid, gateway.data_dir, log)
        assert gateway.get("/healthz")[0] == 200


def test_with_a_full_disk_calls_are_refused_over_stdio_and_recover(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    path = write_config(config(log), tmp_path / "agentflow.yaml")
    with stdio_gateway(path, tmp_path) as speaker:
        wait_for_tools(speaker, "good__echo")
        refused_while_full(speaker, speaker.process.pid, speaker.data_dir, log)


def test_a_vault_that_cannot_be_written_refuses_what_it_would_have_to_hide(tmp_path: Path) -> None:
    with running_gateway(config(tmp_path / "seen.jsonl"), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        assert "result" in gateway.call("good__echo", {"text": "mail first.person@example.org"})
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        answer = gateway.call("good__echo", {"text": "mail second.person@example.org"})
        assert answer["error"]["code"] in (AUDIT, VAULT)
        assert "second.person" not in str(answer)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
        assert "result" in gateway.call("good__echo", {"text": "mail third.person@example.org"})
        assert verify(gateway.data_dir).ok


@pytest.mark.parametrize("arguments", [("--port", "0"), ("--stdio",)])
def test_a_data_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = write_config(config(tmp_path / "seen.jsonl"), tmp_path / "agentflow.yaml")
    (tmp_path / "file").write_text("not a folder")
    places = [tmp_path / "file", tmp_path / "file" / "below", Path("/proc/agentflow")]
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        places.append(tmp_path / "closed" / "data")
    for place in places:
        ended = subprocess.run(
            [sys.executable, "-m", "agentflow", "serve", "--config", str(path), *arguments],
            env=child_environment(place),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert ended.returncode == 1 and ended.stdout == ""
        assert ended.stderr.startswith("agentflow: ") and "Traceback" not in ended.stderr
        assert len(ended.stderr.splitlines()) <= 2


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_after_a_kill_under_load_every_answered_call_is_in_the_audit(tmp_path: Path, era: str) -> None:
    with running_gateway(config(tmp_path / "seen.jsonl"), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        answered = _load_until_killed(gateway, era)
        recorded = {e.record["arguments"]["arguments"]["text"] for e in _echoes(gateway.data_dir)}
        assert answered <= recorded, f"{len(answered - recorded)} answered calls are not in the audit"
        assert verify(gateway.data_dir).ok, verify(gateway.data_dir)
    with running_gateway(config(tmp_path / "seen.jsonl"), tmp_path) as gateway:  # it goes on where it stopped
        gateway.wait_for_tools("good__echo")
        assert "result" in gateway.call("good__echo", {"text": "after"})
        assert verify(gateway.data_dir).ok, verify(gateway.data_dir)


def test_killed_again_and_again_while_old_records_are_retired_the_log_verifies(tmp_path: Path) -> None:
    settings = {**config(tmp_path / "seen.jsonl"), "audit": {"segment_bytes": 20_000, "sign_every": 5}}
    for _ in range(2):
        with running_gateway(settings, tmp_path) as gateway:
            gateway.wait_for_tools("good__echo")
            answered = _load_until_killed(gateway, "modern")
            recorded = {e.record["arguments"]["arguments"]["text"] for e in _echoes(gateway.data_dir)}
            assert answered <= recorded
            result = verify(gateway.data_dir)
            assert result.ok, result
            assert result.records - result.signed <= 5
        signer = signing.signer(gateway.data_dir, AuditConfig())
        done = retire.retire(gateway.data_dir, signer, keep_bytes=100_000)
        assert [each.refused for each in done] == [""]
        result = verify(gateway.data_dir)
        assert (result.ok, result.retired) == (True, done[0].upto), result


def _echoes(data_dir: Path) -> list[Any]:
    return [e for e in entries(data_dir) if e.record.get("target") == "echo" and e.record["outcome"] == "ok"]


def _load_until_killed(gateway: Gateway, era: str) -> set[str]:
    answered: set[str] = set()
    stopped = threading.Event()

    def work(number: int) -> None:
        turn = 0
        try:
            speaker: Speaker = HttpModern(gateway) if era == "modern" else HttpLegacy(gateway)
            while not stopped.is_set():
                text, turn = f"worker {number} turn {turn}", turn + 1
                if "result" in speaker.call("good__echo", {"text": text}):
                    answered.add(text)
        except Exception:
            assert stopped.wait(20)  # the gateway is gone, and only then may a call fail

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    wait_until(lambda: len(answered) > 150, "some load", 30, gateway.log_text)
    gateway.kill()
    stopped.set()
    for worker in workers:
        worker.join(20)
    return answered
