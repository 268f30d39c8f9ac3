"""Which provider speaks which protocol. Only what is configured is imported."""

from __future__ import annotations

from agentflow.config_models import ProviderConfig
from agentflow.errors import ConfigError
from agentflow.models.worker.cohere_wire import CohereWire
from agentflow.models.worker.openai_wire import OpenAIWire, speaks_openai
from agentflow.models.worker.provider import Provider


def provider_for(name: str, config: ProviderConfig) -> Provider:
    """Make the provider of one entry of `models.providers`.

    Raises:
        ConfigError: it cannot be used, or what it needs is not installed.
    """
    if speaks_openai(config):
        return OpenAIWire(name, config)
    if config.kind == "local":
        raise ConfigError(
            f"models.providers.{name}: the model of this machine is no provider of the model worker",
            fix="set flow.planner: local, or serve it at an address of its own with kind openai_compatible",
        )
    try:
        if config.kind == "bedrock":
            from agentflow.models.bedrock.provider import BedrockProvider

            return BedrockProvider(config)
        if config.kind == "cohere":
            return CohereWire(name, config)
        from agentflow.models.worker.litellm_provider import LiteLLMProvider

        return LiteLLMProvider(name, config)
    except ImportError as error:
        raise ConfigError(
            f"models.providers.{name} needs {error.name}, which is not installed",
            fix="pip install 'agentflow-gateway[models]'",
        ) from None
