"""What an administrator does to a vault while it serves: forget a person, destroy a tenant, change keys, look.

Each is safe beside running gateways: they notice within `NOTICE` seconds, and at their next write at once. What is
forgotten leaves a tombstone for as long as a token lives, so that its name never comes to mean the same value again.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from agentflow.guard.vault.keys import Entry
from agentflow.guard.vault.master import Master
from agentflow.guard.vault.names import canonical
from agentflow.guard.vault.store import KeyRow, Place, Row
from agentflow.guard.vault.vault import Vault

_PAGE: Final = 500
_START: Final = Place("", "")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of a request to forget: entries removed, by type.

    Attributes:
        scrubbed: what was removed is overwritten in the files too; False while another process reads them.
    """

    entries: int = 0
    types: dict[str, int] = field(default_factory=dict)
    scrubbed: bool = True


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """A tenant's entries and the numbers of its data keys, oldest first."""

    tenant: str
    entries: int
    data_keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """What a vault holds. `wrapped` counts keys by the master key that wraps them."""

    place: str
    master: str
    wrapped: dict[str, int]
    tenants: tuple[TenantStatus, ...]


def status(vault: Vault) -> Status:
    """Look at a vault.

    Raises:
        VaultUnavailable: it cannot be read.
    """
    keys = vault.store.keys()
    numbers: dict[str, list[int]] = {}
    for row in keys:
        if row.kind == "data":
            numbers.setdefault(row.tenant, []).append(row.number)
    tenants = tuple(
        TenantStatus(tenant, count, tuple(numbers.get(tenant, ()))) for tenant, count in vault.store.tenants()
    )
    return Status(vault.store.place, vault.chest.in_force().id, dict(Counter(row.master for row in keys)), tenants)


def forget(vault: Vault, tenant: str, value: str | int, kind: str | None = None) -> Forgotten:
    """Remove every entry of a value, in all scopes, as text and as number, however it is punctuated or cased.

    Args:
        kind: only entries of this type.

    Raises:
        VaultUnavailable: the vault cannot be read or written.
    """
    same = canonical(str(value))
    return _forget(vault, tenant, lambda entry: canonical(str(entry.value)) == same and kind in (None, entry.type))


def forget_token(vault: Vault, tenant: str, name: str) -> Forgotten:
    """Remove every entry of the value that a token stands for.

    Raises:
        VaultUnavailable: the vault cannot be read or written.
    """
    values = {canonical(str(entry.value)) for _, token, entry in _entries(vault, tenant) if token == name}
    return _forget(vault, tenant, lambda entry: canonical(str(entry.value)) in values)


def shred(vault: Vault, tenant: str) -> Forgotten:
    """Destroy a tenant's keys and entries: what copies of the tables hold cannot be read any more, either.

    A copy made before, together with the master key of then, can: change the master key for that.

    Raises:
        VaultUnavailable: the vault cannot be read or written.
    """
    with vault.lock:
        with vault.transaction(tenant):
            entries = vault.store.drop(tenant)
            vault.store.drop_keys(tenant)
            vault.changed()
        vault.chest.forget()
        return Forgotten(entries, {}, vault.store.scrub())


def rotate_master(vault: Vault) -> int:
    """Wrap every key by the ring's first master key and put that one in force; returns how many were wrapped anew.

    Running gateways must have that key (a key file they read again by themselves).

    Raises:
        VaultUnavailable: a key does not open, or the vault cannot be written.
    """
    master = vault.chest.ring.first
    with vault.lock:
        # Wrapped before the transaction begins: a key service takes its time, and writers would wait for it.
        ready = {row: vault.chest.rewrap(row, master) for row in _foreign(vault, master)}
        with vault.transaction(""):
            rows = _foreign(vault, master)
            for row in rows:
                vault.store.put_key(ready.get(row) or vault.chest.rewrap(row, master))
            vault.store.set_meta("master", master.id.encode())
            vault.changed()
        vault.store.scrub()
    return len(rows)


def _foreign(vault: Vault, master: Master) -> list[KeyRow]:
    """The keys that another master key wraps."""
    rows = vault.store.keys()
    return [row for row in rows if row.master != master.id]


def rotate_data_keys(vault: Vault, tenant: str | None = None) -> int:
    """Give each tenant (or one) a new data key and seal its entries anew, a page at a time; returns how many.

    Tokens keep their names. Broken off, it goes on where it was when called again.

    Raises:
        VaultUnavailable: an entry does not open, or the vault cannot be written.
    """
    names = [tenant] if tenant is not None else [name for name, _ in vault.store.tenants()]
    return sum(_rotate_tenant(vault, name) for name in names)


def _rotate_tenant(vault: Vault, tenant: str) -> int:
    with vault.transaction(tenant):
        keys = vault.chest.of(tenant)
        if keys is None:
            return 0
        newest = keys.current + 1
        vault.chest.put(tenant, "data", newest, secrets.token_bytes(32))
        vault.changed()  # writers seal with the new key from here on
    vault.chest.forget()
    done, after = 0, _START
    while page := _sealed_anew(vault, tenant, newest, after):
        done, after = done + len(page), page[-1]
    with vault.transaction(tenant):
        # Whatever was written since the new key exists is sealed with it: nobody needs the old ones.
        vault.store.drop_keys(tenant, below=newest)
        vault.changed()
    vault.store.scrub()
    return done


def _sealed_anew(vault: Vault, tenant: str, newest: int, after: Place) -> list[Place]:
    """Seal one page of entries with the newest key; returns where they stand."""
    with vault.transaction(tenant):
        keys = vault.chest.of(tenant, key=newest)
        page = vault.store.page(tenant, after, _PAGE) if keys is not None else []
        changes = [
            (
                scope,
                token,
                Row(newest, keys.seal(tenant, scope, token, keys.unseal(tenant, scope, token, row))[1], row.expires),
            )
            for scope, token, row in page
            if keys is not None and row.sealed and row.key != newest
        ]
        vault.store.overwrite(tenant, changes)
    return [Place(scope, token) for scope, token, _ in page]


def _forget(vault: Vault, tenant: str, wanted: Callable[[Entry], bool]) -> Forgotten:
    types: Counter[str] = Counter()
    while True:
        found = [(scope, token, entry.type) for scope, token, entry in _entries(vault, tenant) if wanted(entry)]
        if not found:
            break
        with vault.lock, vault.transaction(tenant):
            tombstone = Row(0, b"", time.time() + vault.ttl)
            vault.store.overwrite(tenant, [(scope, token, tombstone) for scope, token, _ in found])
            vault.changed()
        types.update(kind for _, _, kind in found)
    scrubbed = vault.store.scrub() if types else True
    return Forgotten(types.total(), dict(types), scrubbed)


def _entries(vault: Vault, tenant: str) -> Iterator[tuple[str, str, Entry]]:
    """Every entry of a tenant, opened: `(scope, token, entry)`."""
    after = _START
    while page := vault.store.page(tenant, after, _PAGE):
        for scope, token, row in page:
            keys = vault.chest.of(tenant, key=row.key) if row.sealed else None
            if keys is not None:
                yield scope, token, keys.unseal(tenant, scope, token, row)
        after = Place(*page[-1][:2])
