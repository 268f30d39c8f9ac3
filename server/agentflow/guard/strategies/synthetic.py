"""Synthetic stand-ins: plausible values that are nobody's, the same one for the same value of a tenant.

Each comes from a range set aside for examples or never given out: mail in `example.org` and its kin (RFC 2606),
telephone numbers 555-0100 to 555-0199, addresses of TEST-NET (RFC 5737), of class E, and `2001:db8::/32` (RFC 3849),
cards that begin with 9999, SSNs with a group of 00, IBANs of the country ZZ, locally administered MAC addresses. Names
are made of lists of our own. A type that has none of these is encrypted in its format instead.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import digest
from typing import Final

from agentflow.guard.strategies.checks import with_iban_check, with_luhn
from agentflow.guard.strategies.scrambled import scramble

_MOST_TURNS: Final = 24
_FIRST: Final = (
    "Ada", "Alba", "Anouk", "Arlo", "Bela", "Bram", "Cleo", "Cora", "Dario", "Dunya", "Edda", "Elio", "Enzo",
    "Esme", "Fenna", "Finn", "Gita", "Greta", "Hana", "Hugo", "Ida", "Ilja", "Imre", "Ines", "Jada", "Jonas",
    "Juno", "Kaja", "Kian", "Kira", "Lale", "Lars", "Leona", "Levi", "Lina", "Luca", "Mara", "Milo", "Mina",
    "Nadia", "Nils", "Noor", "Olga", "Orla", "Oskar", "Pia", "Quinn", "Rafa", "Rhea", "Rosa", "Runa", "Sami",
    "Selma", "Sven", "Tara", "Theo", "Tilda", "Ugo", "Vera", "Vito", "Wanda", "Xenia", "Yara", "Zeno"
)  # fmt: skip
_LAST: Final = (
    "Abendroth", "Aldwin", "Ashmoor", "Bellwether", "Birkholm", "Brackley", "Calder", "Corvane", "Dalgaard",
    "Darrow", "Drummlow", "Eastbrook", "Elmhart", "Fairwyn", "Farrell", "Fenwick", "Galloway", "Garrick",
    "Hallmark", "Harrowgate", "Holt", "Ingleby", "Ironside", "Jessop", "Kestrel", "Kirkwood", "Lanning", "Larkspur",
    "Lindqvist", "Marlowe", "Merrow", "Moorcroft", "Nordahl", "Northway", "Oakden", "Ostrander", "Pemberly",
    "Penrose", "Quarles", "Ravenhill", "Redfern", "Rookwood", "Sablewood", "Sandoval", "Silvering", "Sommerby",
    "Stonefield", "Tamsin", "Thornbury", "Tideswell", "Underhill", "Valmont", "Vesper", "Wainscott", "Wexler",
    "Whitlow", "Winterbourne", "Wolden", "Yarrow", "Yewdale", "Zellweg", "Zephyrin", "Zimmerling", "Zorn"
)  # fmt: skip
_PLACES: Final = (
    "Fernholm", "Eastmere", "Brackwater", "Lindenau", "Karrow", "Velmora", "Sunder Bay", "Northgate", "Hollin",
    "Amberfell", "Tarnsworth", "Osterwyk", "Pellhaven", "Quillmouth", "Falls End", "Saltmarsh"
)  # fmt: skip
_FIRMS: Final = ("Holdings", "Systems", "Works", "Partners", "Logistics", "Labs", "Foods", "Trading")
_NETWORKS: Final = ("192.0.2", "198.51.100", "203.0.113")
_MAILS: Final = ("example.org", "example.net", "example.com")


class _Dice:
    """Choices that follow from a key and a value: equal ones make equal choices."""

    def __init__(self, key: bytes, kind: str, value: str | int, turn: int) -> None:
        seed = digest(key, f"{kind}\0{turn}\0{value}".encode("utf-8", "surrogatepass"), sha256)
        self._left = int.from_bytes(seed)

    def below(self, size: int) -> int:
        self._left, chosen = divmod(self._left, size)
        return chosen

    def digits(self, count: int) -> str:
        return "".join(str(self.below(10)) for _ in range(count))


def invent(key: bytes, kind: str, value: str | int, turn: int) -> str | int | None:
    """Return a made-up value in the place of `value`; another one at each `turn`, None when there are no more."""
    make = _MAKERS.get(kind)
    if make is None:
        return scramble(key, kind, value, turn)
    if turn >= _MOST_TURNS:
        return None
    made = make(_Dice(key, kind, value, turn), str(value), turn)
    return made if isinstance(value, str) else int("".join(filter(str.isdecimal, made)) or 0) or None


def _person(dice: _Dice, value: str, turn: int) -> str:
    first, last = _FIRST[dice.below(len(_FIRST))], _LAST[dice.below(len(_LAST))]
    if " " not in value.strip():
        return first if not turn else f"{first}-{_FIRST[dice.below(len(_FIRST))]}"
    middle = f" {chr(65 + dice.below(26))}." if turn else ""
    more = f"-{_LAST[dice.below(len(_LAST))]}" if turn > 1 else ""
    return f"{first}{middle} {last}{more}"


def _email(dice: _Dice, value: str, turn: int) -> str:
    first, last = _FIRST[dice.below(len(_FIRST))], _LAST[dice.below(len(_LAST))]
    return f"{first}.{last}{dice.below(1000)}@{_MAILS[dice.below(len(_MAILS))]}".lower()


def _phone(dice: _Dice, value: str, turn: int) -> str:
    area = f"{2 + dice.below(8)}{dice.below(8)}{dice.below(10)}"
    line = f"555-01{dice.below(100):02d}"
    return f"+1 {area}-{line}" if value.lstrip().startswith(("+", "00")) else f"({area}) {line}"


def _ip(dice: _Dice, value: str, turn: int) -> str:
    if ":" in value:
        return "2001:db8:" + ":".join(f"{1 + dice.below(0xFFFE):x}" for _ in range(6))
    if turn < len(_NETWORKS):
        return f"{_NETWORKS[dice.below(len(_NETWORKS))]}.{1 + dice.below(254)}"
    return f"{240 + dice.below(15)}." + ".".join(str(dice.below(256)) for _ in range(3))


def _card(dice: _Dice, value: str, turn: int) -> str:
    digits = with_luhn("9999" + dice.digits(11))
    separator = next((letter for letter in value if letter in " -"), "")
    return separator.join(digits[start : start + 4] for start in range(0, 16, 4))


def _ssn(dice: _Dice, value: str, turn: int) -> str:
    digits = f"9{dice.digits(2)}00{dice.digits(4)}"
    separator = next((letter for letter in value if letter in " -."), "")
    return separator.join((digits[:3], digits[3:5], digits[5:]))


def _iban(dice: _Dice, value: str, turn: int) -> str:
    return with_iban_check("ZZ", dice.digits(18))


def _mac(dice: _Dice, value: str, turn: int) -> str:
    return "02:00:5e:" + ":".join(f"{dice.below(256):02x}" for _ in range(3))


def _location(dice: _Dice, value: str, turn: int) -> str:
    place = _PLACES[dice.below(len(_PLACES))]
    return place if not turn else f"{_LAST[dice.below(len(_LAST))]} {place}"


def _organization(dice: _Dice, value: str, turn: int) -> str:
    middle = f" & {_LAST[dice.below(len(_LAST))]}" if turn else ""
    return f"{_LAST[dice.below(len(_LAST))]}{middle} {_FIRMS[dice.below(len(_FIRMS))]}"


_MAKERS: Final[dict[str, Callable[[_Dice, str, int], str]]] = {
    "PERSON": _person, "EMAIL": _email, "PHONE": _phone, "IP": _ip, "CARD": _card, "SSN": _ssn, "IBAN": _iban,
    "MAC": _mac, "LOCATION": _location, "ORGANIZATION": _organization,
}  # fmt: skip
