"""Small bundles for the tests of policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import PolicyConfig

ALLOW = 'decision := {"allow": true, "reasons": [], "obligations": {}}'
HEAD = "package {package}\n\nimport rego.v1\n\n{text}\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., PolicyConfig]:
    """Write a one-file bundle and return the configuration that uses it."""

    def write(rego: str = ALLOW, *, tests: str = "", data: object = None, **config: Any) -> PolicyConfig:
        folder = tmp_path / "bundle"
        (folder / "agentflow").mkdir(parents=True, exist_ok=True)
        (folder / "agentflow" / "policy.rego").write_text(HEAD.format(package="agentflow", text=rego))
        if tests:
            text = HEAD.format(package="agentflow_test", text=tests)
            (folder / "agentflow" / "policy_test.rego").write_text(text)
        if data is not None:
            (folder / "data.json").write_text(json.dumps(data))
        return PolicyConfig.model_validate({"bundle": folder, **config})

    return write
