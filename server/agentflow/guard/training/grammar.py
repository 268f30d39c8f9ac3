"""Texts from templates: `{a|b}` is a choice (nested), `$name` a slot, braces without `|` stay as they are.

The same random state always gives the same text. A bar that is no choice is written `¦`. Slots that are not known
stay as they are; `$Name` is the slot `name` with a capital letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any, Final

import yaml

_CHOICE: Final = re.compile(r"\{([^{}]*)\}")
_SLOT: Final = re.compile(r"\$([A-Za-z]\w*)", re.ASCII)
_LITERAL: Final = str.maketrans({"{": "\x01", "}": "\x02"})
_BACK: Final = str.maketrans({"\x01": "{", "\x02": "}", "¦": "|"})


@cache
def templates(name: str) -> dict[str, Any]:
    """The template file `name` of this package."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = files("agentflow.guard.training").joinpath(f"{name}.yaml").read_text("utf-8")
    document = yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are safe
    if not isinstance(document, dict):
        raise ValueError(f"{name}.yaml: a mapping expected")
    return document


class Grammar:
    """Expands templates with the slots of several files."""

    def __init__(self, *slots: Mapping[str, Sequence[str]]) -> None:
        self._slots: dict[str, Sequence[str]] = {}
        for more in slots:
            self._slots |= more

    def expand(self, template: str, rng: Random, **given: str) -> str:
        """Return one text of `template`; `given` are slots for this text only."""
        return self._expand(template, rng, given).translate(_BACK)

    def _expand(self, text: str, rng: Random, given: Mapping[str, str]) -> str:
        for _ in range(12):  # templates nest a few levels at most
            changed = _CHOICE.sub(lambda m: _chosen(m, rng), text)
            if changed == text:
                break
            text = changed
        return _SLOT.sub(lambda m: self._filled(m, rng, given), text)

    def _filled(self, match: re.Match[str], rng: Random, given: Mapping[str, str]) -> str:
        name = match.group(1)
        key = name if name in given or name in self._slots else name[0].lower() + name[1:]
        if key in given:
            value = given[key].translate(_LITERAL)
        elif key in _MADE and (key not in self._slots or rng.random() < _MADE_SHARE):
            value = _made(key, rng)
        elif key in self._slots:
            value = self._expand(rng.choice(self._slots[key]), rng, given)
        else:
            return match.group()
        return value[:1].upper() + value[1:] if key != name else value


_MADE_SHARE: Final = 0.7
_MADE: Final = frozenset(
    {"email", "url", "link", "account", "amount", "num", "name", "person", "date", "file"}
    | {"phone", "card", "card_part", "iban", "street"}
)  # those of the second line have no list
_FIRST: Final = (
    "anna ben carla dmitri elif farid grace hugo ines jun kofi leila marek nadia oscar petra ravi sara tom uma"
)
_LAST: Final = (
    "adams baker costa dietz evans fujita gomez hansen ito jansen kumar lopez meyer nowak okafor popov reid sato"
)
_WORDS: Final = (
    "north river data blue cloud mail desk home shop media tech green web info team trade city star open hub"
)
_ENDS: Final = "com com org net io co.uk de fr example.com dev gov.in edu"
_STEMS: Final = "report notes invoice budget config backup users index data-2024 summary main todo key plan photo log"
_TOWNS: Final = "Bristol Hamburg Lyon Porto Graz Utrecht Austin Malmö Kraków Turin Leeds Geneva"
_NUMBERS: Final = {
    "phone": ("+44 0000 000000", "+49 00 000000", "(000) 000-0000", "+1 000 000 0000", "000-0000", "00000 000000"),
    "card": ("4000 0000 0000 0000", "5000-0000-0000-0000", "4000000000000000", "3000 000000 00000", "xxxx 0000"),
    "card_part": ("000000", "0000000", "00 00 00 00", "000-00-0000"),
    "iban": ("DE00 0000 0000 0000 0000 00", "GB00 ABCD 0000 0000 0000 00", "NL00ABNA0000000000",
             "FR0000000000000000000000000"),
}  # fmt: skip
_TYPES: Final = "txt pdf csv docx py json md xlsx sql yaml sh zip"


def _made(key: str, rng: Random) -> str:
    """A value that no list holds, so that no value tells an attack from a harmless text."""
    first, last = rng.choice(_FIRST.split()), rng.choice(_LAST.split())
    words = _WORDS.split()
    host = f"{rng.choice(words)}{rng.choice(('', '-', ''))}{rng.choice(words)}.{rng.choice(_ENDS.split())}"
    number = rng.randrange(1, 10 ** rng.randrange(1, 5))
    if key == "email":
        return f"{rng.choice((first, last, f'{first}.{last}', f'{first}{number}', 'info', 'office'))}@{host}"
    if key in ("url", "link"):
        path = rng.choice(("", "/", f"/{rng.choice(_STEMS.split())}", f"/{first}/{number}", f"/?id={number}", "/login"))
        return f"{rng.choice(('https://', 'https://', 'http://', 'www.', ''))}{host}{path}"
    if key in _NUMBERS:
        return "".join(str(rng.randrange(10)) if char == "0" else char for char in rng.choice(_NUMBERS[key]))
    if key == "street":
        end = rng.choice(("straße", " Street", " Road", " Avenue", "weg", " Lane"))
        town = f"{rng.randrange(10**4, 10**5)} {rng.choice(_TOWNS.split())}"
        return f"{last.title()}{end} {rng.randrange(1, 200)}, {town}"
    if key == "account":
        iban = f"{rng.choice(('DE', 'GB', 'CH', 'US', 'FR'))}{rng.randrange(10**17, 10**18)}"
        return rng.choice((iban, f"account {rng.randrange(10**6, 10**9)}", f"{first.title()} {last.title()}"))
    if key == "amount":
        return rng.choice(
            (f"${number}", f"{number} EUR", f"${number}.{rng.randrange(10, 99)}", f"{number} dollars", f"{number}")
        )
    if key in ("name", "person"):
        return rng.choice(
            (first.title(), f"{first.title()} {last.title()}", f"Dr. {last.title()}", f"{first}_{number}")
        )
    if key == "date":
        day = f"{rng.randrange(1, 29)}"
        month = rng.choice(["January", "March", "May", "July", "August", "October", "December"])
        return rng.choice(
            (f"{month} {day}", f"2026-0{rng.randrange(1, 9)}-1{rng.randrange(9)}", f"{day}/11", "tonight")
        )
    if key == "file":
        name = f"{rng.choice(_STEMS.split())}.{rng.choice(_TYPES.split())}"
        return rng.choice(
            (name, f"/home/{first}/{name}", f"./{name}", f"C:\\Users\\{first}\\{name}", f"the file {name}")
        )
    return str(number)


def _chosen(match: re.Match[str], rng: Random) -> str:
    body = match.group(1)
    return rng.choice(body.split("|")) if "|" in body else f"\x01{body}\x02"
