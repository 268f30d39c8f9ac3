"""The settings of the guard: PII, secrets, injection, pinned definitions, taint (`guard:` in `agentflow.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr

from agentflow.config_base import PostgresUrl, Section

Strategy = Literal["token", "mask", "hash", "generalise", "format_preserving", "synthetic", "drop", "pass"]
Action = Literal["annotate", "spotlight", "cut", "quarantine", "block"]


class RecognisersConfig(Section):
    """What is PII beyond the built-in types, for everybody or for one tenant."""

    files: tuple[Path, ...] = Field(
        default=(),
        description="YAML files of recognisers, in Presidio's format (`recognizers:`). Their types are looked for as "
        "soon as they are here; a score below 0.4 needs one of the recogniser's `context` words nearby.",
    )
    allow: tuple[str, ...] = Field(default=(), description="Exact values that are never taken for PII.")
    deny: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Values that always are: type to words or phrases, matched whole."
    )


class VaultConfig(Section):
    """Where tokens and their values are kept, and who holds the master key."""

    url: PostgresUrl | None = Field(
        default=None,
        description="postgresql://… for several gateways, also for what conversations read; default store.url, and "
        "without it files in data_dir, which `null` says too.",
    )
    kms_key: str | None = Field(
        default=None, description="AWS KMS key (id, ARN or alias) that wraps the tenants' data keys; needs boto3."
    )
    previous_keys: tuple[SecretStr, ...] = Field(
        default=(), description="Earlier master keys, until `agentflow vault rotate` has wrapped everything anew."
    )
    scope: Literal["tenant", "principal", "session"] = Field(
        default="tenant", description="To whom a token means something; equal values differ from one to the next."
    )


class DeepConfig(Section):
    """The deep tier: names, places, organisations, addresses, by Presidio with a language model of entities."""

    mode: Literal["off", "policy", "always"] = Field(
        default="policy", description="`policy`: where a decision's obligation `deep` says so."
    )
    engine: Literal["own", "spacy", "stanza", "transformers", "gliner"] = Field(
        default="own", description="`own` ships with AgentFlow; the others need their package and `model`."
    )
    model: str | None = Field(default=None, description="Name or folder of the engine's model.")
    labels: dict[str, str] = Field(
        default_factory=dict,
        description="Types that the model's own labels stand for, {GIVENNAME: PERSON}; what gliner is asked for.",
    )
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}$", description="Language of the engine's model.")
    types: tuple[str, ...] = Field(
        default=("PERSON", "LOCATION", "ORGANIZATION", "NRP", "ADDRESS", "DATE_OF_BIRTH", "ZIP_CODE"),
        description="Types that it takes out of messages, besides those that pii_types or a policy name.",
    )
    patterns: bool = Field(
        default=False, description="Run all of Presidio's pattern recognisers too; slow, the hot tier has their rules."
    )
    recognisers: tuple[str, ...] = Field(
        default=(),
        description="Presidio recognisers in Python, as `module:name`; name their types in `types` as well.",
    )
    queue: int = Field(default=64, gt=0, description="Messages that may wait for the worker; more are refused.")
    timeout: float = Field(default=10.0, gt=0, description="Seconds for one message; a late one is refused.")


class SecretsConfig(Section):
    """API keys, private keys, passwords and the like."""

    enabled: bool = Field(default=True, description="Look for secrets.")
    types: tuple[str, ...] = Field(default=(), description="Types of secrets looked for; empty means all of them.")
    allow: tuple[str, ...] = Field(default=(), description="Exact values that are never taken for secrets.")


class DetectorConfig(Section):
    """A heavy detector that is asked for a second opinion, in a process of its own."""

    kind: str = Field(
        description="neural, stackone, prompt_guard, llm_guard, lakera, llm_judge, or module:Class of one's own."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="What the detector needs to know: folder, model, url, threshold …"
    )
    credentials: dict[str, SecretStr] = Field(
        default_factory=dict, description="Options that are secrets, as ${VAR}: {api_key: '${LAKERA_KEY}'}."
    )


class InjectionConfig(Section):
    """What is done about text that reads as an injected instruction."""

    model: bool = Field(default=True, description="Use the trained model beside the rules.")
    trusted: Action = Field(
        default="annotate",
        description="What happens to such content of a trusted server, from block_threshold up to 0.95.",
    )
    untrusted: Action = Field(
        default="block",
        description="What happens to such content of any other server, and from 0.95 on of every server.",
    )
    quarantine_minutes: float = Field(
        default=60, gt=0, description="How long a result in quarantine can be read by the caller it was for."
    )
    detectors: tuple[DetectorConfig, ...] = Field(
        default=(), description="Heavy detectors that are asked about doubtful text; the highest score counts."
    )
    doubtful_from: float = Field(
        default=0.1, ge=0, le=1, description="Score from which text is doubtful; 0 asks about all text."
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds for one question; without an answer, refused.")
    queue: int = Field(default=64, gt=0, description="Questions that may wait; more are refused.")


class PinsConfig(Section):
    """What happens when a server's definitions are new or have changed."""

    url: PostgresUrl | None = Field(
        default=None,
        description="postgresql://… for several gateways, which then hold and approve together; default store.url, and "
        "without it pins.db in data_dir, which `null` says too.",
    )
    mode: Literal["first_use", "approve", "off"] = Field(
        default="first_use",
        description="`first_use` trusts what is seen first and holds what changes; `approve` holds new ones too.",
    )
    suspicious: Literal["hold", "flag"] = Field(
        default="hold",
        description="What happens to an untrusted server's tool whose name imitates another's, or whose description "
        "tells what to do with another server's tools.",
    )
    resources: bool = Field(
        default=True, description="Pin listed resources and templates too, not only tools, prompts and instructions."
    )
    local: bool = Field(default=False, description="Pin tools from tool files (type tools) too.")
    exempt: tuple[str, ...] = Field(
        default=(), description="Servers whose definitions are not pinned, because they change by design."
    )


