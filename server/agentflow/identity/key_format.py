"""How a stored API key is written: `af_<id>_<secret><checksum>`, 65 characters that survive URLs, shells and copying.

The id (12 characters) is public and names the key in lists and records; the secret has 256 bits from the system's
generator; the checksum (CRC-32 of all that stands before it) tells a mistyped or cut-off key, without a look-up, from
one that is unknown, and lets a secret scanner be sure. It protects nothing: whoever makes up a key can make it, too.
"""

from __future__ import annotations

import re
import secrets
import zlib
from typing import Final

PREFIX: Final = "af_"
MARK: Final = PREFIX.encode()
LENGTH: Final = 65
ID: Final = slice(3, 15)
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 12, 43, 6  # 62**43 > 2**256, 62**6 > 2**32
_LOWER: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SHAPE: Final = re.compile(rb"af_[0-9a-z]{12}_[0-9A-Za-z]{49}")
_BEGINNING: Final = re.compile(rb"af_[0-9a-z]{12}_")


def generate() -> tuple[str, str]:
    """Make a key: `(id, whole key)`."""
    identity = "".join(secrets.choice(_LOWER) for _ in range(_ID_LENGTH))
    body = f"{PREFIX}{identity}_{_number(secrets.randbits(256), _SECRET_LENGTH)}"
    return identity, body + _checksum(body.encode())


def is_id(text: str) -> bool:
    """Whether this can be the id of a key."""
    return len(text) == _ID_LENGTH and text.isascii() and text.isalnum()


def is_whole(presented: bytes) -> bool:
    """Whether this is a key of ours from its first character to its last."""
    return (
        len(presented) == LENGTH
        and _SHAPE.fullmatch(presented) is not None
        and _checksum(presented[:-_CHECKSUM_LENGTH]).encode() == presented[-_CHECKSUM_LENGTH:]
    )


def is_mistyped(presented: bytes) -> bool:
    """Whether this begins as a key of ours and does not go on as one: cut off, doubled, or with a wrong character."""
    return len(presented) <= 2 * LENGTH and _BEGINNING.match(presented) is not None and not is_whole(presented)


def _checksum(body: bytes) -> str:
    return _number(zlib.crc32(body), _CHECKSUM_LENGTH)


def _number(value: int, length: int) -> str:
    """`value` in base 62, with leading zeros."""
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
