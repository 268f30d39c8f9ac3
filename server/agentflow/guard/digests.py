"""What was looked at before and need not be looked at again: digests of whole messages, never the messages.

It promises to know a message again only if every byte of it is the same and it belongs to the same tenant, to hold
nothing of what it says (BLAKE2b, RFC 7693, under a key of this process), and to forget the least recently seen first:
who floods it gains that messages are looked at again. What a digest stands for is for its owner to say, and ends with
the owner: nothing here outlives a change of rules, types or thresholds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Final

_KEY: Final = secrets.token_bytes(32)
_SIZE: Final = 16  # bytes
_LONGEST: Final = 1_000_000  # bytes of a message: what is longer is looked at in full anyway


def digest(data: bytes | None) -> bytes | None:
    """The digest of a serialised message; None for what is never known again."""
    if data is None or len(data) > _LONGEST:
        return None
    return hashlib.blake2b(data, key=_KEY, digest_size=_SIZE).digest()


class Known:
    """A bounded set of tenants' messages. Safe from several threads.

    Args:
        most: how many are known; some 300 bytes each.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def has(self, tenant: str, digest: bytes | None) -> bool:
        """Whether a tenant's message was added, and not forgotten since."""
        if digest is None:
            return False
        try:
            self._known.move_to_end((tenant, digest))
        except KeyError:
            return False
        return True

    def add(self, tenant: str, digest: bytes | None) -> None:
        """Know a message from now on."""
        if digest is None:
            return
        self._known[tenant, digest] = None
        if len(self._known) > self._most:
            self._known.popitem(last=False)
