"""What a stored API key is: the person-readable half of it, what it may be made of, and whether it counts.

No value of these types but `Made` holds a key, and none but the store a digest of one.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final, Literal, get_args

from agentflow.errors import InvalidArguments
from agentflow.identity.principal import Kind

DAY: Final = 86_400.0
_RESERVED: Final = frozenset({"agentflow"})  # the vault's name for the gateways' own keys
_NAME: Final = re.compile(r"[^\W_][\w.@:+|/-]{0,127}")
_TENANT: Final = re.compile(r"[^\W_][\w.@:+|-]{0,63}")  # no slash: records say tenant/principal
_ROLE: Final = re.compile(r"[^\W_][\w.:-]{0,63}")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,256}")  # RFC 6749, appendix A.4
_MANY: Final = 64  # roles, and scopes, of one key

State = Literal["active", "replaced", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be.

    Attributes:
        principal: the caller's id, unique within its tenant; a principal may have several keys.
        label: what it is for, for people.
        expires: epoch seconds after which it does not count, or None for never.
    """

    principal: str
    kind: Kind = "agent"
    roles: tuple[str, ...] = ("agent",)
    tenant: str = "default"
    scopes: tuple[str, ...] = ()
    label: str = ""
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown: everything but the key. Times are epoch seconds.

    Attributes:
        id: the public part of the key.
        used: when it was last used, up to a minute late; None for never.
        replaces: the key it was made for by rotation, or None.
        replaced_by: the key that was made for it, or None.
        ours: whether this installation made it and nobody has altered it in the database since: others do not count.
    """

    id: str
    principal: str
    kind: Kind
    roles: tuple[str, ...]
    tenant: str
    scopes: tuple[str, ...]
    label: str
    created: float
    created_by: str
    expires: float | None = None
    used: float | None = None
    revoked: float | None = None
    revoked_by: str = ""
    replaces: str | None = None
    replaced_by: str | None = None
    ours: bool = True

    def state(self, now: float | None = None) -> State:
        """`replaced`: it counts until it expires, for those who have not taken the new one yet."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and self.expires <= (time.time() if now is None else now):
            return "expired"
        return "replaced" if self.replaced_by else "active"


@dataclass(frozen=True, slots=True)
class Made:
    """A key that was just made: the only time that `key`, the whole key, is to be had."""

    key: str
    info: KeyInfo


def check(wanted: NewKey, now: float | None = None) -> None:
    """Refuse what no key can be.

    Raises:
        InvalidArguments: says what, and how it has to be.
    """
    if not _NAME.fullmatch(wanted.principal):
        raise InvalidArguments(
            f"{wanted.principal[:64]!r} cannot be a principal", fix="letters, digits and . _ @ : + | / -, at most 128"
        )
    if not _TENANT.fullmatch(wanted.tenant) or wanted.tenant in _RESERVED:
        why = "is a name of the gateway's own" if wanted.tenant in _RESERVED else "cannot be a tenant"
        raise InvalidArguments(f"{wanted.tenant[:64]!r} {why}", fix="letters, digits and . _ @ : + | -, at most 64")
    if wanted.kind not in get_args(Kind):
        raise InvalidArguments(f"{wanted.kind!r} is no kind of caller", fix=f"one of {', '.join(get_args(Kind))}")
    for role in wanted.roles:
        if not _ROLE.fullmatch(role):
            raise InvalidArguments(f"{role[:64]!r} cannot be a role", fix="letters, digits and . _ : -, at most 64")
    for scope in wanted.scopes:
        if not _SCOPE.fullmatch(scope):
            raise InvalidArguments(f"{scope[:64]!r} cannot be a scope", fix="printable ASCII without spaces and quotes")
    if max(len(wanted.roles), len(wanted.scopes)) > _MANY:
        raise InvalidArguments(f"More than {_MANY} roles or scopes", fix="give it those that it needs")
    if len(wanted.label) > 256 or not wanted.label.isprintable():
        raise InvalidArguments("The label is longer than 256 characters, or not printable", fix="shorten it")
    if wanted.expires is not None and not (time.time() if now is None else now) < wanted.expires < 253_402_300_800:
        raise InvalidArguments("It would expire in the past, or after the year 9999", fix="give a time to come")
