"""The names of what the guard looks for: ours, Presidio's, and what each stands for.

It promises one canonical name per entity: short where there was one before (`EMAIL`, `CARD`), Presidio's otherwise
(`UK_NHS`), so that a name from either vocabulary may stand in a configuration, a policy or a recogniser file. It
knows nothing about how an entity is found; names it does not list (a tenant's own) are valid when they are spelled
like one.

Source of Presidio's names: presidio-analyzer 2.2.366, `predefined_recognizers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{1,31}")

_PRESIDIO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EMAIL": "EMAIL_ADDRESS",
        "CARD": "CREDIT_CARD",
        "IBAN": "IBAN_CODE",
        "SSN": "US_SSN",
        "PHONE": "PHONE_NUMBER",
        "IP": "IP_ADDRESS",
        "MAC": "MAC_ADDRESS",
    }
)
# Other spellings: presidio-research's data, spaCy's labels, and the names people guess.
_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{theirs: ours for ours, theirs in _PRESIDIO.items()},
        "STREET_ADDRESS": "ADDRESS",
        "GPE": "LOCATION",
        "LOC": "LOCATION",
        "FAC": "LOCATION",
        "ORG": "ORGANIZATION",
        "PER": "PERSON",
        "NAME": "PERSON",
        "DATE": "DATE_TIME",
        "DOB": "DATE_OF_BIRTH",
        "ZIP": "ZIP_CODE",
        "POSTAL_CODE": "ZIP_CODE",
        "DOMAIN": "DOMAIN_NAME",
        "DRIVER_LICENSE": "US_DRIVER_LICENSE",
        "BANK_ACCOUNT": "US_BANK_NUMBER",
        "CRYPTO_WALLET": "CRYPTO",
        "GPS": "COORDINATES",
        "MRN": "MEDICAL_RECORD",
        "CPF": "BR_CPF",
    }
)


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of value.

    Attributes:
        country: ISO 3166-1 alpha-2, in lower case; empty where it belongs to no country.
        personal: looked for without being asked for; the others only when a configuration or policy names them.
        deep: found by the deep tier (a language model of entities); those that are also `personal` may be found
            by form or context in the hot tier.
    """

    name: str
    description: str
    country: str = ""
    personal: bool = True
    deep: bool = False


def _table(text: str, **common: bool) -> dict[str, Entity]:
    """Read lines of `NAME description`; the country is the prefix of Presidio's name when it has one."""
    entities = {}
    for line in text.strip().splitlines():
        name, description = line.split(maxsplit=1)
        prefix = name[:2].lower() if name[2:3] == "_" else ""
        entities[name] = Entity(name, description, "gb" if prefix == "uk" else prefix, **common)
    return entities