class TaintConfig(Section):
    """How what a conversation has read is followed into what it sends."""

    trace: bool = Field(default=True, description="Follow text and values of results into later arguments.")
    live: int = Field(
        default=32, gt=0, description="Conversations whose traces are held in memory; the others are read from disk."
    )
    carry_over: float = Field(
        default=0.0,
        ge=0,
        description="Seconds in which a client's new session takes over what its last one had read (a reconnect).",
    )
    after_restart: float = Field(
        default=1800.0, ge=0, description="The same for sessions that were broken off by the gateway's end."
    )


class GuardConfig(Section):
    """PII, secrets and injection settings."""

    pii_types: tuple[str, ...] = Field(
        default=(),
        description="PII types looked for, in our or Presidio's names; empty means all that are personal by themselves "
        "(not URL, DOMAIN_NAME, UUID, DATE_TIME, USERNAME, COORDINATES and the like).",
    )
    pii_allow: tuple[str, ...] = Field(default=(), description="Exact values that are never taken for PII.")
    recognisers: RecognisersConfig = Field(default=RecognisersConfig(), description="Further kinds of PII.")
    tenants: dict[str, RecognisersConfig] = Field(
        default_factory=dict, description="Further kinds of PII by tenant, on top of `recognisers`."
    )
    strategies: dict[str, Strategy] = Field(
        default_factory=dict, description="What takes the place of a value, by PII type or `*`; default `token`."
    )
    token_format: str = Field(
        default="angle",
        description="`angle` writes <EMAIL_1f3a9c2e…>, `redacted` [REDACTED_EMAIL_1f3a9c2e…]; or a template such as "
        "`«{type}_{hex}»` or `{{{{{type}:{hex}}}}}`, whose tokens must be told from other text.",
    )
    token_ttl_days: float = Field(
        default=90.0,
        gt=0,
        description="Days a token can be given back. Used in the second half of them, it gets all of them again.",
    )
    block_threshold: float = Field(
        default=0.8, ge=0, le=1, description="Injection severity from which content is blocked."
    )
    flag_threshold: float = Field(
        default=0.4, ge=0, le=1, description="Injection severity from which content is flagged."
    )
    master_key: SecretStr | None = Field(
        default=None, description="Key of the vault: base64 of 32 bytes, as ${VAR}. Default: a key file in data_dir."
    )
    vault: VaultConfig = Field(default=VaultConfig(), description="The vault.")
    deep: DeepConfig = Field(default=DeepConfig(), description="The deep tier of PII.")
    secrets: SecretsConfig = Field(default=SecretsConfig(), description="Secrets.")
    injection: InjectionConfig = Field(default=InjectionConfig(), description="Injected instructions.")
    pins: PinsConfig = Field(default=PinsConfig(), description="Definitions that change.")
    taint: TaintConfig = Field(default=TaintConfig(), description="What a conversation was exposed to.")
