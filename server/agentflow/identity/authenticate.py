"""From an HTTP request's headers to a principal: API keys, stored keys and tokens of issuers, behind one door.

`known` answers from memory, in microseconds; `authenticate` may ask the database or an issuer, and refuses with what
the answer has to say. It refuses to guess: where any way to know callers is configured, a request without a good
credential has no principal. Keys are compared through a keyed hash made at start, so neither timing nor a memory dump
of the table gives one away. A credential in the address (`?access_token=`) is no credential (MCP, authorization).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NoReturn

from agentflow.audit.events import Event
from agentflow.config_auth import ApiKey, AuthConfig
from agentflow.errors import ConfigError, Unauthenticated
from agentflow.identity.issuers import Issuers
from agentflow.identity.key_format import MARK
from agentflow.identity.principal import Principal
from agentflow.identity.tokens import Refused

if TYPE_CHECKING:
    from agentflow.identity.keys import KeyRing

Headers = Iterable[tuple[bytes, bytes]]
_KEYS: Final = {
    "mistyped": "The API key is mistyped or cut off",
    "expired": "The API key has expired",
    "revoked": "The API key has been revoked",
}


class Authenticator:
    """Knows the callers of a configuration.

    Args:
        ring: the keys in the store; None where there is none to look in.
        record: takes what happens to issuers' keys; may raise `AuditUnavailable`.
        previous: the one in use so far: what it has learnt of issuers that stay as they are is kept.

    Raises:
        ConfigError: a key cannot be read, is too short, or is two callers'.
    """

    def __init__(
        self,
        config: AuthConfig,
        ring: KeyRing | None = None,
        record: Callable[[Event], object] | None = None,
        previous: Authenticator | None = None,
    ) -> None:
        self.config = config
        self._secret = os.urandom(32)
        self._ring = ring
        self._known: dict[bytes, Principal] = {}
        for entry in config.api_keys:
            digest = self._digest(_key_of(entry))
            if digest in self._known:
                raise ConfigError(
                    f"API keys of {self._known[digest].id!r} and {entry.id!r} are the same", fix="Give each its own key"
                )
            self._known[digest] = Principal(
                entry.id, entry.kind, entry.roles, entry.tenant, entry.scopes, auth="api_key"
            )
        local = config.local
        self._local = Principal(local.id, local.kind, local.roles, local.tenant, local.scopes, auth="local")
        taken = {each.key for each in (*self._known.values(), self._local)}
        before = previous._issuers if previous else None
        self._issuers: Issuers | None = None
        if config.issuers:
            self._issuers = Issuers(config.issuers, taken, record, before)
        elif before is not None:
            before.close()

    @property
    def asks(self) -> bool:
        """Whether callers have to say who they are."""
        return self.config.asks or (self._ring is not None and self._ring.asks)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that a client should ask an issuer for."""
        wanted = [scope for issuer in self.config.issuers for scope in issuer.required_scopes]
        return self.config.scopes or tuple(dict.fromkeys(wanted))

    def local(self, auth: str = "local") -> Principal:
        """The principal of callers that nothing authenticates: stdio, and loopback HTTP without keys."""
        local = self._local
        return Principal(local.id, local.kind, local.roles, local.tenant, local.scopes, auth=auth)

    def known(self, headers: Headers) -> Principal | None:
        """The caller behind `Authorization: Bearer …` or `X-API-Key: …`, as far as memory tells; None if it does not.

        Args:
            headers: raw ASGI headers, names in lower case.
        """
        presented = _presented(headers)
        if not self.asks and not (presented and presented.startswith(MARK)):
            return self._local
        if not presented:
            return None
        found = self._known.get(self._digest(presented)) if self._known else None
        if found is None and self._ring is not None:
            found = self._ring.find(presented)
        if found is None and self._issuers is not None:
            found = self._issuers.known(presented)
            if found is not None and self._has_key(found):
                return None
        return found

    async def authenticate(self, headers: Headers) -> Principal:
        """The caller, found out by whatever it takes.

        Raises:
            Unauthenticated: there is none: nothing or nothing good was presented.
            InsufficientScope: its token lacks a scope that the issuer's entry requires.
            IdentityUnavailable: an issuer's keys cannot be had, and the last ones are too old.
            StoreUnavailable: the stored keys cannot be read.
        """
        headers = list(headers)
        found = self.known(headers)
        if found is not None:
            return found
        presented = _presented(headers)
        if presented is None:
            _refuse("More than one credential was presented", "ambiguous", "invalid_request")
        if not presented:
            self._ask_for_credential(headers)
        if self._issuers is not None and self._issuers.concerned(presented):
            found = await self._issuers.authenticate(presented)
            if self._has_key(found):
                raise Refused("id_taken", "The token's holder has the name of another caller")
            return found
        if self._ring is not None:
            stored = await self._ring.look(presented)
            if stored is not None:
                return stored
            if why := self._ring.why(presented):
                _refuse(_KEYS[why], f"{why}_key", "invalid_token")
        what = "The credential is neither a known key nor a token" if self._issuers else "The API key is not known"
        _refuse(what, "unknown_key", "invalid_token")

    def _has_key(self, holder: Principal) -> bool:
        """Whether a stored key is of the principal that a token stands for: it is somebody else's name then."""
        return self._ring is not None and self._ring.holds(holder.key)

    def _ask_for_credential(self, headers: list[tuple[bytes, bytes]]) -> NoReturn:
        other = any(name == b"authorization" for name, _ in headers)
        needed = "an access token" if self._issuers else "an API key"
        raise Unauthenticated(
            f"This gateway needs {needed}",
            fix="Send Authorization: Bearer <token>" if self._issuers else "Send Authorization: Bearer <key>",
            reason="other_scheme" if other else "nothing",
        )

    def close(self) -> None:
        """End what runs in the background. Idempotent."""
        if self._issuers is not None:
            self._issuers.close()

    def _digest(self, key: bytes) -> bytes:
        return hmac.new(self._secret, key, hashlib.sha256).digest()


def _refuse(message: str, reason: str, error: str) -> NoReturn:
    raise Unauthenticated(message, fix="Send one that this gateway accepts", reason=reason, error=error)


def _presented(headers: Headers) -> bytes | None:
    """The one credential of a request, b"" for none; None for a header that is there twice, or two that differ."""
    bearer = key = b""
    bearers = keys = 0
    for name, value in headers:
        if name == b"authorization":
            bearers += 1
            if value[:7].lower() == b"bearer ":
                bearer = value[7:].strip()
        elif name == b"x-api-key":
            keys += 1
            key = value.strip()
    if bearers > 1 or keys > 1 or (bearer and key and bearer != key):
        return None
    return bearer or key


def _key_of(entry: ApiKey) -> bytes:
    if entry.key is not None:
        key = entry.key.get_secret_value().encode()
    else:
        assert entry.key_file is not None
        try:
            key = entry.key_file.read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                f"The key file of {entry.id!r} cannot be read: {error.strerror}", fix=f"Check {entry.key_file}"
            ) from None
    if len(key) < 16:
        raise ConfigError(
            f"The API key of {entry.id!r} is shorter than 16 characters",
            fix="Generate one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return key
