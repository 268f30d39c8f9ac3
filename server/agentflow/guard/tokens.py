"""The names that stand for PII values in text: how they are written, and how they are found again.

A token's *name* is `<TYPE>_<hex>` (`EMAIL_1f3a9c2e`); in text it wears angle or square brackets
(`<EMAIL_1f3a9c2e>`, `[REDACTED_EMAIL_1f3a9c2e]`), or, where a JSON Schema asks for a mail address,
`EMAIL_1f3a9c2e@redacted.invalid`. Models quote, re-case, escape and strip such text: all of that is found. What a
token stands for, and whether it stands for anything, only the vault knows: a name it does not know stays as it is.

A *number token* stands for a number where only a number fits: sixteen digits from `NUMBER_FIRST` on, exact in
IEEE 754 doubles, and never a valid card number.
"""

from __future__ import annotations

import html
import json
import re
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from agentflow.guard.pii import patterns

TokenFormat = Literal["angle", "redacted"]
Escape = Literal["", "json", "html", "url"]

NUMBER_FIRST: Final = 8_000_000_000_000_000
NUMBER_LAST: Final = 8_999_999_999_999_999
MAIL_DOMAIN: Final = "@redacted.invalid"
HEX_LENGTHS: Final = (8, 12, 16)

# Longest first, so that API_KEY is not read as KEY; Markdown may escape an underscore.
_TYPE: Final = "|".join(sorted(patterns.TYPES, key=len, reverse=True)).replace("_", r"\\?_")
_CORE: Final = re.compile(
    rf"((?:REDACTED\\?_)?({_TYPE})\\?_([0-9a-f]{{16}}|[0-9a-f]{{12}}|[0-9a-f]{{8}}))", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"(?<![\w.+-])8\d{15}(?!\w|\.\d*[1-9])")
_GATE: Final = patterns.compile_(rb"(?i:" + _TYPE.replace(r"\\?", r"\\*").encode() + rb")\\*_[0-9a-fA-F]{8}|8\d{15}")

# Bracket spellings, by the escape that a value put in their place needs.
_OPENERS: Final[tuple[tuple[str, Escape], ...]] = (
    ("<", ""), ("[", ""), ("\\u003c", "json"), ("\\u005b", "json"), ("\\x3c", "json"), ("\\[", ""), ("\\<", ""),
    ("&lt;", "html"), ("&#60;", "html"), ("&#x3c;", "html"), ("&#91;", "html"), ("&#x5b;", "html"),
    ("%3c", "url"), ("%5b", "url"), ("%253c", "url"), ("%255b", "url"),
)  # fmt: skip
_CLOSERS: Final = (
    ">", "]", "\\u003e", "\\u005d", "\\x3e", "\\]", "\\>", "&gt;", "&#62;", "&#x3e;", "&#93;", "&#x5d;",
    "%3e", "%5d", "%253e", "%255d", MAIL_DOMAIN, MAIL_DOMAIN.replace("@", "%40"), MAIL_DOMAIN.replace("@", "\\u0040"),
)  # fmt: skip
_LONGEST_FIRST: Final = tuple(sorted(_OPENERS, key=lambda pair: -len(pair[0])))
_CLOSERS_FIRST: Final = tuple(sorted(_CLOSERS, key=len, reverse=True))


class TokenSpan(NamedTuple):
    """A possible token in a text: `text[start:end]`, brackets included."""

    start: int
    end: int
    name: str
    escape: Escape


def render(name: str, style: TokenFormat) -> str:
    """Return the token called `name` as it is shown in text."""
    return f"<{name}>" if style == "angle" else f"[REDACTED_{name}]"


def suspect(data: bytes) -> bool:
    """Whether a token may occur in `data` (serialised JSON, UTF-8); never wrong about "no"."""
    return _GATE.search(data) is not None


def find(text: str) -> list[TokenSpan]:
    """Return what may be tokens in `text`, in order, without overlap."""
    if "_" not in text:
        return _numbers(text)
    found = [span for match in _CORE.finditer(text) if (span := _span(text, match)) is not None]
    numbers = _numbers(text)
    if numbers:
        found = sorted([*found, *(n for n in numbers if all(n.end <= f.start or n.start >= f.end for f in found))])
    return found


def _numbers(text: str) -> list[TokenSpan]:
    if len(text) < 16:
        return []
    return [TokenSpan(match.start(), match.end(), match.group(), "") for match in _NUMBER.finditer(text)]


def _span(text: str, match: re.Match[str]) -> TokenSpan | None:
    start, end = match.span(1)
    escape: Escape = ""
    before = text[max(0, start - 6) : start].lower()
    opener = next(((mark, kind) for mark, kind in _LONGEST_FIRST if before.endswith(mark)), None)
    if opener is not None:
        start, escape = start - len(opener[0]), opener[1]
        while escape == "json" and start and text[start - 1] == "\\":  # JSON in JSON in JSON
            start -= 1
    elif before and (before[-1].isalnum() or before[-1] == "_"):
        return None
    while escape == "json" and text.startswith("\\\\", end):
        end += 1
    after = text[end : end + 24].lower()
    closer = next((mark for mark in _CLOSERS_FIRST if after.startswith(mark)), None)
    if closer is not None:
        if opener is not None or closer.endswith("redacted.invalid"):
            end += len(closer)
    elif after and (after[0].isalnum() or after[0] == "_"):
        return None
    kind = match.group(2).replace("\\", "").upper()
    return TokenSpan(start, end, f"{kind}_{match.group(3).lower()}", escape)


def escaped(value: str, escape: Escape) -> str:
    """Return `value` spelled for the place of a token whose brackets were spelled that way."""
    if escape == "json":
        return json.dumps(value)[1:-1]
    if escape == "html":
        return html.escape(value)
    if escape == "url":
        return quote(value, safe="")
    return value
