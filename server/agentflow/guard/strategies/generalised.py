"""Generalising: what a value belongs to in place of the value; a network, a year, a decade of life, a region."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_YEAR: Final = re.compile(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")
_SHORT_YEAR: Final = re.compile(r"(?:\d{1,2}[./-]){2}(\d\d)\Z")
_NUMBER: Final = re.compile(r"\d+")
_COUNTRY_CODE: Final = re.compile(r"(?:\+|00)\s?(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3})")
_DATES: Final = frozenset({"DATE_TIME", "DATE_OF_BIRTH"})
_POSTAL: Final = frozenset({"ZIP_CODE", "UK_POSTCODE", "CA_POSTAL_CODE", "DE_PLZ"})
_COUNTRIES: Final = {
    "Australia": ("brisbane", "canberra", "melbourne", "perth", "sydney"),
    "Austria": ("graz", "salzburg", "vienna", "wien"),
    "Belgium": ("antwerp", "brussels", "ghent"),
    "Brazil": ("brasília", "rio de janeiro", "são paulo"),
    "Canada": ("montreal", "ottawa", "toronto", "vancouver"),
    "China": ("beijing", "guangzhou", "shanghai", "shenzhen"),
    "Denmark": ("aarhus", "copenhagen"),
    "Finland": ("helsinki", "tampere"),
    "France": ("bordeaux", "lille", "lyon", "marseille", "nantes", "nice", "paris", "strasbourg", "toulouse"),
    "Germany": (
        "berlin", "bremen", "cologne", "dortmund", "dresden", "düsseldorf", "frankfurt", "hamburg", "hanover", "köln",
        "leipzig", "munich", "münchen", "nuremberg", "stuttgart",
    ),
    "India": ("bangalore", "bengaluru", "chennai", "delhi", "hyderabad", "kolkata", "mumbai", "pune"),
    "Ireland": ("cork", "dublin", "galway"),
    "Italy": ("bologna", "florence", "milan", "milano", "naples", "roma", "rome", "turin", "venice"),
    "Japan": ("kyoto", "osaka", "tokyo", "yokohama"),
    "Mexico": ("guadalajara", "mexico city", "monterrey"),
    "Netherlands": ("amsterdam", "eindhoven", "rotterdam", "the hague", "utrecht"),
    "Norway": ("bergen", "oslo"),
    "Poland": ("gdańsk", "kraków", "warsaw", "wrocław"),
    "Portugal": ("lisbon", "porto"),
    "Singapore": ("singapore",),
    "South Africa": ("cape town", "durban", "johannesburg"),
    "South Korea": ("busan", "seoul"),
    "Spain": ("barcelona", "bilbao", "madrid", "seville", "valencia"),
    "Sweden": ("gothenburg", "malmö", "stockholm"),
    "Switzerland": ("basel", "bern", "geneva", "zurich", "zürich"),
    "United Kingdom": ("birmingham", "bristol", "cardiff", "edinburgh", "glasgow", "leeds", "liverpool", "london",
        "manchester"),
    "United States": (
        "atlanta", "austin", "boston", "chicago", "dallas", "denver", "detroit", "houston", "los angeles", "miami",
        "minneapolis", "new york", "philadelphia", "phoenix", "portland", "san diego", "san francisco", "san jose",
        "seattle", "washington",
    ),
}  # fmt: skip
_COUNTRY_OF: Final = {city: country for country, cities in _COUNTRIES.items() for city in cities}


def generalise(kind: str, value: str | int) -> str | int:
    """Return what `value` belongs to; `<TYPE>` where nothing broader is known, for a number its leading digit."""
    if isinstance(value, int):
        return _leading(value)
    return _broader(kind, value) or f"<{kind}>"


def _broader(kind: str, value: str) -> str:
    if kind == "IP":
        return _network(value)
    if kind == "EMAIL" and "@" in value:
        return f"*@{value.rpartition('@')[2]}"
    if kind == "PHONE":
        code = _COUNTRY_CODE.match(value)
        return f"+{code[1]} …" if code else ""
    if kind in _DATES:
        return _year(value)
    if kind == "AGE":
        return _NUMBER.sub(lambda age: f"{int(age[0]) // 10 * 10}-{int(age[0]) // 10 * 10 + 9}", value, count=1)
    if kind in _POSTAL:
        return value[:3] + "".join("*" if letter.isalnum() else letter for letter in value[3:])
    if kind == "LOCATION":
        return _COUNTRY_OF.get(value.strip().casefold(), "")
    if kind == "IBAN":
        return f"IBAN {value[:2].upper()}"
    return ""


def _network(value: str) -> str:
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return ""
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def _year(value: str) -> str:
    year = _YEAR.search(value)
    if year is not None:
        return year[0]
    short = _SHORT_YEAR.search(value.strip())
    return f"'{short[1]}" if short else ""


def _leading(value: int) -> int:
    size: int = 10 ** (len(str(abs(value))) - 1)
    return value // size * size
