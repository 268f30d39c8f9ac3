"""What a program's value is as JSON, within bounds. Runs in the child, and inside WASI's Python: standard library only.

Tuples, sets and the like become arrays, sets in order where they have one; keys become strings; numbers that JSON or
64 bits cannot hold, dates, decimals and fractions become text; anything else its `repr`, shortened.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
from typing import Any

DEPTH = 64
REPR = 200  # characters


class TooLarge(Exception):
    """The value is larger or deeper than may be returned."""


def plain(value: Any, room: int) -> Any:
    """The JSON of a value that takes no more than about `room` bytes.

    Raises:
        TooLarge: it takes more, or is nested deeper than `DEPTH`.
    """
    left = [room]
    found = _plain(value, left, DEPTH)
    if left[0] < 0:
        raise TooLarge
    return found


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 8
    if left[0] < 0 or depth < 0:
        raise TooLarge
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(str(value), left)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else _text(_digits(value), left)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {_plain_key(k, left): _plain(v, left, depth - 1) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(v, left, depth - 1) for v in _ordered(value)]
    if isinstance(value, (list, tuple)):
        return [_plain(v, left, depth - 1) for v in value]
    return _text(_other(value), left)


def _plain_key(key: Any, left: list[int]) -> str:
    return _text(key if isinstance(key, str) else str(_plain(key, left, 4)), left)


def _text(text: str, left: list[int]) -> str:
    left[0] -= len(text)
    if left[0] < 0:
        raise TooLarge
    return text.encode("utf-8", "replace").decode("utf-8")


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python turns into text
        raise TooLarge from None


def _ordered(values: Any) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def _other(value: Any) -> str:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, fractions.Fraction, complex, datetime.timedelta)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return repr(value)[:REPR]
