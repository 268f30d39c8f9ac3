"""The PII stages and what they share, built once for a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.config import Config
from agentflow.errors import ConfigError
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.vault import Vault, open_vault
from agentflow.pipeline.stages.label import Label
from agentflow.pipeline.stages.redact import Redact


@dataclass(frozen=True, slots=True)
class PiiKit:
    """One matcher and one vault, and the stages that use both. `vault.close()` ends it."""

    matcher: PiiMatcher
    vault: Vault
    label: Label
    redact: Redact


def build_pii(config: Config) -> PiiKit:
    """Open the vault in `config.data_dir` and build the stages over it.

    Raises:
        ConfigError: an unknown PII type, a key or a vault that cannot be used.
    """
    guard = config.guard
    try:
        matcher = PiiMatcher(guard.pii_types, guard.pii_allow)
    except ValueError as error:
        raise ConfigError(f"guard.pii_types: {error}") from error
    vault = open_vault(config)
    return PiiKit(matcher, vault, Label(matcher, vault, guard), Redact(matcher, vault, guard))
