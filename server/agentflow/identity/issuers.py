"""The issuers of a configuration: which of them a token is from, whether it counts, and who it makes its holder.

It promises that a token that counted is known again from memory until it ends, its key leaves the issuer's set, or
five minutes have gone; and that two issuers never make the same principal of two people: the ids of all but the first
begin with a prefix of their own, and nobody gets the id of a configured key.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from agentflow.audit.events import Event
from agentflow.config_auth import IssuerConfig
from agentflow.errors import ConfigError, IdentityUnavailable, InsufficientScope
from agentflow.identity import claims, tokens
from agentflow.identity.jwks import Keys, KeysUnavailable
from agentflow.identity.principal import Principal

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

_REMEMBERED: Final = 10_000  # tokens
_RECHECKED: Final = 300.0  # seconds after which a token that is known is verified anew


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    until: float  # epoch seconds
    key: bytes
    keys: Keys


class Issuer:
    """One issuer, with its keys."""

    def __init__(self, config: IssuerConfig, prefix: str, record: Callable[[Event], object] | None) -> None:
        self.config = config
        self.prefix = prefix
        self.keys = Keys(config, record)

    @cached_property
    def _registry(self) -> JWSRegistry:
        return tokens.registry_of(self.config)

    async def verify(self, token: tokens.Unverified, now: float) -> _Verified:
        """Verify a token that says it is this issuer's.

        Raises:
            Refused: it does not count.
            InsufficientScope: it counts, and lacks a scope.
            IdentityUnavailable: the issuer's keys cannot be had.
        """
        tokens.check_header(token, self.config)
        until = tokens.check_claims(token, self.config, now)  # before the keys: most that is refused needs none
        try:
            keys = await self.keys.find(token.header.get("kid"), token.header["alg"])
        except KeysUnavailable as error:
            raise IdentityUnavailable(
                "The keys of the token's issuer cannot be had", fix="Try again later", reason="keys_unavailable"
            ) from error
        if not keys:
            raise tokens.Refused("unknown_key_id", "The token's key is not one of its issuer's")
        key = tokens.verified(token, keys, self._registry)
        if key is None:
            raise tokens.Refused("bad_signature", "The token's signature does not hold")
        caller = claims.principal(token.claims, self.config, self.prefix)
        missing = set(self.config.required_scopes) - set(caller.scopes)
        if missing:
            raise InsufficientScope("The token lacks a scope that this gateway requires", self.config.required_scopes)
        return _Verified(caller, min(until, now + _RECHECKED), key.print, self.keys)


class Issuers:
    """All of them.

    Args:
        taken: principals (their `key`) that no token may stand for.
        record: see `Keys`.
        previous: those in use so far; the keys of one that stays as it is are kept.
        now: epoch seconds.

    Raises:
        ConfigError: two entries are for one issuer and audience, or share the ids of their callers.
    """

    def __init__(
        self,
        configs: Sequence[IssuerConfig],
        taken: Collection[str] = (),
        record: Callable[[Event], object] | None = None,
        previous: Issuers | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._secret = os.urandom(32)
        self._taken = frozenset(taken)
        self._verified: dict[bytes, _Verified] = {}
        self._issuers: dict[str, Issuer] = {}
        kept = previous._issuers if previous else {}
        for config, prefix in zip(configs, prefixes(configs), strict=True):
            if config.issuer in self._issuers:
                raise ConfigError(f"{config.issuer} is there twice", fix="Put all its audiences into one entry")
            before = kept.get(config.issuer)
            same = before is not None and before.config == config and before.prefix == prefix
            self._issuers[config.issuer] = before if before and same else Issuer(config, prefix, record)
        for name, issuer in kept.items():
            if self._issuers.get(name) is not issuer:
                issuer.keys.close()

    @staticmethod
    def concerned(presented: bytes) -> bool:
        """Whether a credential is a token, as far as its looks tell."""
        return tokens.looks_like_one(presented)

    def known(self, presented: bytes) -> Principal | None:
        """The holder of a token that has counted before, and still does."""
        found = self._verified.get(self._digest(presented)) if self._verified else None
        if found is None or self._now() >= found.until or not found.keys.counts(found.key):
            return None
        return found.principal

    async def authenticate(self, presented: bytes) -> Principal:
        """The holder of a token.

        Raises:
            Refused: it does not count.
            InsufficientScope: it counts, and lacks a scope.
            IdentityUnavailable: its issuer's keys cannot be had.
        """
        token = tokens.read(presented)
        name = token.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise tokens.Refused("foreign_issuer", "The token is from an issuer that is not taken")
        found = await issuer.verify(token, self._now())
        self._check_own(found.principal, issuer)
        while len(self._verified) >= _REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[self._digest(presented)] = found
        return found.principal

    def _check_own(self, caller: Principal, issuer: Issuer) -> None:
        """Refuse an id that another issuer's callers, or a configured key's, would have."""
        others = [each.prefix for each in self._issuers.values() if each is not issuer]
        longer = [prefix for prefix in others if len(prefix) > len(issuer.prefix)]
        if caller.key in self._taken or any(caller.id.startswith(prefix) for prefix in longer):
            raise tokens.Refused("id_taken", "The token's holder has the name of another caller")

    def close(self) -> None:
        """End what runs in the background."""
        for issuer in self._issuers.values():
            issuer.keys.close()

    def _digest(self, presented: bytes) -> bytes:
        return hmac.digest(self._secret, presented, "sha256")


def prefixes(configs: Sequence[IssuerConfig]) -> list[str]:
    """What the ids of each issuer's callers begin with.

    Raises:
        ConfigError: two would have the same, in a tenant that both may speak for.
    """
    made: list[str] = []
    for index, config in enumerate(configs):
        parts = urlsplit(config.issuer)
        own = "" if index == 0 else f"{parts.netloc}{parts.path.rstrip('/')}|"
        prefix = own if config.id_prefix is None else config.id_prefix
        for other, theirs in zip(configs, made, strict=False):
            if prefix == theirs and _meet(config, other) and other.issuer != config.issuer:
                raise ConfigError(
                    f"Callers of {config.issuer} and of {other.issuer} could have the same ids in one tenant",
                    fix="Give each its own id_prefix, or its own tenant",
                )
        made.append(prefix)
    return made


def _meet(one: IssuerConfig, other: IssuerConfig) -> bool:
    """Whether two issuers may speak for one tenant."""
    first, second = _tenants(one), _tenants(other)
    return first is None or second is None or bool(first & second)


def _tenants(config: IssuerConfig) -> frozenset[str] | None:
    """The tenants that an issuer may speak for; None for any."""
    if config.claims.tenant is None:
        return frozenset({config.tenant})
    named = config.tenants or tuple(config.tenants_map.values())
    return frozenset(named) or None
