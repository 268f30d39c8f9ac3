"""Australia and Africa."""

from __future__ import annotations

from typing import Final

from agentflow.guard.pii import checksums as c
from agentflow.guard.pii.rule import Rule, rule

_PROVINCES: Final = "(?:GP|ZN|WP|EC|NC|FS|LP|MP|NW)"
_PLATE: Final = (
    "licence plate|license plate|number plate|vehicle registration|registration number|plate number|"
    "registration plate|natis|enatis"
)
_ID: Final = "south african id|rsa id|sa id|smart id|id number|identity number|id no|national id|identity document"
_DRIVER: Final = (
    "driving licence|driving license|driver's licence|driver's license|drivers licence|drivers license|enatis|natis|"
    "licence number|license number"
)

RULES: Final[tuple[Rule, ...]] = (
    rule("AU_ABN", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "abn|australian business number", check=c.au_abn),
    rule("AU_ACN", r"\d{3} ?\d{3} ?\d{3}", "acn|australian company number", check=c.au_acn),
    rule("AU_MEDICARE", r"[2-6]\d{3} ?\d{5} ?\d(?:[ /-]?\d)?", "medicare", check=c.au_medicare),
    rule("AU_TFN", r"\d{3}[ -]?\d{3}[ -]?\d{3}", "tfn|tax file number", check=c.au_tfn),
    rule("ZA_ID_NUMBER", r"\d{6} ?\d{4} ?[0-2][89]\d", _ID, "id|identity|rsa", check=c.za_person, digits=13),
    rule(
        "ZA_INCOME_TAX_NUMBER",
        r"[01239]\d{9}",
        "sars|tax reference|income tax|tax number|itr|tax registration|income tax number",
        "taxpayer",
        score=0.8,
    ),
    rule("ZA_VAT_NUMBER", r"4\d{9}", "vat|vat number|vat registration|value added tax|sars|vat no", score=0.86),
    rule(
        "ZA_COMPANY_REGISTRATION",
        r"(?:19|20)\d{2}/\d{6}/\d{2}|(?:CK|NR|[KTWBMN])\d{4}/\d{6}",
        "cipc|company registration|registration number|close corporation|company reg|enterprise number|reg no",
        sure=r"(?:19|20)\d{2}/\d{6}/(?:0[6-9]|1[0-2]|2[1-6]|30)",
        check=c.za_company,
    ),
    rule("ZA_DRIVER_LICENSE", r"\d{6,10}[A-Z][A-Z0-9]{1,4}", _DRIVER, score=0.86),
    rule(
        "ZA_LICENSE_PLATE",
        rf"[A-Z]{{2,4}} ?\d{{2,4}} ?[A-Z]{{0,4}} ?{_PROVINCES}|\d{{2,3}} ?[A-Z]{{2,3}} ?EC",
        _PLATE,
        "registration|plate|vehicle",
        score=0.89,
    ),
    rule("ZA_PASSPORT", r"[ADMT]\d{8}", "south african passport|rsa passport|dha"),
    rule(
        "ZA_TRAFFIC_REGISTER_NUMBER",
        r"\d{13}",
        "traffic register|traffic register number|trn|enatis|natis|vehicle register",
        check=c.za_traffic,
    ),
    rule("ZA_MOBILE_NUMBER", r"(?:\+27|0)[ -]?[678]\d(?:[ -]?\d){7}", "cell|mobile|cellular|sms|whatsapp|handset"),
    rule(
        "ZA_TELEPHONE_NUMBER",
        r"(?:\+27|0)[ -]?[1-58]\d(?:[ -]?\d){7}",
        "landline|tel|telephone|home number|work number|office number|phone",
    ),
    rule(
        "NG_NIN",
        r"\d{11}",
        "nin|national identification number|national identity number|nimc|nigeria id|"
        "nigerian identification|national identity",
        check=c.verhoeff,
    ),
    rule(
        "NG_VEHICLE_REGISTRATION", r"[A-Z]{3}[- ]?\d{3}[- ]?[A-Z]{2}", _PLATE, "plate|vehicle|registration", score=0.87
    ),
)
