"""Values of personal data in the forms people write them, and things that only look like such values."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
import uuid
from collections.abc import Callable

from faker import Faker

from agentflow.guard.pii import checksums, validators

Maker = Callable[[random.Random], str]

LOCALES = (
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "nl_NL",
    "pt_BR",
    "pl_PL",
    "sv_SE",
    "en_AU",
    "en_CA",
    "ja_JP",
    "ko_KR",
    "zh_CN",
    "hi_IN",
    "tr_TR",
    "da_DK",
    "no_NO",
    "fi_FI",
    "cs_CZ",
    "ru_RU",
    "el_GR",
    "en_IN",
)
FAKERS = {locale: Faker(locale) for locale in LOCALES}


# --- values


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def _until(check: Callable[[str], bool], make: Callable[[], str]) -> str:
    while True:
        value = make()
        if check(value):
            return value


def email(rng: random.Random) -> str:
    fake = FAKERS[rng.choice(LOCALES)]
    kind = rng.random()
    if kind < 0.6:
        return fake.ascii_email()
    name, domain = fake.ascii_email().split("@")
    if kind < 0.8:
        return f"{name}+{rng.choice(['news', 'tag1', 'x-y'])}@{rng.choice(['mail', 'sub.mail', 'a-b'])}.{domain}"
    if kind < 0.9:
        return f"{name.title()}.{rng.choice(['Smith', 'ONeil', 'van-Dyk'])}@{domain}"
    return f"{name}@{rng.choice(['müller.de', 'exämple.fr', 'bücher.ch', 'xn--mller-kva.de'])}"


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(
        [
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("36", 14),
            ("3530", 16),
        ]
    )
    digits = _until(validators.card, lambda: prefix + _digits(rng, length - len(prefix)))
    separator = rng.choice(["", "", " ", "-"])
    if not separator or length == 14:
        return digits
    if length == 15:
        return separator.join((digits[:4], digits[4:10], digits[10:]))
    return separator.join(digits[at : at + 4] for at in range(0, 16, 4))


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(validators.IBAN_LENGTH))
    length = validators.IBAN_LENGTH[country]
    letters = string.ascii_uppercase if country in ("GB", "NL", "IE", "MT", "LV", "RO", "BG", "GI") else ""
    bank = "".join(rng.choice(letters) for _ in range(4)) if letters else ""
    body = bank + _digits(rng, length - 4 - len(bank))
    check = 98 - int("".join(str(int(char, 36)) for char in f"{body}{country}00")) % 97
    compact = f"{country}{check:02}{body}"
    if rng.random() < 0.5:
        return compact
    return " ".join(compact[at : at + 4] for at in range(0, len(compact), 4))


def ssn(rng: random.Random) -> str:
    return FAKERS["en_US"].ssn()


def ip(rng: random.Random) -> str:
    fake = FAKERS["en_US"]
    if rng.random() < 0.3:
        text = fake.ipv6()
        return re.sub(r"\b0+(?=\w)", "", text) if rng.random() < 0.5 else text
    return _until(lambda text: not text.startswith(("0.", "127.", "255.")), fake.ipv4)


def mac(rng: random.Random) -> str:
    text = FAKERS["en_US"].mac_address()
    return rng.choice([text, text.upper(), text.replace(":", "-").upper().replace("00", "A0")])


def phone(rng: random.Random) -> str:
    """A number as people of some country write it."""
    style = rng.choice(_PHONES)
    return re.sub("2(?=##)|#", lambda mark: rng.choice("23456789" if mark[0] == "2" else string.digits), style)


# `#` is any digit, `2##` begins with one from 2 to 9; other digits stand for themselves.
_PHONES = (
    "+1 (2##) 2##-####",
    "+1-2##-2##-####",
    "+1 2## 2## ####",
    "(2##) 2##-####",
    "2##-2##-####",
    "2##.2##.####",
    "(2##) 2##-#### x###",
    "(2##)2##-####x###",
    "+1-2##-2##-####x####",
    "2##-2##-#### ext. ###",
    "+12##2######",
    "1-800-2##-####",
    "+44 70## ######",
    "+44 20 7### ####",
    "07### ######",
    "020 7### ####",
    "+49 30 #######",
    "+49 (0)30 #######",
    "+49 170 #######",
    "0170 #######",
    "030/#######",
    "+33 6 ## ## ## ##",
    "06 ## ## ## ##",
    "01 ## ## ## ##",
    "+34 6## ### ###",
    "+39 06 #### ####",
    "+39 3## #######",
    "+31 6 ########",
    "+31 20 ### ####",
    "+41 44 ### ## ##",
    "+43 1 #######",
    "+46 70 ### ## ##",
    "+47 4## ## ###",
    "+45 ## ## ## ##",
    "+358 40 #######",
    "+48 ### ### ###",
    "+420 7## ### ###",
    "+36 30 ### ####",
    "+30 69# ### ####",
    "+90 5## ### ## ##",
    "+7 9## ###-##-##",
    "+380 67 ### ## ##",
    "+91 9#### #####",
    "+91-9#########",
    "+86 138 #### ####",
    "+81 90-####-####",
    "+82 10-####-####",
    "+65 9### ####",
    "+61 4## ### ###",
    "+64 21 ### ####",
    "+55 11 9####-####",
    "+52 55 #### ####",
    "+27 82 ### ####",
    "+971 50 ### ####",
    "+972 52-###-####",
    "+234 80# ### ####",
    "+254 7## ######",
    "+66 8# ### ####",
    "+84 9# ### ## ##",
    "001-2##-2##-####",
    "00 44 20 7### ####",
    "+1.2##.2##.####",
)
# Forms that need a word next to them.
_BARE_PHONES = (
    "2##2######",
    "07#########",
    "01632######",
    "9#########",
    "138########",
    "0412 ### ###",
    "08-### ### ##",
    "### ### ###",
    "## ## ## ##",
    "09# ### ####",
    "90-####-####",
    "02 #### ####",
    "2##-####",
    "8 (9##) ###-##-##",
    "11 9####-####",
)


def bare_phone(rng: random.Random) -> str:
    style = rng.choice(_BARE_PHONES)
    return re.sub("2(?=##)|#", lambda mark: rng.choice("23456789" if mark[0] == "2" else string.digits), style)


def bitcoin(rng: random.Random) -> str:
    payload = b"\x00" + rng.randbytes(20)
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\x00"))) + text


def _checked(check: Callable[[str], bool], pattern: str) -> Maker:
    """A maker of values of a form (`#` digit, `@` letter) whose check digits are right."""

    def make(rng: random.Random) -> str:
        def draw() -> str:
            return re.sub(
                "[#@]", lambda m: rng.choice(string.digits if m[0] == "#" else string.ascii_uppercase), pattern
            )

        return _until(lambda text: _holds(check, text), draw)

    return make


def _holds(check: Callable[[str], bool], text: str) -> bool:
    try:
        return check(re.sub("[^0-9A-Z]", "", text))
    except ValueError:
        return False


def birth_date(rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1930, 2010)
    name = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ][month - 1]
    return rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{month:02}/{day:02}/{year}",
            f"{day:02}.{month:02}.{year}",
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day:02}-{name[:3]}-{year}",
        ]
    )


def street(rng: random.Random) -> str:
    name = rng.choice(["Oak", "Maple", "Washington", "Lake View", "Martin Luther King", "5th", "Old Mill"])
    suffix = rng.choice(["Street", "St", "Avenue", "Ave", "Road", "Rd", "Blvd", "Lane", "Drive", "Court"])
    city, state = rng.choice([("Springfield", "IL"), ("New York", "NY"), ("St. Louis", "MO"), ("Austin", "TX")])
    unit = rng.choice(["", "", ", Apt 4B", ", Suite 210"])
    return f"{rng.randint(1, 9999)} {name} {suffix}{unit}, {city}, {state} {rng.randint(10000, 99999)}"


# type -> (maker, names of the field, names in a sentence)
ANYWHERE: dict[str, tuple[Maker, tuple[str, ...], tuple[str, ...]]] = {
    "EMAIL": (email, ("email", "contact_email", "mail", "from"), ("e-mail address", "email", "contact")),
    "PHONE": (phone, ("phone", "mobile", "telephone", "contact_phone"), ("phone number", "mobile", "number")),
    "CARD": (card, ("card_number", "credit_card", "pan", "payment"), ("card", "credit card number", "card number")),
    "IBAN": (iban, ("iban", "account_iban", "bank"), ("IBAN", "bank account", "account")),
    "SSN": (ssn, ("ssn", "social_security_number", "tax_ssn"), ("SSN", "social security number")),
    "IP": (ip, ("ip", "client_ip", "remote_addr", "host"), ("IP address", "address", "host")),
    "MAC": (mac, ("mac", "hw_address", "device"), ("MAC address", "device")),
    "CRYPTO": (bitcoin, ("wallet", "btc_address"), ("wallet", "bitcoin address")),
    "ADDRESS": (street, ("address", "street_address", "shipping_address"), ("address", "home address")),
}
IN_CONTEXT: dict[str, tuple[Maker, tuple[str, ...], tuple[str, ...]]] = {
    "PHONE": (bare_phone, ("phone", "mobile", "tel", "cellPhone"), ("phone number", "mobile", "telephone")),
    "DATE_OF_BIRTH": (birth_date, ("dob", "date_of_birth", "birthDate"), ("date of birth", "birthday")),
    "UK_NHS": (_checked(checksums.nhs, "### ### ####"), ("nhs_number", "nhsNumber"), ("NHS number",)),
    "UK_NINO": (_checked(checksums.nino, "AB######C"), ("nino", "ni_number"), ("national insurance number",)),
    "CA_SIN": (
        _checked(checksums.ca_sin, "4## ### ###"),
        ("sin", "social_insurance_number"),
        ("SIN", "social insurance number"),
    ),
    "AU_TFN": (_checked(checksums.au_tfn, "### ### ###"), ("tfn", "taxFileNumber"), ("TFN", "tax file number")),
    "AU_MEDICARE": (_checked(checksums.au_medicare, "2### ##### #"), ("medicare_number",), ("Medicare number",)),
    "IN_AADHAAR": (_checked(checksums.aadhaar, "#### #### ####"), ("aadhaar", "aadhaarNumber"), ("Aadhaar number",)),
    "PL_PESEL": (_checked(checksums.pl_pesel, "850#1######"), ("pesel",), ("PESEL",)),
    "ES_NIF": (_checked(checksums.es_nif, "########@"), ("dni", "nif"), ("DNI", "NIF")),
    "DE_TAX_ID": (
        _checked(checksums.de_tax_id, "8##########"),
        ("steuer_id", "steuerId"),
        ("Steuer-ID", "steuerliche Identifikationsnummer"),
    ),
    "SE_PERSONNUMMER": (_checked(checksums.se_personal, "85010#-####"), ("personnummer",), ("personnummer",)),
    "US_NPI": (_checked(checksums.npi, "1#########"), ("npi", "provider_npi"), ("NPI", "NPI number")),
    "BR_CPF": (_checked(checksums.cpf, "###.###.###-##"), ("cpf",), ("CPF",)),
    "TR_NATIONAL_ID": (_checked(checksums.tr_national, "4##########"), ("tckn", "tc_kimlik_no"), ("TC kimlik no",)),
    "US_PASSPORT": (
        lambda rng: rng.choice("ABCDEFGX") + _digits(rng, 8),
        ("passport_number", "passportNo"),
        ("passport number", "passport"),
    ),
    "US_DRIVER_LICENSE": (
        lambda rng: rng.choice("ABDW") + _digits(rng, 7),
        ("drivers_license", "driver_license_no"),
        ("driver's license",),
    ),
    "US_BANK_NUMBER": (
        lambda rng: _digits(rng, 10),
        ("account_number", "bankAccount"),
        ("account number", "bank account number"),
    ),
    "MEDICAL_RECORD": (lambda rng: _digits(rng, 8), ("mrn", "medical_record_number"), ("MRN", "medical record number")),
    "ZIP_CODE": (lambda rng: str(rng.randint(10000, 99999)), ("zip", "zip_code"), ("zip code", "ZIP")),
}


# --- what only looks like personal data


def hexadecimal(rng: random.Random, count: int) -> str:
    return f"{rng.getrandbits(4 * count):0{count}x}"


LOOKALIKES: tuple[Maker, ...] = (
    lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    lambda rng: f"commit {hexadecimal(rng, 40)}",
    lambda rng: f"index {hexadecimal(rng, 7)}..{hexadecimal(rng, 7)} 100644",
    lambda rng: f"sha256:{hexadecimal(rng, 64)}",
    lambda rng: f"v{rng.randint(0, 20)}.{rng.randint(0, 40)}.{rng.randint(0, 99)}-rc.{rng.randint(1, 9)}",
    lambda rng: f"requests=={rng.randint(0, 20)}.{rng.randint(0, 40)}.{rng.randint(0, 99)}.{rng.randint(0, 9)}",
    lambda rng: f"version {rng.randint(0, 20)}.{rng.randint(0, 40)}.{rng.randint(0, 99)}.{rng.randint(0, 999)}",
    lambda rng: f'"version": "10.0.{rng.randint(10000, 30000)}.{rng.randint(100, 999)}"',
    lambda rng: f"build {rng.randint(10**8, 10**9)}",
    lambda rng: f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T10:3{rng.randint(0, 9)}:00.{_digits(rng, 3)}Z",
    lambda rng: f"[{rng.randint(10, 28)}/Oct/2024:13:55:36 +0{rng.randint(1, 9)}00]",
    lambda rng: str(rng.randint(1_500_000_000, 1_900_000_000)),
    lambda rng: str(rng.randint(1_500_000_000_000, 1_900_000_000_000)),
    lambda rng: f"created_at={rng.randint(1_500_000_000_000_000, 1_900_000_000_000_000)}",
    lambda rng: f"${rng.randint(1, 999)},{_digits(rng, 3)}.{_digits(rng, 2)}",
    lambda rng: f"EUR {rng.randint(1, 99)}.{_digits(rng, 3)}.{_digits(rng, 3)},{_digits(rng, 2)}",
    lambda rng: f"ISBN 978-{rng.randint(0, 9)}-{_digits(rng, 2)}-{_digits(rng, 6)}-{rng.randint(0, 9)}",
    lambda rng: f"order {rng.randint(100, 999)}-{_digits(rng, 7)}-{_digits(rng, 7)}",
    lambda rng: f'"order_id": {rng.randint(10**9, 10**10)}',
    lambda rng: f"tracking 1Z{hexadecimal(rng, 16).upper()}",
    lambda rng: f"tracking number {_digits(rng, 12)}",
    lambda rng: f"invoice INV-{rng.randint(2018, 2026)}-{_digits(rng, 6)}",
    lambda rng: f"ticket #{_digits(rng, 8)}",
    lambda rng: f"[{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}]",
    lambda rng: " ".join(str(rng.randint(0, 999)) for _ in range(8)),
    lambda rng: "[" + ", ".join(f"{rng.random():.8f}" for _ in range(5)) + "]",
    lambda rng: base64.b64encode(rng.randbytes(60)).decode(),
    lambda rng: f'"integrity": "sha512-{base64.b64encode(rng.randbytes(64)).decode()}"',
    lambda rng: f"localhost:{rng.randint(1024, 65535)}",
    lambda rng: f"OID 1.3.6.1.4.1.{rng.randint(1, 9999)}.{rng.randint(1, 99)}",
    lambda rng: f"lodash@{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 30)}",
    lambda rng: f"git@github.com:acme/project-{rng.randint(1, 99)}.git",
    lambda rng: f"arn:aws:iam::{_digits(rng, 12)}:role/deploy",
    lambda rng: f"i-0{hexadecimal(rng, 16)} vol-{hexadecimal(rng, 17)} subnet-{hexadecimal(rng, 8)}",
    lambda rng: f"0x{hexadecimal(rng, 8)} 0x{hexadecimal(rng, 16)}",
    lambda rng: f"@@ -{rng.randint(1, 900)},{rng.randint(1, 9)} +{rng.randint(1, 900)},{rng.randint(1, 9)} @@",
    lambda rng: f"pid={rng.randint(1000, 99999)} tid={_digits(rng, 12)} dur={rng.randint(1, 999)}ms",
    lambda rng: f"{rng.randint(1, 12)}:{rng.randint(10, 59)}:{rng.randint(10, 59)}.{_digits(rng, 6)}",
    lambda rng: f"Chrome/{rng.randint(80, 130)}.0.{rng.randint(1000, 9999)}.{rng.randint(10, 250)} Safari/537.36",
    lambda rng: f"trace_id={hexadecimal(rng, 32)} span_id={hexadecimal(rng, 16)}",
    lambda rng: f"std::vector<int>::iterator {hexadecimal(rng, 2)}::{hexadecimal(rng, 2)}::value",
    lambda rng: f"SKU-{_digits(rng, 5)}-{_digits(rng, 4)}",
    lambda rng: f"part no. {rng.choice('ABCD')}{_digits(rng, 6)}-{_digits(rng, 2)}",
    lambda rng: f"RFC {rng.randint(1000, 9999)} section 4.{rng.randint(1, 9)}.{rng.randint(1, 9)}.{rng.randint(1, 9)}",
    lambda rng: f"member_count: {_digits(rng, 6)}, account_id: {_digits(rng, 10)}, license: MIT",
    lambda rng: f'"passport": "jwt", "plate_id": {_digits(rng, 7)}, "phone_verified": true',
    lambda rng: f"see page {rng.randint(1, 900)}, lines {rng.randint(1, 900)}-{rng.randint(901, 2000)}",
    lambda rng: f"{rng.randint(1, 99)} files changed, {rng.randint(1, 9999)} insertions(+), 7 deletions(-)",
    lambda rng: f"size={_digits(rng, 10)} offset={_digits(rng, 9)} crc={_digits(rng, 10)}",
    lambda rng: f"{_digits(rng, 4)}-{_digits(rng, 4)}-{_digits(rng, 4)}",
)
