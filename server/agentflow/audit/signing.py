"""Signed statements about chains: heads ("record N had this hash at this time") and checkpoints ("up to N is retired").

A statement is one line of JSON and an Ed25519 signature (RFC 8032) over its bytes, after a word that says which kind it
is, so that neither kind passes for the other:

    {"head":{"chain":"chain-0001","seq":812,"hash":"<64 hex>","time":…,"since":0,"chains":1,"why":"close","key":"…"},
     "sig":"<base64>"}

Heads stand in `<segment>.sig`, the checkpoint in `checkpoint`. Since a record's hash covers everything before it, one
signed head vouches for all records up to it. Whoever can write the files, but has not the key, can no longer rebuild a
chain, or pretend that one ended earlier than a signed head says; with copies of signed heads kept elsewhere
(`agentflow audit heads`) he cannot go back to an older state of all files either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agentflow.audit import chain
from agentflow.config import AuditConfig
from agentflow.errors import ConfigError

KEY_FILE: Final = "audit.key"
Why = Literal["records", "time", "rotation", "open", "close", "late"]
EVERY: Final = 256  # what heads say that do not say it
Standing = Literal["good", "bad", "stranger"]
_TYPES: Final[dict[str, tuple[type, ...]]] = {"int": (int,), "float": (int, float)}
_DOMAIN: Final = b"agentflow audit %s 1\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What a writer says of its chain.

    Attributes:
        seq, hash: of the last record there was.
        time: epoch seconds.
        since: the record after which heads were signed; 0 where they always were.
        chains: how many chains the data directory had then.
        why: `late` where its writer, who knows what it wrote, could not sign in time.
        key: id of the key it is signed with.
        every: how many records may follow at most without another head.
    """

    chain: str
    seq: int
    hash: str
    time: float
    since: int
    chains: int
    why: Why
    key: str
    every: int = EVERY


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was retired from the beginning of a chain.

    Attributes:
        upto, hash: of the last retired record.
        records, segments: how many were retired, in all.
        first, last: times of the first and the last retired record, epoch seconds.
        time: of the latest retirement.
    """

    chain: str
    upto: int
    hash: str
    records: int
    segments: int
    first: float
    last: float
    time: float
    key: str


Statement = Head | Checkpoint
_S = TypeVar("_S", Head, Checkpoint)


@dataclass(frozen=True, slots=True)
class Signed(Generic[_S]):
    """A statement as read: `body` and `sig` are what the signature is about and the signature."""

    said: _S
    body: bytes
    sig: bytes


class Signer:
    """Signs statements with one key. `id` names the key: the first 16 hex digits of SHA-256 of the public one."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.id = key_id(self.public)

    def line(self, said: Statement) -> bytes:
        """The signed line, newline included."""
        kind = _kind(type(said))
        body = orjson.dumps(asdict(said))
        sig = base64.b64encode(self._key.sign(_DOMAIN % kind + body))
        return b'{"%s":%s,"sig":"%s"}\n' % (kind, body, sig)


class Trust:
    """The public keys whose signatures count."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def standing(self, signed: Signed[Head] | Signed[Checkpoint]) -> Standing:
        """Whether the signature fits; `stranger` where its key is none of these."""
        key = self._keys.get(signed.said.key)
        if key is None:
            return "stranger"
        try:
            key.verify(signed.sig, _DOMAIN % _kind(type(signed.said)) + signed.body)
        except InvalidSignature:
            return "bad"
        return "good"


def read_heads(path: Path) -> list[Signed[Head] | None]:
    """The lines of a `.sig` file; None for one that is no signed head. What a crash tore off at its end is left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return [decode(raw, Head) for raw in content.split(b"\n")[:-1]]


