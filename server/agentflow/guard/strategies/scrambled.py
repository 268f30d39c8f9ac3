"""Format-preserving stand-ins: digits become digits, letters letters of the same case, all else stays where it is.

A value is read as one number in mixed radix (10 for a digit, 26 for a letter, 9 for a first digit that is not 0),
encrypted by FF1 under the tenant's key, and walked on until the result is in range again (cycle walking). Payment
cards and IBANs that had right check digits have right ones again. Of a telephone number the last seven digits change,
of a mail address everything but the top-level domain.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agentflow.guard import ff1
from agentflow.guard.strategies.checks import luhn, valid_iban, with_iban_check, with_luhn

_LONGEST: Final = 256
_SMALLEST: Final = 10**ff1.LEAST
_MOST_STEPS: Final = 1000
_DIGITS: Final = "0123456789"
_LEADING: Final = "123456789"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_UPPER: Final = _LOWER.upper()
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{10,30}")
_PHONE_DIGITS: Final = 7
_HEX: Final = frozenset({"MAC"})


class _Place(NamedTuple):
    at: int
    alphabet: str


def scramble(key: bytes, kind: str, value: str | int, turn: int) -> str | int | None:
    """Return the stand-in of a value, or None when it is too short (or far too long) to have one.

    The first turn is the encryption itself; a later one, should that be taken, another tweak.
    """
    text = str(value)
    if len(text) > _LONGEST or turn > 3:
        return None
    tweak = f"{kind} {turn}".encode()
    shown = _special(key, tweak, kind, text) or _generic(key, tweak, kind, text)
    if shown is None or shown == text:
        return None
    return int(shown) if isinstance(value, int) else shown


def _special(key: bytes, tweak: bytes, kind: str, text: str) -> str | None:
    if kind == "CARD":
        digits = "".join(filter(str.isdecimal, text))
        if digits.isascii() and len(digits) > ff1.LEAST + 1 and luhn(digits) == 0:
            body = _encrypted(key, tweak, digits[:-1], _places(digits[:-1]))
            return body and _into(text, with_luhn(body))
    if kind == "IBAN":
        compact = re.sub(r"[\s-]", "", text).upper()
        if _IBAN.fullmatch(compact) and valid_iban(compact):
            account = _encrypted(key, tweak, compact[4:], _places(compact[4:], leading=_DIGITS))
            return account and _into(text, with_iban_check(compact[:2], account))
    return None


def _generic(key: bytes, tweak: bytes, kind: str, text: str) -> str | None:
    places = _hex_places(text) if kind in _HEX else _places(text)
    if kind == "PHONE":
        places = places[-_PHONE_DIGITS:]
    elif kind == "EMAIL" and "." in text:
        places = [place for place in places if place.at < text.rindex(".")]
    return _encrypted(key, tweak, text, places)


def _places(text: str, leading: str = _LEADING) -> list[_Place]:
    """The characters that change, and what each may become."""
    places = []
    for index, letter in enumerate(text):
        if letter in _DIGITS:
            first = not index and letter != "0"
            places.append(_Place(index, leading if first else _DIGITS))
        elif letter in _LOWER:
            places.append(_Place(index, _LOWER))
        elif letter in _UPPER:
            places.append(_Place(index, _UPPER))
    return places


def _hex_places(text: str) -> list[_Place]:
    alphabet = _DIGITS + (_UPPER if text.isupper() else _LOWER)[:6]
    return [_Place(index, alphabet) for index, letter in enumerate(text) if letter in alphabet]


def _encrypted(key: bytes, tweak: bytes, text: str, places: list[_Place]) -> str | None:
    size, number = 1, 0
    for index, alphabet in places:
        size *= len(alphabet)
        number = number * len(alphabet) + alphabet.index(text[index])
    if size < _SMALLEST:
        return None
    width = len(str(size - 1))
    for _ in range(_MOST_STEPS):
        number = int(ff1.encrypt(key, tweak, f"{number:0{width}d}"))
        if number < size:
            break
    else:
        return None
    letters = list(text)
    for index, alphabet in reversed(places):
        number, rest = divmod(number, len(alphabet))
        letters[index] = alphabet[rest]
    return "".join(letters)


def _into(shape: str, compact: str) -> str:
    """Write the letters of `compact` where `shape` has letters or digits, keeping its spaces and dashes."""
    letters = iter(compact)
    return "".join(next(letters) if letter.isalnum() else letter for letter in shape)
