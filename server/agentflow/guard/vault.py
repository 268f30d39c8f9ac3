"""The vault: which token stands for which PII value, encrypted on disk, for each tenant apart.

It promises:
- Equal values of a tenant get equal tokens, across calls, processes and restarts; a token says nothing about its
  value to anyone without the master key (an HMAC-SHA256, truncated; a collision gets a longer name).
- A token is on disk before `tokens` returns (SQLite WAL: survives kill -9; one transaction per message).
- The disk never holds a clear value, nor a hash that could be tried without the key. Each entry is sealed with
  AES-256-GCM under a key derived for its tenant (HKDF-SHA256, RFC 5869); tenant and token are bound as
  associated data, so an entry moved to another row does not open.
- Several processes may open the same file.

It refuses to work with another master key than the one the file was made with, or with a damaged file
(`ConfigError`, file untouched). When it cannot read or write, it raises `VaultUnavailable`; the caller must not go on.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentflow.config import Config
from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard.tokens import HEX_LENGTHS, NUMBER_FIRST, NUMBER_LAST
from agentflow.paths import private_dir

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    tenant TEXT NOT NULL, token TEXT NOT NULL, sealed BLOB NOT NULL, expires REAL NOT NULL,
    PRIMARY KEY (tenant, token)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires);
"""
_NONCE: Final = 12
_BUSY_MS: Final = 3000
_PURGE_EVERY: Final = 1000  # transactions
_LONGEST_CACHED: Final = 1024  # characters; a private key is looked up on disk
_MAX_TENANTS: Final = 1024
_PROOF: Final = b"agentflow vault 1"

K = TypeVar("K")
V = TypeVar("V")


class Entry(NamedTuple):
    """What a token stands for."""

    type: str
    value: str | int


@dataclass(frozen=True, slots=True)
class _Keys:
    naming: bytes
    sealing: AESGCM


class _Recent(OrderedDict[K, V]):
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


