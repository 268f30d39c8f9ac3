"""National check digits: whether a number of the right shape can have been issued. Pure functions.

Each takes the value in upper case without separators (letters and digits only) and of the length its pattern in
`tables/` allows; none raises on other input of that alphabet. Sources: the issuing authorities' rules as cited in
presidio-analyzer 2.2.366 (which these were compared with), ISO 7064, ISO 3779, and python-stdnum's documentation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from agentflow.guard.pii.validators import luhn

Check = Callable[[str], bool]

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE36: Final = "0123456789" + _LETTERS
_DNI: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_BASE58: Final = {
    char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}
_BECH32: Final = {char: value for value, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_THIS_YEAR: Final = date.today().year

_D5: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_P8: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def weighted(text: str, weights: Sequence[int]) -> int:
    """Sum of the leading digits times `weights`; letters count 10 to 35."""
    return sum(int(char, 36) * weight for char, weight in zip(text, weights, strict=False))


def verhoeff(digits: str) -> bool:
    """Whether the last of `digits` is their Verhoeff check digit."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = int(_D5[check][int(_P8[position % 8][int(digit)])])
    return check == 0


def mod11_10(digits: str) -> bool:
    """Whether the last of `digits` is their ISO 7064 MOD 11,10 check digit."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def day(year: int, month: int, day_: int) -> bool:
    """Whether this is a day of the calendar, not in the future."""
    try:
        return date(year, month, day_) <= date.today()
    except ValueError:
        return False


def short_day(digits: str, order: str = "ymd") -> bool:
    """Whether six digits are a date of this or the last century, in the order given."""
    parts = {place: int(digits[2 * at : 2 * at + 2]) for at, place in enumerate(order)}
    return any(day(century + parts["y"], parts["m"], parts["d"]) for century in (1900, 2000))


def same(digits: str) -> bool:
    """Whether all characters are the same: a placeholder."""
    return digits.count(digits[0]) == len(digits)


# --- United States


def aba(text: str) -> bool:
    return weighted(text, (3, 7, 1, 3, 7, 1, 3, 7, 1)) % 10 == 0 and not same(text)


def npi(text: str) -> bool:
    return luhn("80840" + text) and not same(text[:-1])


def dea(text: str) -> bool:
    digits = text[2:]
    odd = int(digits[0]) + int(digits[2]) + int(digits[4])
    even = int(digits[1]) + int(digits[3]) + int(digits[5])
    return (odd + 2 * even) % 10 == int(digits[6])


def itin(text: str) -> bool:
    group = int(text[3:5])
    return text[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def vin(text: str) -> bool:
    """ISO 3779 with the check digit that North America requires."""
    values = "0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ"
    total = 0
    for char, weight in zip(text, (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2), strict=True):
        total += values.index(char) % 10 * weight
    return "0123456789X"[total % 11] == text[8] and text[-4:].isdigit() and not text.isdigit()


# --- United Kingdom and Ireland


def nhs(text: str) -> bool:
    return weighted(text, range(10, 0, -1)) % 11 == 0 and not same(text)


def nino(text: str) -> bool:
    return text[:2] not in ("BG", "GB", "NK", "KN", "NT", "TN", "ZZ")


def uk_driver(text: str) -> bool:
    surname = text[:5].rstrip("9")
    return bool(surname) and "9" not in surname


def uk_plate(text: str) -> bool:
    if len(text) == 7 and text[:2].isalpha() and text[2:4].isdigit():
        age = int(text[2:4])
        return 2 <= age <= 29 or 51 <= age <= 79
    return True


# --- Germany, Austria, Switzerland


def icao9(text: str) -> bool:
    """Nine characters of a travel document, the last its check digit (ICAO Doc 9303, weights 7 3 1)."""
    return text[-1].isdigit() and weighted(text[:-1], (7, 3, 1) * 3) % 10 == int(text[-1])


def de_identity(text: str) -> bool:
    """A German document number: nine characters, with or without a tenth that checks them."""
    return icao9(text) if len(text) == 10 else any(char.isdigit() for char in text)


def de_tax_id(text: str) -> bool:
    return max(text[:10].count(digit) for digit in set(text[:10])) <= 3 and mod11_10(text)


def de_insured(text: str) -> bool:
    effective = f"{_LETTERS.index(text[0]) + 1:02}{text[1:9]}"
    total = sum(sum(divmod(int(digit) * factor, 10)) for digit, factor in zip(effective, (1, 2) * 5, strict=True))
    return total % 10 == int(text[9])


def de_pension(text: str) -> bool:
    born, month = int(text[2:4]), int(text[4:6])
    if not (1 <= born <= 31 or 51 <= born <= 81) or not 1 <= month <= 12:
        return False
    effective = f"{text[:8]}{_LETTERS.index(text[8]) + 1:02}{text[9:11]}"
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(divmod(int(digit) * weight, 10)) for digit, weight in zip(effective, weights, strict=True))
    return total % 10 == int(text[11])


def de_physician(text: str) -> bool:
    return (10 - weighted(text, (4, 9) * 3) % 10) % 10 == int(text[6]) and not same(text)


def at_insured(text: str) -> bool:
    return weighted(text, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == int(text[3])


def ch_ahv(text: str) -> bool:
    return text.startswith("756") and weighted(text, (1, 3) * 7) % 10 == 0


# --- Nordic countries


def se_personal(text: str) -> bool:
    digits = text[-10:]
    coordinated = int(digits[4:6]) > 60
    birth = digits[:4] + f"{int(digits[4:6]) - 60 * coordinated:02}"
    return (len(text) == 10 or text[:2] in ("18", "19", "20")) and short_day(birth) and luhn(digits)


def se_company(text: str) -> bool:
    return int(text[2]) >= 2 and luhn(text)


def fi_personal(text: str) -> bool:
    """`text` keeps its seventh character, the sign of the century, unless it was `-` or `+`."""
    digits, control = text[:6] + text[-4:-1], text[-1]
    if not digits.isdigit() or not short_day(digits[:6], "dmy"):
        return False
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == control


def no_birth(text: str) -> bool:
    born, month = int(text[:2]) % 40, int(text[2:4]) % 40
    first = weighted(text, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    second = weighted(text, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11
    return first == second == 0 and 1 <= month <= 12 and 1 <= born <= 31


def dk_cpr(text: str) -> bool:
    return short_day(text[:6], "dmy")


# --- Southern and western Europe


def es_nif(text: str) -> bool:
    return text[-1] == _DNI[int(text[:-1]) % 23]


def es_nie(text: str) -> bool:
    return text[-1] == _DNI[int(str("XYZ".index(text[0])) + text[1:-1]) % 23]


def it_person(text: str) -> bool:
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    total = 0
    for position, char in enumerate(text[:15]):
        value = int(char) if char.isdigit() else _LETTERS.index(char)
        total += value if position % 2 else odd[value]
    return _LETTERS[total % 26] == text[15]


def it_company(text: str) -> bool:
    return luhn(text) and not same(text)


def fr_nir(text: str) -> bool:
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def nl_bsn(text: str) -> bool:
    return weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and not same(text)


def be_national(text: str) -> bool:
    return any(97 - int(century + text[:9]) % 97 == int(text[9:]) for century in ("", "2"))


def pt_nif(text: str) -> bool:
    return (11 - weighted(text, range(9, 1, -1)) % 11) % 11 % 10 == int(text[8]) and not same(text)


def pl_pesel(text: str) -> bool:
    month = int(text[2:4]) % 20
    return weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0 and 1 <= month <= 12 and not same(text)


def tr_national(text: str) -> bool:
    digits = [int(digit) for digit in text]
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return tenth == digits[9] and sum(digits[:10]) % 10 == digits[10]


def tr_plate(text: str) -> bool:
    return 1 <= int(text[:2]) <= 81


# --- Asia


def aadhaar(text: str) -> bool:
    return text[0] >= "2" and text != text[::-1] and verhoeff(text)


def gstin(text: str) -> bool:
    """State, PAN, entity, `Z` and a check character (Luhn's scheme in base 36)."""
    if not 1 <= int(text[:2]) <= 38:
        return False
    total = 0
    for position, char in enumerate(text[:14]):
        quotient, remainder = divmod(_BASE36.index(char) * (1 + position % 2), 36)
        total += quotient + remainder
    return _BASE36[-total % 36] == text[14]


def kr_business(text: str) -> bool:
    ninth = int(text[8]) * 5
    total = weighted(text, (1, 3, 7, 1, 3, 7, 1, 3)) + ninth + ninth // 10
    return -total % 10 == int(text[9])


def kr_resident(text: str) -> bool:
    """The check digit of numbers issued before October 2020; later ones are drawn by lot."""
    total = weighted(text, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5))
    return short_day(text[:6]) and (11 - total % 11) % 10 == int(text[12])


