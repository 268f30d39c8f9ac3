"""The runnable examples in `clients/` run, and what they show is true: a token out, the real value in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_process import REPOSITORY, Gateway
from judges import place_script, run_node
from stand_in_checkout import make_checkout

CLIENTS = REPOSITORY / "clients"
TOKEN = re.compile(r"^customer Ada Lindqvist <EMAIL_[^>]+>$", re.MULTILINE)


def judge(said: str, protocol: str | None) -> None:
    if protocol:
        assert f"protocol {protocol}" in said
    assert "helpdesk__create_ticket" in said
    assert TOKEN.search(said), said
    assert "ada.lindqvist@example.com" not in said
    assert re.search(r"^ticket \d+ open for customer 1$", said, re.MULTILINE), said


def run_python(*arguments: str) -> str:
    command = [sys.executable, str(CLIENTS / "python" / "example.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_typescript(script: str, folder: Path, *arguments: str) -> str:
    done = run_node(place_script(CLIENTS / "typescript" / script, folder), *arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("era", "protocol"), [("auto", "2026-07-28"), ("2026", "2026-07-28"), ("legacy", "2025-11-25")]
)
def test_the_python_example_runs(era: str, protocol: str, gateway: Gateway) -> None:
    judge(run_python("--url", gateway.url, "--era", era), protocol)


@pytest.mark.parametrize(("script", "protocol"), [("example.mjs", "2026-07-28"), ("example-v1.mjs", None)])
def test_the_typescript_example_runs(script: str, protocol: str | None, gateway: Gateway, tmp_path: Path) -> None:
    judge(run_typescript(script, tmp_path, gateway.url), protocol)


def served(root: Path) -> list[str]:
    command = str(root / ".venv" / "bin" / "agentflow")
    return ["--stdio", command, "serve", "--stdio", "--config", str(root / "examples" / "agentflow.yaml")]


def test_the_python_example_starts_a_gateway_of_its_own(tmp_path: Path) -> None:
    judge(run_python(*served(make_checkout(tmp_path))), "2026-07-28")


@pytest.mark.parametrize(("script", "protocol"), [("example.mjs", "2026-07-28"), ("example-v1.mjs", None)])
def test_the_typescript_example_starts_a_gateway_of_its_own(script: str, protocol: str | None, tmp_path: Path) -> None:
    judge(run_typescript(script, tmp_path, *served(make_checkout(tmp_path))), protocol)