class Vault:
    """An open vault file. Safe to use from several threads.

    Args:
        path: the SQLite file; made (mode 0600) when absent.
        master_key: 32 bytes.
        ttl_days: how long a token can be turned back; one used in the second half of it gets all of it again.
        memory: how many tokens are remembered in memory.

    Raises:
        ConfigError: the file is damaged, cannot be opened, or was made with another key.
    """

    def __init__(self, path: Path, master_key: bytes, *, ttl_days: float = 90.0, memory: int = 20_000) -> None:
        if len(master_key) != 32:
            raise ConfigError("The vault's master key must be 32 bytes", fix="openssl rand -base64 32")
        self._path = path
        self._master = master_key
        self._ttl = ttl_days * 86_400
        self._keys: _Recent[str, _Keys] = _Recent(_MAX_TENANTS)
        self._names: _Recent[tuple[str, str, str | int], tuple[str, float]] = _Recent(memory)
        self._entries: _Recent[tuple[str, str], tuple[Entry, float]] = _Recent(memory)
        self._lock = threading.RLock()
        self._writes = 0
        self._db = self._open()

    def tokens(self, tenant: str, values: Sequence[tuple[str, str | int]]) -> list[str]:
        """Return the token name of each `(type, value)`, durable by the time of return.

        A `str` gets `<TYPE>_<hex>`, an `int` a number token (decimal digits; see `tokens.py`).

        Raises:
            VaultUnavailable: a new token could not be written, or the vault could not be read.
        """
        now = time.time()
        with self._lock:
            names = [self._remembered(tenant, kind, value, now) for kind, value in values]
            missing = {value: "" for value, name in zip(values, names, strict=True) if name is None}
            if missing:
                with self._transaction():
                    for kind, value in missing:
                        missing[kind, value] = self._name(tenant, kind, value, now)
                for (kind, value), name in missing.items():  # only once it is committed
                    self._remember(tenant, name, Entry(kind, value), now + self._ttl)
        return [name or missing[value] for value, name in zip(values, names, strict=True)]

    def values(self, tenant: str, names: Sequence[str]) -> dict[str, Entry]:
        """Return what each token name of this tenant stands for; unknown and expired names are left out.

        A name used in the second half of its life gets a whole new one, where that can be written.

        Raises:
            VaultUnavailable: the vault could not be read.
        """
        now = time.time()
        found: dict[str, Entry] = {}
        aging: dict[str, Entry] = {}
        with self._lock:
            for name in names:
                held = self._entries.recall((tenant, name))
                if held is None or held[1] <= now:  # another process may have prolonged it
                    held = self._read(tenant, name, now)
                    if held is not None:
                        self._remember(tenant, name, *held)
                if held is not None:
                    found[name] = held[0]
                    if held[1] - now < self._ttl / 2:
                        aging[name] = held[0]
            if aging:
                self._prolong(tenant, aging, now + self._ttl)
        return found

    def _prolong(self, tenant: str, entries: Mapping[str, Entry], expires: float) -> None:
        rows = [(expires, tenant, name) for name in entries]
        try:
            with self._transaction():
                self._db.executemany("UPDATE entries SET expires = ? WHERE tenant = ? AND token = ?", rows)
        except VaultUnavailable:
            return  # what was asked for is known: it can be given back, and prolonged another time
        for name, entry in entries.items():
            self._remember(tenant, name, entry, expires)

    def close(self) -> None:
        """Close the file. The vault cannot be used afterwards."""
        with self._lock:
            self._db.close()

    # -- names

    def _remembered(self, tenant: str, kind: str, value: str | int, now: float) -> str | None:
        held = self._names.recall((tenant, kind, value))
        # Half-way through its life a token is written again, so that one in use never expires.
        return held[0] if held is not None and held[1] - now > self._ttl / 2 else None

    def _remember(self, tenant: str, name: str, entry: Entry, expires: float) -> None:
        if isinstance(entry.value, str) and len(entry.value) > _LONGEST_CACHED:
            return
        self._names.keep((tenant, entry.type, entry.value), (name, expires))
        self._entries.keep((tenant, name), (entry, expires))

    def _name(self, tenant: str, kind: str, value: str | int, now: float) -> str:
        """Find or write the entry of one value. Runs inside a write transaction: nobody else can."""
        keys = self._tenant_keys(tenant)
        entry = Entry(kind, value)
        candidates = tuple(_candidates(keys.naming, kind, value))
        query = "SELECT token, sealed FROM entries WHERE tenant = ? AND token IN (?, ?, ?)"
        taken: dict[str, bytes] = dict(self._db.execute(query, (tenant, *candidates)))
        for name, sealed in taken.items():
            if _unseal(keys.sealing, tenant, name, sealed) == entry:
                self._db.execute(
                    "UPDATE entries SET expires = ? WHERE tenant = ? AND token = ?", (now + self._ttl, tenant, name)
                )
                return name
        free = next((name for name in candidates if name not in taken), None)
        if free is None:
            raise VaultUnavailable("No free token name is left for a value")
        sealed = _seal(keys.sealing, tenant, free, entry)
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (tenant, free, sealed, now + self._ttl))
        return free

    def _tenant_keys(self, tenant: str) -> _Keys:
        keys = self._keys.recall(tenant)
        if keys is None:
            material = _derive(self._master, b"tenant " + tenant.encode(), 64)
            keys = _Keys(material[:32], AESGCM(material[32:]))
            self._keys.keep(tenant, keys)
        return keys

    # -- the file

    def _read(self, tenant: str, name: str, now: float) -> tuple[Entry, float] | None:
        query = "SELECT sealed, expires FROM entries WHERE tenant = ? AND token = ? AND expires > ?"
        try:
            row = self._db.execute(query, (tenant, name, now)).fetchone()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        return None if row is None else (_unseal(self._tenant_keys(tenant).sealing, tenant, name, row[0]), row[1])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writes += 1
                if self._writes % _PURGE_EVERY == 1:
                    self._db.execute("DELETE FROM entries WHERE expires < ?", (time.time(),))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error) -> VaultUnavailable:
        return VaultUnavailable(
            f"The PII vault cannot be used: {error}", fix=f"check that {self._path} is writable and its disk not full"
        )

    def _open(self) -> sqlite3.Connection:
        db = None
        try:
            _create_private(self._path)
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
            self._prove(db)
        except (OSError, sqlite3.Error) as error:
            if db is not None:
                db.close()
            raise ConfigError(
                f"The PII vault {self._path} cannot be opened: {error}",
                fix="check its permissions and disk; if it is damaged, move it away: tokens in it are lost",
            ) from error
        except ConfigError:
            if db is not None:
                db.close()
            raise
        return db

    def _prove(self, db: sqlite3.Connection) -> None:
        """Check the key against the file before anything is written to it."""
        sealing = AESGCM(_derive(self._master, b"proof", 32))
        known = db.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone()
        row = known and db.execute("SELECT value FROM meta WHERE name = 'proof'").fetchone()
        if row:
            try:
                sealing.decrypt(row[0][:_NONCE], row[0][_NONCE:], _PROOF)
            except InvalidTag:
                raise ConfigError(
                    f"The PII vault {self._path} was made with another master key",
                    fix="restore guard.master_key or master.key, or move the vault away: tokens in it are lost",
                ) from None
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if not row:
            nonce = secrets.token_bytes(_NONCE)
            db.executescript(_SCHEMA)
            db.execute(
                "INSERT OR IGNORE INTO meta VALUES ('proof', ?)", (nonce + sealing.encrypt(nonce, _PROOF, _PROOF),)
            )
            self._prove(db)  # another process may have been first, with another key


