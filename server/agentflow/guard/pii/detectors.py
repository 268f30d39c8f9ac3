"""One function per kind of value: candidates from `patterns.py`, judged by their neighbours and `validators.py`.

A detector takes the bytes of a text and yields `(start, end, score)` in byte offsets. It never yields a span that
is part of a longer number or word, and runs in time linear in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from agentflow.guard.pii import by_request
from agentflow.guard.pii import patterns as p
from agentflow.guard.pii import validators as v

Span = tuple[int, int, float]
Detector = Callable[[bytes], Iterator[Span]]

_CONTEXT: Final = 48
_DIGITS: Final = bytes(range(48, 58))
_WORD: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NOT_DIGIT: Final = bytes(set(range(256)) - set(_DIGITS))
_FILE_ENDINGS: Final = frozenset(
    b"png jpg jpeg gif svg webp ico js mjs cjs ts tsx jsx css scss json md py html htm txt yml yaml toml xml lock log "
    b"tar gz zip so dll exe whl jar rs go rb java cpp pdf csv".split()
)
_ARCHIVES: Final = re.compile(rb"\.(?:tar|whl|zip|so|dll|exe|gz|jar|deb|rpm|dist|egg|tgz|bz2|xz|nupkg)\b")
_NUMBER_BEFORE: Final = re.compile(rb"\d[,.:/-]$")
_TOKEN: Final = re.compile(rb"[A-Za-z_]+_[0-9a-fA-F]{8,16}\b")
_NEAR: Final = 32
_DECIMAL: Final = re.compile(rb"\d{1,3}\.\d{4,}")
# `phone_verified`, `mobileCount`: a member about a phone that is no phone; `<PHONE_1f3a9c2e>` says nothing either.
_NO_PHONE: Final = re.compile(
    rb"[_-]?(?:id|verified|confirmed|enabled|type|model|count|valid|status|hash|country|version|at|index|length|os)s?\b|"
    rb"(?:Id|Verified|Confirmed|Enabled|Type|Model|Count|Valid|Status|Hash|Country|Version|At)\b|_?[0-9a-fA-F]{8,16}\b"
)
_DOTTED: Final = re.compile(rb"\+(\d{1,3})\.\d{4,}")
_FOURS: Final = re.compile(rb"\d{4}([ .-])\d{4}\1\d{4}(?:\1\d{4})*")
# Rows of four hexadecimal digits, some of which have no letters.
_CODES_AFTER: Final = re.compile(rb" (?=\d{0,3}[A-Fa-f])[0-9A-Fa-f]{4}\b")
_CODES_BEFORE: Final = re.compile(rb"\b(?=\d{0,3}[A-Fa-f])[0-9A-Fa-f]{4} (?:\d{4} )?$")
_PHONE_SIGNED: Final = re.compile(rb"[- ]{1,3}\(?(?i:office|fax|mobile|cell|home|work|tel)\b")  # in signatures
_DATE: Final = re.compile(rb"(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d")
_GROUPED_CARD: Final = re.compile(r"\d{4}([ .-])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|3\d{3}([ .-])\d{6}\2\d{4,5}")
_SPELLED_CARD: Final = re.compile(r"\d(?:[ .-]\d){12,18}")


def _digits(data: bytes) -> str:
    return data.translate(None, _NOT_DIGIT).decode("ascii")


def _before(data: bytes, start: int) -> bytes:
    """What stands before a span, without tokens: `<PHONE_1f3a9c2e>` says nothing about the number after it."""
    before = data[max(0, start - _CONTEXT) : start]
    return _TOKEN.sub(b"", before) if b"_" in before else before


def _free(data: bytes, start: int, end: int) -> bool:
    """Whether the span is not glued to a longer word or number (`x123`, `12.123`, `123-4`)."""
    if start:
        before = data[start - 1]
        if before in _WORD:
            return False
        if before in b"-./+" and start > 1 and data[start - 2] in _DIGITS:
            return False
    if end < len(data):
        after = data[end]
        if after in _WORD:
            return False
        if after in b"-./" and end + 1 < len(data) and data[end + 1] in _DIGITS:
            return False
    return True


def email(data: bytes) -> Iterator[Span]:
    for match in p.EMAIL.finditer(data):
        start, end = match.span()
        text = data[start:end]
        local, _, domain = text.replace(b"%40", b"@").rpartition(b"@")
        if domain == b"redacted.invalid" or (domain.count(b".") == 1 and _is_file(domain)):
            continue
        if local == b"git" and data[end : end + 1] in (b":", b"/"):  # git@github.com:owner/repo
            continue
        yield start + _local_part(local), end - _beyond_domain(domain), 0.95


def email_spelled(data: bytes) -> Iterator[Span]:
    for match in p.EMAIL_SPELLED.finditer(data):
        yield *match.span(), 0.85


def _is_file(domain: bytes) -> bool:
    """`icon@2x.png`, `chunk@3.js`: a file name, not a mail domain."""
    name, _, ending = domain.rpartition(b".")
    return ending.lower() in _FILE_ENDINGS and (name[:1].isdigit() or len(name) <= 2)


def _beyond_domain(domain: bytes) -> int:
    """Bytes after an ASCII top-level domain that are the next word or punctuation of another script."""
    ending = domain.rpartition(b".")[2]
    return len(ending.lstrip(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) if ending[0] < 128 else 0


def _local_part(local: bytes) -> int:
    """Offset at which the local part starts: after punctuation, or words of a script that is written without spaces."""
    if local.isascii():
        return 0
    text = local.decode("utf-8", "replace")
    cut = 0
    for index, char in enumerate(text):
        if ord(char) >= 0x2E80 or (ord(char) > 127 and not char.isalpha()):
            cut = index + 1
    return len(text[:cut].encode()) if cut < len(text) else 0


def phone_nanp(data: bytes) -> Iterator[Span]:
    return _national(data, p.PHONE_NANP, 0.85)


def phone_national(data: bytes) -> Iterator[Span]:
    return _national(data, p.PHONE_NATIONAL, 0.7)


def _national(data: bytes, pattern: Any, score: float) -> Iterator[Span]:
    for match in pattern.finditer(data):
        start, end = match.span()
        last = _extension(data, end)
        if _free(data, start, last) and not _in_row(data, start, end):
            yield _opened(data, start, end), last, score


def phone_international(data: bytes) -> Iterator[Span]:
    for match in p.PHONE_INTERNATIONAL.finditer(data):
        start, end = match.span()
        if start and (data[start - 1] in _WORD or data[start - 1] in b"+."):
            continue
        prefix = 1 if data[start] == 43 else 2
        if prefix == 2 and _NUMBER_BEFORE.search(data, max(0, start - 2), start):  # 507,008.00
            continue
        dotted = _DOTTED.fullmatch(data, start, end)
        if dotted and not v.calling_code(dotted[1].decode()):  # +3.566246: a decimal; +1.4155552671: RFC 5733
            continue
        if prefix == 2 and _FOURS.fullmatch(data, start, end):  # code points, serial numbers
            continue
        least, most = v.phone_length(_digits(data[start + prefix : start + prefix + 4]))
        trunk = data.find(b"(0)", start, end) >= 0  # +41 (0)44 …: written, not dialled
        least, most = least + trunk, most + trunk
        end = _cut(data, start + prefix, end, most)
        count = len(_digits(data[start + prefix : end]))
        spaced = end - start > count + prefix
        if not least <= count <= most or (prefix == 2 and (not spaced or _DATE.search(data, start, end))):
            continue
        end = _extension(data, end)
        if end == len(data) or data[end] not in _WORD:
            yield start, end, 0.9


def _cut(data: bytes, start: int, end: int, most: int) -> int:
    """Drop trailing groups until at most `most` digits remain: the number next to a phone is not part of it."""
    while end > start and len(_digits(data[start:end])) > most:
        groups = re.split(rb"[^0-9]+", data[start:end])
        if len(groups) < 2:
            return end
        end = start + len(data[start:end].rstrip(_DIGITS).rstrip(b" .-/()"))
    return end


def _extension(data: bytes, end: int) -> int:
    match = p.EXTENSION.match(data, end, min(end + 12, len(data)))
    return match.end() if match else end


def _opened(data: bytes, start: int, end: int) -> int:
    """Where a number starts when the bracket before it encloses more than its area code."""
    return start + (data[start] == 40 and data.count(b"(", start, end) > data.count(b")", start, end))


def _in_row(data: bytes, start: int, end: int) -> bool:
    """Whether the span stands in a row of numbers separated by single spaces (a table, a matrix)."""
    if b" " not in data[start:end] or data[start] in b"(1":
        return False
    left = start > 1 and data[start - 1] == 32 and data[start - 2] in _DIGITS
    right = end + 1 < len(data) and data[end] == 32 and data[end + 1] in _DIGITS
    return left or right


def phone_by_context(data: bytes) -> Iterator[Span]:
    words = [match.end() for match in p.ABOUT_PHONE.finditer(data) if not _NO_PHONE.match(data, match.end())]
    for match in p.PHONE_ANY.finditer(data):
        start, end = match.span()
        near = bisect_right(words, start) - 1
        named = near >= 0 and start - words[near] < _NEAR and _says_phone(data[words[near] : start])
        if not (named or _PHONE_SIGNED.match(data, end)) or not 7 <= len(_digits(data[start:end])) <= 15:
            continue
        last = _extension(data, end)
        if _DATE.search(data, start, end) or _DECIMAL.fullmatch(data, start, end):
            continue
        if _free(data, start, last):
            yield _opened(data, start, end), last, 0.75


def _says_phone(between: bytes) -> bool:
    """Whether a word about phones still speaks of the number after `between`: not of a second one."""
    if p.NOT_PHONE.search(between):
        return False
    first, line, _ = between.partition(b"\n")
    return not line or (b":" in first and len(_digits(between)) < 7)


def card(data: bytes) -> Iterator[Span]:
    for match in p.DIGIT_CLUSTER.finditer(data):
        start, end = match.span()
        if start > 1 and data[start - 1] in b".+" and (data[start - 2] in _DIGITS or data[start - 2] == 91):
            continue  # a decimal, or the weights of a collation
        if not (_CODES_AFTER.match(data, end) or _CODES_BEFORE.search(data, max(0, start - 10), start)):
            yield from _cards_in(data, start, end)


def _cards_in(data: bytes, start: int, end: int) -> Iterator[Span]:
    text = data[start:end].decode("ascii")
    if end < len(data) and data[end] in _WORD:  # 4111111111111111abc: part of an identifier
        text = text[: max(text.rfind(" "), text.rfind("-"), text.rfind("."), 0)]
    if text.isdigit():
        if v.card(text) and _card_context(data, start, len(text)):
            yield start, start + len(text), 0.95
        elif v.any_card(text) and p.CARD_LABEL.search(_before(data, start)):
            yield start, start + len(text), 0.8
        return
    yield from _grouped_cards(text, start)
    for part in re.finditer(r"(?<![.\d])\d{13,19}(?!\d|\.\d*[1-9])", text):
        if v.card(part.group()) and _card_context(data, start + part.start(), part.end() - part.start()):
            yield start + part.start(), start + part.end(), 0.95
    digits = _digits(text.encode()) if len(text) <= 40 else ""
    if not v.card(digits) and v.any_card(digits) and p.CARD_LABEL.search(_before(data, start)):
        yield start, start + len(text), 0.69
    if not v.card(digits):
        return
    if _SPELLED_CARD.fullmatch(text) or p.ABOUT_CARD.search(_before(data, start)):  # any grouping, said to be a card
        yield start, start + len(text), 0.7


def _grouped_cards(text: str, offset: int) -> Iterator[Span]:
    position = 0
    while match := _GROUPED_CARD.search(text, position):
        first, last = match.span()
        whole = (first == 0 or text[first - 1] in " .-") and (last == len(text) or text[last] in " .-")
        if whole and v.card(_digits(match.group().encode())):
            yield offset + first, offset + last, 0.95
            position = last
        else:
            position = first + 4


def _card_context(data: bytes, start: int, length: int) -> bool:
    before = _before(data, start)
    if p.ABOUT_CARD.search(before):
        return True
    return length in (14, 15, 16) and not p.ABOUT_ID.search(before)


def ssn(data: bytes) -> Iterator[Span]:
    for start, end in _ssns(data):
        if data[start + 3] == 45:  # dashes: nothing else is written like this
            yield start, end, 0.85


def ssn_by_context(data: bytes) -> Iterator[Span]:
    for start, end in _ssns(data):
        if data[start + 3] != 45 and _says_ssn(_before(data, start)):
            yield start, end, 0.8


def _ssns(data: bytes) -> Iterator[tuple[int, int]]:
    for match in p.SSN.finditer(data):
        start, end = match.span()
        if _free(data, start, end) and v.ssn(_digits(data[start:end])):
            yield start, end


def _says_ssn(before: bytes) -> bool:
    """Whether a word about social security numbers speaks of what follows: it has not had its number already."""
    about = [match.end() for match in p.ABOUT_SSN.finditer(before)]
    return bool(about) and (b"\n" not in before or len(_digits(before[about[-1] :])) < 7)


def iban(data: bytes) -> Iterator[Span]:
    position = 0
    while match := p.IBAN.search(data, position):
        start = match.start()
        position = start + 4
        length = v.IBAN_LENGTH.get(data[start : start + 2].decode("ascii").upper(), 0)
        end = _iban_end(data, start, length) if length else 0
        if not end:
            continue
        compact = data[start:end].translate(None, b" -").decode("ascii")
        if not v.iban(compact):
            continue
        if compact[:2].isupper() or p.ABOUT_IBAN.search(_before(data, start)):
            yield start, end, 0.98
            position = end


def _iban_end(data: bytes, start: int, length: int) -> int:
    """Where `length` letters and digits with at most single separators end, or 0 when they are not a whole word."""
    match = _iban_shape(length).match(data, start)
    return match.end() if match else 0


@cache
def _iban_shape(length: int) -> re.Pattern[bytes]:
    return re.compile(rb"[A-Za-z0-9](?:[ -]?[A-Za-z0-9]){%d}(?![A-Za-z0-9_])" % (length - 1))


def ip(data: bytes) -> Iterator[Span]:
    for match in p.IPV4.finditer(data):
        start, end = match.span()
        if not _free_ip(data, start, end) or not v.public_ipv4(data[start:end].decode("ascii")):
            continue
        if not p.ABOUT_VERSION.search(_before(data, start)):
            yield start, end, 0.8


def _free_ip(data: bytes, start: int, end: int) -> bool:
    if start and (data[start - 1] == 46 or data[start - 1] in _WORD):
        return False
    after, beyond = data[end : end + 1], data[end + 1 : end + 2]
    if (after == b"." and beyond.isdigit()) or (after == b"-" and beyond.isalpha()):  # 1.2.3.4.5, 1.2.3.4-beta
        return False
    return not _ARCHIVES.match(data, end)


def ipv6(data: bytes) -> Iterator[Span]:
    for match in p.IPV6.finditer(data):
        start, end = match.span()
        if start and (data[start - 1] in b":." or (data[start - 1] in _WORD and data[start] != 58)):
            continue
        text = data[start:end].decode("ascii")
        if text[0] == ":" and text[1] != ":":  # `ip:2001:db8::1`
            text, start = text[1:], start + 1
        elif start and data[start - 1] in _WORD:  # std::add
            continue
        if end < len(data) and (data[end] in _WORD or data[end] == 58):
            continue
        if text[-1] == ":" and text[-2] != ":":  # `2001:db8::1: timed out`
            text, end = text[:-1], end - 1
        if v.host_ipv6(text):
            yield start, end, 0.85


def mac(data: bytes) -> Iterator[Span]:
    for match in p.MAC.finditer(data):
        start, end = match.span()
        text = data[start:end]
        if data[max(0, start - 1) : start] in (b":", b"-", b"."):
            continue
        if data[end : end + 1] in (b":", b"-", b".") and data[end + 1 : end + 2].isalnum():
            continue
        letters = text.translate(None, b"0123456789:-.")
        if (b":" not in text and not letters) or text.translate(None, b":-.").strip(text[:1]) == b"":
            continue
        yield start, end, 0.85


# Trigger name -> (type, detector). The order is that of the trigger set.
DETECTORS: Final[dict[str, tuple[str, Detector]]] = {
    "email": ("EMAIL", email),
    "email_spelled": ("EMAIL", email_spelled),
    "phone_international": ("PHONE", phone_international),
    "phone_nanp": ("PHONE", phone_nanp),
    "phone_national": ("PHONE", phone_national),
    "phone_context": ("PHONE", phone_by_context),
    "digits_card": ("CARD", card),
    "ssn_context": ("SSN", ssn_by_context),
    "digits_ssn": ("SSN", ssn),
    "iban": ("IBAN", iban),
    "ipv4": ("IP", ip),
    "ipv6": ("IP", ipv6),
    "mac": ("MAC", mac),
    "url": ("URL", by_request.url),
    "domain": ("DOMAIN_NAME", by_request.domain_name),
    "uuid": ("UUID", by_request.uuid),
    "date_time": ("DATE_TIME", by_request.date_time),
}
