"""Format-preserving encryption: FF1 of NIST SP 800-38G (2016), over decimal digits, with AES-256.

Of the standard's modes FF1 is the one to use: FF3 was broken and withdrawn. A string of digits becomes another of the
same length and back; the standard's own samples are in the tests. The set of strings must hold at least a million
(Revision 1 of the standard), that is six digits.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

RADIX: Final = 10
LEAST: Final = 6  # digits
_ROUNDS: Final = 10
_BLOCK: Final = 16


def encrypt(key: bytes, tweak: bytes, digits: str) -> str:
    """Return the encrypted digits (algorithm 7).

    Args:
        key: of AES, 16, 24 or 32 bytes.
        tweak: what else the result depends on; no secret.

    Raises:
        ValueError: fewer than six characters, or one that is no digit.
    """
    return _feistel(key, tweak, digits, range(_ROUNDS), 1)


def decrypt(key: bytes, tweak: bytes, digits: str) -> str:
    """Return what `encrypt` was given (algorithm 8)."""
    return _feistel(key, tweak, digits, range(_ROUNDS - 1, -1, -1), -1)


def _feistel(key: bytes, tweak: bytes, digits: str, rounds: range, sign: int) -> str:
    if len(digits) < LEAST or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"FF1 needs at least {LEAST} decimal digits")
    n = len(digits)
    u, v = n // 2, n - n // 2
    b = ceil(ceil(v * log2(RADIX)) / 8)
    d = 4 * ceil(b / 4) + 4
    first = bytes([1, 2, 1]) + RADIX.to_bytes(3) + bytes([_ROUNDS, u % 256]) + n.to_bytes(4) + len(tweak).to_bytes(4)
    padding = bytes((-len(tweak) - b - 1) % _BLOCK)
    left, right = int(digits[:u]), int(digits[u:])
    aes = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 (the standard's CIPH: single blocks)
    for i in rounds:
        known = right if sign > 0 else left
        q = tweak + padding + bytes([i]) + known.to_bytes(b)
        y = int.from_bytes(_stream(key, aes, _mac(key, first + q), d))
        modulus = RADIX ** (u if i % 2 == 0 else v)
        if sign > 0:
            left, right = right, (left + y) % modulus
        else:
            left, right = (right - y) % modulus, left
    return f"{left:0{u}d}{right:0{v}d}"


def _mac(key: bytes, data: bytes) -> bytes:
    """PRF (algorithm 6): the last block of AES-CBC with a zero vector."""
    cbc = Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).encryptor()
    return (cbc.update(data) + cbc.finalize())[-_BLOCK:]


def _stream(key: bytes, aes: Cipher[modes.ECB], block: bytes, length: int) -> bytes:
    """Step 6.iii: as many bytes as are needed, from the block and from its counter blocks."""
    more = ceil(length / _BLOCK) - 1
    if not more:
        return block[:length]
    number = int.from_bytes(block)
    ecb = aes.encryptor()
    blocks = b"".join((number ^ j).to_bytes(_BLOCK) for j in range(1, more + 1))
    return (block + ecb.update(blocks))[:length]