def open_vault(config: Config) -> Vault:
    """Open the vault of a configuration, with its key from `guard.master_key` or `data_dir/master.key`.

    Raises:
        ConfigError: the key or the file cannot be used.
    """
    try:
        folder = private_dir(config.data_dir)
    except OSError as error:
        raise ConfigError(f"The data directory {config.data_dir} cannot be used: {error}") from error
    return Vault(folder / "vault.db", master_key(config), ttl_days=config.guard.token_ttl_days)


def master_key(config: Config) -> bytes:
    """Return the master key: the configured one, or that of `data_dir/master.key`, which is made when absent.

    Raises:
        ConfigError: it is no base64 of 32 bytes, others may read it, or it is gone while a vault needs it.
    """
    if config.guard.master_key is not None:
        return _decode_key(config.guard.master_key.get_secret_value(), "guard.master_key")
    path = config.data_dir / "master.key"
    try:
        if not path.exists():
            if (config.data_dir / "vault.db").exists():
                raise ConfigError(
                    f"{config.data_dir / 'vault.db'} exists, but its key {path} is gone",
                    fix="restore master.key, or move vault.db away: tokens in it are lost",
                )
            _create_key(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigError(f"Others may read the master key {path}", fix=f"chmod 600 {path}")
        return _decode_key(path.read_text("ascii"), str(path))
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"The master key {path} cannot be used: {error}") from error


def _decode_key(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigError(f"{source} is not 32 bytes in base64", fix="openssl rand -base64 32")
    return key


def _create_key(path: Path) -> None:
    """Make the key file, whole or not at all; of several processes one wins and all read its key."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _derive(master: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=b"agentflow vault 1: " + purpose).derive(master)


def _candidates(key: bytes, kind: str, value: str | int) -> Iterator[str]:
    """The three names a value may have, shortest first: the next one is taken when another value has the first."""
    number = isinstance(value, int)
    mac = digest(key, b"\0".join((b"number" if number else b"text", kind.encode(), _bytes(str(value)))), sha256)
    if number:
        for part in (mac[:8], mac[8:16], mac[16:24]):
            yield str(NUMBER_FIRST + int.from_bytes(part) % (NUMBER_LAST - NUMBER_FIRST + 1))
    else:
        for length in HEX_LENGTHS:
            yield f"{kind}_{mac.hex()[:length]}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _bound(tenant: str, name: str) -> bytes:
    return f"{len(tenant)}:{tenant}:{name}".encode()


def _seal(key: AESGCM, tenant: str, name: str, entry: Entry) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    form = b"i" if isinstance(entry.value, int) else b"s"
    clear = form + entry.type.encode() + b"\0" + _bytes(str(entry.value))
    return nonce + key.encrypt(nonce, clear, _bound(tenant, name))


def _unseal(key: AESGCM, tenant: str, name: str, sealed: bytes) -> Entry:
    try:
        clear = key.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(tenant, name))
    except (InvalidTag, ValueError) as error:
        raise VaultUnavailable("A vault entry does not open: it was altered, or is another tenant's") from error
    kind, _, value = clear[1:].partition(b"\0")
    text = value.decode("utf-8", "surrogatepass")
    return Entry(kind.decode(), int(text) if clear[:1] == b"i" else text)
