"""The vault: which token stands for which personal value, sealed, in SQLite or PostgreSQL (`open_vault`)."""

from __future__ import annotations

from agentflow.config import Config
from agentflow.errors import ConfigError
from agentflow.guard.vault.keys import Entry
from agentflow.guard.vault.master import key_ring
from agentflow.guard.vault.sqlite_store import SqliteStore
from agentflow.guard.vault.store import VaultStore
from agentflow.guard.vault.vault import Vault
from agentflow.paths import private_dir

__all__ = ["Entry", "Vault", "open_vault"]


def open_vault(config: Config) -> Vault:
    """Open the vault of a configuration: `guard.vault.url`, or `vault.db` in its data directory.

    Raises:
        ConfigError: a key, the file or the database cannot be used.
    """
    try:
        private_dir(config.data_dir)
    except OSError as error:
        raise ConfigError(f"The data directory {config.data_dir} cannot be used: {error}") from error
    ring = key_ring(config)
    return Vault(_store(config), ring, ttl_days=config.guard.token_ttl_days)


def _store(config: Config) -> VaultStore:
    url = config.guard.vault.url
    if url is None:
        return SqliteStore(config.data_dir / "vault.db")
    from agentflow.guard.vault.postgres_store import PostgresStore  # needs psycopg

    return PostgresStore(url.get_secret_value())
