"""Types that are looked for only when somebody names them: addresses of pages, domains, UUIDs, dates and times.

They are no personal data by themselves, and most texts are full of them. Work is linear in the text. A bare domain
counts where its top-level domain is a well-known one and it is no file name; a date where day and month exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agentflow.guard.pii.patterns import compile_

Span = tuple[int, int, float]

_URL: Final = compile_(
    rb"(?i:\b(?:https?|ftps?|sftp|wss?|file|ssh|git|s3)://|\bwww\.)[^\s<>\"'`{}|\\^\[\]]+|"
    rb"(?i:\b(?:https?|ftps?|wss?)://\[[0-9a-f:.]{2,45}\])[^\s<>\"'`{}|\\^\[\]]*"
)
_CLOSING: Final = {41: 40}  # a bracket belongs to an address that holds its opening
_UUID: Final = compile_(rb"(?i:\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)")
_DOMAIN: Final = compile_(
    rb"(?i:\b(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|co|eu|"
    rb"uk|de|fr|es|it|nl|be|ch|at|se|no|dk|fi|pl|cz|pt|ie|gr|ru|ua|tr|cn|jp|kr|in|au|nz|ca|us|mx|br|ar|cl|za|ng|ke|eg|"
    rb"il|ae|sg|hk|tw|th|vn|id|my|ph|xyz|online|site|shop|cloud|tech|store|blog|news|invalid|test|example|local)\b)"
)
_MONTH: Final = (
    rb"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    rb"nov(?:ember)?|dec(?:ember)?)"
)
_DAY: Final = rb"(?:[12]\d|3[01]|0?[1-9])"
_CLOCK: Final = rb"(?:[01]\d|2[0-3]|\d):[0-5]\d(?::(?:[0-5]\d|60)(?:[.,]\d{1,9})?)?"
_ZONE: Final = rb"(?:Z|[+-][01]\d:?[0-5]\d| ?(?i:[ap]\.?m\b\.?))?"
_DATE_TIME: Final = compile_(
    rb"\b(?:\d{4}[-/.](?:1[0-2]|0?[1-9])[-/.]" + _DAY + rb"(?:[T ]" + _CLOCK + _ZONE + rb")?|"
    rb"" + _DAY + rb"[-/.](?:1[0-2]|0?[1-9])[-/.](?:19|20)\d\d|(?:1[0-2]|0?[1-9])/" + _DAY + rb"/(?:19|20)?\d\d|"
    rb"" + _DAY + rb"(?:st|nd|rd|th|\.)? (?:of )?" + _MONTH + rb"\.?(?:,? (?:19|20)\d\d)?|"
    rb"" + _MONTH + rb"\.? " + _DAY + rb"(?:st|nd|rd|th)?(?:,? (?:19|20)\d\d)?|" + _CLOCK + _ZONE + rb")"
)
_GLUED: Final = re.compile(rb"[\w:/-]|\.\d")


def url(data: bytes) -> Iterator[Span]:
    """Addresses with a scheme, or that begin with `www.` (RFC 3986); closing punctuation is the sentence's."""
    for match in _URL.finditer(data):
        start, end = match.span()
        while end > start:
            last = data[end - 1]
            unopened = last in _CLOSING and data.count(bytes([_CLOSING[last]]), start, end) < data.count(
                bytes([last]), start, end
            )
            if last not in b".,;:!?" and not unopened:
                break
            end -= 1
        yield start, end, 0.9


def domain_name(data: bytes) -> Iterator[Span]:
    """Names of hosts (RFC 1035) under a well-known top-level domain, by themselves or in an address."""
    for match in _DOMAIN.finditer(data):
        start, end = match.span()
        before = data[start - 1 : start] if start else b""
        if before in (b"@", b"_", b".", b"-") or data[end : end + 1] in (b"(", b"@", b"_", b"-"):
            continue
        if data[end : end + 1] == b"." and data[end + 1 : end + 2].isalnum():
            continue
        yield start, end, 0.7


def uuid(data: bytes) -> Iterator[Span]:
    """UUIDs as RFC 9562 writes them."""
    for match in _UUID.finditer(data):
        yield *match.span(), 0.9


def date_time(data: bytes) -> Iterator[Span]:
    """Dates and times in the forms of ISO 8601, RFC 3339 and everyday English writing."""
    for match in _DATE_TIME.finditer(data):
        start, end = match.span()
        if (start and data[start - 1] in b".:/-+") or _GLUED.match(data, end):
            continue
        yield start, end, 0.75
