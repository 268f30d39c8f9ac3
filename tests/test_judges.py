"""The judges are the pinned ones, are installed once, and say so clearly when they cannot be."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import judges
import pytest


def test_every_pinned_package_is_there_in_its_exact_version() -> None:
    pinned = json.loads((judges.PINNED / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, version in pinned.items():
        manifest = json.loads(judges.package(name, "package.json").read_text(encoding="utf-8"))
        assert manifest["version"] == version


def test_node_is_new_enough_for_the_inspector() -> None:
    version = subprocess.run([str(judges.node()), "--version"], capture_output=True, text=True, check=True).stdout
    assert tuple(int(part) for part in version.strip().removeprefix("v").split(".")) >= (22, 19, 0)


def test_a_failing_npm_fails_the_test_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = tmp_path / "pinned"
    pinned.mkdir()
    for name in ("package.json", "package-lock.json"):
        (pinned / name).write_text("{ this is not JSON", encoding="utf-8")
    monkeypatch.setattr(judges, "PINNED", pinned)
    monkeypatch.setattr(judges, "CACHE", tmp_path / "cache")
    with pytest.raises(AssertionError, match="npm ci"):
        judges.npm_packages.__wrapped__()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
