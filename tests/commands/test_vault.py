"""`agentflow vault` shows, forgets and rotates, and leaves no value in the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentflow import cli
from agentflow.config import Config
from agentflow.guard.vault import Entry, open_vault

MAIL = ("EMAIL", "alice@example.com")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agentflow.yaml"
    path.write_text(f"data_dir: {tmp_path / 'data'}\n")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["vault", *words])
    return code, capsys.readouterr().out


def known(data: Path, value: tuple[str, str] = MAIL) -> str:
    vault = open_vault(Config(data_dir=data))
    (name,) = vault.tokens("default", [value])
    vault.close()
    return name


def audit(data: Path) -> str:
    return "".join(file.read_text() for file in (data / "audit").rglob("*.jsonl"))


def test_forget_removes_a_value_and_says_so_without_it(
    config: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = known(data)
    code, out = run(capsys, "forget", "--value", "Alice@example.com", "--config", str(config))
    assert (code, "1 entries forgotten (1 EMAIL)" in out) == (0, True)
    vault = open_vault(Config(data_dir=data))
    assert vault.values("default", [name]) == {}
    vault.close()
    assert "forgotten" in audit(data) and "alice" not in audit(data).lower()
    assert run(capsys, "forget", "--value", MAIL[1], "--config", str(config))[0] == 1


def test_forget_takes_a_token_or_a_whole_tenant(config: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = known(data)
    assert run(capsys, "forget", "--token", f"<{name}>", "--config", str(config))[0] == 0
    known(data, ("SSN", "123-45-6789"))
    code, out = run(capsys, "forget", "--all", "--json", "--config", str(config))
    assert (code, json.loads(out)["ok"]) == (0, True)
    assert json.loads(run(capsys, "status", "--json", "--config", str(config))[1])["tenants"] == []


@pytest.mark.parametrize("words", [[], ["--value", "x", "--all"], ["--token", "no token"], ["--value", ""]])
def test_forget_wants_to_know_what(config: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "forget", *words, "--config", str(config))[0] == 2


def test_rotate_changes_the_key_file_and_the_data_keys(
    config: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = known(data)
    before = (data / "master.key").read_text()
    assert run(capsys, "rotate", "--config", str(config))[0] == 0
    after = (data / "master.key").read_text()
    assert after != before and len(after.split()) == 1
    code, out = run(capsys, "rotate", "--data-keys", "--json", "--config", str(config))
    assert (code, json.loads(out)["sealed"]) == (0, 1)
    vault = open_vault(Config(data_dir=data))
    assert vault.values("default", [name]) == {name: Entry(*MAIL)}
    vault.close()
