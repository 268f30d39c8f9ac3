"""The patterns of the hot tier, for google-re2 over UTF-8 bytes (linear time; no look-around, no back-references).

A *trigger* is a cheap, over-eager sign that a detector is worth running; all triggers run as one automaton. A
*pattern* proposes a span; `detectors.py` decides. Whatever look-around would have said is said there.
Sources: Presidio's recognisers, gitleaks' rules and the vendors' own documentation of key formats.
"""

from __future__ import annotations

from typing import Any, Final

import re2

TYPES: Final = ("API_KEY", "URL_CREDENTIALS", "EMAIL", "IBAN", "CARD", "SSN", "PHONE", "IP", "MAC")

_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes: no UTF-8 decoding in the automaton
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 32 << 20


def compile_(pattern: bytes) -> Any:
    """Compile `pattern` with the options every pattern here shares."""
    return re2.compile(pattern, _OPTIONS)


def trigger_set(patterns: list[bytes]) -> Any:
    """Compile `patterns` into one unanchored set; `.Match(data)` returns the indices that occur, or None."""
    triggers = re2.Set.SearchSet(_OPTIONS)
    for pattern in patterns:
        triggers.Add(pattern)
    triggers.Compile()
    return triggers


_ASSIGNED: Final = (
    rb"(?i:api[_ -]?key|secret(?:[_ -]?(?:access[_ -]?)?key)?|client[_ -]?secret|token|passw(?:or)?d|passphrase|pwd|"
    rb"(?:private|account|encryption|signing|shared[_ -]?access)[_ -]?key)"
)
_PREFIXED: Final = (
    rb"sk-[A-Za-z0-9_-]{20,}|gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}|"
    rb"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|"
    rb"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|"
    rb"hf_[A-Za-z0-9]{30,}|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{24,}|"
    rb"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|(?:AC|SK)[0-9a-f]{32}|dop_v1_[0-9a-f]{64}|"
    rb"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}|"
    rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|AGE-SECRET-KEY-1[0-9A-Z]{58}"
)

# Triggers by detector name. Each must fire wherever its detector can find something.
TRIGGERS: Final[dict[str, bytes]] = {
    "email": rb"@|%40",
    "digits_phone": rb"\d(?:[ .()/\-]{0,3}\d){6}",
    "digits_card": rb"\d(?:[ .\-]?\d){12}",
    "digits_ssn": rb"\d{3}[ .\-]?\d{2}[ .\-]?\d{4}",
    "iban": rb"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{3}",
    "ipv4": rb"\d\.\d{1,3}\.\d{1,3}\.\d",
    "ipv6": rb"[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:|::[0-9A-Fa-f]",
    "mac": rb"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
    "url_credentials": rb"://[^\s/@]*:[^\s/@]+@",
    "prefixed_key": _PREFIXED,
    "pem": rb"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY",
    "bearer": rb"(?i:bearer|authorization)",
    "assigned_secret": _ASSIGNED,
}
# Escapes that may hide any of the above from a look at serialised JSON: \u0040, and a slash as \/.
ESCAPED: Final = rb"\\u|\\/"

