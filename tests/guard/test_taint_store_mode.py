"""The taint store is its owner's alone, also where the file was there before."""

from __future__ import annotations

from pathlib import Path

from agentflow.guard.taint_store import TaintStore


def test_an_existing_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "taint.db"
    path.touch()
    path.chmod(0o644)
    TaintStore(path, 60.0).close()
    assert path.stat().st_mode & 0o777 == 0o600
