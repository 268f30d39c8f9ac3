"""`agentflow models list|test|route` against a provider on a real socket, through a real model worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import write_config

from agentflow.cli import main
from tests.model_servers import OpenAIServer, Refuse


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, provider: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    provider.reset()
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    models = [
        {"model": "m-1", "name": "small", "tier": "bronze", "price": {"input": 1, "output": 2}},
        {"model": "m-2", "name": "large", "tier": "gold", "price": {"input": 30, "output": 60}, "context_window": 9000},
    ]
    account = {"kind": "openai_compatible", "base_url": provider.base_url, "models": models, "retries": 0}
    return write_config({"models": {"providers": {"local": account}}}, tmp_path / "agentflow.yaml")


def test_models_are_listed_with_their_prices(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["NAME", "PROVIDER", "MODEL", "KIND", "TIER"]
    assert lines[1].split()[:9] == ["large", "local", "m-2", "chat", "gold", "0.90", "30", "60", "9000"]
    assert lines[2].split()[:8] == ["small", "local", "m-1", "chat", "bronze", "0.50", "1", "2"]


def test_a_model_that_does_not_answer_fails_the_test(
    config: Path, provider: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.script(Refuse("unauthorized"), model="m-2")
    assert main(["models", "test", "--config", str(config)]) == 1
    good, bad = sorted(capsys.readouterr().out.splitlines()[1:], key=lambda line: "failed" in line)
    assert good.split()[:4] == ["small", "local", "m-1", "ok"]
    assert "refused the key" in bad
    assert len(provider.requests) == 2


def test_a_route_is_explained_and_nothing_is_asked(
    config: Path, provider: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["models", "route", "Prove it.", "--tier", "gold", "--explain", "--config", str(config)]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert said.startswith("large (local:m-2, gold)")
    assert "tier gold" in said
    assert any(line.startswith("-") and "local:m-1" in line for line in said.splitlines())
    assert provider.requests == []


def test_without_a_model_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config({}, tmp_path / "agentflow.yaml")
    assert main(["models", "list", "--config", str(path), "--json"]) == 1
    heard = capsys.readouterr()
    assert heard.err.splitlines() == [
        "agentflow: no language model is configured. Add one under models.providers, see docs/models.md"
    ]
    answer: dict[str, Any] = json.loads(heard.out)
    assert answer["ok"] is False
