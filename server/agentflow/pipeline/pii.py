"""The PII stages and what they share, built once for a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.config import Config
from agentflow.config_guard import GuardConfig
from agentflow.errors import ConfigError
from agentflow.guard.deep.tier import DeepTier
from agentflow.guard.pii.matcher import PiiMatchers
from agentflow.guard.secrets.matcher import SecretMatcher
from agentflow.guard.sensitive import SensitiveMatcher
from agentflow.guard.strategies import Strategies
from agentflow.guard.tokens import check_format
from agentflow.guard.vault import Vault, open_vault
from agentflow.pipeline.stages.label import Label
from agentflow.pipeline.stages.redact import Redact


@dataclass(frozen=True, slots=True)
class PiiKit:
    """One matcher, one vault and one deep tier, and the stages that use them.

    `vault.close()` and `deep.close()` end it.
    """

    matcher: SensitiveMatcher
    vault: Vault
    label: Label
    redact: Redact
    deep: DeepTier


def build_matcher(guard: GuardConfig) -> SensitiveMatcher:
    """Build the matcher of personal data and secrets.

    Raises:
        ConfigError: an unknown type, a file of recognisers that cannot be used.
    """
    try:
        pii = PiiMatchers(guard)
    except ValueError as error:
        raise ConfigError(f"guard.pii_types: {error}") from error
    if not guard.secrets.enabled:
        return SensitiveMatcher(pii.common, tenants=pii.own)
    try:
        return SensitiveMatcher(pii.common, SecretMatcher(guard.secrets.types, guard.secrets.allow), pii.own)
    except ValueError as error:
        raise ConfigError(f"guard.secrets.types: {error}") from error


def build_pii(config: Config) -> PiiKit:
    """Open the vault in `config.data_dir` and build the stages over it.

    Raises:
        ConfigError: an unknown PII type, a key or a vault that cannot be used.
    """
    guard = config.guard
    matcher = build_matcher(guard)
    deep = DeepTier(guard.deep)
    if guard.deep.mode == "always":
        deep.need()
    try:
        check_format(guard.token_format)
    except ValueError as error:
        raise ConfigError(f"guard.token_format: {error}") from error
    try:
        Strategies(guard.strategies)
    except ValueError as error:
        raise ConfigError(f"guard.strategies: {error}") from error
    vault = open_vault(config)
    return PiiKit(matcher, vault, Label(matcher, vault, guard, deep), Redact(matcher, vault, guard, deep), deep)
