"""Bringing a store to the present layout: an empty one, one of today, or a file of AgentFlow's first vault.

Nothing is written before the master key is known to be the right one. The first vault derived a tenant's keys from
the master key; its entries are sealed anew under random keys, and its naming keys are kept, so that every token stays
what it was. Afterwards its program refuses the file.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentflow.errors import ConfigError
from agentflow.guard.vault.keys import KeyChest, read
from agentflow.guard.vault.master import NONCE, LocalMaster
from agentflow.guard.vault.sqlite_store import SqliteStore
from agentflow.guard.vault.store import Row, VaultStore

VERSION: Final = 2
_FIRST_PROOF: Final = b"agentflow vault 1"


def settle(store: VaultStore, chest: KeyChest) -> None:
    """Make the store ready for use.

    Raises:
        ConfigError: it was made with another master key, or by a newer AgentFlow.
        VaultUnavailable: it cannot be read or written.
    """
    version = store.version()
    if version > VERSION:
        raise ConfigError(f"The PII vault {store.place} was made by a newer AgentFlow", fix="upgrade this installation")
    first = _first_master(store, chest) if version == 1 else None
    if version == VERSION:
        chest.prove()
    if isinstance(store, SqliteStore):
        store.settle()
    if version == VERSION:
        return
    with store.transaction(""):
        now_there = store.version()  # another process may have been first
        if now_there != VERSION:
            store.prepare()
            chest.install()
            if now_there == 1 and first is not None and isinstance(store, SqliteStore):
                _carry_over(store, chest, first)
            store.set_meta("version", str(VERSION).encode())
    chest.prove()
    if version == 1:
        store.scrub()


def _first_master(store: VaultStore, chest: KeyChest) -> LocalMaster:
    proof = store.meta("proof") or b""
    for master in chest.ring.masters:
        if isinstance(master, LocalMaster):
            try:
                AESGCM(master.first_version(b"proof", 32)).decrypt(proof[:NONCE], proof[NONCE:], _FIRST_PROOF)
            except InvalidTag:
                continue
            return master
    raise ConfigError(
        f"The PII vault {store.place} was made with another master key",
        fix="restore guard.master_key or master.key, or move the vault away: tokens in it are lost",
    )


def _carry_over(store: SqliteStore, chest: KeyChest, master: LocalMaster) -> None:
    opening: dict[str, AESGCM] = {}
    for tenant, token, sealed, expires in store.legacy():
        if tenant not in opening:
            material = master.first_version(b"tenant " + tenant.encode(), 64)
            opening[tenant] = AESGCM(material[32:])
            chest.put(tenant, "naming", 0, material[:32])
            chest.put(tenant, "data", 1, secrets.token_bytes(32))
        bound = f"{len(tenant)}:{tenant}:{token}".encode()
        try:
            entry = read(opening[tenant].decrypt(sealed[:NONCE], sealed[NONCE:], bound))
        except InvalidTag:
            continue  # an altered entry stood for nothing before, either
        keys = chest.ensure(tenant)
        number, anew = keys.seal(tenant, "", token, entry)
        store.insert(tenant, "", [(token, Row(number, anew, expires))])
    store.drop_legacy()
    # The first program opens this no more, and says that the key is another one.
    store.set_meta("proof", bytes(NONCE + 16))
