"""Invented organisations, addresses and ordinary values for training text. See `ner_names` for people and places."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import yaml

from agentflow.guard.training.ner_names import Locale, Names

_LISTS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple("" if word == "-" else word for word in text.split("; "))
    for name, text in yaml.safe_load(Path(__file__).with_name("ner_words.yaml").read_text(encoding="utf-8")).items()
}
SUFFIXES: Final = _LISTS["suffixes"]
TRADES: Final = _LISTS["trades"]
_WORDS: Final = _LISTS["adornments"]
_KNOWN: Final = _LISTS["known"]
_MONTHS: Final = (
    "January",
    "Feb",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "Sept",
    "October",
    "Nov",
    "December",
)
_START: Final = _LISTS["starts"]
_MIDDLE: Final = _LISTS["middles"]
_END: Final = _LISTS["ends"]
NATIONS: Final = _LISTS["nations"]
STREETS: Final = _LISTS["streets"]
BEFORE: Final = _LISTS["before"]
AFTER: Final = _LISTS["after"]
_STATES: Final = _LISTS["states"]
TITLES: Final = _LISTS["titles"]
JOBS: Final = _LISTS["jobs"]
THINGS: Final = _LISTS["things"]
PRODUCTS: Final = _LISTS["products"]
FUNCTION_WORDS: Final = _LISTS["function_words"]
NAMES_OF_THINGS: Final = _LISTS["names_of_things"]


class Values:
    """Draws everything that templates name; see `kinds` for the slots."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.names = Names(draw)

    def organisation(self) -> str:
        """Return a company, club, authority, school or the like."""
        draw, roll = self.draw, self.draw.random()
        surname = self.names.last(self.names.locale())
        if roll < 0.12:
            return f"{surname} {draw.choice(SUFFIXES)}"
        if roll < 0.20:
            return f"{surname}, {self.names.last(self.names.locale())} and {self.names.last(self.names.locale())}"
        if roll < 0.27:
            return f"{surname}{draw.choice([' & ', '-', ' and '])}{self.names.last(self.names.locale())}"
        if roll < 0.45:
            return self._invented()
        if roll < 0.57:
            return f"{draw.choice(_WORDS)} {draw.choice(TRADES)}"
        if roll < 0.63:
            return f"{draw.choice(_WORDS)}{draw.choice([' ', '', ' & '])}{draw.choice(_WORDS)} {draw.choice(SUFFIXES)}"
        if roll < 0.68:
            return draw.choice(_WORDS) + draw.choice(_WORDS)
        if roll < 0.73:
            return f"{draw.choice([surname, self.names.town()])} {draw.choice(TRADES)}"
        if roll < 0.87:
            return draw.choice(_KNOWN)
        if roll < 0.90:
            return "".join(draw.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(draw.choice([2, 3, 3, 4])))
        town = self.names.town()
        return draw.choice([
            f"University of {town}", f"{town} University", f"{town} City Council", f"Bank of {town}",
            f"{town} Hospital",
            f"{town} FC", f"{town} Orchestra", f"Ministry of {draw.choice(TRADES)}", f"{surname} Foundation",
            f"St. {surname} School", f"{town} Police Department", f"{surname} Brothers", f"{surname} & Sons",
        ])  # fmt: skip

    def _invented(self) -> str:
        draw = self.draw
        name = draw.choice(_START) + draw.choice(_MIDDLE) + draw.choice(_END)
        name = name.capitalize()
        roll = draw.random()
        if roll < 0.5:
            return name
        if roll < 0.7:
            return f"{name} {draw.choice(SUFFIXES)}"
        if roll < 0.85:
            return f"{name} {draw.choice(TRADES)}"
        return name + draw.choice(_WORDS)

    def street(self, locale: Locale) -> str:
        """Return a street's name in one of the orders that countries use."""
        draw, roll = self.draw, self.draw.random()
        if locale.streets and roll < 0.25:
            return draw.choice(locale.streets)
        base = draw.choice([self.names.last(locale), self.names.first(locale), draw.choice(_WORDS), self.names.town()])
        if roll < 0.55:
            return f"{base} {draw.choice(STREETS)}"
        if roll < 0.75:
            return f"{draw.choice(BEFORE)} {base}"
        if roll < 0.93:
            joint = draw.choice(["", "", "", " ", "s"])
            return f"{base}{joint}{draw.choice(AFTER)}"
        return f"{draw.randint(1, 120)}{draw.choice(['th', 'st', 'nd', 'rd'])} {draw.choice(STREETS)}"

    def postcode(self) -> str:
        draw, roll = self.draw, self.draw.random()
        if roll < 0.55:
            return f"{draw.randint(1000, 99999):05d}"
        if roll < 0.7:
            return str(draw.randint(1000, 9999))
        return self.spelled(
            draw.choice(["A#A #A#", "A##A #AA", "AA# #AA", "AA## #AA", "### ##", "#####-####", "###-####"])
        )

    def spelled(self, form: str) -> str:
        """Return `form` with a digit for each `#` and a capital for each `A`."""
        signs = {"#": "0123456789", "A": "ABCDEFGHIJKLMNOPRSTUVWXYZ"}
        return "".join(self.draw.choice(signs[sign]) if sign in signs else sign for sign in form)

    def line(self, locale: Locale | None = None) -> str:
        """Return street and number, with a flat or none."""
        draw = self.draw
        locale = locale or self.names.locale()
        number = str(draw.choice([draw.randint(1, 99), draw.randint(1, 999), draw.randint(1000, 99999)]))
        number += draw.choice(["", "", "", "", "a", "B", "/2", "-4"])
        street = self.street(locale)
        out = f"{number} {street}" if draw.random() < 0.6 else f"{street}{draw.choice([' ', ' ', ', '])}{number}"
        if draw.random() < 0.12:
            out = f"{draw.randint(1, 99999)} {out}"
        if draw.random() < 0.3:
            flat = draw.choice(
                ["Apt.", "Apt", "Suite", "Unit", "Flat", "Apartment", "Room", "Floor", "#", "Building", "Fl."]
            )
            out += f"{draw.choice([' ', ', ', chr(10) + ' ', chr(10)])}{flat} {draw.randint(1, 999)}"
        return out

    def address(self) -> str:
        """Return a postal address, on one line or several."""
        draw, roll = self.draw, self.draw.random()
        if roll < 0.03:
            return (
                f"{draw.choice(['P.O. Box', 'PO Box', 'Postfach', 'Box'])} {draw.randint(1, 9999)}, {self.names.town()}"
            )
        if roll < 0.06:
            post = draw.choice(["APO", "FPO", "DPO"])
            unit = draw.choice(
                [self.spelled("PSC ####, Box ####"), self.spelled("Unit #### Box ####"), f"USS {draw.choice(_WORDS)}"]
            )
            return (
                f"{unit}{draw.choice([chr(10), ', '])}{post} {draw.choice(['AA', 'AE', 'AP'])} {self.spelled('#####')}"
            )
        locale = self.names.locale()
        line = self.line(locale)
        if roll < 0.09:
            return f"the corner of {self.street(locale)} and {self.street(locale)}"
        if roll < 0.2:
            return line
        town, code = self.names.town(), self.postcode()
        gap = draw.choice([", ", "\n", "\n", "\n ", " ", ",\n", "\n    "])
        state, country = draw.choice(_STATES), self.names.country()
        tail = draw.choice([
            f"{town}{gap}{state} {code}", f"{town}, {state} {code}", f"{code} {town}", f"{town} {code}", town,
            f"{town}{gap}{country} {code}", f"{code} {town}{gap}{country}", f"{town}, {country}",
            f"{town}{gap}{country}",
            f"{town}, {state}{gap}{code}",
        ])  # fmt: skip
        return f"{line}{gap}{tail}"

    def date(self) -> str:
        draw = self.draw
        year, month, day = draw.randint(1930, 2027), draw.randint(1, 12), draw.randint(1, 28)
        named = _MONTHS[month - 1]
        return draw.choice([
            f"{year}-{month:02d}-{day:02d}", f"{day:02d}/{month:02d}/{year}", f"{day}.{month}.{year}",
            f"{named} {day}, {year}",
            f"{day} {named} {year}", str(year), f"{year}-{month:02d}-{day:02d}T10:{day:02d}:00Z", f"{named} {year}",
            draw.choice(["Monday", "Tuesday", "Friday", "Sunday", "yesterday", "last week", "tomorrow"]),
        ])  # fmt: skip

    def phone(self) -> str:
        draw = self.draw
        return self.spelled(
            draw.choice(["(###) ###-####", "###-###-####", "+## ### ### ####", "0### ### ####", "+1#########"])
        )

    def email(self) -> str:
        draw = self.draw
        locale = self.names.locale()
        name = "".join(char for char in self.names.first(locale).lower() if char.isascii() and char.isalpha()) or "info"
        host = f"{draw.choice(['example', 'mail', 'corp', 'acme'])}.{draw.choice(['com', 'org', 'net', 'io'])}"
        return f"{name}{draw.choice(['', '.', '_'])}{draw.randint(1, 99)}@{host}"

    def identifier(self) -> str:
        draw = self.draw
        return draw.choice([
            str(draw.randint(1, 99999)), f"{draw.getrandbits(64):016x}", f"#{draw.randint(1000, 99999)}",
            f"{draw.choice(['ORD', 'INV', 'TCK', 'usr', 'cus', 'tx'])}-{draw.randint(1000, 999999)}",
            f"{draw.choice('ABCDEFGH')}{draw.randint(100, 9999)}",
            f"v{draw.randint(0, 9)}.{draw.randint(0, 20)}.{draw.randint(0, 9)}",
        ])  # fmt: skip
