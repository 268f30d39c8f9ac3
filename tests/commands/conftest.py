"""Running a command in this process, in a folder and data directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands_run import Run, Said

from agentflow.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentflow.yaml").write_text("flow: {enabled: false}\n")

    def run(*words: str) -> Said:
        capsys.readouterr()
        try:
            code = main(list(words))
        except SystemExit as end:
            code = int(str(end.code))
        return Said(code, *capsys.readouterr())

    return run
