"""From an HTTP request's headers to a principal: API keys now, behind one function.

Keys are compared through a keyed hash made at start, so neither timing nor a memory dump of the table gives
one away. It refuses to guess: with keys configured, a request without a known key has no principal.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable

from agentflow.config import ApiKey, AuthConfig
from agentflow.errors import ConfigError
from agentflow.identity.principal import Principal


class Authenticator:
    """Knows the configured callers."""

    def __init__(self, config: AuthConfig) -> None:
        self._secret = os.urandom(32)
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

    def local(self, auth: str = "local") -> Principal:
        """The principal of callers that nothing authenticates: stdio, and loopback HTTP without keys."""
        local = self._local
        return Principal(local.id, local.kind, local.roles, local.tenant, local.scopes, auth=auth)

    def principal(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal | None:
        """The caller behind `Authorization: Bearer <key>` or `X-API-Key: <key>`; None if unknown.

        Args:
            headers: raw ASGI headers, names in lower case.
        """
        if not self._known:
            return self._local
        presented = b""
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                presented = value[7:].strip()
            elif name == b"x-api-key" and not presented:
                presented = value.strip()
        return self._known.get(self._digest(presented)) if presented else None

    def _digest(self, key: bytes) -> bytes:
        return hmac.new(self._secret, key, hashlib.sha256).digest()


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