_EVERYWHERE: Final = _table(
    """
    EMAIL mail address
    PHONE telephone number
    CARD payment card number
    IBAN international bank account number
    SSN US social security number
    IP address of a host, IPv4 or IPv6
    MAC address of a network card
    CRYPTO address of a cryptocurrency wallet
    PASSPORT passport number of a country without a type of its own
    NATIONAL_ID number of an identity card or of a citizen, of a country without a type of its own
    TAX_ID tax number of a country without a type of its own
    LICENSE_PLATE number plate of a country without a type of its own
    VIN vehicle identification number (ISO 3779)
    MEDICAL_RECORD number of a patient or of a medical record
    MEDICAL_LICENSE US Drug Enforcement Administration number of a prescriber
    ZIP_CODE postal code
    """
)
_PRESIDIO_COUNTRIES: Final = _table(
    """
    AU_ABN Australian business number
    AU_ACN Australian company number
    AU_MEDICARE Australian health insurance number
    AU_TFN Australian tax file number
    CA_POSTAL_CODE Canadian postal code
    CA_SIN Canadian social insurance number
    DE_BSNR number of a German medical practice
    DE_FUEHRERSCHEIN German driving licence number
    DE_HANDELSREGISTER number in the German commercial register
    DE_HEALTH_INSURANCE German health insurance number
    DE_ID_CARD German identity card number
    DE_KFZ German number plate
    DE_LANR number of a German physician
    DE_PASSPORT German passport number
    DE_PLZ German postal code
    DE_SOCIAL_SECURITY German pension insurance number
    DE_TAX_ID German personal tax number
    DE_TAX_NUMBER German tax office number
    DE_VAT_ID German VAT number
    ES_NIE Spanish number of a foreigner
    ES_NIF Spanish number of a citizen (DNI)
    ES_PASSPORT Spanish passport number
    FI_PERSONAL_IDENTITY_CODE Finnish personal identity code
    IN_AADHAAR Indian resident number
    IN_GSTIN Indian goods and services tax number
    IN_PAN Indian permanent account number
    IN_PASSPORT Indian passport number
    IN_VEHICLE_REGISTRATION Indian number plate
    IN_VOTER Indian voter number
    IT_DRIVER_LICENSE Italian driving licence number
    IT_FISCAL_CODE Italian personal tax code
    IT_IDENTITY_CARD Italian identity card number
    IT_PASSPORT Italian passport number
    IT_VAT_CODE Italian VAT number
    KR_BRN Korean business number
    KR_DRIVER_LICENSE Korean driving licence number
    KR_FRN Korean number of a foreigner
    KR_PASSPORT Korean passport number
    KR_RRN Korean resident number
    NG_NIN Nigerian national number
    NG_VEHICLE_REGISTRATION Nigerian number plate
    PH_PASSPORT Philippine passport number
    PH_TIN Philippine tax number
    PH_UMID Philippine unified number
    PL_PESEL Polish personal number
    SE_ORGANISATIONSNUMMER Swedish company number
    SE_PERSONNUMMER Swedish personal number
    SG_NRIC_FIN Singapore identity card number
    SG_UEN Singapore company number
    TH_TNIN Thai national number
    TR_LICENSE_PLATE Turkish number plate
    TR_NATIONAL_ID Turkish citizen number
    UK_DRIVING_LICENCE British driving licence number
    UK_NHS British health service number
    UK_NINO British national insurance number
    UK_PASSPORT British passport number
    UK_POSTCODE British postal code
    UK_VEHICLE_REGISTRATION British number plate
    US_BANK_NUMBER bank account number
    US_CLAIM_NUMBER number of an insurance claim
    US_DRIVER_LICENSE driving licence number
    US_HEALTH_INSURANCE_MEMBER_ID number of a member of a health insurance
    US_ITIN US individual taxpayer number
    US_MBI US Medicare beneficiary number
    US_NPI US national provider number
    US_PASSPORT US passport number
    US_PRESCRIPTION_NUMBER number of a prescription
    US_PRIOR_AUTHORIZATION_NUMBER number of a prior authorisation
    US_PROVIDER_TAX_ID US employer number
    US_REFERRAL_NUMBER number of a referral
    ZA_COMPANY_REGISTRATION South African company number
    ZA_DRIVER_LICENSE South African driving licence number
    ZA_ID_NUMBER South African identity number
    ZA_INCOME_TAX_NUMBER South African income tax number
    ZA_LICENSE_PLATE South African number plate
    ZA_PASSPORT South African passport number
    ZA_TRAFFIC_REGISTER_NUMBER South African traffic register number
    ZA_VAT_NUMBER South African VAT number
    """
)
_MORE_COUNTRIES: Final = _table(
    """
    AT_SVNR Austrian social insurance number
    BE_NRN Belgian national number
    BR_CNPJ Brazilian company number
    BR_CPF Brazilian personal tax number
    CH_AHV Swiss social insurance number
    CL_RUT Chilean national number
    CN_RIC Chinese resident number
    DK_CPR Danish personal number
    FR_NIR French social security number
    HK_ID Hong Kong identity card number
    MX_CURP Mexican personal code
    NL_BSN Dutch citizen number
    NO_FNR Norwegian birth number
    PT_NIF Portuguese tax number
    """
)
_BY_REQUEST: Final = _table(
    """
    ABA_ROUTING_NUMBER US routing number of a bank
    COORDINATES latitude and longitude
    DOMAIN_NAME domain of a host
    URL address of a page
    UUID universally unique identifier
    USERNAME name of an account
    ZA_MOBILE_NUMBER South African mobile number
    ZA_TELEPHONE_NUMBER South African telephone number
    """,
    personal=False,
)
_DEEP: Final = {
    **_table("ADDRESS postal address\nDATE_OF_BIRTH date of birth", deep=True),
    **_table(
        """
        AGE age of a person
        DATE_TIME date or time
        LOCATION place
        NRP nationality, religion or political group
        ORGANIZATION company, institution or agency
        PERSON name of a person
        TITLE form of address
        """,
        personal=False,
        deep=True,
    ),
}

ENTITIES: Final[Mapping[str, Entity]] = MappingProxyType(
    {**_EVERYWHERE, **_PRESIDIO_COUNTRIES, **_MORE_COUNTRIES, **_BY_REQUEST, **_DEEP}
)
# What the deep tier finds; PERSON, LOCATION, ORGANIZATION and NRP nobody else does.
DEEP: Final = frozenset(name for name, entity in ENTITIES.items() if entity.deep)
# What is looked for by form and context unless a configuration says otherwise.
PERSONAL: Final = frozenset(name for name, entity in ENTITIES.items() if entity.personal)


def canonical(name: str) -> str:
    """Return our name of the entity that `name` (ours, Presidio's or an alias, in any case) stands for.

    A name nobody lists is returned in upper case.

    Raises:
        ValueError: it is not spelled like a name (`[A-Z][A-Z0-9_]{1,31}`).
    """
    upper = name.strip().upper().replace("-", "_").replace(" ", "_")
    if not NAME.fullmatch(upper):
        raise ValueError(f"{name!r} is no name of an entity: use 2 to 32 letters, digits and underscores")
    return _ALIASES.get(upper, upper)


def canonicals(names: Iterable[str]) -> frozenset[str]:
    """Return our names of the entities that `names` stand for; what is spelled like no name stands for none."""
    return frozenset(canonical(name) for name in names if NAME.fullmatch(name.upper()))


def country(name: str) -> str:
    """Return the country (ISO 3166-1 alpha-2, lower case) whose entity this is, or an empty string."""
    entity = ENTITIES.get(canonical(name))
    return entity.country if entity else ""
