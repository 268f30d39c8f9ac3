"""The parts of a text by which it is known again: identifying values, shingles of words, stems.

Canonical forms only, so that case, punctuation, brackets and a `mailto:` make no difference. Everything here is linear
in the text and keeps nothing. A shingle is three words in a row of four letters or more, hashed (Broder 1997); those
that start with a word of seven letters or more are kept (content-defined sampling, as in winnowing: Schleimer 2003).
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final
from urllib.parse import unquote
from zlib import crc32

import re2


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SEPARATING: Final = "\"'`,;!?()[]{}<>|=*\\\t\n\r\x0b\x0c$"
_SPACED: Final = str.maketrans(dict.fromkeys(_SEPARATING, " "))
_BLANKED: Final = bytes.maketrans(_SEPARATING.encode(), b" " * len(_SEPARATING))
_MARKS: Final = tuple(mark.encode() for mark in "\u201c\u201d\u2018\u2019«»€£")
_URL: Final = re.compile(r"[a-z]+://[^\s\"'<>)\]}]+")
_EDGES: Final = ".:-/&"
_STEM: Final = re.compile(r"[^\W_]{3,}|\d+")
_NAME: Final = re.compile(r"[A-Z][a-zà-ÿ]+ [A-Z][a-zà-ÿ]+")
_THOUSANDS: Final = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_GROUPED: Final = re.compile(r"\b[a-z]{2}\d\d [0-9a-z]{4}(?: \d{2,4}){1,7}\b")
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_PHONE: Final = re2.compile(
    r"(?:^|[^\w.+-])((?:\+|\(?0)\d[\d ()./-]{6,20}\d|\d\d(?: \d\d){3,4}\b)", _OPTIONS
)  # no look-around: ten times as fast
_IBAN: Final = re.compile(r"[a-z]{2}\d\d")
_SPLIT: Final = re.compile(r"\b\d{3}[ -]\d{3}\b")
_APART: Final = re.compile(r"\D")
_AT: Final = re.compile(r"(?: ?[\[({] ?at ?[\])}] ?| at )")
_DOT: Final = re.compile(r"(?: ?[\[({] ?dot ?[\])}] ?| dot )")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_TOKEN: Final = re.compile(
    r"(?:redacted_)?([a-z][a-z0-9_]{1,31}_(?:[0-9a-f]{16}|[0-9a-f]{12}|[0-9a-f]{8}))(?:@redacted\.invalid)?"
)
_COMMON: Final = _set(
    "the and for with from this that your you our are was were will can has have had not but all any its his her they "
    "them their who what when where which into over under about than then also please now new one two use using via "
    "per out off how why let may must should would could there here been being does did just only very more most some "
    "such each other these those"
)
_STANDARD: Final = str.maketrans("-_", "+/")
_LONGEST: Final = 512


def plain(text: str) -> str:
    """`text` in lower case, with numbers written without thousands separators."""
    text = text.lower()
    return _THOUSANDS.sub("", text) if "," in text else text


def pieces(text: str) -> list[str]:
    """The parts of a text between blanks, quotes, brackets and the like."""
    if not text.isascii():  # as bytes: three times as fast
        raw = text.encode("utf-8", "surrogatepass").translate(_BLANKED)
        for mark in _MARKS:
            if mark in raw:
                raw = raw.replace(mark, b" ")
        text = raw.decode("utf-8", "surrogatepass")
    else:
        text = text.translate(_SPACED)
    return text.replace(". ", " ").replace(": ", " ").split()


def values(low: str) -> list[str]:
    """The identifying values in a text that `plain` made: whatever is no plain word and at least four long.

    E-mail addresses, URLs (and their hosts), hosts, numbers, account numbers, ids, handles, paths, tokens. Years and
    dates identify nothing.
    """
    return identifying(pieces(low))


def telling(parts: Iterable[str]) -> list[str]:
    """Those `pieces` that are no plain words: the only ones that identify anything."""
    return [part for part in parts if len(part) > 3 and not part.isalpha()]


def identifying(parts: Iterable[str]) -> list[str]:
    """The same, of `pieces` that are in lower case."""
    found: list[str] = []
    for part in telling(parts):
        part = part.strip(_EDGES)
        if len(part) < 4 or part.isalpha() or len(part) > _LONGEST:
            continue
        if "_" in part and (token := _TOKEN.fullmatch(part)) is not None:
            found.append(token[1])
        elif part.isdigit():
            if len(part) > 4 or part[:2] not in ("19", "20"):
                found.append(part)
        elif ":" in part or "/" in part:
            found += _addressed(part)
        elif part.count(".") > 1 and "@" not in part:
            found += (part, domain_of(part))
            if len(bare := part.replace(".", "")) > 7 and bare.isdigit():
                found.append(bare)
        elif "-" in part:
            bare = part.replace("-", "")
            if not bare.isalpha() and not (len(part) == 10 and bare.isdigit() and part[4] == part[7] == "-"):
                found.append(part)
        elif "." in part and part.replace(".", "", 1).isdigit():
            found.append(part.rstrip("0").rstrip("."))
        else:
            found.append(part)
    return found


def _addressed(part: str) -> list[str]:
    scheme, mark, rest = part.partition("://")
    if mark:
        host = host_of(part)
        return [part, host, domain_of(host)] if rest else []
    if scheme.startswith(("mailto:", "tel:", "sms:")):
        return values(part.partition(":")[2].partition("?")[0])
    first, slash, _ = part.partition("/")
    if slash and "." in first and not first.startswith("."):
        return [part, first]
    label, colon, value = part.partition(":")
    if colon and label.isalpha() and "/" not in part:
        return values(value)
    return [part] if any(map(str.isalnum, part)) else []


def grouped(low: str, parts: Collection[str]) -> list[str]:
    """What is written apart, together: account numbers (ISO 13616) in groups, `eve [at] example [dot] org`.

    Args:
        parts: the `pieces` of `low`, in any order.
    """
    found = []
    if any(map(_IBAN.match, [part[-4:] for part in parts if 3 < len(part) < 7])):
        found = [one.replace(" ", "") for one in _GROUPED.findall(low)]
    if sum(map(str.isdigit, [part for part in parts if len(part) == 3])) > 1:  # a code that is shown in two halves
        found += [one[:3] + one[4:] for one in _SPLIT.findall(low)]
    if "dot" in parts:
        found += [value for value in values(_DOT.sub(".", _AT.sub("@", low))) if "@" in value[1:]]
    return found


def phones(low: str, parts: Iterable[str]) -> list[str]:
    """Telephone numbers by their last eight digits, however they are written and whichever country code stands before.

    ITU-T E.164 allows fifteen digits; eight tell two numbers apart in one conversation.

    Args:
        parts: the `pieces` of `low`, in any order.
    """
    if not any(part[0] in "+0" or (len(part) == 2 and part.isdigit()) for part in parts):
        return []
    digits = [_APART.sub("", one) for one in _PHONE.findall(low)]
    return [f"tel:{one[-8:]}" for one in digits if 7 < len(one) < 16]


def composed(found: list[str]) -> list[str]:
    """What account numbers and the like stand in names of several parts: `arn:aws:iam::718220114433:root`."""
    return [
        part
        for value in found
        if ":" in value and "://" not in value
        for part in value.replace("/", ":").split(":")
        if len(part) > 5 and any(map(str.isdigit, part)) and part != value
    ]


def urls(low: str) -> list[str]:
    """The URLs in a text, whole: with what `values` takes apart."""
    return [url.rstrip(".,;:!?") for url in _URL.findall(low)] if "://" in low else []


def host_of(url: str) -> str:
    """The host of a URL, lower case, without user and port; `url` itself where it is none."""
    return (
        url.partition("://")[2].split("/")[0].split("?")[0].split("#")[0].rpartition("@")[2].partition(":")[0].lower()
    )


def domain_of(host: str) -> str:
    """The last two labels of a host (no list of public suffixes is consulted)."""
    return ".".join(host.split(".")[-2:])


def names(text: str) -> list[str]:
    """Pairs of capitalised words, lower case: people, streets, firms."""
    return [name.lower() for name in _NAME.findall(text)]


def shingles(parts: list[str]) -> list[int]:
    """Hashes (32 bits) of three words in a row, of `pieces` in lower case."""
    words = [part for part in parts if len(part) > 3]
    return [
        crc32(" ".join(words[at : at + 3]).encode("utf-8", "replace"))
        for at, word in enumerate(words[:-2])
        if len(word) > 6
    ]


def words(low: str) -> list[str]:
    """The words of a sentence that say something."""
    return [word for word in _STEM.findall(low) if word not in _COMMON]


def stems(low: str) -> frozenset[int]:
    """Hashes of what the words of a sentence begin with, common words left out."""
    return stemmed(words(low))


def stemmed(found: list[str]) -> frozenset[int]:
    """The same, of `words`."""
    return frozenset(crc32(word[:5].encode("utf-8", "replace")) for word in found)


def plainly_said(split: list[str]) -> bool:
    """Whether `pieces` are a language as it is written: enough of its commonest words, so no text backwards."""
    return 10 * sum(1 for word in split if word in _COMMON) >= len(split)


def hashed(value: str) -> int:
    """32 bits by which a value is known again."""
    return crc32(value.encode("utf-8", "replace"))


def decoded(text: str, turned: bool = True) -> Iterator[str]:
    """What a text says in disguise: percent, base64 and hex in it undone, nested twice.

    Args:
        turned: also the text backwards and in rot13.
    """
    level = [text[:16_384]]
    for _ in range(2):
        below: list[str] = []
        for here in level:
            if "%" in here and (bare := unquote(here)) != here:
                below.append(bare)
            below += _unpacked(here)
        yield from below
        level = below
    if turned and 24 <= len(text) <= 8192:
        yield text[::-1]
        yield codecs.decode(text, "rot13")


def _unpacked(text: str) -> Iterator[str]:
    for run in _BASE64.findall(text)[:32]:
        try:
            raw = bytes.fromhex(run) if len(run) % 2 == 0 and run.isalnum() else b""
        except ValueError:
            raw = b""
        if not raw:
            body = run.rstrip("=")
            try:
                raw = base64.b64decode(body.translate(_STANDARD) + "=" * (-len(body) % 4))
            except (binascii.Error, ValueError):
                continue
        try:
            said = raw.decode()
        except UnicodeDecodeError:
            continue
        if said.isprintable() or "\n" in said:
            yield said
