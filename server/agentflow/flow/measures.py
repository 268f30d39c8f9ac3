"""Units, currencies, number words and ways to name them, as English has them (SI, US customary, ISO 4217).

Knows no tool: a tool's own spelling of a unit (`km`, `kilometers`, `KILOMETRE`) meets the question's because both
are read to the same canonical name here.
"""

from __future__ import annotations

import re
from functools import lru_cache

_UNITS = """
length millimeter mm millimetre
length centimeter cm centimetre
length meter m metre
length kilometer km kilometre
length inch in inches
length foot ft feet
length yard yd
length mile mi
mass milligram mg
mass gram g gramme
mass kilogram kg kilo kilogramme
mass tonne
mass ounce oz
mass pound lb lbs
volume milliliter ml millilitre
volume liter l litre
volume teaspoon tsp
volume tablespoon tbsp
volume cup
volume pint
volume gallon
temperature celsius centigrade c °c
temperature fahrenheit f °f
temperature kelvin k
time millisecond ms
time second sec
time minute min
time hour hr h
time day
time week
time month
time year yr
data byte
data kilobyte kb
data megabyte mb
data gigabyte gb
"""

_CURRENCIES = """
EUR euro €
USD us dollar|u.s. dollar|american dollar|united states dollar|dollar|$
GBP british pound|pound sterling|pounds sterling|uk pound|sterling|£
SEK swedish krona|swedish kronor|swedish crown|kronor|krona
NOK norwegian krone|norwegian kroner|norwegian crown
DKK danish krone|danish kroner|danish crown
CHF swiss franc|franc
PLN polish zloty|polish złoty|zloty|złoty|zlotys
JPY japanese yen|yen|¥
CNY chinese yuan|yuan|renminbi
CAD canadian dollar
AUD australian dollar
INR indian rupee|rupee
CZK czech koruna
HUF hungarian forint|forint
TRY turkish lira
BRL brazilian real
MXN mexican peso
KRW korean won
"""

_NUMBERS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100, "dozen": 12, "half": 0.5}

KINDS: dict[str, str] = {}
_UNIT_OF: dict[str, str] = {}
for _line in _UNITS.strip().splitlines():
    _kind, _name, *_more = _line.split()
    KINDS[_name] = _kind
    for _alias in (_name, *_more):
        _UNIT_OF[_alias] = _name
        if len(_alias) > 2:
            _UNIT_OF[_alias + "s"] = _name
_CURRENCY_OF: dict[str, str] = {}
for _line in _CURRENCIES.strip().splitlines():
    _code, _rest = _line.split(maxsplit=1)
    _CURRENCY_OF[_code.lower()] = _code
    for _alias in _rest.replace(" €", "|€").split("|"):
        _CURRENCY_OF[_alias] = _code
        _CURRENCY_OF[_alias + "s"] = _code


@lru_cache(maxsize=4096)
def unit_of(text: str) -> str:
    """The canonical unit that a text is the name of (`degrees Fahrenheit` → fahrenheit), or ""."""
    plain = re.sub(r"^(?:degrees?|°)\s*", "", text.strip().lower())
    if not plain:
        return "celsius" if text.strip() else ""
    plain = re.sub(r"^(?:full|whole|complete|us|metric)\s+", "", plain)
    return _UNIT_OF.get(plain, "")


@lru_cache(maxsize=4096)
def currency_of(text: str) -> str:
    """The ISO 4217 code that a text is the name or sign of, or "". Three capitals are a code already."""
    plain = re.sub(r"^(?:the|whole|full)\s+", "", text.strip().strip("."))
    if known := _CURRENCY_OF.get(plain.lower(), ""):
        return known
    return plain if re.fullmatch(r"[A-Z]{3}", plain) and plain not in ("SHA", "MD5", "ISO") else ""


def number_word(text: str) -> int | float | None:
    """`thirty` → 30, `a dozen` → 12, or None."""
    words = re.findall(r"[a-z]+", text.lower())
    words = [w for w in words if w not in ("a", "an", "and")] or words
    if not words or any(w not in _NUMBERS for w in words):
        return None
    return sum(_NUMBERS[w] for w in words)


NUMBER_WORDS = "|".join(_NUMBERS)
SPANS = r"(?:days?|weeks?|months?|years?)"