def kr_by_date(text: str) -> bool:
    return short_day(text[:6])


def kr_driver(text: str) -> bool:
    return 11 <= int(text[:2]) <= 28 and text[:2] != "27"


def ph_tin(text: str) -> bool:
    return weighted(text, range(9, 1, -1)) % 11 == int(text[8]) and not same(text)


def sg_person(text: str) -> bool:
    total = weighted(text[1:], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "XWUTRQPNJLK"}.get(text[0], "XWUTRQPNMLK")
    return letters[10 - total % 11 if text[0] == "M" else total % 11] == text[8]


def sg_company(text: str) -> bool:
    if len(text) == 9:
        return "XMKECAWLJDB"[weighted(text, (10, 4, 9, 3, 8, 2, 7, 1)) % 11] == text[8]
    if text[0].isdigit():
        year, total = int(text[:4]), weighted(text, (10, 8, 6, 4, 9, 7, 5, 3, 1))
        return year <= _THIS_YEAR and "ZKCMDNERGWH"[total % 11] == text[9]
    alphabet = "ABCDEFGHJKLMNPQRSTUVWX0123456789"
    if any(char not in alphabet for char in text):
        return False
    total = sum(alphabet.index(c) * w for c, w in zip(text, (4, 3, 5, 3, 10, 2, 2, 5, 7), strict=False))
    return alphabet[(total - 5) % 11] == text[9]


