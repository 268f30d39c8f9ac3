"""The keys of the tenants: made at random, kept wrapped, changed without losing what they sealed.

Each tenant has a *naming* key, from which the names of its tokens follow and which stays, and *data* keys, which seal
its entries; the newest one seals, older ones open until everything is sealed anew. Without its keys nothing of a
tenant can be read any more, here or in a copy of the tables: destroying them is erasure.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import Final, Generic, NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard.vault.master import NONCE, KeyRing, Master, WrongMaster
from agentflow.guard.vault.store import KeyRow, Row, VaultStore

_MAX_TENANTS: Final = 1024
_PROOF: Final = b"agentflow vault 2: the master key is the right one"

K = TypeVar("K")
V = TypeVar("V")


class Entry(NamedTuple):
    """What a token stands for."""

    type: str
    value: str | int


class Recent(OrderedDict[K, V], Generic[K, V]):
    """A mapping that forgets what was used longest ago."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def recall(self, key: K) -> V | None:
        found = self.get(key)
        if found is not None:
            self.move_to_end(key)
        return found

    def keep(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """A tenant's keys, unwrapped. `current` is the number of the data key that seals."""

    naming: bytes
    data: dict[int, AESGCM]
    current: int

    def seal(self, tenant: str, scope: str, token: str, entry: Entry) -> tuple[int, bytes]:
        """Return the number of the key and the sealed entry, bound to its place."""
        nonce = secrets.token_bytes(NONCE)
        sealed = self.data[self.current].encrypt(nonce, written(entry), _bound(tenant, scope, token))
        return self.current, nonce + sealed

    def unseal(self, tenant: str, scope: str, token: str, row: Row) -> Entry:
        """Open an entry.

        Raises:
            VaultUnavailable: it was altered, or comes from another place.
        """
        try:
            clear = self.data[row.key].decrypt(row.sealed[:NONCE], row.sealed[NONCE:], _bound(tenant, scope, token))
        except (InvalidTag, ValueError, KeyError):
            raise VaultUnavailable(
                "A vault entry does not open: it was altered, or is another tenant's",
                fix="restore the vault from a copy",
            ) from None
        return read(clear)

    def derived(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for another purpose, as lasting as the names."""
        return digest(self.naming, b"derive\0" + purpose, sha256)


class KeyChest:
    """Unwraps, makes and remembers the keys of tenants."""

    def __init__(self, store: VaultStore, ring: KeyRing) -> None:
        self.ring = ring
        self._store = store
        self._known: Recent[str, TenantKeys] = Recent(_MAX_TENANTS)

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._known.clear()

    def of(self, tenant: str, *, key: int | None = None) -> TenantKeys | None:
        """A tenant's keys, among them data key number `key`; None when it has none.

        Raises:
            VaultUnavailable: they cannot be read, or do not open.
        """
        known = self._known.recall(tenant)
        if known is not None and (key is None or key in known.data):
            return known
        naming, data = b"", {}
        for row in self._store.keys(tenant):
            if row.kind == "naming":
                naming = self._open(row)
            elif row.kind == "data":
                data[row.number] = AESGCM(self._open(row))
        if not naming or not data:
            return None
        found = TenantKeys(naming, data, max(data))
        self._known.keep(tenant, found)
        return found

    def ensure(self, tenant: str) -> TenantKeys:
        """A tenant's keys, made when it has none. Within a transaction of that tenant."""
        found = self.of(tenant)
        if found is None:
            self.put(tenant, "naming", 0, secrets.token_bytes(32))
            self.put(tenant, "data", 1, secrets.token_bytes(32))
            # Not remembered before it is committed: `of` reads it again.
            found = self.of(tenant)
            self._known.pop(tenant, None)
        if found is None:
            raise VaultUnavailable("A tenant's new keys cannot be read back", fix="check the vault's database")
        return found

    def put(self, tenant: str, kind: str, number: int, key: bytes) -> None:
        """Keep a key, wrapped by the master key in force."""
        master = self.in_force()
        self._store.put_key(KeyRow(tenant, kind, number, master.id, master.wrap(key, tenant, _purpose(kind, number))))

    def in_force(self) -> Master:
        """The master key that wraps new keys.

        Raises:
            VaultUnavailable: the vault was given one that this process does not have.
        """
        name = (self._store.meta("master") or b"").decode()
        return self._named(name)

    def install(self) -> None:
        """Put the ring's first master key in force in an empty vault, with a proof to recognise it by."""
        self._store.set_meta("master", self.ring.first.id.encode())
        self.put("", "proof", 0, _PROOF)

    def prove(self) -> None:
        """Check that the ring holds the vault's master key.

        Raises:
            ConfigError: it does not.
        """
        proofs = [row for row in self._store.keys("") if row.kind == "proof"]
        try:
            opened = [self._open(row) for row in proofs]
        except VaultUnavailable as error:
            if not isinstance(error.__cause__, WrongMaster):
                raise ConfigError(error.message, fix=error.fix) from error
            opened = []
        if opened != [_PROOF]:
            raise ConfigError(
                f"The PII vault {self._store.place} was made with another master key",
                fix="restore guard.master_key or master.key, or move the vault away: tokens in it are lost",
            )

    def rewrap(self, row: KeyRow, master: Master) -> KeyRow:
        """The same key, wrapped by `master`."""
        purpose = _purpose(row.kind, row.number)
        return row._replace(master=master.id, wrapped=master.wrap(self._open(row), row.tenant, purpose))

    def _open(self, row: KeyRow) -> bytes:
        try:
            return self._named(row.master).unwrap(row.wrapped, row.tenant, _purpose(row.kind, row.number))
        except WrongMaster as error:
            raise _foreign() from error

    def _named(self, name: str) -> Master:
        master = self.ring.named(name)
        if master is None:
            raise _foreign() from WrongMaster()
        return master


def _foreign() -> VaultUnavailable:
    return VaultUnavailable(
        "The PII vault's keys are wrapped by another master key than this process has",
        fix="set guard.master_key (or guard.vault.kms_key) to the key now in force and restart",
    )


def written(entry: Entry) -> bytes:
    """An entry as bytes: form, type, value."""
    form = b"i" if isinstance(entry.value, int) else b"s"
    return form + entry.type.encode() + b"\0" + as_bytes(str(entry.value))


def read(clear: bytes) -> Entry:
    """The entry that `written` wrote."""
    kind, _, value = clear[1:].partition(b"\0")
    text = value.decode("utf-8", "surrogatepass")
    return Entry(kind.decode(), int(text) if clear[:1] == b"i" else text)


def as_bytes(text: str) -> bytes:
    """UTF-8, also of text with lone surrogates, as JSON may hold it."""
    return text.encode("utf-8", "surrogatepass")


def _purpose(kind: str, number: int) -> str:
    return f"{kind} {number}"


def _bound(tenant: str, scope: str, token: str) -> bytes:
    return as_bytes(f"{len(tenant)}:{tenant}:{len(scope)}:{scope}:{token}")
