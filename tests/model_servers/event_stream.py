"""AWS's event-stream encoding (`application/vnd.amazon.eventstream`), the writing half.

Source: AWS SDK developer guide, "Event stream encoding": prelude of total and header length with its CRC32, headers of
typed values (7: string), the payload, and a CRC32 of all of it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    encoded = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    whole = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


def event(kind: str, body: Mapping[str, Any]) -> bytes:
    """An event of Bedrock's stream; it pads them to a uniform look with the member `p`."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, json.dumps({**body, "p": "abcdefgh"}).encode())


def exception(kind: str, text: str) -> bytes:
    """An error within the stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": text}).encode())
