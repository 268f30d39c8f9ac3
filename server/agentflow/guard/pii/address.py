"""Postal addresses by their form: number, street and its suffix, box, with town and code where they follow.

It finds the written forms of a dozen countries and leaves every other address to the deep tier. A suffix that is
also an ordinary word (`Way`, `Place`) counts only with a town, a unit or a label. Work is linear: one pass for
suffixes, bounded windows around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from agentflow.guard.pii.contextual import whole_characters
from agentflow.guard.pii.patterns import compile_, edged

Span = tuple[int, int, float, str]

_BEFORE: Final = 72
_AFTER: Final = 150
_SURE: Final = "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Parkway|Pkwy|Highway|Hwy|Drive|Dr|Court|Ct|Crescent"
_WEAK: Final = (
    "Square|Sq|Place|Pl|Terrace|Ter|Way|Circle|Cir|Trail|Trl|Cres|Close|Row|Mews|Alley|Plaza|Loop|Turnpike|"
    "Expressway|Freeway|Grove|Gardens|Quay|Wharf|Esplanade|Broadway|Av"
)
_NAME: Final = r"[A-ZÀ-Þ][\w'’.À-ÿ-]{0,24}"
_TOWN: Final = rf"{_NAME}(?:[ -]{_NAME}){{0,3}}"
_UNIT: Final = r"(?:,? {1,2}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|#)\.? ?#?[A-Z0-9-]{1,6})"
_BREAK: Final = r"(?:, {0,2}|,?\s?\n\s{0,4}| {1,2})"
_US: Final = rf"(?:{_BREAK}{_TOWN},? {{1,2}}[A-Z]{{2}},? {{1,2}}\d{{5}}(?:-\d{{4}})?)"
_UK: Final = (
    rf"(?:(?:, {{0,2}}|\s?\n\s{{0,4}}){_TOWN}){{0,2}}"
    rf"(?:,? {{1,2}}|,?\s?\n\s{{0,4}})[A-Z]{{1,2}}\d[A-Z\d]? ?\d[A-Z]{{2}}\b"
)
_CODE_TOWN: Final = rf"(?:,? {{0,2}}\n?\s{{0,4}}(?:[A-Z]{{1,2}}-)?\d{{4,5}}(?:-\d{{3}})? (?:[A-Z]{{2}} )?{_TOWN})"
_OF: Final = r"(?:(?:de la|de los|de|del|della|dei|du|des|da|do) |de l['’]|d['’])?"

# (what announces the form; the form; bytes read before the announcement)
_FORMS: Final = (
    (
        rf" (?:{_SURE}|{_WEAK})\b",
        rf"\b\d{{1,6}}[A-Za-z]?(?:-\d{{1,5}})? (?:[NSEW][EW]?\.? )?(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}"
        rf"(?:(?P<sure>{_SURE})|{_WEAK})\b\.?(?: [NSEW][EW]?\b\.?)?(?P<tail>{_UNIT}?(?:{_US}|{_UK})|{_UNIT})?",
    ),
    (r"(?i:p\.? ?o\.? ?box) \d", rf"(?i:p\.? ?o\.? ?box) (?P<sure>\d{{1,6}})\b{_US}?"),
    (
        r"(?i:stra\xc3\x9fe|strasse|str\.|weg|allee|platz|gasse|damm|ufer|chaussee|straat|laan|plein|gracht|kade|"
        r"singel|dijk) \d",
        r"(?P<sure>(?:[A-ZÄÖÜ][\wäöüß.]{1,24}[ -]){0,2}[A-ZÄÖÜ]?[\wäöüß.-]{1,30}"
        r"(?i:straße|strasse|str\.|weg|allee|platz|gasse|damm|ufer|chaussee|straat|laan|plein|gracht|kade|singel|dijk)"
        rf" \d{{1,4}} ?[a-z]?\b){_CODE_TOWN}?",
    ),
    (
        r"\b\d{1,4},? (?:bis |ter )?(?:rue|avenue|boulevard|place|impasse|all\xc3\xa9e|chemin|quai|cours) ",
        rf"(?P<sure>\b\d{{1,4}},? (?:bis |ter )?(?:rue|avenue|boulevard|place|impasse|allée|chemin|quai|cours)"
        rf" {_OF}{_NAME}(?: {_OF}{_NAME}){{0,3}}){_CODE_TOWN}?",
    ),
    (
        r"\b(?:Calle|Avenida|Avda\.|Plaza|Paseo|Carrera|Via|Viale|Piazza|Corso|Vicolo|Rua|Travessa|Pra\xc3\xa7a) ",
        r"(?P<sure>\b(?:Calle|Avenida|Avda\.|Plaza|Paseo|Carrera|Via|Viale|Piazza|Corso|Vicolo|Rua|Travessa|Praça)"
        rf" {_OF}{_NAME}(?: {_OF}{_NAME}){{0,3}},? (?:n[ºo°]\.? ?)?\d{{1,4}}\b){_CODE_TOWN}?",
    ),
)
# Where an address may begin, before what announces it; None where it begins with that.
_BEGINNINGS: Final = (
    r"\b\d{1,6}[A-Za-z]?(?=[ -])",
    None,
    r"(?<![^\s,;:(\"'>])[A-ZÀ-Þ]",
    None,
    None,
)
_LABELLED: Final = re.compile(
    rb"(?i)(?:address|adresse|anschrift|street|live[sd]? (?:at|in|on)|ship(?:ped)? to|located at)\W{0,6}$"
)
_SINCE: Final = re.compile(rb"(?i)\b(?:in|since|of|by|during|until|from|the|before|after)\s$")

TRIGGER: Final = "|".join(
    (
        rf"\d[A-Za-z]? [^\n]*(?:{_FORMS[0][0]})",
        *(announcement for announcement, _ in _FORMS[1:4]),
        _FORMS[4][0] + r"[^\n]*\d",
    )
).encode("latin-1")


class Addresses:
    """Finds postal addresses."""

    trigger = edged(TRIGGER)

    def __init__(self) -> None:
        self._forms: list[tuple[Any, re.Pattern[bytes], re.Pattern[bytes] | None]] = []

    def spans(self, data: bytes) -> Iterator[Span]:
        """Yield the addresses in `data`."""
        if not self._forms:
            self._forms = [
                (
                    compile_(announcement.encode("latin-1")),
                    re.compile(form.encode()),
                    re.compile(begin.encode()) if begin else None,
                )
                for (announcement, form), begin in zip(_FORMS, _BEGINNINGS, strict=True)
            ]
        for announced, form, begin in self._forms:
            done = 0
            for match in announced.finditer(data):
                if match.start() >= done:
                    found = _around(data, form, begin, done, match.start())
                    if found is not None:
                        yield found
                        done = found[1]


def _around(
    data: bytes, form: re.Pattern[bytes], begin: re.Pattern[bytes] | None, done: int, start: int
) -> Span | None:
    """The address that holds the announcement at `start`: it begins there, or at one of the two nearest beginnings."""
    starts = [start]
    if begin is not None:
        starts = [match.start() for match in begin.finditer(data, max(done, start - _BEFORE), start + 1)][-2:]
    for first in reversed(starts):
        match = form.match(data, first, start + _AFTER)
        if match is not None and match.end() > start and whole_characters(data, *match.span()):
            return (*match.span(), 0.9, "ADDRESS") if _likely(data, match) else None
    return None


def _likely(data: bytes, match: re.Match[bytes]) -> bool:
    groups = match.groupdict()
    before = data[max(0, match.start() - 24) : match.start()]
    if groups.get("tail") or _LABELLED.search(before):
        return True
    return groups["sure"] is not None and not _SINCE.search(before)
