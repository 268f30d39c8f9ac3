"""The patterns of the hot tier, for google-re2 over UTF-8 bytes (linear time; no look-around, no back-references).

A *trigger* is a cheap, over-eager sign that a detector is worth running; all triggers run as one automaton. A
*pattern* proposes a span; `detectors.py` decides. Whatever look-around would have said is said there.
Sources: Presidio's recognisers, gitleaks' rules and the vendors' own documentation of key formats.
"""

from __future__ import annotations

from typing import Any, Final

import re2

TYPES: Final = ("EMAIL", "IBAN", "CARD", "SSN", "PHONE", "IP", "MAC")

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


# Triggers by detector name. Each must fire wherever its detector can find something.
TRIGGERS: Final[dict[str, bytes]] = {
    "email": rb"@|%40",
    "digits_phone": rb"\d(?:[ .()/\-]{0,3}\d){6}",
    "digits_card": rb"\d(?:[ .\-]?\d){11}",
    "digits_ssn": rb"\d{3}[ .\-]?\d{2}[ .\-]?\d{4}",
    "iban": rb"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{3}",
    "ipv4": rb"\d\.\d{1,3}\.\d{1,3}\.\d",
    "ipv6": rb"[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:|::[0-9A-Fa-f]",
    "mac": rb"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
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
    rb"\(?\b0\d{4}\)? \d{3} ?\d{3}|\b0[1-9]\d{1,3}[/ ]\d{6,8}|\(0[1-9]\d{1,3}\) ?\d{5,8}|"
    rb"\b0[1-9]\d? \d{3} \d{2} \d{2}|\b0[1-9]\d{1,2} \d{3} \d{2} \d{2}|\b0[1-9]\d{2} \d{2} \d{2} \d{2}"
)
PHONE_ANY: Final = compile_(rb"\(?\b\d(?:[ .\-/()]{0,2}\d){6,14}")
EXTENSION: Final = compile_(rb" ?(?:x|ext\.?|#) ?\d{1,5}")
DIGIT_CLUSTER: Final = compile_(rb"\b\d(?:[ .\-]?\d){11,}")
SSN: Final = compile_(rb"\b(?:\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}|\d{3}\.\d{2}\.\d{4}|\d{9})\b")
IBAN: Final = compile_(rb"\b[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}")
IPV4: Final = compile_(rb"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")
IPV6: Final = compile_(rb"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}\.\d{1,3}\.\d{1,3})?")
MAC: Final = compile_(
    rb"\b[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})\b|"
    rb"\b[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\b"
)

# Context: words shortly before a span that make it likely, or certain not, to be what it looks like.
ABOUT_PHONE: Final = compile_(
    rb"(?i:phone|mobile|telefon|t[\xc3]?[\xa9e]l[\xc3]?[\xa9e]phone|whatsapp|hotline|handy|m[\xc3]?[\xb3o]vil|cellular|"
    rb"(?:\b|_)(?:tel|t\xc3\xa9l|cell|fax|sms|ring|dial|msisdn)(?:\b|_)|call (?:me|us|him|her|them|at|on)\b|"
    rb"contact(?:[ _-]?(?:no|number|at))\b|answer(?:ing|s|ed)? at\b|messages? (?:to|on)\b|voice ?mail|landline|"
    rb"reach(?:ed)? (?:me |him |her |us |them )?(?:at|on|under)\b|text (?:me|him|her|us|them) (?:at|on)\b|"
    rb"my number|(?:\b|_)(?:desk|direct|office|work|home)(?: line)?: )|[a-z](?:Tel|Cell|Fax)\b"
)
ABOUT_SSN: Final = compile_(
    rb"(?i:(?:\b|_)(?:ssn|ss#|ssns|itin|tax[ _-]?id|taxpayer)|social[ _-]?sec)|[a-z](?:Ssn|SSN)\b|socialSec|[a-z]TaxId"
)
ABOUT_CARD: Final = compile_(
    rb"(?i:card|visa|master|amex|american express|credit|debit|payment|discover|diners|(?:\b|_)(?:cc|pan|ccn)(?:\b|_))"
)
CARD_LABEL: Final = compile_(
    rb"(?i:(?:\b|_)(?:cards?|cc|ccn)(?:\b|_)|credit[ _-]?card|debit[ _-]?card|card[ _-]?(?:no|num|number)|visa|"
    rb"mastercard|"
    rb"maestro|amex|diners)[^0-9]{0,40}$|[a-z]Card(?:No|Num|Number)?\b[^0-9]{0,24}$"
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
