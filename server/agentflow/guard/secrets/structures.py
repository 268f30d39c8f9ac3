"""Secrets that their surroundings give away: key blocks, JSON web tokens, credentials in addresses and headers.

Each detector takes the bytes of a text and yields `(start, end, score, type)` in byte offsets, in linear time.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Final

from agentflow.guard.secrets import looks
from agentflow.guard.secrets.formats import compiled
from agentflow.guard.spans import Span

_LONGEST_BLOCK: Final = 16_384
_BEGIN: Final = r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----"
_END: Final = r"KEY(?: BLOCK)?-----"
_BODY: Final = r"(?:[A-Za-z0-9+/=\s\\:,.()]|-[A-Za-z0-9])*"
_JWT: Final = (
    r"\bey[A-Za-z0-9_-]{15,}\.(?:ey[A-Za-z0-9_/\\-]{15,}|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*)"
    r"(?:\.[A-Za-z0-9_/\\-]*){0,3}={0,2}"
)
_SHORT_JWT: Final = r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
_ENCODED_JWT: Final = r"\bZXlK[A-Za-z0-9+/_-]{60,}={0,2}"
_URL: Final = r"[A-Za-z][A-Za-z0-9+.\-]*://([^\s/:@\"'<>\[\]]*:[^\s/@\"'<>\[\]]+)@"
_HEADER: Final = (
    r"(?i:authorization[\"']?\s{0,3}[:=,]\s{0,3}\\?[\"']?(?:bearer|basic|token|apikey|api-token|ssws|negotiate|digest)\s{1,3}|"
    r"\bbearer\s{1,3})([A-Za-z0-9._~+/=@-]{8,})"
)
_USER: Final = r"(?:\s-u|\s--user|\s--proxy-user)[\s=]{0,3}[\"']?([^\s:\"'$<{]*:[^\s\"']{3,})"
_MANIFEST_DATA: Final = r"(?i:\\?[\"']?\b(?:string)?data\\?[\"']?:[ \t]*\{?)"
_MANIFEST_ENTRY: Final = (
    r"\s*,?\s*\\?[\"']?[\w.-]{1,64}\\?[\"']?:[ \t]*(?:[|>][-+]?\s+)?\\?[\"']?([A-Za-z0-9+/]{8,}={0,2})\\?[\"']?"
)
_PUTTY: Final = r"Private-Lines: [0-9]+\s+((?:[A-Za-z0-9+/=]{1,64}\s*)+)"


def blocks(data: bytes) -> Iterator[Span]:
    """PEM, OpenSSH, PGP (RFC 7468, RFC 9580) and PuTTY private keys, whole or cut off."""
    at = 0
    begin = compiled(_BEGIN)
    while match := begin.search(data, at):
        start, body = match.span()
        last = compiled(_END).search(data, body, min(len(data), body + _LONGEST_BLOCK))
        if last is None or b"-----BEGIN" in data[body : last.start()]:
            end = compiled(_BODY).match(data, body).end()
        else:
            end = last.end()
        yield start, end, 0.99, "PRIVATE_KEY"
        at = end
    for match in compiled(_PUTTY).finditer(data):
        yield *match.span(1), 0.99, "PRIVATE_KEY"


def json_web_tokens(data: bytes) -> Iterator[Span]:
    """JWS and JWE in compact form (RFC 7515, RFC 7516); surer where the header decodes."""
    for pattern in (_JWT, _SHORT_JWT):
        for match in compiled(pattern).finditer(data):
            start, end = match.span()
            header, _, rest = data[start:end].partition(b".")
            decodes = _decodes(header)
            if decodes or header.startswith(b"eyJ") or rest.startswith(b"ey"):
                yield start, end, 0.97 if decodes else 0.8, "JWT"


def encoded_json_web_tokens(data: bytes) -> Iterator[Span]:
    """A JWT in base64 once more, as in Kubernetes secrets."""
    for match in compiled(_ENCODED_JWT).finditer(data):
        yield *match.span(), 0.85, "JWT"


def _decodes(header: bytes) -> bool:
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))), dict)
    except (binascii.Error, ValueError):
        return False


def kubernetes_secrets(data: bytes) -> Iterator[Span]:
    """The values below `data` of a manifest of kind Secret, YAML or JSON."""
    for match in compiled(_MANIFEST_DATA).finditer(data):
        at = match.end()
        while entry := compiled(_MANIFEST_ENTRY).match(data, at):
            yield *entry.span(1), 0.9, "SECRET"
            at = entry.end()


def url_credentials(data: bytes) -> Iterator[Span]:
    """`user:password` in front of a host (RFC 3986, section 3.2.1): databases, queues, repositories."""
    for match in compiled(_URL).finditer(data):
        start, end = match.span(1)
        password = data[start:end].rpartition(b":")[2].decode("utf-8", "replace")
        if not looks.is_reference(password):
            yield start, end, 0.97, "URL_CREDENTIALS"


def headers(data: bytes) -> Iterator[Span]:
    """Credentials of an `Authorization` header (RFC 9110, section 11.6.2), or after the word bearer."""
    for match in compiled(_HEADER).finditer(data):
        start, end = match.span(1)
        value = data[start:end].rstrip(b".").decode("ascii")
        named = data[match.start()] in b"aA"
        likely = not value.islower() if named else len(value) >= 16 and any(char.isdigit() for char in value)
        if likely and not looks.stands_for_something(value) and not (value.isalpha() and looks.wordy(value)):
            yield start, start + len(value), 0.9, "API_KEY"


def curl_users(data: bytes) -> Iterator[Span]:
    """`curl -u user:password`."""
    for match in compiled(_USER).finditer(data):
        start, end = match.span(1)
        if b"curl" in data[max(0, start - 512) : start] and b"://" not in data[start:end]:
            password = data[start:end].partition(b":")[2].decode("utf-8", "replace")
            if not looks.is_reference(password):
                yield start, end, 0.85, "URL_CREDENTIALS"
