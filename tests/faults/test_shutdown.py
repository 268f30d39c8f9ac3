"""SIGTERM, SIGINT and a client that leaves: what is in flight is finished and answered, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern, Speaker, call_params, connect, stdio_gateway, wait_for_tools
from gateway_process import running_gateway, wait_until, write_config

from agentflow.audit.read import entries
from agentflow.audit.verify import verify

SLOW = call_params("good__slow", {"seconds": 0.8})


def config(tmp_path: Path) -> dict[str, Any]:
    return {"mcpServers": {"good": evil("--log", str(tmp_path / "seen.jsonl"))}, "flow": {"enabled": False}}


def slow_calls(tmp_path: Path) -> int:
    return sum('"tools/call"' in line for line in (tmp_path / "seen.jsonl").read_text().splitlines())


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_in_flight_over_http(tmp_path: Path, number: int) -> None:
    with running_gateway(config(tmp_path), tmp_path) as gateway:
        gateway.wait_for_tools("good__slow")
        legacy = HttpLegacy(gateway)
        listening = connect(gateway)  # an idle stream must not hold the gateway up
        head = "".join(f"{name}: {value}\r\n" for name, value in {**legacy.sent(), "host": "localhost"}.items())
        listening.sendall(f"GET /mcp HTTP/1.1\r\n{head}\r\n".encode())
        assert b" 200 " in listening.recv(4096)
        answers: list[dict[str, Any]] = []
        speakers: list[Speaker] = [HttpModern(gateway), legacy]
        threads = [threading.Thread(target=lambda s=s: answers.append(s.ask("tools/call", SLOW))) for s in speakers]
        for thread in threads:
            thread.start()
        wait_until(lambda: slow_calls(tmp_path) >= 2, "both calls to be under way", 20, gateway.log_text)
        started = children(gateway.pid)
        assert started
        gateway.process.send_signal(number)
        for thread in threads:
            thread.join(20)
        assert ["result" in answer for answer in answers] == [True, True], answers
        assert gateway.process.wait(20) == 0, gateway.log_text()
        listening.close()
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in started), "the children to be gone", 10)
        assert "Traceback" not in gateway.log_text()
        done = [e for e in entries(gateway.data_dir) if e.record.get("target") == "slow"]
        assert [e.record["outcome"] for e in done] == ["ok", "ok"] and verify(gateway.data_dir).ok


@pytest.mark.parametrize(
    ("era", "how"),
    [("modern", "SIGTERM"), ("legacy", "SIGINT"), ("modern", "end of input"), ("legacy", "end of input")],
)
def test_what_is_in_flight_on_stdio_is_answered_before_the_end(tmp_path: Path, era: str, how: str) -> None:
    path = write_config(config(tmp_path), tmp_path / "agentflow.yaml")
    with stdio_gateway(path, tmp_path, era) as speaker:
        wait_for_tools(speaker, "good__slow")
        speaker.send(speaker.request("tools/call", SLOW, "last"))
        if how == "end of input":
            assert speaker.process.stdin is not None
            speaker.process.stdin.close()
        else:
            wait_until(lambda: slow_calls(tmp_path) >= 1, "the call to be under way", 20, speaker.log_text)
            started = children(speaker.process.pid)
            speaker.process.send_signal(getattr(signal, how))
            assert started
        assert "result" in speaker.answer("last")
        assert speaker.process.wait(20) == 0, speaker.log_text()
        assert "Traceback" not in speaker.log_text()
        assert verify(speaker.data_dir).ok


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with running_gateway(config(tmp_path), tmp_path) as gateway:
        gateway.wait_for_tools("good__never")
        thread = threading.Thread(target=_ignore_failure, args=(HttpModern(gateway),))
        thread.start()
        wait_until(lambda: slow_calls(tmp_path) >= 1, "the call to be under way", 20, gateway.log_text)
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in gateway.log_text(), "it to be stopping", 10)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(9) == 0  # the first one alone would wait ten seconds
        thread.join(10)
        assert verify(gateway.data_dir).ok


def _ignore_failure(speaker: Speaker) -> None:
    try:
        speaker.call("good__never", {})
    except Exception:
        return
