"""Commands that check, remove or write audit records refuse to act on defaults where the configuration is faulty."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow import cli


@pytest.mark.parametrize("words", [("verify",), ("retire", "--keep-days", "1"), ("index",)])
def test_a_faulty_configuration_is_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "agentflow.yaml").write_text("audit: {keep_days: never}\n")
    assert cli.main(["audit", *words]) != 0
    assert "cannot be used: 1 problem" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
