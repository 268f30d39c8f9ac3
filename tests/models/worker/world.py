"""A model worker's inside, with real HTTP servers for providers: what the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agentflow.config import StoreConfig
from agentflow.config_models import ModelsConfig
from agentflow.models.worker.serving import Serving
from tests.model_servers import ModelServer

JSON = dict[str, Any]
ONE = {"tenant": "acme", "principal": "ann"}
PRICE = {"input": "1", "output": "2"}  # 1,000 and 2,000 nano-dollars for a token
HELLO_COST = 11 * 1_000 + 7 * 2_000  # of what a server says when it is told nothing


def provider(server: ModelServer, *models: str, **more: Any) -> JSON:
    """An entry of `models.providers`, with a model for each name; they are all called `m`."""
    told = [{"model": model, "name": "m", "price": PRICE} for model in models or server.models]
    return {"kind": "openai_compatible", "base_url": server.base_url, "api_key": "sk-secret", "models": told} | more


def models_config(providers: JSON, **more: Any) -> ModelsConfig:
    """The section `models`: the cheapest first, nothing repeated, unless `more` says otherwise."""
    routing = {"strategy": "cheapest", "cooldown": 30} | more.pop("routing", {})
    providers = {name: {"retries": 0} | each for name, each in providers.items()}
    return ModelsConfig.model_validate({"providers": providers, "routing": routing, **more})


@asynccontextmanager
async def serving(folder: Path, providers: JSON, **more: Any) -> AsyncIterator[Serving]:
    """A running `Serving`, with its store in `folder`."""
    made = Serving(models_config(providers, **more), StoreConfig(), folder)
    made.start()
    try:
        yield made
    finally:
        await made.close()


def chat(text: str = "hello", *, about: JSON | None = None, **more: Any) -> JSON:
    """A chat request of `ONE`; `about` adds to its member `agentflow`."""
    return {"messages": [{"role": "user", "content": text}], "agentflow": {**ONE, **(about or {})}, **more}


def text_of(answer: JSON) -> str:
    """What the model wrote."""
    return str(answer["choices"][0]["message"]["content"])


def written(chunks: list[JSON]) -> str:
    """What the model wrote, of the parts of a stream."""
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
