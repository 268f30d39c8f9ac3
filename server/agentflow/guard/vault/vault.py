"""The open vault: which token stands for which value, for each tenant and scope apart.

It promises:
- Equal values of a tenant (and scope) get equal tokens, across calls, processes and restarts.
- A token is in the database before `tokens` returns; one transaction per message.
- The database never holds a clear value, nor a hash that could be tried without the key. Each entry is sealed with
  AES-256-GCM under a random key of its tenant, and bound to its tenant, scope and name, so that one moved elsewhere
  does not open.
- Several processes may share it. What one of them forgets, the others forget within `NOTICE` seconds.

When it cannot read or write, it raises `VaultUnavailable`; the caller must not go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import Final, TypeVar

from agentflow.errors import VaultUnavailable
from agentflow.guard.vault import names as naming
from agentflow.guard.vault.keys import Entry, KeyChest, Recent, TenantKeys
from agentflow.guard.vault.layout import settle
from agentflow.guard.vault.master import KeyRing, LocalMaster
from agentflow.guard.vault.sqlite_store import SqliteStore
from agentflow.guard.vault.store import Row, VaultStore

NOTICE: Final = 1.0  # seconds
_PURGE_EVERY: Final = 1000  # transactions
_LONGEST_CACHED: Final = 1024  # characters; a private key is looked up on disk

Value = tuple[str, str | int]
# (key, type, value, turn) -> what may stand in the value's place, another one at each turn; None: nothing any more.
Maker = Callable[[bytes, str, str | int, int], str | int | None]
T = TypeVar("T")


class Vault:
    """An open vault. Safe to use from several threads.

    Args:
        store: where it is kept; a path stands for a SQLite file there, made (mode 0600) when absent.
        keys: the master keys; bytes (32) stand for that key alone.
        ttl_days: how long a token can be turned back; one used in the second half of it gets all of it again.
        memory: how many tokens are remembered in memory.

    Raises:
        ConfigError: the store is damaged, cannot be opened, or was made with another key.
    """

    def __init__(
        self, store: VaultStore | Path, keys: KeyRing | bytes, *, ttl_days: float = 90.0, memory: int = 20_000
    ) -> None:
        ring = KeyRing([LocalMaster(keys)]) if isinstance(keys, bytes) else keys
        self.store = SqliteStore(store) if isinstance(store, Path) else store
        self.chest = KeyChest(self.store, ring)
        self.ttl = ttl_days * 86_400
        self.lock = threading.RLock()
        self._names: Recent[tuple[str, str, str, str | int], tuple[str, float]] = Recent(memory)
        self._shown: Recent[tuple[str, str, Maker, str, str | int], tuple[str | int, float]] = Recent(memory)
        self._entries: Recent[tuple[str, str, str], tuple[Entry, float]] = Recent(memory)
        self._writes = 0
        self._look_again = 0.0
        self._generation = b""
        try:
            settle(self.store, self.chest)
        except BaseException:
            self.store.close()
            raise

    @property
    def blocking(self) -> bool:
        """Whether a call may wait for a network: then it belongs in a thread, not on the event loop."""
        return self.store.blocking or self.chest.ring.blocking

    def tokens(self, tenant: str, values: Sequence[Value], scope: str = "") -> list[str]:
        """Return the token name of each `(type, value)`, durable by the time of return.

        A `str` gets `<TYPE>_<hex>`, an `int` a number token (decimal digits; see `tokens.py`).

        Args:
            scope: a session or principal to which the tokens are to mean something, and to nobody else; empty: to
                the whole tenant.

        Raises:
            VaultUnavailable: a new token could not be written, or the vault could not be read.
        """
        now = time()
        with self.lock:
            if monotonic() >= self._look_again:
                self.check()
            half = now + self.ttl / 2
            known = [_lasting(self._names.recall((tenant, scope, kind, value)), half) for kind, value in values]
            fresh = {value: "" for value, name in zip(values, known, strict=True) if name is None}
            if fresh:
                with self.transaction(tenant):
                    fresh = self._name(tenant, scope, list(fresh), now + self.ttl)
                for value, name in fresh.items():  # only once it is committed
                    self._remember(tenant, scope, name, Entry(*value), now + self.ttl)
        return [name or fresh[value] for value, name in zip(values, known, strict=True)]

    def values(self, tenant: str, names: Sequence[str], scope: str = "") -> dict[str, Entry]:
        """Return what each token name of this tenant and scope stands for; unknown and expired ones are left out.

        A name used in the second half of its life gets a whole new one, where that can be written.

        Raises:
            VaultUnavailable: the vault could not be read.
        """
        now = time()
        found: dict[str, Entry] = {}
        aging: dict[str, Entry] = {}
        unknown: list[str] = []
        with self.lock:
            if monotonic() >= self._look_again:
                self.check()
            half, entries = now + self.ttl / 2, self._entries
            for name in names:
                place = (tenant, scope, name)
                known = entries.get(place)
                if known is None or known[1] <= now:  # another process may have prolonged it
                    unknown.append(name)
                    continue
                entries.move_to_end(place)
                found[name] = known[0]
                if known[1] < half:
                    aging[name] = known[0]
            if unknown:
                for name, entry, expires in self._read(tenant, scope, unknown, now):
                    found[name] = entry
                    if expires < half:
                        aging[name] = entry
            if aging:
                self._prolong(tenant, scope, aging, now + self.ttl)
        return found

    def stand_ins(self, tenant: str, values: Sequence[Value], make: Maker, scope: str = "") -> list[str | int | None]:
        """Return for each value another one that stands in its place and leads back to it, durable like a token.

        A value that is itself a stand-in stays as it is. None: `make` had no more to offer.

        Raises:
            VaultUnavailable: see `tokens`.
        """
        now = time()
        with self.lock:
            if monotonic() >= self._look_again:
                self.check()
            known = [
                _lasting(self._shown.recall((tenant, scope, make, *value)), now + self.ttl / 2) for value in values
            ]
            missing = list(dict.fromkeys(value for value, shown in zip(values, known, strict=True) if shown is None))
            if not missing:
                return list(known)
            with self.transaction(tenant):
                fresh = self._stand_in(tenant, scope, missing, make, now + self.ttl)
            for value, shown in fresh.items():
                if shown is not None and len(str(value[1])) <= _LONGEST_CACHED:
                    self._shown.keep((tenant, scope, make, *value), (shown, now + self.ttl))
        return [fresh[value] if shown is None else shown for value, shown in zip(values, known, strict=True)]

    def originals(self, tenant: str, texts: Sequence[str], scope: str = "") -> dict[str, Entry]:
        """Return what each stand-in among `texts` stands for, however it is punctuated.

        Raises:
            VaultUnavailable: the vault could not be read.
        """
        with self.lock:
            keys = self.chest.of(tenant)
            if keys is None:
                return {}
            key = naming.scoped(keys.naming, scope)
            aliases = {text: naming.stand_in(key, text) for text in texts}
            found = self.values(tenant, list(dict.fromkeys(aliases.values())), scope)
        return {text: found[alias] for text, alias in aliases.items() if alias in found}

    def derived_key(self, tenant: str, purpose: bytes) -> bytes:
        """A key of 32 bytes that belongs to a tenant and lasts as long as its token names.

        Raises:
            VaultUnavailable: the tenant's keys could not be read or made.
        """
        with self.lock:
            if monotonic() >= self._look_again:
                self.check()
            keys = self.chest.of(tenant)
            if keys is None:
                with self.transaction(tenant):
                    keys = self.chest.ensure(tenant)
        return keys.derived(purpose)

    def close(self) -> None:
        """Close the store. The vault cannot be used afterwards."""
        with self.lock:
            self.store.close()

    def transaction(self, tenant: str) -> Writing:
        """Write for one tenant (`""`: for any), up to date with what other processes did; all or nothing."""
        return Writing(self, self.store.transaction(tenant))

    def written(self) -> None:
        """Count a transaction; now and then delete what has expired."""
        self._writes += 1
        if self._writes % _PURGE_EVERY == 1:
            try:
                self.store.purge(time())
            except VaultUnavailable:
                return  # what was asked for is written; the rest can wait

    def changed(self) -> None:
        """Tell every process, within the running transaction, that what it remembers may be gone."""
        self.store.set_meta("generation", str(int(self.store.meta("generation") or b"0") + 1).encode())
        self._look_again = 0.0

    # -- names

    def _name(self, tenant: str, scope: str, values: Sequence[Value], expires: float) -> dict[Value, str]:
        """Find or write the entries of some values. Runs inside a transaction of their tenant."""
        keys = self.chest.ensure(tenant)
        key, column = naming.scoped(keys.naming, scope), naming.scope_column(keys.naming, scope)
        named: dict[Value, str] = {}
        left, turn = list(values), 0
        while left:
            if turn == naming.ROUNDS:
                raise VaultUnavailable("No free token name is left for a value", fix="forget the tenant's tokens")
            offers = {(kind, value): naming.candidates(key, kind, value, turn) for kind, value in left}
            named.update(self._settle(tenant, scope, column, keys, offers, expires))
            left, turn = [value for value in left if value not in named], turn + 1
        return named

    def _settle(
        self,
        tenant: str,
        scope: str,
        column: str,
        keys: TenantKeys,
        offers: Mapping[Value, Sequence[str]],
        expires: float,
    ) -> dict[Value, str]:
        """Give each value one of the names offered to it: its own one, else the first that is free."""
        rows = self.store.find(tenant, column, [name for each in offers.values() for name in each])
        taken = {name: self._opened(tenant, column, name, row) for name, row in rows.items()}
        named: dict[Value, str] = {}
        fresh: list[tuple[str, Row]] = []
        used: list[str] = []
        for value, each in offers.items():
            entry = Entry(*value)
            own = next((name for name in each if taken.get(name) == entry), None) if taken else None
            if own is not None:
                used.append(own)
            else:
                own = next((name for name in each if name not in taken and naming.fit(name)), None)
                if own is None:
                    continue
                number, sealed = keys.seal(tenant, column, own, entry)
                fresh.append((own, Row(number, sealed, expires)))
                taken[own] = entry
            named[value] = own
        if used:
            self.store.touch(tenant, column, used, expires)
        if fresh:
            self.store.insert(tenant, column, fresh)
        return named

    def _stand_in(
        self, tenant: str, scope: str, values: Sequence[Value], make: Maker, expires: float
    ) -> dict[Value, str | int | None]:
        keys = self.chest.ensure(tenant)
        key, column = naming.scoped(keys.naming, scope), naming.scope_column(keys.naming, scope)
        alias = {value: naming.stand_in(key, value[1]) for value in values}
        already = self.store.find(tenant, column, list(alias.values()))
        found: dict[Value, str | int | None] = {
            value: value[1] for value in values if alias[value] in already and already[alias[value]].sealed
        }
        left, turn = [value for value in values if value not in found], 0
        maker_key = naming.scoped(keys.derived(b"stand-ins"), scope)
        while left:
            shown = {value: make(maker_key, *value, turn) for value in left}
            found.update(dict.fromkeys(value for value in left if shown[value] is None))
            offers = {
                value: (naming.stand_in(key, fake),)
                for value, fake in shown.items()
                if fake is not None and str(fake) != str(value[1])
            }
            for value in self._settle(tenant, scope, column, keys, offers, expires):
                found[value] = shown[value]
            left, turn = [value for value in left if value not in found], turn + 1
        return found

    def _opened(self, tenant: str, column: str, name: str, row: Row) -> Entry | None:
        """An entry, or None for a tombstone."""
        if not row.sealed:
            return None
        keys = self.chest.of(tenant, key=row.key)
        return keys.unseal(tenant, column, name, row) if keys is not None else None

    def _remember(self, tenant: str, scope: str, name: str, entry: Entry, expires: float) -> None:
        if isinstance(entry.value, str) and len(entry.value) > _LONGEST_CACHED:
            return
        self._names.keep((tenant, scope, entry.type, entry.value), (name, expires))
        self._entries.keep((tenant, scope, name), (entry, expires))

    # -- the store

    def _read(self, tenant: str, scope: str, names: Sequence[str], now: float) -> list[tuple[str, Entry, float]]:
        keys = self.chest.of(tenant)
        if keys is None:
            return []
        column = naming.scope_column(keys.naming, scope) if scope else ""
        found: list[tuple[str, Entry, float]] = []
        for name, row in self.store.find(tenant, column, names).items():
            if row.expires <= now or not row.sealed:
                continue
            opening = keys if row.key in keys.data else self.chest.of(tenant, key=row.key)
            if opening is None:
                continue
            entry = opening.unseal(tenant, column, name, row)
            found.append((name, entry, row.expires))
            if name[0] != naming.STAND_IN:
                self._remember(tenant, scope, name, entry, row.expires)
        return found

    def _prolong(self, tenant: str, scope: str, entries: Mapping[str, Entry], expires: float) -> None:
        keys = self.chest.of(tenant)
        if keys is None:
            return
        try:
            with self.transaction(tenant):
                self.store.touch(tenant, naming.scope_column(keys.naming, scope), list(entries), expires)
        except VaultUnavailable:
            return  # what was asked for is known: it can be given back, and prolonged another time
        for name, entry in entries.items():
            if not name.startswith(naming.STAND_IN):
                self._remember(tenant, scope, name, entry, expires)

    def check(self) -> None:
        """Forget what another process had forgotten. Also asked every `NOTICE` seconds, before memory answers."""
        generation = self.store.meta("generation") or b""
        if generation != self._generation:
            for memory in (self._names, self._shown, self._entries):
                memory.clear()
            self.chest.forget()
            self._generation = generation
        self._look_again = monotonic() + NOTICE


class Writing:
    """A write transaction of a vault."""

    __slots__ = ("_transaction", "_vault")

    def __init__(self, vault: Vault, transaction: AbstractContextManager[None]) -> None:
        self._vault = vault
        self._transaction = transaction

    def __enter__(self) -> None:
        self._transaction.__enter__()
        try:
            self._vault.check()
        except BaseException as error:
            self._transaction.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transaction.__exit__(kind, error, trace)
        if kind is None:
            self._vault.written()


def _lasting(held: tuple[T, float] | None, until: float) -> T | None:
    # Half-way through its life a token is written again, so that one in use never expires.
    return held[0] if held is not None and held[1] > until else None
