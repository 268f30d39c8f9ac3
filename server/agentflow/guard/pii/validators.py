"""Checks that turn "looks like" into "is": checksums, registries and ranges. Pure functions, no patterns."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from typing import Final

# ASCII digit -> the digit sum of its double (ISO/IEC 7812-1 annex B), still as ASCII.
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")

# (first, last, digits compared, lengths): issuer identification ranges of the payment networks.
_IIN: Final = (
    (4, 4, 1, {13, 16, 19}),  # Visa
    (51, 55, 2, {16}),  # Mastercard
    (2221, 2720, 4, {16}),
    (34, 34, 2, {15}),  # American Express
    (37, 37, 2, {15}),
    (300, 305, 3, {14, 16}),  # Diners Club
    (36, 36, 2, {14, 16}),
    (38, 39, 2, {14, 16}),
    (6011, 6011, 4, {16, 19}),  # Discover
    (644, 649, 3, {16, 19}),
    (65, 65, 2, {16, 19}),
    (3528, 3589, 4, {16, 19}),  # JCB
    (62, 62, 2, {16, 17, 18, 19}),  # UnionPay
    (2200, 2204, 4, {16}),  # Mir
    (5018, 5018, 4, {16, 18, 19}),  # Maestro
    (5020, 5020, 4, {16, 18, 19}),
    (5038, 5038, 4, {16, 18, 19}),
    (6304, 6304, 4, {16, 18, 19}),
    (6759, 6763, 4, {16, 18, 19}),
    (60, 60, 2, {16}),  # RuPay
    (508, 508, 3, {16}),
)

# Length of an IBAN by country (SWIFT IBAN registry, release 99).
IBAN_LENGTH: Final[dict[str, int]] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip

# Fewest and most digits of an international number, country code included (ITU-T E.164 and national plans).
_PHONE_DIGITS: Final[dict[str, tuple[int, int]]] = {
    "1": (11, 11), "7": (11, 11), "20": (11, 12), "27": (11, 11), "30": (12, 12), "31": (11, 11), "32": (10, 11),
    "33": (11, 11), "34": (11, 11), "36": (10, 11), "39": (10, 13), "40": (11, 11), "41": (11, 11), "43": (9, 15),
    "44": (11, 12), "45": (10, 10), "46": (9, 12), "47": (10, 10), "48": (11, 11), "49": (9, 14), "52": (12, 13),
    "54": (12, 13), "55": (12, 13), "56": (11, 11), "57": (11, 12), "60": (10, 12), "61": (11, 11), "62": (10, 14),
    "63": (11, 12), "64": (10, 12), "65": (10, 10), "66": (10, 11), "81": (11, 12), "82": (10, 12), "84": (11, 12),
    "86": (11, 13), "90": (12, 12), "91": (12, 12), "92": (11, 12), "98": (11, 12), "351": (12, 12),
    "353": (10, 12), "358": (8, 14), "380": (12, 12), "420": (12, 12), "421": (12, 12), "971": (11, 12),
    "972": (11, 12),
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Whether the last of `digits` is their Luhn check digit."""
    data = digits.encode("ascii")
    return (sum(data[::-2]) + sum(data[-2::-2].translate(_DOUBLED)) - 48 * len(data)) % 10 == 0


def card(digits: str) -> bool:
    """Whether `digits` is a payment card number: a known issuer range, its length, and the Luhn digit."""
    count = len(digits)
    if not 13 <= count <= 19 or digits[0] not in "23456":
        return False
    for first, last, width, lengths in _IIN:
        if count in lengths and first <= int(digits[:width]) <= last:
            return luhn(digits) and digits.count(digits[0]) != count
    return False


def any_card(digits: str) -> bool:
    """Whether `digits` may be a card of any issuer (ISO/IEC 7812-1), retired ranges included: length and Luhn digit."""
    return 12 <= len(digits) <= 19 and digits[0] in "123456" and luhn(digits) and digits.count(digits[0]) != len(digits)


def iban(compact: str) -> bool:
    """Whether `compact` (no separators) is an IBAN: its country's length and ISO 7064 mod 97-10."""
    upper = compact.upper()
    if len(upper) != IBAN_LENGTH.get(upper[:2]):
        return False
    return int("".join(str(int(char, 36)) for char in upper[4:] + upper[:4])) % 97 == 1


def ssn(digits: str) -> bool:
    """Whether nine digits can be a US social security number (SSA: never area 000, 666, 9xx, group 00, serial 0000)."""
    return (
        len(digits) == 9
        and digits[:3] not in ("000", "666")
        and digits[0] != "9"
        and digits[3:5] != "00"
        and digits[5:] != "0000"
    )


def phone_length(digits: str) -> tuple[int, int]:
    """Return the fewest and most digits an international number that starts like `digits` may have."""
    for width in (1, 2, 3):
        if digits[:width] in _PHONE_DIGITS:
            return _PHONE_DIGITS[digits[:width]]
    return 9, 15


def calling_code(digits: str) -> bool:
    """Whether `digits` is one of the country calling codes that are known here."""
    return digits in _PHONE_DIGITS


def public_ipv4(text: str) -> bool:
    """Whether `text` is an IPv4 address of some host: not loopback, unspecified, a netmask or a broadcast."""
    parts = text.split(".")
    if any(len(part) > 1 and part[0] == "0" for part in parts) or any(int(part) > 255 for part in parts):
        return False
    return parts[0] not in ("0", "127", "255")


def host_ipv6(text: str) -> bool:
    """Whether `text` is an IPv6 address of some host, and not a time, a C++ scope or a fingerprint."""
    if "::" not in text and text.count(":") != (6 if "." in text else 7):
        return False
    groups = [group for group in text.split(":") if group]
    if len(groups) < 2 or not any(char.isdigit() for char in text):
        return False
    if "::" in text and len(groups) == 2 and len(groups[0]) < 3:
        return False
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits per character."""
    count = len(text)
    return -sum(n / count * math.log2(n / count) for n in Counter(text).values()) if count else 0.0
