"""What belongs to no country: documents in general, vehicles, wallets, patients, dates of birth, post codes, places."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from agentflow.guard.pii import checksums as c
from agentflow.guard.pii import validators as v
from agentflow.guard.pii.rule import GENERAL, Rule, rule

_MONTH_NAME: Final = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|janv|févr|avr|juin|juil|août|déc|mär|märz|mai|okt|dez|ene|abr|"
    r"ago|dic|gen|mag|giu|lug|set|ott|fev|out|maj|mrt|mei)[a-zé]{0,7}\.?|enero|febrero|marzo|agosto|januari|januar"
)
_DATE: Final = (
    r"(?:18|19|20)\d{2}[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|"
    r"3[01])(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?Z?)?|"
    r"(?:0?[1-9]|[12]\d|3[01])[-/.] ?(?:0?[1-9]|[12]\d|3[01])[-/.] ?(?:(?:18|19|20)\d{2}|\d{2})|"
    rf"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|\.)?[ -](?:of |de |d')?(?:{_MONTH_NAME})[ ,.-](?: ?de(?:l)? |, ?|"
    rf" )?(?:19|20)?\d{{2}}|"
    rf"(?:{_MONTH_NAME})[ -](?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,?[ -](?:19|20)\d{{2}}|"
    r"(?:19|20)\d{2}年 ?\d{1,2}月 ?\d{1,2}日|(?:19|20)\d{2}년 ?\d{1,2}월 ?\d{1,2}일"
)
_BORN: Final = (
    "date of birth|dob|d o b|birth date|birthdate|birthday|bday|born on|born|birth day|geburtsdatum|"
    "geburtstag|geboren am|geb|né le|née le|date de naissance|fecha de nacimiento|nacido el|nacida el|nacimiento|"
    "data di nascita|nato il|nata il|data de nascimento|nascido em|geboortedatum|geboren op|födelsedatum|"
    "fødselsdato|syntymäaika|data urodzenia|urodzony|urodzona|doğum tarihi|datum narození|生年月日|出生日期|생년월일|"
    "дата рождения|तारीख|date naissance"
)

_PLATE: Final = (
    "license plate|licence plate|number plate|plate number|registration plate|vehicle registration|plate no|"
    "matrícula|placa|targa|immatriculation|plaque d'immatriculation|kenteken|tablica rejestracyjna|車牌|车牌"
)
_WALLET: Final = "wallet|btc|bitcoin|crypto|eth|ethereum|ltc|litecoin|xmr|monero|solana|deposit address|payout address"


def _digits(least: int) -> Callable[[str], bool]:
    return lambda text: sum(map(str.isdigit, text)) >= least


def _letter_and_digit(text: str) -> bool:
    return any(map(str.isdigit, text)) and any(map(str.isalpha, text))


_PLACE: Final = re.compile(r"\d{1,6}[A-Za-z]?,? [^\W\d]{2,}.*[^\W\d]{3,}|[^\W\d]{3,}.* \d{1,6}[A-Za-z]?\b.*")
_NO_PLACE: Final = re.compile(
    r"[@=(){}<>;:\[\]]|://|\d\.\d+\.|0x|\b(?:at|of|the|is|in|for|line|port|page|see)\b", re.IGNORECASE
)


def _place(text: str) -> bool:
    """Whether what is labelled an address is written like one: a number, words, nothing of code or prose."""
    return _PLACE.fullmatch(text) is not None and _NO_PLACE.search(text) is None


RULES: Final[tuple[Rule, ...]] = (
    rule(
        "ADDRESS",
        r"[^\"<>{}|\t\\]{8,96}",
        "",
        "address|street address|home address|billing address|shipping address|mailing address|delivery address|street|"
        "address line 1|address line1|address1|adresse|anschrift|dirección|direccion|indirizzo|endereço|residence|"
        "postal address|domicilio|住所|地址",
        check=_place,
        raw=True,
        score=0.84,
    ),
    rule(
        "SSN",
        r"\d{3}[- .]?\d{2}[- .]?\d{4}",
        "",
        "ssn|social security|social security number|social security no|ss#",
        check=v.ssn,
        score=0.87,
        digits=9,
    ),
    rule(
        "MAC",
        r"[0-9A-F]{2}(?:-[0-9A-F]{2}){5}|[0-9A-F]{12}",
        "mac address|hardware address|physical address|hwaddr",
        "mac|ethernet|mac addr",
    ),
    rule(
        "PHONE",
        r"\+?\(?\d(?:[ .\-/()]{0,2}\d){6,14}(?: ?(?:x|ext\.?) ?\d{1,5})?",
        "",
        "phone|telephone|mobile|cell|fax|tel|cell phone|mobile phone|phone number|telefon|téléphone|teléfono|"
        "telefono|telefone|móvil|movil|celular|handy|contact number|telefoon|puhelin|電話|电话|手机|전화|"
        "work phone|home phone",
        score=0.76,
        digits=7,
    ),
    rule(
        "CRYPTO",
        r"[13LMDA9][1-9A-HJ-NP-Za-km-z]{25,34}",
        _WALLET,
        "address",
        sure=r"[13LMDA9][1-9A-HJ-NP-Za-km-z]{25,34}",
        check=c.base58,
        raw=True,
    ),
    rule(
        "CRYPTO",
        r"(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{11,71}",
        _WALLET,
        "address",
        sure=r"(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{25,71}|(?:BC1|TB1|LTC1)[02-9AC-HJ-NP-Z]{25,71}",
        check=c.bech32,
        raw=True,
    ),
    rule("CRYPTO", r"0x[0-9a-f]{40}|4[0-9AB][1-9A-HJ-NP-Z]{93}|[1-9A-HJ-NP-Z]{43,44}", _WALLET, "wallet address"),
    rule(
        "VIN",
        r"[A-HJ-NPR-Z0-9]{17}",
        "vin|vehicle identification|chassis number|fahrgestellnummer|fin nummer|vin number",
        sure=r"[1-5JKLSVW][A-HJ-NPR-Z][A-HJ-NPR-Z0-9]{11}\d{4}",
        check=c.vin,
    ),
    rule(
        "VIN",
        r"[A-HJ-NPR-Z0-9]{17}",
        "vin|vehicle identification|chassis number|fahrgestellnummer|fin nummer|vin number",
        check=_letter_and_digit,
        score=0.85,
    ),
    rule(
        "MEDICAL_RECORD",
        r"(?:[A-Z]{1,4}-?)?\d{4,12}|\d{2,4}(?:-\d{2,4}){1,3}",
        "mrn|medical record number|medical record no|medical record|patient id|patient number|patient no|chart number|"
        "hospital number|health record number|patient identifier|patientennummer",
        "medical record #",
    ),
    rule("DATE_OF_BIRTH", f"(?i:{_DATE})", _BORN, "birth|naissance|nascita|geburt|b day"),
    rule(
        "DATE_OF_BIRTH",
        r"(?:19|20)\d{6}|\d{8}",
        "",
        "dob|date of birth|birth date|birthdate|birthday|geburtsdatum",
        check=lambda text: c.day(int(text[:4]), int(text[4:6]), int(text[6:])),
    ),
    rule(
        "ZIP_CODE",
        r"\d{5}(?:-\d{4})?|\d{3,4} ?[A-Z]{2}|\d{3} ?\d{2}|[A-Z]{1,2}-?\d{4,5}|\d{2}-\d{3}|\d{3}-\d{4}|\d{4}|\d{6}|"
        r"\d{5}-\d{3}|[A-Z]\d[A-Z] ?\d[A-Z]\d",
        "zip code|zipcode|postal code|postcode|post code|code postal|código postal|codigo postal|postnummer|"
        "postleitzahl|cep|kod pocztowy|pincode|pin code|zip is|postal",
        "zip|cap|plz|pin",
        score=GENERAL,
    ),
    rule("ZIP_CODE", r"\d{5}(?:-\d{4})?", "zip", score=0.62),
    rule(
        "PASSPORT",
        r"[A-Z]{0,3}\d{6,9}[A-Z]?",
        "passport|passport number|reisepass|passeport|pasaporte|passaporto|paspoort|passnummer|護照|护照|旅券|паспорт",
        score=GENERAL,
    ),
    rule(
        "NATIONAL_ID",
        r"[A-Z]{0,3}[- ]?\d{2,6}(?:[ ./-]?\d{2,6}){1,3}[- ]?[A-Z\d]?",
        "national id|national identity|identity card|id card number|identity number|citizen id|cédula|cedula|"
        "carte d'identité|numéro de carte d'identité|personal id number|national identification number|"
        "citizenship number",
        "social security number|id card|identity no",
        check=_digits(6),
        score=GENERAL,
    ),
    rule(
        "LICENSE_PLATE",
        r"[A-Z0-9]{1,4}[ -][A-Z0-9]{1,4}(?:[ -][A-Z0-9]{1,4})?|[A-Z0-9]{5,8}",
        _PLATE,
        "plate|license plate|registration",
        check=_letter_and_digit,
        score=GENERAL,
    ),
    rule(
        "COORDINATES",
        r"[-+]?\d{1,3}\.\d{3,}(?:(?:°)? ?[NSEW])?(?:,? {1,2}|,)[-+]?\d{1,3}\.\d{3,}(?:(?:°)? ?[NSEW])?|"
        r"[-+]?\d{1,3}\.\d{3,}(?:(?:°)? ?[NSEW])?",
        "latitude|longitude|coordinates|gps|geolocation|lat lng|lat long|latlng",
        "lat|lon|lng|long|location|coords",
    ),
    rule(
        "USERNAME",
        r"[\w.@+-]{2,64}",
        "",
        "username|user name|login|user id|userid|screen name|handle|nickname|account name|benutzername",
        score=0.55,
    ),
)
