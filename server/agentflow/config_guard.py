"""The settings of the guard: PII, secrets, injection, pinned definitions, taint (`guard:` in `agentflow.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from agentflow.config_base import Section

Strategy = Literal["token", "mask", "hash", "generalise", "format_preserving", "synthetic", "drop", "pass"]
Action = Literal["annotate", "spotlight", "cut", "quarantine", "block"]


class RecognisersConfig(Section):
    """What is PII beyond the built-in types, for everybody or for one tenant."""

    files: tuple[Path, ...] = Field(
        default=(), description="YAML files of recognisers, in Presidio's format (`recognizers:`)."
    )
    allow: tuple[str, ...] = Field(default=(), description="Exact values that are never taken for PII.")
    deny: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Values that always are: type to words or phrases, matched whole."
    )


class VaultConfig(Section):
    """Where tokens and their values are kept, and who holds the master key."""

    url: SecretStr | None = Field(
        default=None, description="postgresql://… for several gateways; default a SQLite file in data_dir."
    )
    kms_key: str | None = Field(
        default=None, description="AWS KMS key (id, ARN or alias) that wraps the tenants' data keys; needs boto3."
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
    queue: int = Field(default=64, gt=0, description="Texts that may wait for the worker; more are refused.")
    timeout: float = Field(default=10.0, gt=0, description="Seconds for one message; a late one is refused.")


class SecretsConfig(Section):
    """API keys, private keys, passwords and the like."""

    enabled: bool = Field(default=True, description="Look for secrets.")


class InjectionConfig(Section):
    """What is done about text that reads as an injected instruction."""

    model: bool = Field(default=True, description="Use the trained model beside the rules.")
    trusted: Action = Field(default="annotate", description="What happens to such content of a trusted server.")
    untrusted: Action = Field(default="block", description="What happens to such content of an untrusted server.")


class PinsConfig(Section):
    """What happens when a server's definitions are new or have changed."""

    mode: Literal["first_use", "approve", "off"] = Field(
        default="first_use",
        description="`first_use` trusts what is seen first and holds what changes; `approve` holds new ones too.",
    )


class TaintConfig(Section):
    """How what a conversation has read is followed into what it sends."""

    trace: bool = Field(default=True, description="Follow text and values of results into later arguments.")


class GuardConfig(Section):
    """PII, secrets and injection settings."""

    pii_types: tuple[str, ...] = Field(default=(), description="PII types looked for; empty means all built-in types.")
    pii_allow: tuple[str, ...] = Field(default=(), description="Exact values that are never taken for PII.")
    recognisers: RecognisersConfig = Field(default=RecognisersConfig(), description="Further kinds of PII.")
    tenants: dict[str, RecognisersConfig] = Field(
        default_factory=dict, description="Further kinds of PII by tenant, on top of `recognisers`."
    )
    strategies: dict[str, Strategy] = Field(
        default_factory=dict, description="What takes the place of a value, by PII type or `*`; default `token`."
    )
    token_format: Literal["angle", "redacted"] = Field(
        default="angle", description="`angle` writes <EMAIL_1f3a9c2e…>, `redacted` [REDACTED_EMAIL_1f3a9c2e…]."
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
