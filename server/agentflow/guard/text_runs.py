"""A quick look for base64 that reads as text, as one pattern.

It promises to find every run of base64, in both alphabets, whose first six bytes may be UTF-8 without control
characters: what sextets show of that (RFC 4648, section 4; RFC 3629, section 3). Of hashes, ids and pictures it passes
over all but a few in a hundred, without a look at each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_CHARS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ANY: Final = rb"[A-Za-z0-9+/_\-]"
_BYTES: Final = 6


def _sextets(wanted: Callable[[int], bool]) -> bytes:
    """The class of the characters whose values are wanted."""
    chars = bytes(char for value, char in enumerate(_CHARS) if wanted(value))
    return b"[" + chars.replace(b"+", rb"+\-").replace(b"/", b"/_") + b"]"


# By the place of a byte in a group of three, from the sextet that holds its first bits: an ASCII character that is no
# control character, the lead of a longer character, what continues one.
_PLAIN: Final = (
    _sextets(lambda value: 8 <= value < 32 or value in (2, 3)),
    _sextets(lambda value: value & 8 == 0 and value & 15 != 1),
    _sextets(lambda value: value & 3 < 2),
)
_LEAD: Final = (
    _sextets(lambda value: value >= 48),
    _sextets(lambda value: value & 12 == 12),
    _sextets(lambda value: value & 3 == 3),
)
_MORE: Final = (
    _sextets(lambda value: 32 <= value < 48),
    _sextets(lambda value: value & 12 == 8),
    _sextets(lambda value: value & 3 == 2),
)


def _from(at: int, begun: bool, longer: bool) -> bytes:
    """The pattern from byte `at` on, after the lead of a longer character (`begun`) or inside one (`longer`)."""
    if at == _BYTES:
        return b""
    place = at % 3
    last = _ANY if place == 2 else b""
    steps = []
    if not begun:
        steps += [_PLAIN[place] + last + _from(at + 1, False, False), _LEAD[place] + last + _from(at + 1, True, False)]
    if begun or longer:
        steps.append(_MORE[place] + last + _from(at + 1, False, True))
    return b"(?:" + b"|".join(steps) + b")"


def text_run(shortest: int) -> bytes:
    """Return the pattern (RE2, bytes) of a run of at least `shortest` characters; its group is the run.

    It begins where no such character stands before it, or after an escape of serialised JSON.
    """
    begun = _BYTES // 3 * 4
    return rb"(?:\\[nrtbf]|^|[^A-Za-z0-9+/_\-])(" + _from(0, False, False) + _ANY + b"{%d,})" % (shortest - begun)
