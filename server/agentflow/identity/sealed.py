"""Secrets at rest: AES-256-GCM, bound to the place they lie in, so that a row copied to another place does not open."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

from agentflow.errors import AgentFlowError

JSON = dict[str, Any]
_NONCE: Final = 12


class Sealer:
    """Seals JSON objects.

    Args:
        key: gives the key of 32 bytes; asked once, when something is first sealed or opened.
    """

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key
        self._cipher: Any = None

    def closed(self, what: JSON, *place: str) -> bytes:
        """Return nonce and ciphertext; it opens only at the same place."""
        nonce = secrets.token_bytes(_NONCE)
        sealed: bytes = self._made().encrypt(nonce, json.dumps(what).encode(), _place(place))
        return nonce + sealed

    def opened(self, sealed: bytes, *place: str) -> JSON:
        """Return what was sealed.

        Raises:
            AgentFlowError: it was sealed with another key or for another place, or altered.
        """
        from cryptography.exceptions import InvalidTag

        try:
            opened: JSON = json.loads(self._made().decrypt(sealed[:_NONCE], sealed[_NONCE:], _place(place)))
        except (InvalidTag, ValueError):
            raise AgentFlowError(
                "A stored credential cannot be opened: it was sealed with another key, or moved or altered",
                fix="restore the vault's key, or have its owner connect again",
            ) from None
        return opened

    def _made(self) -> Any:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._key())
        return self._cipher


def _place(parts: tuple[str, ...]) -> bytes:
    return json.dumps(parts).encode()
