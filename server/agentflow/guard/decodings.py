"""Runs of characters that are text in another alphabet: base64, base32, hex, numbers, Morse.

Each decoder has a pattern for the runs it may read and a function that returns a run's bytes, or none where it says
nothing. What comes out counts only if it reads as text. Sources: RFC 4648, RFC 2045, ITU-R M.1677-1.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import re2

_LEAST: Final = 12  # bytes that say something
_UNPRINTED: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
_LETTERS: Final = re.compile(r"[A-Za-z ]")
_SIGNS: Final = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.. -..-. -....-"
)
_MORSE: Final = dict(zip(_SIGNS.split(), "abcdefghijklmnopqrstuvwxyz0123456789.,?/-", strict=True))


class Decoder(NamedTuple):
    """How one kind of run is found and read. `sign` is what the prefilter looks for."""

    name: str
    sign: str
    pattern: Any
    decode: Callable[[str], bytes]


def readable(data: bytes) -> str:
    """Decode bytes that are text; "" for anything else."""
    if len(data) < _LEAST:
        return ""
    text = data.decode("utf-8", "replace")  # a stray byte at the end of a run does not make it unreadable
    return text if len(_UNPRINTED.findall(text)) * 10 <= len(text) else ""


def read(decoder: Decoder, run: str) -> str:
    """Return what a run says, or ""."""
    try:
        return readable(decoder.decode(run))
    except (binascii.Error, ValueError):
        return ""


def _base64(run: str) -> bytes:
    """Decode a run; where it does not read as text, a path or the like may stand before it.

    Of one case it is an id, a path or a name: text comes out in both.
    """
    if run.islower() or run.isupper():
        return b""
    body = re.sub(r"[\r\n=]", "", run).replace("-", "+").replace("_", "/")
    for skip in range(4):
        rest = body[skip:]
        data = base64.b64decode(rest[: len(rest) - (len(rest) % 4 == 1)] + "=" * (-len(rest) % 4))
        if readable(data):
            return data
    return b""


def _base32(run: str) -> bytes:
    body = re.sub(r"[\r\n=]", "", run).upper()
    body = body[: len(body) - (0, 1, 0, 1, 0, 0, 1, 0)[len(body) % 8]]
    return base64.b32decode(body + "=" * (-len(body) % 8))


def _hex(run: str) -> bytes:
    digits = re.sub(r"0x|[^0-9a-fA-F]", "", run)
    return bytes.fromhex(digits[: len(digits) & ~1])


def _binary(run: str) -> bytes:
    digits = re.sub(r"[^01]", "", run)
    return int(digits, 2).to_bytes(len(digits) // 8, "big") if len(digits) <= 8192 else b""


def _numbers(run: str) -> bytes:
    """Character codes, in decimal or octal; a table of numbers does not read as words."""
    codes = re.findall(r"\d+", run)
    for radix in (10, 8):
        if radix == 8 and any("8" in code or "9" in code for code in codes):
            break
        values = [int(code, radix) for code in codes]
        text = "".join(map(chr, values)) if max(values) < 128 else ""
        if len(_LETTERS.findall(text)) * 5 >= len(values) * 4 and " " in text:
            return text.encode()
    return b""


def _morse(run: str) -> bytes:
    words = re.split(r"\s*/\s*|\s{3,}|\n", run.strip())
    text = " ".join("".join(_MORSE.get(sign, "") for sign in word.split()) for word in words)
    return text.encode() if len(set(text)) > 5 else b""


DECODERS: Final = (
    Decoder(
        "base64",
        r"[A-Za-z0-9+/_-]{20}",
        re.compile(r"[A-Za-z0-9+/_-]{20,}+(?:\r?\n[A-Za-z0-9+/_-]{4,76}+)*+={0,2}"),
        _base64,
    ),
    Decoder("base32", r"\b[A-Z2-7]{24}", re2.compile(r"\b[A-Z2-7]{24,}(?:\r?\n[A-Z2-7]{4,76})*={0,6}"), _base32),
    Decoder(
        "hex",
        r"(?:[0-9a-fA-F]{2}[\s:,;-]?){12}|(?:0x[0-9a-fA-F]{2}[\s:,;]+){12}",
        re.compile(
            r"[0-9a-fA-F](?:x[0-9a-fA-F]{2}(?:[ \n:,;]{0,2}0x[0-9a-fA-F]{2}){11,}+"
            r"|[0-9a-fA-F][ \n:,;-]?(?:[0-9a-fA-F]{2}[ \n:,;-]?+){11,}+)"
        ),
        _hex,
    ),
    Decoder("binary", r"(?:[01]{8}[\s,]?){6}", re2.compile(r"(?:[01]{8}[ \n,]?){6,}"), _binary),
    Decoder(
        "numbers",
        r"(?:\b\d\d\d?[\s,;]+){14}",
        re2.compile(r"(?:\b[01]?\d\d[\s,;]{1,2}){14,}(?:\d{2,3}\b)?"),
        _numbers,
    ),
    Decoder(
        "morse",
        r"(?:[.-]+[ /]+){14}",
        re2.compile(r"(?:[.-]{1,6}(?: {0,2}/ {0,2}| {1,3})){12,}[.-]{0,6}"),
        _morse,
    ),
)  # fmt: skip
