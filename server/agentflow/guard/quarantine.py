"""Results that were withheld, for the one who asked for them to look at: `agentflow://quarantine/<id>`.

It promises: an id cannot be guessed, opens for its own principal only, and reads like any unknown resource for
everybody else; what is kept is bounded in number, size and time, the oldest goes first, and a principal that has much
withheld loses its own, not somebody else's. It is kept in memory only, sealed (AES-256-GCM) with a key that lives in
this process only: it is what a server said, before personal data was taken out. Another process of the same gateway
does not have it, and a restart forgets it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentflow.pipeline.call import JSON, Origin, UpstreamFacts

SCHEME: Final = "agentflow://quarantine/"
_MOST: Final = 256  # results
_LARGEST: Final = 32 << 20  # bytes in all
_SHARE: Final = 4  # one owner may have a quarter of either
_NONCE: Final = 12


@dataclass(frozen=True, slots=True)
class Held:
    """A withheld result.

    Attributes:
        body: as `resources/read` answers it: the whole result as JSON in one text.
        upstream: where it came from: reading it is reading from there, for policy and for taint.
        origin: the call that it answered: what was demanded of that is demanded of reading it.
    """

    body: JSON
    upstream: UpstreamFacts
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Kept:
    owner: str
    sealed: bytes  # nonce + the result's JSON
    upstream: UpstreamFacts
    origin: Origin
    expires: float  # `time.monotonic()`


class Quarantine:
    """A bounded store of withheld results. Not safe for several threads."""

    def __init__(self, most: int = _MOST, largest: int = _LARGEST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._largest, self._clock = most, largest, clock
        self._seal = AESGCM(AESGCM.generate_key(256))
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    def keep(self, owner: str, result: JSON, upstream: UpstreamFacts, origin: Origin, seconds: float) -> str | None:
        """Keep a result for `owner` (a `Principal.key`).

        Returns:
            Its URI, or None where it is too large to be kept.
        """
        uri, nonce = SCHEME + secrets.token_urlsafe(24), secrets.token_bytes(_NONCE)
        text = json.dumps(result, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if len(text) > self._largest // _SHARE:
            return None
        sealed = nonce + self._seal.encrypt(nonce, text, uri.encode())
        self._kept[uri] = _Kept(owner, sealed, upstream, origin, self._clock() + seconds)
        self._size += len(sealed)
        self._shrink()
        self._share(owner)
        return uri

    def find(self, uri: str, owner: str) -> Held | None:
        """Return what is kept under `uri`, if it is this owner's and not expired."""
        self._shrink()
        kept = self._kept.get(uri)
        if kept is None or not secrets.compare_digest(kept.owner.encode(), owner.encode()):
            return None
        text = self._seal.decrypt(kept.sealed[:_NONCE], kept.sealed[_NONCE:], uri.encode())
        content = {"uri": uri, "mimeType": "application/json", "text": text.decode("utf-8", "surrogatepass")}
        return Held({"contents": [content]}, kept.upstream, kept.origin)

    def _share(self, owner: str) -> None:
        """Drop an owner's oldest until what is left is within its share."""
        own = [(uri, len(kept.sealed)) for uri, kept in self._kept.items() if kept.owner == owner]
        count, size = len(own), sum(each for _, each in own)
        for uri, each in own[:-1]:
            if count <= max(1, self._most // _SHARE) and size <= self._largest // _SHARE:
                return
            self._drop(uri)
            count, size = count - 1, size - each

    def _shrink(self) -> None:
        now = self._clock()
        for uri in [uri for uri, kept in self._kept.items() if kept.expires <= now]:
            self._drop(uri)
        while len(self._kept) > self._most or self._size > self._largest:
            self._drop(next(iter(self._kept)))

    def _drop(self, uri: str) -> None:
        self._size -= len(self._kept.pop(uri).sealed)
