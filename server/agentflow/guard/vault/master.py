"""Master keys: what wraps the keys of the tenants, and where it comes from.

A vault has one master key in force; a *ring* may hold further ones, which can unwrap what has not been wrapped anew
yet, so that a key is changed without a moment of silence. A master key is 32 bytes from the configuration or a key
file (AES-256-GCM under a key derived by HKDF-SHA256, RFC 5869), or a key of AWS KMS that never leaves it; then the
tenant is part of KMS' encryption context. Whatever wraps, a wrapped key opens for its own tenant and purpose only.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentflow.config import Config
from agentflow.errors import ConfigError, VaultUnavailable

NONCE: Final = 12
KEY_FILE: Final = "master.key"


class WrongMaster(Exception):
    """A wrapped key does not open under this master key."""


class Master(Protocol):
    """A key that wraps keys.

    Attributes:
        id: names it in the vault; says nothing about the key.
        blocking: whether it is asked over a network.
    """

    @property
    def id(self) -> str: ...

    @property
    def blocking(self) -> bool: ...

    def wrap(self, key: bytes, tenant: str, purpose: str) -> bytes:
        """Raises `VaultUnavailable` when the key cannot be used now."""
        ...

    def unwrap(self, wrapped: bytes, tenant: str, purpose: str) -> bytes:
        """Raises `WrongMaster`, or `VaultUnavailable` when the key cannot be used now."""
        ...


class LocalMaster:
    """A master key in this process' memory.

    Raises:
        ConfigError: it is not 32 bytes.
    """

    blocking = False

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ConfigError("The vault's master key must be 32 bytes", fix="openssl rand -base64 32")
        self._key = key
        self._wrapping = AESGCM(_derive(key, b"agentflow vault 2: wrap", 32))
        self.id = f"local:{_derive(key, b'agentflow vault 2: id', 8).hex()}"

    def wrap(self, key: bytes, tenant: str, purpose: str) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._wrapping.encrypt(nonce, key, _bound(tenant, purpose))

    def unwrap(self, wrapped: bytes, tenant: str, purpose: str) -> bytes:
        try:
            return self._wrapping.decrypt(wrapped[:NONCE], wrapped[NONCE:], _bound(tenant, purpose))
        except (InvalidTag, ValueError):
            raise WrongMaster from None

    def first_version(self, purpose: bytes, length: int) -> bytes:
        """What version 1 of the vault derived from the master key for `purpose`."""
        return _derive(self._key, b"agentflow vault 1: " + purpose, length)


class KmsMaster:
    """A symmetric key of AWS KMS, asked through boto3 (credentials and region as boto3 finds them).

    Raises:
        ConfigError: boto3 is missing or not configured.
    """

    blocking = True

    def __init__(self, key: str) -> None:
        try:
            import boto3
            from botocore.config import Config as ClientConfig
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise ConfigError("guard.vault.kms_key needs boto3", fix="pip install boto3") from error
        self._errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
        try:
            options = ClientConfig(connect_timeout=3, read_timeout=5, retries={"max_attempts": 2})
            self._kms: Any = boto3.client("kms", config=options)
        except BotoCoreError as error:
            raise ConfigError(
                f"AWS KMS cannot be used: {error}", fix="set AWS_REGION and credentials, as for the AWS command line"
            ) from error
        self._key = key
        self.id = f"kms:{key}"

    def wrap(self, key: bytes, tenant: str, purpose: str) -> bytes:
        try:
            answer = self._kms.encrypt(KeyId=self._key, Plaintext=key, EncryptionContext=_context(tenant, purpose))
        except self._errors as error:
            raise self._unavailable(error) from error
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, tenant: str, purpose: str) -> bytes:
        try:
            answer = self._kms.decrypt(
                KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext=_context(tenant, purpose)
            )
        except self._errors as error:
            response = getattr(error, "response", {})
            if response.get("Error", {}).get("Code") in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise WrongMaster from None
            raise self._unavailable(error) from error
        return bytes(answer["Plaintext"])

    def _unavailable(self, error: Exception) -> VaultUnavailable:
        return VaultUnavailable(
            f"AWS KMS did not serve the key of the PII vault: {type(error).__name__}",
            fix=f"check that {self._key} exists, is enabled and may be used for Encrypt and Decrypt",
        )


class KeyRing:
    """The master keys at hand; the first one is the one that ought to be in force.

    Args:
        again: reads them anew, for keys that another process changed.
    """

    def __init__(self, masters: Sequence[Master], again: Callable[[], Sequence[Master]] | None = None) -> None:
        self.masters = tuple(masters)
        self._again = again

    @property
    def first(self) -> Master:
        return self.masters[0]

    @property
    def blocking(self) -> bool:
        return any(master.blocking for master in self.masters)

    def named(self, name: str) -> Master | None:
        """The master key of this name, also when it came into the key file only now."""
        found = self._named(name)
        if found is None and self._again is not None:
            self.masters = tuple(self._again())
            found = self._named(name)
        return found

    def _named(self, name: str) -> Master | None:
        return next((master for master in self.masters if master.id == name), None)


def key_ring(config: Config) -> KeyRing:
    """Return the master keys of a configuration: KMS, `guard.master_key`, the key file, earlier keys; as configured.

    Raises:
        ConfigError: a key is no base64 of 32 bytes, others may read the file, or it is gone while a vault needs it.
    """
    guard = config.guard
    masters: list[Master] = []
    if guard.vault.kms_key:
        masters.append(KmsMaster(guard.vault.kms_key))
    if guard.master_key is not None:
        masters.append(LocalMaster(decode_key(guard.master_key.get_secret_value(), "guard.master_key")))
    earlier = [
        LocalMaster(decode_key(key.get_secret_value(), f"guard.vault.previous_keys[{index}]"))
        for index, key in enumerate(guard.vault.previous_keys)
    ]
    path = config.data_dir / KEY_FILE
    if masters and not path.exists():
        return KeyRing([*masters, *earlier])

    def with_file() -> list[Master]:
        return [*masters, *map(LocalMaster, key_file(config.data_dir)), *earlier]

    return KeyRing(with_file(), with_file)


def key_file(data_dir: Path) -> list[bytes]:
    """Return the keys of `data_dir/master.key`, made when absent: the newest first, and what it is to replace.

    Raises:
        ConfigError: it is no base64 of 32 bytes, others may read it, or it is gone while a vault needs it.
    """
    path = data_dir / KEY_FILE
    try:
        if not path.exists():
            if (data_dir / "vault.db").exists():
                raise ConfigError(
                    f"{data_dir / 'vault.db'} exists, but its key {path} is gone",
                    fix="restore master.key, or move vault.db away: tokens in it are lost",
                )
            _create_key(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigError(f"Others may read the master key {path}", fix=f"chmod 600 {path}")
        return [decode_key(line, str(path)) for line in path.read_text("ascii").split() or [""]]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"The master key {path} cannot be used: {error}") from error


def write_key_file(data_dir: Path, keys: Sequence[bytes]) -> None:
    """Replace the key file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path = data_dir / KEY_FILE
    draft = _draft(path, keys)
    try:
        os.replace(draft, path)
        _sync_folder(data_dir)
    finally:
        draft.unlink(missing_ok=True)


def decode_key(text: str, source: str) -> bytes:
    """Return the 32 bytes of a key in base64.

    Raises:
        ConfigError: it is something else; `source` says where it stands.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigError(f"{source} is not 32 bytes in base64", fix="openssl rand -base64 32")
    return key


def _create_key(path: Path) -> None:
    """Make the key file; of several processes one wins and all read its key."""
    draft = _draft(path, [secrets.token_bytes(32)])
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _draft(path: Path, keys: Sequence[bytes]) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _derive(key: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=info).derive(key)


def _bound(tenant: str, purpose: str) -> bytes:
    return f"agentflow vault 2: {len(tenant)}:{tenant}:{purpose}".encode("utf-8", "surrogatepass")


def _context(tenant: str, purpose: str) -> dict[str, str]:
    return {"agentflow:tenant": tenant or "*", "agentflow:purpose": purpose}
