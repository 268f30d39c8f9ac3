"""The United States, Canada and Latin America."""

from __future__ import annotations

from typing import Final

from agentflow.guard.pii import checksums as c
from agentflow.guard.pii.rule import GENERAL, Rule, rule

_LABEL: Final = "number|no|nr|id"
_MBI: Final = "[ACDEFGHJKMNPQRTUVWXY]"
_MBI_ANY: Final = "[0-9ACDEFGHJKMNPQRTUVWXY]"
_MBI_1: Final = f"[0-9]{_MBI}{_MBI_ANY}[0-9]"
_MBI_2: Final = f"{_MBI}{_MBI_ANY}[0-9]"
_MBI_3: Final = f"{_MBI}{_MBI}[0-9][0-9]"
_EIN: Final = r"(?:0[1-6]|1[0-6]|2[0-7]|3\d|4[0-8]|5\d|6[0-8]|7[1-7]|8[0-8]|9[0-589])-\d{7}"
_DRIVER: Final = (
    "driver license|drivers license|driver's license|driver licence|drivers licence|driver's licence|driving license|"
    "driving licence|driving permit|driver permit|dl number|dl no|dln|cdl number|licencia de conducir|"
    "licencia de conducción|permiso de conducir|carteira de motorista|cnh"
)

RULES: Final[tuple[Rule, ...]] = (
    rule(
        "US_MBI",
        f"{_MBI_1}-?{_MBI_2}-?{_MBI_3}",
        "medicare|mbi|medicare beneficiary|beneficiary identifier|hicn|medicaid|cms number",
        "beneficiary",
        sure=f"{_MBI_1}-{_MBI_2}-{_MBI_3}",
    ),
    rule(
        "US_ITIN",
        r"9\d{2}[- ]?\d{2}[- ]?\d{4}",
        "itin|individual taxpayer|taxpayer identification|taxpayer id|tax id|tin",
        "taxpayer",
        sure=r"9\d{2}-\d{2}-\d{4}",
        check=c.itin,
    ),
    rule(
        "US_PROVIDER_TAX_ID",
        _EIN,
        "provider tax id|provider tax identification|provider tin|provider ein|billing provider|ein|fein|"
        "employer identification number|employer id number|federal tax id|employer tax id",
        "tax id|tin|tax identification number|taxpayer id",
    ),
    rule(
        "US_NPI",
        r"[12]\d{3}[ -]?\d{3}[ -]?\d{3}",
        "npi|national provider identifier|national provider id|provider identifier|provider id|national provider",
        check=c.npi,
    ),
    rule(
        "MEDICAL_LICENSE",
        r"[A-HJ-MPR-UX](?:[A-Z]|9)\d{7}",
        "dea|medical license|medical licence|medical certificate|prescriber|drug enforcement|dea registration|"
        "physician license",
        check=c.dea,
    ),
    rule(
        "ABA_ROUTING_NUMBER",
        r"[0123678]\d{3}-?\d{4}-?\d",
        "aba|routing number|routing no|routing transit|aba routing|rtn|bank routing|routing",
        check=c.aba,
    ),
    rule(
        "US_PASSPORT",
        r"[A-Z]\d{8}|\d{9}",
        "passport|us passport|united states passport|passport card",
        "travel document",
        score=0.86,
    ),
    rule(
        "US_CLAIM_NUMBER",
        r"(?:CLM-?)?\d{6,15}",
        "claim number|claim no|claim id|claim #|medical claim|healthcare claim|insurance claim",
        "claim",
        sure="",
    ),
    rule("US_CLAIM_NUMBER", r"CLM-?\d{6,15}", "claim|billing|claims"),
    rule(
        "US_PRESCRIPTION_NUMBER",
        r"(?:RX-?)?\d{6,12}",
        "rx number|rx no|rx id|rx #|prescription number|prescription no|prescription id|prescription #",
        "rx|prescription",
    ),
    rule("US_PRESCRIPTION_NUMBER", r"RX-?\d{6,12}", "prescription|pharmacy|medication|refill"),
    rule(
        "US_PRIOR_AUTHORIZATION_NUMBER",
        r"(?:PA-?)?\d{6,12}",
        "prior authorization|prior auth|preauthorization|pre auth|preauth",
        "authorization number|authorization no|auth number",
    ),
    rule("US_PRIOR_AUTHORIZATION_NUMBER", r"PA-?\d{6,12}", "authorization|auth number|approval"),
    rule(
        "US_REFERRAL_NUMBER",
        r"(?:(?:REF|INF)-?)?\d{6,12}",
        "referral number|referral no|referral id|referral #",
        "referral|infusion referral",
    ),
    rule("US_REFERRAL_NUMBER", r"(?:REF|INF)-?\d{6,12}", "referral|infusion|specialty|referring"),
    rule(
        "US_HEALTH_INSURANCE_MEMBER_ID",
        r"[A-Z]{1,5}-?[A-Z0-9]{0,6}\d[A-Z0-9]{4,10}|\d{8,12}",
        "member id|member number|subscriber id|subscriber number|insurance id|insurance member|health plan id|"
        "health insurance number|policy holder id|insurance policy number|health insurance id",
        "policy number|member|subscriber",
        check=lambda text: text.upper() == text and sum(map(str.isdigit, text)) >= 2,
        raw=True,
        score=0.8,
    ),
    rule(
        "US_BANK_NUMBER",
        r"\d{6,17}|\d{2,6}(?:[ -]\d{2,6}){1,4}|X{4,}\d{4}",
        "bank account|account number|account no|account #|acct number|acct no|acct #|checking account|savings account|"
        "a/c no|bank acct|numéro de compte|número de cuenta|kontonummer|conto corrente|número da conta|rekeningnummer|"
        "deposit account|bank account number",
        "acct|account|a/c",
        check=lambda text: 6 <= sum(map(str.isdigit, text)) <= 17,
        score=0.72,
        digits=6,
    ),
    rule(
        "US_DRIVER_LICENSE",
        r"[A-Z]{1,3}[- ]?\d{3,14}[A-Z]?|\d{6,16}|[A-Z]\d{3}(?:[- ]\d{3,4}){2,3}(?:[- ]\d{1,3})?|"
        r"\d{2,4}-\d{2,3}-\d{4,6}|"
        r"\d{7,9}[A-Z]{1,2}|\d{3}[A-Z]{2}\d{4}|\d{2}[A-Z]{3}\d{5,6}|[A-Z]\d[A-Z]\d[A-Z]|"
        r"[A-Z]{5,7}[A-Z0-9*]{2,3}\d{2,3}[A-Z0-9]{2}",
        _DRIVER,
        "license number|licence number|license no|licence no|license #|lic|dl",
        score=0.7,
    ),
    rule(
        "CA_SIN",
        r"[1-79]\d{2}[- ]?\d{3}[- ]?\d{3}",
        "sin|social insurance|numéro nas|nas|assurance sociale|numéro d'assurance sociale",
        check=c.ca_sin,
    ),
    rule(
        "CA_POSTAL_CODE",
        r"[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ -]?\d[ABCEGHJ-NPRSTV-Z]\d",
        "postal code|postcode|code postal|zip|zip code|canada|ontario|quebec|québec|alberta|british columbia|manitoba|"
        "saskatchewan|nova scotia|toronto|montreal|vancouver",
        "address|postal",
    ),
    rule(
        "BR_CPF",
        r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}",
        "cpf|cadastro de pessoas",
        sure=r"\d{3}\.\d{3}\.\d{3}-\d{2}",
        check=c.cpf,
    ),
    rule(
        "BR_CNPJ",
        r"\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}",
        "cnpj|cadastro nacional",
        sure=r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}",
        check=c.cnpj,
    ),
    rule(
        "CL_RUT",
        r"\d{1,2}\.?\d{3}\.?\d{3}-?[\dK]",
        "rut|rol único tributario|run chile",
        sure=r"\d{1,2}\.\d{3}\.\d{3}-[\dK]",
        check=c.rut,
    ),
    rule(
        "MX_CURP",
        r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d",
        "curp",
        sure=r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d",
        check=c.curp,
    ),
    rule("TAX_ID", r"[A-Z]{3,4}\d{6}[A-Z0-9]{3}", "rfc|registro federal"),
    rule("TAX_ID", r"\d{2}-?\d{8}-?\d", "cuit|cuil", sure=""),
    rule(
        "TAX_ID",
        r"[A-Z]{0,3}-?\d{2,4}[ /-]?\d{2,4}[ /-]?\d{2,5}(?:[ /-]?\d{1,4})?[A-Z]{0,2}|"
        r"\d{2,3}(?:\.\d{3}){2,3}(?:-\d{1,2})?",
        "tax number|tax reference|tax identification number|taxpayer identification number|tax id number|vat number|"
        "vat id|vat registration|utr|unique taxpayer reference|numéro fiscal|steuernummer|codice fiscale|partita iva",
        "tax id|taxpayer id|vat|tin",
        check=lambda text: sum(map(str.isdigit, text)) >= 8,
        score=GENERAL,
    ),
)
