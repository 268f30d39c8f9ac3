"""Results that were withheld, for the one who asked for them to look at: `agentflow://quarantine/<id>`.

It promises: an id cannot be guessed, opens for its own principal only, and reads like any unknown resource for
everybody else; what is kept is bounded in number, size and time, the oldest goes first. It is kept in memory only:
it is what a server said, before personal data was taken out, so it is never written anywhere. Another process of
the same gateway does not have it, and a restart forgets it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agentflow.pipeline.call import JSON, UpstreamFacts

SCHEME: Final = "agentflow://quarantine/"
_MOST: Final = 256  # results
_LARGEST: Final = 32 << 20  # bytes in all


@dataclass(frozen=True, slots=True)
class Held:
    """A withheld result.

    Attributes:
        body: as `resources/read` answers it: the whole result as JSON in one text.
        upstream: where it came from: reading it is reading from there, for policy and for taint.
        expires: `time.monotonic()` at which it is forgotten.
    """

    owner: str
    body: JSON
    upstream: UpstreamFacts
    size: int
    expires: float


class Quarantine:
    """A bounded store of withheld results. Not safe for several threads."""

    def __init__(self, most: int = _MOST, largest: int = _LARGEST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._largest, self._clock = most, largest, clock
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._size = 0

    def keep(self, owner: str, result: JSON, upstream: UpstreamFacts, seconds: float) -> str | None:
        """Keep a result for `owner` (a `Principal.key`).

        Returns:
            Its URI, or None where it is too large to be kept.
        """
        text = json.dumps(result, ensure_ascii=False)
        size = len(text)
        if size > self._largest:
            return None
        uri = SCHEME + secrets.token_urlsafe(24)
        body = {"contents": [{"uri": uri, "mimeType": "application/json", "text": text}]}
        self._held[uri] = Held(owner, body, upstream, size, self._clock() + seconds)
        self._size += size
        self._shrink()
        return uri

    def find(self, uri: str, owner: str) -> Held | None:
        """Return what is kept under `uri`, if it is this owner's and not expired."""
        self._shrink()
        held = self._held.get(uri)
        return held if held is not None and secrets.compare_digest(held.owner.encode(), owner.encode()) else None

    def _shrink(self) -> None:
        now = self._clock()
        for uri in [uri for uri, held in self._held.items() if held.expires <= now]:
            self._drop(uri)
        while len(self._held) > self._most or self._size > self._largest:
            self._drop(next(iter(self._held)))

    def _drop(self, uri: str) -> None:
        self._size -= self._held.pop(uri).size
