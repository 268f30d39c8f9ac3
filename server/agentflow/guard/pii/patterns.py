"""The patterns of the hot tier, for google-re2 over UTF-8 bytes (linear time; no look-around, no back-references).

A *trigger* is a cheap, over-eager sign that a detector is worth running; all triggers run as one automaton. A
*pattern* proposes a span; `detectors.py` decides. Whatever look-around would have said is said there.
Sources: Presidio's recognisers, gitleaks' rules and the vendors' own documentation of key formats.
"""

from __future__ import annotations

import re
from typing import Any, Final

import re2

from agentflow.guard.pii.validators import IBAN_LENGTH

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


# What may stand to the left of a word or number: in serialised JSON the end of an escape (`\\n`) as well.
_EDGE: Final = rb"(?:\b|_|\\[nrtbf])"
# Digits with at most three other signs, or an escape, between two of them.
_NEXT_DIGIT: Final = rb"(?:[^0-9A-Za-z]{0,3}|\\+[nrtbf])\d"


def cluster(count: int) -> bytes:
    """Return the pattern of `count` digits that may belong to one number; for `trigger_set` only."""
    return rb"\d(?:%s){%d}" % (_NEXT_DIGIT, count - 1) if count > 1 else rb"\d"


def signed(words: bytes, count: int) -> bytes:
    """Return the pattern of one of `words` and, anywhere after it, a number of `count` digits."""
    return rb"(?:%s)(?s:.*)%s" % (words, cluster(count))


def around(words: bytes, count: int) -> bytes:
    """Return the pattern of one of `words` and, anywhere before or after it, a number of `count` digits."""
    return signed(words, count) + rb"|%s(?s:.*)(?:%s)" % (cluster(count), words)


def edged(pattern: bytes) -> bytes:
    """Return a pattern whose words and numbers may follow an escape of serialised JSON; for `trigger_set` only."""
    return pattern.replace(rb"(?:\b|_)", _EDGE).replace(rb"\b", _EDGE)


EMAIL: Final = compile_(
    rb"[\w\x80-\xff](?:[\w.+%'\x80-\xff-]*[\w+%\x80-\xff-])?(?:@|%40)"
    rb"(?:[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff-]*[A-Za-z0-9\x80-\xff])?\.)+[A-Za-z\x80-\xff]{2,24}"
)
# `alice [at] example (dot) com`: brackets that nobody writes around these words elsewhere.
EMAIL_SPELLED: Final = compile_(
    rb"\b[A-Za-z0-9](?:[\w.+-]{0,62}[\w+])? ?[\[({] ?(?i:at|@) ?[\])}] ?"
    rb"[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:(?: ?[\[({] ?(?i:dot|\.) ?[\])}] ?|\.)[A-Za-z0-9-]{1,62}){1,4}\b"
)
PHONE_INTERNATIONAL: Final = compile_(rb"(?:\+ ?|\b00)[1-9]\d{0,14}(?:[ .\-/]{0,2}(?:\(\d{1,5}\)|\d{1,12})){0,7}")
_NANP: Final = (
    rb"(?:\b1[ .\-]?)?\([2-9]\d{2}\)[ .\-]?[2-9]\d{2}[ .\-]?\d{4}|"
    rb"\b(?:1-)?[2-9]\d{2}-[2-9]\d{2}-\d{4}|\b(?:1\.)?[2-9]\d{2}\.[2-9]\d{2}\.\d{4}|"
    rb"\b(?:1 )?[2-9]\d{2} [2-9]\d{2}[ \-]\d{4}"
)
PHONE_NANP: Final = compile_(_NANP)
_NATIONAL: Final = (
    rb"\b0[1-9](?: \d{2}){4}|\b0[1-9](?:\.\d{2}){4}|\(?\b0\d{2}\)? \d{4} \d{4}|\(?\b0\d{3}\)? \d{3} \d{4}|"
    rb"\(?\b0\d{4}\)? \d{3} ?\d{3}|\b0[1-9]\d{1,3}[/ ]\d{6,8}|\(0[1-9]\d{1,3}\) ?\d{5,8}|"
    rb"\b0[1-9]\d? \d{3} \d{2} \d{2}|\b0[1-9]\d{1,2} \d{3} \d{2} \d{2}|\b0[1-9]\d{2} \d{2} \d{2} \d{2}"
)
PHONE_NATIONAL: Final = compile_(_NATIONAL)
PHONE_ANY: Final = compile_(rb"\(?\b\d(?:[ .\-/()]{0,2}\d){6,14}")
EXTENSION: Final = re.compile(rb" ?(?:x|ext\.?|#) ?\d{1,5}")
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
_PHONE_WORDS: Final = (
    rb"(?i:phone|mobile|telefon|t[\xc3]?[\xa9e]l[\xc3]?[\xa9e]phone|whatsapp|hotline|handy|m[\xc3]?[\xb3o]vil|cellular|"
    rb"(?:\b|_)(?:tel|t\xc3\xa9l|cell|fax|sms|ring|dial|msisdn)(?:\b|_)|call (?:me|us|him|her|them|at|on)\b|"
    rb"contact(?:[ _-]?(?:no|number|at))\b|answer(?:ing|s|ed)? at\b|messages? (?:to|on)\b|voice ?mail|landline|"
    rb"reach(?:ed)? (?:me |him |her |us |them )?(?:at|on|under)\b|text (?:me|him|her|us|them) (?:at|on)\b|"
    rb"my number|(?:\b|_)(?:desk|direct|office|work|home)(?: line)?: )|[a-z](?:Tel|Cell|Fax)\b"
)
ABOUT_PHONE: Final = compile_(_PHONE_WORDS)
_SSN_WORDS: Final = (
    rb"(?i:(?:\b|_)(?:ssn|ss#|ssns|itin|tax[ _-]?id|taxpayer)|social[ _-]?sec)|[a-z](?:Ssn|SSN)\b|socialSec|[a-z]TaxId"
)
ABOUT_SSN: Final = compile_(_SSN_WORDS)
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

# Triggers by detector name. Each must fire wherever its detector can find something, in a text and in serialised JSON.
TRIGGERS: Final[dict[str, bytes]] = {
    "email": rb"[\w%+'\"\x80-\xff-](?:@|%40)[A-Za-z0-9\x80-\xff]",
    "email_spelled": rb"[\[({] ?(?i:at|@) ?[\])}] ?[A-Za-z0-9]",
    "phone_international": rb"(?:\+ ?|" + _EDGE + rb"00)[1-9](?:[ .()/\-]{0,4}\d){5}",
    "phone_nanp": edged(_NANP),
    "phone_national": edged(_NATIONAL),
    "phone_context": around(edged(_PHONE_WORDS), 7),
    "digits_card": rb"\d(?:[ .\-]?\d){11}",
    "ssn_context": signed(edged(_SSN_WORDS), 9),
    "digits_ssn": rb"\d{3}-\d{2}-\d{4}",
    "iban": rb"(?i:" + b"|".join(code.encode() for code in sorted(IBAN_LENGTH)) + rb")\d{2}"
    rb"[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{3}",
    "ipv4": rb"\d\.\d{1,3}\.\d{1,3}\.\d",
    "ipv6": rb"::|(?:[0-9A-Fa-f]{1,4}:){6}",
    "url": rb"://|(?i:www\.)",
    "domain": rb"[0-9A-Za-z]\.[A-Za-z]{2}",
    "uuid": rb"[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-",
    "date_time": rb"\d[-/.:]\d|\d(?:st|nd|rd|th|\.)? (?:of )?[A-Za-z]{3}|[A-Za-z]{3}\.? \d",
    "mac": rb"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
}