EMAIL: Final = compile_(
    rb"[\w\x80-\xff](?:[\w.+%'\x80-\xff-]*[\w+%\x80-\xff-])?(?:@|%40)"
    rb"(?:[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff-]*[A-Za-z0-9\x80-\xff])?\.)+[A-Za-z\x80-\xff]{2,24}"
)
PHONE_INTERNATIONAL: Final = compile_(rb"(?:\+ ?|\b00)[1-9]\d{0,14}(?:[ .\-/]{0,2}(?:\(\d{1,5}\)|\d{1,12})){0,7}")
PHONE_NANP: Final = compile_(
    rb"(?:\b1[ .\-]?)?\([2-9]\d{2}\)[ .\-]?[2-9]\d{2}[ .\-]?\d{4}|"
    rb"\b(?:1-)?[2-9]\d{2}-[2-9]\d{2}-\d{4}|\b(?:1\.)?[2-9]\d{2}\.[2-9]\d{2}\.\d{4}|"
    rb"\b(?:1 )?[2-9]\d{2} [2-9]\d{2}[ \-]\d{4}"
)
PHONE_NATIONAL: Final = compile_(
    rb"\b0[1-9](?: \d{2}){4}|\b0[1-9](?:\.\d{2}){4}|\(?\b0\d{2}\)? \d{4} \d{4}|\(?\b0\d{3}\)? \d{3} \d{4}|"
    rb"\(?\b0\d{4}\)? \d{3} ?\d{3}|\b0[1-9]\d{1,3}[/ ]\d{6,8}|\(0[1-9]\d{1,3}\) ?\d{5,8}"
)
PHONE_ANY: Final = compile_(rb"\(?\b\d(?:[ .\-/()]{0,2}\d){6,14}")
EXTENSION: Final = compile_(rb" ?(?:x|ext\.?|#) ?\d{1,5}")
DIGIT_CLUSTER: Final = compile_(rb"\b\d(?:[ .\-]?\d){12,}")
SSN: Final = compile_(rb"\b(?:\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}|\d{3}\.\d{2}\.\d{4}|\d{9})\b")
IBAN: Final = compile_(rb"\b[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}")
IPV4: Final = compile_(rb"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")
IPV6: Final = compile_(rb"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}\.\d{1,3}\.\d{1,3})?")
MAC: Final = compile_(
    rb"\b[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})\b|"
    rb"\b[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\b"
)
URL_CREDENTIALS: Final = compile_(rb"[A-Za-z][A-Za-z0-9+.\-]*://([^\s/:@\"'<>\[\]]*:[^\s/@\"'<>\[\]]+)@")
PREFIXED_KEY: Final = compile_(rb"\b(?:" + _PREFIXED + rb")")
PEM: Final = compile_(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:(?:[A-Za-z0-9+/=\s\\:,.()]|-[A-Za-z0-9])*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|"
    rb"[A-Za-z0-9+/=\s\\]*)"  # cut off
)
BEARER: Final = compile_(
    rb"(?i:authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:bearer|basic|token|apikey)\s{1,3}|\bbearer\s{1,3})"
    rb"([A-Za-z0-9._~+/=-]{8,})"
)
ASSIGNED_SECRET: Final = compile_(
    _ASSIGNED + rb"[\"']?\s{0,3}(?:=>|:=|[:=])\s{0,3}[\"']?([^\s\"'<>\[\](){},;&]{8,512})"
)

# Context: words shortly before a span that make it likely, or certain not, to be what it looks like.
ABOUT_PHONE: Final = compile_(
    rb"(?i:phone|mobile|telefon|t[\xc3]?[\xa9e]l[\xc3]?[\xa9e]phone|whatsapp|hotline|handy|m[\xc3]?[\xb3o]vil|cellular|"
    rb"(?:\b|_)(?:tel|t\xc3\xa9l|cell|fax|sms|ring|dial|msisdn)(?:\b|_)|call (?:me|us|him|her|them|at|on)\b|"
    rb"contact(?:[ _-]?(?:no|number|at))\b)|[a-z](?:Tel|Cell|Fax)\b"
)
ABOUT_SSN: Final = compile_(
    rb"(?i:(?:\b|_)(?:ssn|ss#|ssns|itin|tax[ _-]?id|taxpayer)|social[ _-]?sec)|[a-z](?:Ssn|SSN)\b|socialSec|[a-z]TaxId"
)
ABOUT_CARD: Final = compile_(
    rb"(?i:card|visa|master|amex|american express|credit|debit|payment|discover|diners|(?:\b|_)(?:cc|pan|ccn)(?:\b|_))"
)
ABOUT_IBAN: Final = compile_(rb"(?i:iban|account|konto|bank)")
ABOUT_ID: Final = compile_(
    rb"(?i:order|invoice|tracking|trace|span|request|isbn|ean|upc|gtin|sku|serial|snowflake|timestamp|epoch|nonce|"
    rb"build|commit|hash|checksum|offset)[ _-]?(?:id|no|number|nr|#)?[^A-Za-z0-9]{0,6}$"
)
NOT_PHONE: Final = compile_(rb"(?i:[_ -]?ids?|uuid|hash|count|size|total|bytes|version|timestamp)[^A-Za-z0-9]{0,6}$")
ABOUT_VERSION: Final = compile_(
    rb"(?i:version|\bver|release|\brev|revision|build|firmware|section|chapter|paragraph|clause|\boid|ObjectIdentifier|"
    rb"upgraded? (?:to|from)|semver|\bv)[^A-Za-z0-9]{0,4}$|"
    rb"(?:==|>=|<=|~=|!=|~>|\^)\s{0,2}[\"']?$|[A-Za-z]-$|\xc2\xa7\s?$"
)
PAGING: Final = compile_(
    rb"(?i:next|prev|previous|page|paging|continuation|cursor|sync|progress|csrf|xsrf|etag|resume|max|min|num|total|"
    rb"cancel(?:lation)?|stop|start|end|pad|eos|bos|unk|mask)[_ -]?$"
)
