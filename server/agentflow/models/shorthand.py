"""`flow.base_url`, `flow.api_key` and `flow.model` as what they are short for: the provider `flow` of the models."""

from __future__ import annotations

from pydantic import ValidationError

from agentflow.config import Config
from agentflow.config_models import ModelConfig, ModelsConfig, ProviderConfig
from agentflow.errors import ConfigError

FLOW_PROVIDER = "flow"


def effective_models(config: Config) -> ModelsConfig:
    """The models of a configuration, with the one that its flow names by an address.

    A provider that is called `flow` in `models.providers` goes before.

    Raises:
        ConfigError: that address is none.
    """
    flow, models = config.flow, config.models
    if not flow.base_url or not flow.model or FLOW_PROVIDER in models.providers:
        return models
    try:
        provider = ProviderConfig(
            kind="openai_compatible",
            base_url=flow.base_url,
            api_key=flow.api_key,
            timeout=min(flow.timeout, 60.0),
            models=(ModelConfig(model=flow.model, tier=flow.tier),),
        )
    except ValidationError:
        raise ConfigError(
            "flow.base_url is not an HTTP address", fix="set flow.base_url to http(s)://host[:port]/v1"
        ) from None
    return models.model_copy(update={"providers": {**models.providers, FLOW_PROVIDER: provider}})


def with_shorthand(config: Config) -> Config:
    """The configuration with `effective_models` in it; itself where nothing is short for anything."""
    models = effective_models(config)
    return config if models is config.models else config.model_copy(update={"models": models})
