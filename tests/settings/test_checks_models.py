"""What `agentflow config check` says about models, and about the flow that asks them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentflow.settings import file

ACCOUNT = {"kind": "openai_compatible", "base_url": "http://127.0.0.1:11434/v1", "models": [{"model": "m-1"}]}


def problems(tmp_path: Path, environ: dict[str, str] | None = None, **config: Any) -> list[tuple[str, str, str]]:
    path = tmp_path / "agentflow.yaml"
    path.write_text(yaml.safe_dump(config))
    found = file.check(path, {"AGENTFLOW_DATA_DIR": str(tmp_path / "data"), **(environ or {})})
    return [(each.path, each.severity, f"{each.message}; {each.fix}") for each in found]


def providers(**accounts: Any) -> dict[str, Any]:
    return {"models": {"providers": accounts}}


def test_models_that_can_be_asked_are_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, **providers(local=ACCOUNT)) == []
    assert problems(tmp_path, flow={"base_url": "http://127.0.0.1:1/v1", "model": "m"}) == []


@pytest.mark.parametrize(
    ("config", "path", "severity", "words"),
    [
        pytest.param(providers(x={"kind": "openai", "models": [{"model": "m"}]}), "api_key", "error",
                     "OPENAI_API_KEY", id="no-key"),
        pytest.param(providers(x={**ACCOUNT, "api_key": "sk-very-secret-0123456789"}), "api_key", "error",
                     "written into the file", id="key-in-file"),
        pytest.param(providers(x={**ACCOUNT, "base_url": "http://me:pass@host/v1"}), "base_url", "error",
                     "user name or password", id="password-in-address"),
        pytest.param(providers(x={**ACCOUNT, "models": []}), "models", "warning", "nobody can ask", id="no-models"),
        pytest.param(providers(x={**ACCOUNT, "models": [{"model": "auto"}]}), "model", "error", "auto", id="auto"),
        pytest.param(providers(x={**ACCOUNT, "models": [{"model": "a"}, {"model": "a"}]}), "model", "error",
                     "twice", id="twice"),
        pytest.param(providers(x={**ACCOUNT, "models": [{"model": "a", "name": "n"},
                     {"model": "b", "name": "n", "kind": "embedding"}]}), "name", "error", "another kind", id="kinds"),
        pytest.param(providers(x={"kind": "bedrock", "models": [{"model": "a"}]}), "regions", "warning",
                     "AWS_REGION", id="no-region"),
        pytest.param({"flow": {"base_url": "http://127.0.0.1:1/v1"}}, "flow.model", "error", "name the model",
                     id="no-model"),
        pytest.param({"flow": {"planner": "model"}}, "flow.planner", "error", "models.providers", id="demanded"),
        pytest.param({**providers(x=ACCOUNT), "flow": {"model": "m-2"}}, "flow.model", "error", "did you mean `m-1`",
                     id="unknown-name"),
        pytest.param({**providers(flow=ACCOUNT), "flow": {"base_url": "http://127.0.0.1:1/v1", "model": "m"}},
                     "flow.base_url", "error", "keep one of the two", id="both"),
        pytest.param({"models": {"serve": True}}, "models.serve", "warning", "no model to serve", id="none-to-serve"),
        pytest.param(providers(x={"kind": "local", "models": [{"model": "a"}]}), "kind", "error", "flow.planner: local",
                     id="this-machine"),
        pytest.param(providers(x={**ACCOUNT, "base_url": "http://me:pass@host/v1"}), "base_url", "error", "`api_key:",
                     id="where-a-key-goes"),
        pytest.param(providers(x={**ACCOUNT, "models": [{"model": "m", "tier": "bronze"}]}), "default_tier", "warning",
                     "no model reaches the quality that silver asks for", id="out-of-reach"),
        pytest.param({"models": {"prices": "nowhere.yaml"}}, "models.prices", "error", "no such file", id="no-prices"),
        pytest.param({"models": {"providers": {"x": ACCOUNT}, "serve": True}, "serve": {"path": "/v1/mcp"}},
                     "serve.path", "error", "another path", id="paths-meet"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_stands(
    tmp_path: Path, config: dict[str, Any], path: str, severity: str, words: str
) -> None:
    found = problems(tmp_path, **config)
    assert [each for each in found if path in each[0] and each[1] == severity and words in each[2]], found


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "agentflow.settings.checks_models.find_spec", lambda name: None if name == "litellm" else real(name)
    )
    (found,) = problems(tmp_path, **providers(local=ACCOUNT))
    assert "pip install 'agentflow-gateway[models]'" in found[2]
    assert problems(tmp_path) == []
