"""Check digits: of payment cards (ISO/IEC 7812, Luhn) and of bank accounts (ISO 13616, modulo 97)."""

from __future__ import annotations


def luhn(digits: str) -> int:
    """Return the sum that is a multiple of ten for a valid number."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if index % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10


def with_luhn(body: str) -> str:
    """Return `body` with the check digit that makes it valid."""
    return body + str(-luhn(body + "0") % 10)


def with_iban_check(country: str, account: str) -> str:
    """Return the IBAN of an account number, check digits computed."""
    return f"{country}{98 - _mod97(account + country + '00'):02d}{account}"


def valid_iban(iban: str) -> bool:
    """Whether the check digits of an IBAN (upper case, without spaces) are right."""
    return _mod97(iban[4:] + iban[:4]) == 1


def _mod97(text: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in text)) % 97