def read_checkpoint(folder: Path) -> Signed[Checkpoint] | None:
    """The checkpoint of a chain; None where nothing was retired.

    Raises:
        ValueError: the file is there, and is none.
    """
    try:
        content = (folder / chain.CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None
    found = decode(content.rstrip(b"\n"), Checkpoint)
    if found is None:
        raise ValueError("not a checkpoint")
    return found


def retired(folder: Path) -> Checkpoint | None:
    """What the checkpoint of a chain says, without a look at its signature; None also where it cannot be read."""
    try:
        found = read_checkpoint(folder)
    except ValueError:
        return None
    return found.said if found is not None else None


def good_checkpoint(folder: Path, trust: Trust) -> Checkpoint | None:
    """What a trusted key says was retired; None where nothing was.

    Raises:
        ValueError: the checkpoint is none, is another chain's, or is not signed with one of these keys.
    """
    found = read_checkpoint(folder)
    if found is not None and (found.said.chain != folder.name or trust.standing(found) != "good"):
        raise ValueError("not signed with a trusted key")
    return found.said if found is not None else None


def latest(folder: Path) -> Head | None:
    """The newest head in a chain's files, without a look at its signature."""
    found = latest_line(folder)
    signed = decode(found, Head) if found is not None else None
    return signed.said if signed is not None else None


def latest_line(folder: Path) -> bytes | None:
    """The newest head as it stands in the files, without the newline."""
    for segment in reversed(chain.segments(folder)):
        path = chain.signatures(segment)
        for raw in reversed(path.read_bytes().split(b"\n")[:-1] if path.exists() else []):
            if decode(raw, Head) is not None:
                return raw
    return None


def decode(raw: bytes, kind: type[_S]) -> Signed[_S] | None:
    """Read one line without its newline; None when it is no statement of this kind."""
    start = b'{"%s":' % _kind(kind)
    body, found, sig = raw[len(start) :].rpartition(b',"sig":"')
    if not raw.startswith(start) or not found or not sig.endswith(b'"}'):
        return None
    try:
        return Signed(_made(kind, orjson.loads(body)), body, base64.b64decode(sig[:-2], validate=True))
    except (ValueError, TypeError, binascii.Error):
        return None


def _made(kind: type[_S], members: object) -> _S:
    """Raises `TypeError` or `ValueError` where a member is missing or is not what it should be."""
    if not isinstance(members, dict):
        raise ValueError("not an object")
    made = kind(**members)
    for name, value in asdict(made).items():
        wanted = _TYPES.get(kind.__annotations__[name], (str,))
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ValueError(name)
    return made


def _kind(kind: type[Statement]) -> bytes:
    return b"head" if kind is Head else b"checkpoint"


# Keys -------------------------------------------------------------------------------------------------------


def signer(data_dir: Path, config: AuditConfig) -> Signer:
    """The configured key, or the one in `data_dir/audit.key`, which is made when absent.

    Raises:
        ConfigError: it is no Ed25519 key, or others may read it.
        OSError: it cannot be read or made.
    """
    if config.signing_key is not None:
        return Signer(decode_private(config.signing_key.get_secret_value(), "audit.signing_key"))
    path = data_dir / KEY_FILE
    if not path.exists():
        _create(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigError(f"Others may read the audit log's key {path}", fix=f"chmod 600 {path}")
    return Signer(decode_private(path.read_text("ascii", "replace"), str(path)))


def trusted(data_dir: Path, config: AuditConfig) -> Trust:
    """The public half of the key that signs here; nothing where there is none yet.

    Raises:
        ConfigError: as `signer`.
    """
    if config.signing_key is None and not (data_dir / KEY_FILE).exists():
        return Trust(())
    return Trust([signer(data_dir, config).public])


def decode_private(text: str, source: str) -> Ed25519PrivateKey:
    """Read a private key in PEM (PKCS 8), or 32 bytes in base64 (RFC 8032, the seed).

    Raises:
        ConfigError: it is something else; `source` says where it stands.
    """
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_private_key(text.encode(), None)
            if isinstance(key, Ed25519PrivateKey):
                return key
        else:
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text.strip(), validate=True))
    except (ValueError, TypeError):
        pass
    raise ConfigError(f"{source} is not an Ed25519 private key", fix="openssl genpkey -algorithm ed25519")


def decode_public(text: str, source: str) -> Ed25519PublicKey:
    """Read a public key in PEM, or 32 bytes in base64.

    Raises:
        ConfigError: it is something else; `source` says where it stands.
    """
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_public_key(text.encode())
            if isinstance(key, Ed25519PublicKey):
                return key
        else:
            return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except (ValueError, TypeError):
        pass
    raise ConfigError(f"{source} is not an Ed25519 public key", fix="give what `agentflow audit key` prints")


def public_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def public_raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(public_raw(key)).hexdigest()[:16]


def _create(path: Path) -> None:
    """Make the key file; of several processes one wins and all read its key."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
