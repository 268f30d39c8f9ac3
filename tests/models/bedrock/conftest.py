"""A Bedrock of the tests' own, and a provider that is pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from agentflow.config_models import ProviderConfig
from agentflow.models.bedrock.provider import BedrockProvider
from tests.model_servers import BedrockServer

Make = Callable[..., BedrockProvider]


@pytest.fixture(scope="module")
def running() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@pytest.fixture
def bedrock(running: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> BedrockServer:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_BEARER_TOKEN_BEDROCK", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    running.reset()
    running.restore()
    return running


@pytest.fixture
async def provider(bedrock: BedrockServer) -> AsyncIterator[Make]:
    made: list[BedrockProvider] = []

    def make(*regions: str, **settings: Any) -> BedrockProvider:
        given: dict[str, Any] = {"base_url": bedrock.base_url, "retries": 0, "timeout": 30.0, **settings}
        if isinstance(given.get("api_key"), str):
            given["api_key"] = SecretStr(given["api_key"])
        made.append(BedrockProvider(ProviderConfig(kind="bedrock", regions=regions or ("us-east-1",), **given)))
        return made[-1]

    yield make
    for each in made:
        await each.close()
