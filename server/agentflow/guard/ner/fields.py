"""What the key of a member says about its value: `{"customer_name": "Ada Lovelace"}`.

It promises to call a whole short value an entity only where the key means a person's data and the value looks it.
`name` alone means anything (a tool, a file, a product), so there the value must be a known or likely name.
"""

from __future__ import annotations

import re
from typing import Final

from agentflow.guard.ner.features import KINDS, Lexicon
from agentflow.guard.ner.model import Entity
from agentflow.guard.ner.words import key_words, words

_SURE: Final = 0.95
_LIKELY: Final = 0.85
_LONGEST_NAME: Final = 80
_LONGEST_ADDRESS: Final = 250


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WHOSE: Final = _set(
    """
    first last full given family middle maiden customer contact client patient employee passenger guest
    recipient sender person account holder cardholder applicant tenant buyer seller student teacher doctor nurse
    spouse mother father billing shipping legal preferred nick display real emergency beneficiary signer author
    owner manager
    """
)
_PERSONS: Final = _set(
    """
    author customer contact owner assignee reporter patient employee recipient sender passenger guest cardholder
    applicant reviewer manager spouse beneficiary attendee participant person surname forename firstname
    lastname fullname username_display givenname familyname fname lname guardian doctor physician teacher
    student vorname nachname nombre apellido prenom
    """
)
_CERTAIN: Final = _set(
    """
    surname forename firstname lastname fullname givenname familyname fname lname
    """
)
_PLACES: Final = _set(
    """
    city town village municipality birthplace hometown ville stadt ciudad ort
    """
)
_COUNTRIES: Final = _set(
    """
    country nation pais land pays
    """
)
_COMPANIES: Final = _set(
    """
    company organization organisation employer vendor supplier manufacturer
    """
)
_ADDRESSES: Final = _set(
    """
    address addr street address1 address2 adresse direccion indirizzo line1
    """
)
_NOT_POSTAL: Final = _set(
    """
    email mail ip mac web url wallet memory host server btc eth bitcoin hex base
    """
)
_BIRTH: Final = _set(
    """
    birth birthday birthdate dob born geburtsdatum
    """
)
_CODES: Final = _set(
    """
    zip zipcode postcode plz
    """
)
_NATIONS: Final = _set(
    """
    nationality citizenship ethnicity
    """
)

_THINGS: Final = _set(
    """
    file tool package module product branch host server class function method table column database db image container
    event field job task queue bucket repo repository project model app application service plugin template theme
    command script variable parameter resource node cluster topic channel group role policy rule font icon
    """
)
_CODES_OF_THINGS: Final = _set(
    """
    filename hostname sku version id uuid guid hash sha sha256 status type kind level branch slug path url uri currency
    locale timezone color colour tool package module mime mimetype encoding format language extension key enum
    """
)

_NAME: Final = re.compile(r"[^\W\d_]+(?:[.'’\- ,]{1,2}[^\W\d_]+){0,6}\.?")
_DATE: Final = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ][\d:.Z+-]*)?|\d{1,2}\.? [^\W\d_]{3,9}\.?,? \d{4}|"
    r"[^\W\d_]{3,9}\.? \d{1,2},? \d{4}"
)
_CODE: Final = re.compile(r"(?=.*\d)[A-Z\d][A-Z\d -]{2,9}")
_NOBODY: Final = _set(
    """
    unknown none null nil n/a na true false yes no admin administrator root system default guest anonymous test
    user customer contact name owner author other undefined empty all any public private internal external
    unassigned self me you bot assistant agent support service team everyone nobody pending active inactive male
    female
    """
)
_FIRST, _LAST, _TOWN, _COUNTRY, _COMMON = (
    1 << KINDS.index(kind) for kind in ("first", "last", "town", "country", "common")
)


def names_a_thing(label: str) -> bool:
    """Whether the key says that its value is a file, a tool, a code or the like, whatever it looks like."""
    keys = key_words(label)
    if not keys:
        return False
    return keys[-1] in _CODES_OF_THINGS or (len(keys) > 1 and keys[-1] == "name" and keys[-2] in _THINGS)


def evidence(label: str, text: str, found: list[Entity], lexicon: Lexicon) -> Entity | None:
    """Return the entity that the whole of `text` is because of its key, or None.

    Args:
        label: the key of the member that holds the text.
        found: what the model made of the text.
    """
    keys = key_words(label)
    whole = text.strip()
    if not keys or not whole or len(whole) > _LONGEST_ADDRESS or whole.lower() in _NOBODY:
        return None
    kind = _kind(keys, whole, found, lexicon)
    if kind is None:
        return None
    start = text.index(whole)
    return Entity(kind[0], start, start + len(whole), kind[1])


def _kind(keys: list[str], text: str, found: list[Entity], lexicon: Lexicon) -> tuple[str, float] | None:
    last, key = keys[-1], frozenset(keys)
    believed = {entity.type for entity in found if entity.end - entity.start > len(text) // 2}
    if key & _BIRTH and "place" not in key and _DATE.fullmatch(text):
        return "DATE_OF_BIRTH", _SURE
    if (key & _CODES or key >= {"postal", "code"}) and _CODE.fullmatch(text.upper()):
        return "ZIP_CODE", _SURE
    if key & _ADDRESSES and not key & _NOT_POSTAL and _postal(text):
        return "ADDRESS", _SURE if believed else _LIKELY
    if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
        return ("ORGANIZATION", _LIKELY) if last in _COMPANIES and "ORGANIZATION" in believed else None
    if _means_person(keys):
        certain = last in _CERTAIN or (last == "name" and len(keys) > 1 and keys[-2] in _WHOSE)
        if certain or "PERSON" in believed or _known_name(text, lexicon):
            return "PERSON", _SURE if certain else _LIKELY
    if last in _PLACES or last in _COUNTRIES:
        return "LOCATION", _SURE
    if last in _NATIONS:
        return "NRP", _SURE
    if text[0].isupper() and (last in _COMPANIES or (last == "name" and key & _COMPANIES)):
        return "ORGANIZATION", _LIKELY
    return None


def _means_person(keys: list[str]) -> bool:
    last = keys[-1]
    if last == "name":
        return len(keys) == 1 or keys[-2] in _WHOSE
    return last in _PERSONS or last == "by"


def _known_name(text: str, lexicon: Lexicon) -> bool:
    """Whether every word could be of a person's name, and one is known for it."""
    found = [word for word, _, _ in words(text) if word[0].isalpha()]
    if not 1 <= len(found) <= 5 or not all(word[0].isupper() or len(word) < 4 for word in found):
        return False
    bits = [lexicon.bits(word) for word in found]
    if any(bit & _COMMON and not bit & _FIRST for bit in bits):
        return False
    first = bool(bits[0] & _FIRST) and not bits[0] & _COMMON
    return first and (len(found) > 1 or not bits[0] & (_TOWN | _COUNTRY))


def _postal(text: str) -> bool:
    if "@" in text or "://" in text or " " not in text:
        return False
    return any(char.isdigit() for char in text) and sum(char.isalpha() for char in text) >= 3