def th_national(text: str) -> bool:
    return (11 - weighted(text, range(13, 1, -1)) % 11) % 10 == int(text[12]) and not same(text)


def cn_resident(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    if not day(int(text[6:10]), int(text[10:12]), int(text[12:14])):
        return False
    return "10X98765432"[weighted(text, weights) % 11] == text[17]


def hk_person(text: str) -> bool:
    padded = text.rjust(9)
    values = [36 if char == " " else int(char, 36) for char in padded[:8]]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return "0123456789A"[-total % 11] == text[-1]


# --- Africa, Australia, Latin America


def za_person(text: str) -> bool:
    return short_day(text[:6]) and text[10] in "012" and luhn(text)


def za_traffic(text: str) -> bool:
    return not za_person(text)


def za_company(text: str) -> bool:
    digits = text.lstrip(_LETTERS)
    return 1800 <= int(digits[:4]) <= _THIS_YEAR


def au_abn(text: str) -> bool:
    total = weighted(text, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10
    return text[0] != "0" and total % 89 == 0


def au_acn(text: str) -> bool:
    return -weighted(text, range(8, 0, -1)) % 10 == int(text[8])


def au_medicare(text: str) -> bool:
    return weighted(text, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(text[8])


def au_tfn(text: str) -> bool:
    return weighted(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 and not same(text)


def ca_sin(text: str) -> bool:
    return luhn(text) and not same(text)


def cpf(text: str) -> bool:
    first = weighted(text, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(text, range(11, 1, -1)) * 10 % 11 % 10
    return first == int(text[9]) and second == int(text[10]) and not same(text)


def cnpj(text: str) -> bool:
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    first = (11 - weighted(text, weights[1:])) % 11 % 10
    second = (11 - weighted(text, weights)) % 11 % 10
    return first == int(text[12]) and second == int(text[13]) and not same(text)


def rut(text: str) -> bool:
    total = weighted(text[-2::-1], (2, 3, 4, 5, 6, 7) * 2)
    return "0123456789K"[-total % 11] == text[-1]


def curp(text: str) -> bool:
    alphabet = "0123456789ABCDEFGHIJKLMN.OPQRSTUVWXYZ"
    total = sum(alphabet.index(c) * w for c, w in zip(text, range(18, 1, -1), strict=False))
    return short_day(text[4:10]) and -total % 10 == int(text[17])


# --- Wallets (these take the text as it stands, case included)


def base58(text: str) -> bool:
    """Whether this is Base58Check: 25 bytes, the last four of which are the double SHA-256 of the rest."""
    number = 0
    for char in text:
        value = _BASE58.get(char)
        if value is None:
            return False
        number = number * 58 + value
    if number.bit_length() > 200:
        return False
    data = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def bech32(text: str) -> bool:
    """Whether this is Bech32 or Bech32m (BIP 173, BIP 350)."""
    lower = text.lower()
    if lower != text and text.upper() != text:
        return False
    prefix, _, payload = lower.rpartition("1")
    check = 1
    values = [*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix)]
    for char in payload:
        value = _BECH32.get(char)
        if value is None:
            return False
        values.append(value)
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)
