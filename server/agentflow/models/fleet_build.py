"""The fleet out of the configuration: what it says of each model, and, where it says nothing, what tables know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from agentflow.config_models import ModelConfig, ModelsConfig, ProviderConfig
from agentflow.models.fleet import Deployment
from agentflow.models.money.prices import PriceTable

_HELD: Final = ("vllm", "ollama", "openai_compatible")  # take a JSON schema, or say that they do not


def build_fleet(
    config: ModelsConfig,
    table: PriceTable,
    discovered: Mapping[str, Sequence[ModelConfig]] | None = None,
) -> tuple[Deployment, ...]:
    """Every deployment, the configured ones first; of two with one key the first.

    Args:
        table: what is known of models beside the configuration; discovered: models that providers list, by provider.
    """
    found: dict[str, Deployment] = {}
    for name, provider in config.providers.items():
        if not provider.enabled:
            continue
        listed = (discovered or {}).get(name, ()) if provider.discover else ()
        configured = {model.model for model in provider.models}
        for model in (*provider.models, *(each for each in listed if each.model not in configured)):
            deployment = _deployment(name, provider, model, table)
            found.setdefault(deployment.key, deployment)
    return tuple(found.values())


def _deployment(name: str, provider: ProviderConfig, model: ModelConfig, table: PriceTable) -> Deployment:
    facts = table.of(name, provider, model)
    schema = model.json_schema
    if schema is None:
        schema = (provider.kind in _HELD or bool(facts.json_schema)) and model.kind == "chat"
    return Deployment(
        provider=name,
        model=f"{model.region}/{model.model}" if model.region else model.model,
        name=model.name or model.model,
        kind=model.kind,
        tier=model.tier,
        quality=model.worth,
        price=facts.price,
        context_window=model.context_window or facts.context_window,
        max_output=model.max_output_tokens or (facts.max_output if model.kind == "chat" else None),
        json_schema=schema,
    )
