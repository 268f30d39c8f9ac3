"""Asia."""

from __future__ import annotations

from typing import Final

from agentflow.guard.pii import checksums as c
from agentflow.guard.pii.rule import Rule, rule
from agentflow.guard.pii.validators import luhn

_YYMMDD: Final = r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_STATES: Final = (
    "A[NPRS]|BR|C[GHT]|D[DHLN]|G[AJ]|H[PR]|J[HK]|K[AL]|L[AD]|M[HLNPZ]|NL|O[DR]|P[BY]|RJ|SK|T[NRS]|U[AKLPT]|WB"
)

RULES: Final[tuple[Rule, ...]] = (
    rule("IN_AADHAAR", r"[2-9]\d{3}[- :]?\d{4}[- :]?\d{4}", "aadhaar|aadhar|uidai|uid number|आधार", check=c.aadhaar),
    rule("IN_PAN", r"[A-Z]{5}\d{4}[A-Z]", "permanent account number|pan|pan card|pan number|income tax"),
    rule(
        "IN_GSTIN",
        r"\d{2}[A-Z]{5}\d{4}[A-Z][A-Z0-9]Z[A-Z0-9]",
        "gstin|gst|goods and services tax|gst number|gst registration|tax identification",
        sure=r"(?:0[1-9]|[12]\d|3[0-8])[A-Z]{5}\d{4}[A-Z][A-Z0-9]Z[A-Z0-9]",
        check=c.gstin,
    ),
    rule("IN_VOTER", r"[A-Z]{3}\d{7}", "voter|voter id|epic|elector photo identity|epic number"),
    rule("IN_PASSPORT", r"[A-Z][1-9]\d ?\d{4}[1-9]", "passport|indian passport", score=0.85),
    rule(
        "IN_VEHICLE_REGISTRATION",
        rf"(?:{_STATES})[ -]?\d{{1,2}}[ -]?[A-Z]{{1,3}}[ -]?\d{{4}}|[2-9]\d ?BH ?\d{{4}} ?[A-HJ-NP-Z]{{1,2}}|"
        r"\d{2}[ABCDEFHKPRX]\d{6}[A-Z]|\d{1,3}(?:CD|CC|UN)[1-9]\d{1,3}|[A-Z]{3}\d{4}",
        "rto|vehicle registration|vehicle number|number plate|license plate|licence plate|registration number|"
        "plate number|vehicle no",
        "vehicle|plate|registration",
    ),
    rule(
        "KR_RRN",
        rf"{_YYMMDD}-?[1-4]\d{{6}}",
        "rrn|resident registration|주민등록번호|주민번호",
        sure=rf"{_YYMMDD}-[1-4]\d{{6}}",
        check=c.kr_resident,
    ),
    rule(
        "KR_RRN",
        rf"{_YYMMDD}-?[1-4]\d{{6}}",
        "rrn|resident registration|주민등록번호|주민번호",
        check=c.kr_by_date,
        score=0.85,
    ),
    rule(
        "KR_FRN",
        rf"{_YYMMDD}-?[5-8]\d{{6}}",
        "frn|foreigner registration|외국인등록번호|외국인번호",
        check=c.kr_by_date,
    ),
    rule(
        "KR_BRN",
        r"\d{3}-?\d{2}-?\d{5}",
        "사업자등록번호|사업자번호|사업자|brn|business registration number|business number|tax registration number",
        check=c.kr_business,
    ),
    rule(
        "KR_DRIVER_LICENSE",
        r"\d{2}[- ]?\d{2}[- ]?\d{6}[- ]?\d{2}",
        "운전면허|운전면허번호|면허번호|korean driver|driver license|driver's license|drivers license",
        check=c.kr_driver,
        score=0.87,
    ),
    rule("KR_PASSPORT", r"[MSROD]\d{3}[A-Z]\d{4}|[MSROD]\d{8}", "여권|여권번호|korean passport"),
    rule("KR_PASSPORT", r"[MSROD]\d{3}[A-Z]\d{4}", "passport", score=0.85),
    rule(
        "TH_TNIN",
        r"[1-9][ -]?\d{4}[ -]?\d{5}[ -]?\d{2}[ -]?\d",
        "thai national id|thai id|tnin|เลขประจำตัวประชาชน|เลขบัตรประชาชน|รหัสปชช|บัตรประชาชน|national id",
        sure=r"[1-8]-\d{4}-\d{5}-\d{2}-\d",
        check=c.th_national,
    ),
    rule(
        "PH_TIN",
        r"\d{3}-?\d{3}-?\d{3}(?:-?\d{3})?",
        "tin|taxpayer identification number|bir|taxpayer id|tax id|rdo|revenue district office",
        check=c.ph_tin,
    ),
    rule(
        "PH_UMID",
        r"\d{4}-\d{7}-\d|\d{12}",
        "umid|unified multi purpose id|unified multipurpose id|crn|common reference number|sss|gsis|philhealth|"
        "pag ibig",
    ),
    rule(
        "PH_PASSPORT",
        r"[A-Z]\d{7}[A-Z]|[A-Z]{2}\d{7}",
        "philippine passport|philippines passport|dfa|passport",
        "travel document",
        score=0.84,
    ),
    rule(
        "SG_NRIC_FIN",
        r"[STFGM]\d{7}[A-Z]",
        "nric|fin|nric fin|identity card|fin number",
        sure=r"[STFGM]\d{7}[A-Z]",
        check=c.sg_person,
    ),
    rule("SG_NRIC_FIN", r"[STFGM]\d{7}[A-Z]", "nric|nric fin|fin number", score=0.85),
    rule(
        "SG_UEN",
        r"\d{8}[A-Z]|\d{9}[A-Z]|[TSR]\d{2}[A-Z]{2}\d{4}[A-Z]",
        "uen|unique entity number|business registration|acra",
        check=c.sg_company,
    ),
    rule(
        "CN_RIC",
        r"[1-6]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dX]",
        "身份证|身份證|居民身份证|身份证号|resident identity|chinese id|id card|identity card",
        sure=r"[1-6]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dX]",
        check=c.cn_resident,
    ),
    rule(
        "HK_ID",
        r"[A-Z]{1,2}\d{6}\(?[\dA]\)?",
        "hkid|hong kong identity|hong kong id|身份證|identity card",
        sure=r"[A-Z]{1,2}\d{6}\([\dA]\)",
        check=c.hk_person,
    ),
    rule("NATIONAL_ID", r"784-?\d{4}-?\d{7}-?\d", "emirates id|uae id", sure=r"784-\d{4}-\d{7}-\d", check=luhn),
    rule("NATIONAL_ID", r"\d{5}-\d{7}-\d", "cnic|nicop"),
    rule("NATIONAL_ID", rf"{_YYMMDD}-?\d{{2}}-?\d{{4}}", "mykad|kad pengenalan|malaysian id|nric"),
    rule("NATIONAL_ID", r"[A-Z][12]\d{8}", "身分證|身分證字號|taiwan id"),
)
