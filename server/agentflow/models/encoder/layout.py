"""The file of the embedded encoder: tokens with one quantised vector each, found without reading the rest.

Little-endian: `AFENC1` and two zero bytes; tokens V, dimensions D, slots S, bytes of text T (u32 each); S slots (u16: a
row, 0xFFFF for none; where a token belongs, CRC-32 says, and if that is taken, the next free one); V+1 offsets into the
text (u32); V weights (u8); V vectors of D bytes (a member plus 128); the text of the tokens, one after the other.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentflow.errors import ConfigError

MAGIC: Final = b"AFENC1\0\0"
HEADER: Final = struct.Struct("<8sIIII")
FREE: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a file begin."""

    tokens: int
    dimensions: int
    slots: int
    offsets: int
    weights: int
    vectors: int
    text: int
    end: int


def read(body: bytes | memoryview) -> Layout:
    """The layout of a file.

    Raises:
        ConfigError: it is no such file, or cut short.
    """
    if len(body) >= HEADER.size:
        magic, tokens, dimensions, slots, text = HEADER.unpack_from(body)
        offsets = HEADER.size + 2 * slots
        weights = offsets + 4 * (tokens + 1)
        vectors = weights + tokens
        begins = vectors + tokens * dimensions
        sound = slots > tokens and slots & (slots - 1) == 0 and 0 < tokens < FREE and 0 < dimensions <= 1024
        if magic == MAGIC and sound and len(body) == begins + text:
            return Layout(tokens, dimensions, slots, offsets, weights, vectors, begins, begins + text)
    raise ConfigError("The embedded encoder's file is damaged", fix="reinstall agentflow-gateway")


def pack(tokens: Sequence[str], weights: Sequence[int], vectors: Sequence[bytes]) -> bytes:
    """The bytes of a file: for each token a weight (1 to 255) and a vector (bytes, each a member plus 128)."""
    if not 0 < len(tokens) < FREE:
        raise ValueError(f"{len(tokens)} tokens do not fit")
    slots = 1 << (len(tokens) * 4 // 3).bit_length()  # at most three quarters are taken
    table = [FREE] * slots
    for row, token in enumerate(tokens):
        at = zlib.crc32(token.encode()) & (slots - 1)
        while table[at] != FREE:
            at = (at + 1) & (slots - 1)
        table[at] = row
    text = [token.encode() for token in tokens]
    offsets = [0]
    for piece in text:
        offsets.append(offsets[-1] + len(piece))
    return b"".join(
        (
            HEADER.pack(MAGIC, len(tokens), len(vectors[0]), slots, offsets[-1]),
            struct.pack(f"<{slots}H", *table),
            struct.pack(f"<{len(offsets)}I", *offsets),
            bytes(weights),
            *vectors,
            *text,
        )
    )
