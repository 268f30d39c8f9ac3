"""What goes wrong before anything runs: one clear line on stderr, exit code 1, never a traceback."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from faults.conftest import evil
from gateway_process import child_environment, running_gateway, wait_until, write_config

TYPO = "mcpServers:\n  notes: {comand: notes-server}\nserv:\n  port: 1\n"
FILES = {
    "a typo": (
        TYPO.encode(),
        ["agentflow.yaml:2", "did you mean `command`", "agentflow.yaml:3", "did you mean `serve`"],
    ),
    "no YAML": (b"mcpServers:\n  a: {command: x\n  b: ]\n", ["agentflow.yaml:3"]),
    "no UTF-8": (b"mcpServers: \xff\xfe\n", ["UTF-8"]),
    "the wrong shape": (b"mcpServers: [1]\n", ["agentflow.yaml:1", "mapping"]),
    "a Python object": (b"b: !!python/object/apply:os.system ['touch pwned']\n", ["agentflow.yaml:1"]),
    "thousands of brackets": (b"[" * 3000, ["nested deeper"]),
}


def serve(path: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentflow", "serve", "--config", str(path), *arguments],
        env=child_environment(tmp_path / "data"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("arguments", [("--port", "0"), ("--stdio",)])
def test_a_file_that_cannot_be_used_is_said_with_its_lines(
    tmp_path: Path, what: str, arguments: tuple[str, ...]
) -> None:
    content, words = FILES[what]
    path = tmp_path / "agentflow.yaml"
    path.write_bytes(content)
    ended = serve(path, tmp_path, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert all(word in ended.stderr for word in words), ended.stderr
    assert "Traceback" not in ended.stderr and not (tmp_path / "pwned").exists()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    path = write_config({"mcpServers": {"good": evil()}}, tmp_path / "agentflow.yaml")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = serve(path, tmp_path, "--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"agentflow: Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Stop what uses it, or choose another --port"
    ]


def test_a_broken_edit_while_serving_keeps_what_works_and_says_so(tmp_path: Path) -> None:
    with running_gateway({"mcpServers": {"good": evil()}, "flow": {"enabled": False}}, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        good = gateway.config_path.read_text()
        gateway.config_path.write_text(TYPO)
        wait_until(lambda: "configuration not applied" in gateway.log_text(), "the complaint", 15, gateway.log_text)
        assert "did you mean `command`" in gateway.log_text()
        assert "result" in gateway.call("good__echo", {"text": "still served"})
        gateway.config_path.write_text(good.replace("good:", "better:"))
        gateway.wait_for_tools("better__echo")
