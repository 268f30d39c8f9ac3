"""Seals on uploaded bundles and on choices: who can write to the database, but has no key, puts nothing in force.

The seal of a choice is over its number and all that it says, that of a bundle over its revision, which is a digest of
the content, and who uploaded it. What no seal shows is rows that were taken away: a former choice is then the newest.
"""

from __future__ import annotations

import hmac
import json
from typing import Final

PURPOSE: Final = b"policy choices"  # of the vault's derived key


def bundle(key: bytes, revision: str, uploaded: float, by: str, note: str) -> bytes:
    """Over a bundle that was tested, and by whose word it is here."""
    return _over(key, "bundle", revision, float(uploaded), by, note)


def choice(key: bytes, number: int, revision: str, time: float, by: str, back_to: int | None) -> bytes:
    """Over all that a choice says."""
    return _over(key, "choice", number, revision, float(time), by, back_to)


def same(seal: object, right: bytes) -> bool:
    """Whether a column holds this seal."""
    return isinstance(seal, bytes | memoryview) and hmac.compare_digest(bytes(seal), right)


def _over(key: bytes, *parts: object) -> bytes:
    return hmac.digest(key, json.dumps(parts).encode(), "sha256")
