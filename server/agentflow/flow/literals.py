"""The values that stand in a question: quoted text, e-mails, PII tokens, ids, dates, numbers, proper names.

A PII token (`<EMAIL_1f3a9c2e>` or `[REDACTED_EMAIL_1f3a9c2e]`) is a value of its type and is never altered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal as OneOf

from agentflow.flow.words import READ_VERBS, STOP, WRITE_VERBS, stem

Kind = OneOf["quoted", "email", "token", "url", "date", "id", "number", "code", "name", "word"]

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = "|".join(f"{m[:3]}(?:{m[3:]})?" if len(m) > 3 else m for m in _MONTHS)

MAX_LITERALS = 40
TOKEN = r"<[A-Z][A-Z0-9_]*_[0-9a-f]{4,64}>|\[REDACTED_[A-Z][A-Z0-9_]*_[0-9a-f]{4,64}\]"

_LEXER = re.compile(
    rf"""
    (?P<token>{TOKEN})
  | (?P<quoted>"[^"]*"|“[^”]*”|‘[^’]*’|`[^`]*`|(?<![\w])'[^']+'(?![\w]))
  | (?P<url>\bhttps?://[^\s<>"']+[^\s<>"'.,;:!?)])
  | (?P<email>(?<![\w.+-])[\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}})+)
  | (?P<date>\b\d{{4}}-\d{{2}}(?:-\d{{2}}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?)?(?:Z|[+-]\d{{2}}:?\d{{2}})?)?)?\b
      |\b(?i:(?:\d{{1,2}}(?:st|nd|rd|th)?\s+)(?:{_MONTH})\.?,?\s+\d{{4}})\b
      |\b(?i:(?:{_MONTH})\.?\s+(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?\d{{4}})\b)
  | (?P<id>\b[0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}\b
      |\b(?!\d+(?:st|nd|rd|th|x|k|m|am|pm)\b)(?=[\w-]{{0,64}}[A-Za-z])(?=[\w-]{{0,64}}\d)[A-Za-z0-9]+(?:[-_:][A-Za-z0-9]+)*\b
      |\#\d+\b)
  | (?P<number>(?<![\w.])[-+]?[$€£]?\d{{1,18}}(?:,\d{{3}}){{0,5}}(?:\.\d{{1,18}})?(?:e[-+]?\d{{1,2}})?%?(?![\w]))
  | (?P<poss>(?<=\w)['’]s\b|(?<=s)['’](?=\s))
  | (?P<word>[^\W\d_]+(?:[-'’_](?!s\b)[^\W\d_]+)*)
  | (?P<punct>[?!.,;:()])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, value or sign of the question. `kind` is the lexer's group; a merged proper name is `name`."""

    text: str
    kind: str
    start: int
    stem: str = ""

    @property
    def lower(self) -> str:
        return self.text.lower()


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in the question.

    Attributes:
        value: as a tool would want it (`"12 March 2025"` → `"2025-03-12"`, `"1,200"` → 1200).
        text: as it stands in the question.
        before: stem of the word before it (`order` in "order O-7", `from` in "from EUR"), or "".
        after: stem of the word after it (`hour` in "3 hours"), or "".
        pii: a token's type in lower case (`email`), or "".
        position: index into the question's tokens.
        article: a determiner stands before it ("*the* Networks department").
    """

    kind: Kind
    value: str | int | float
    text: str
    before: str = ""
    after: str = ""
    pii: str = ""
    position: int = 0
    article: bool = False


_LINKS = frozenset(["de", "da", "di", "van", "von", "der", "del", "la", "le", "bin", "ibn", "al"])
_NOT_NAMES = STOP | READ_VERBS | WRITE_VERBS | frozenset(_MONTHS) | {"i'd", "i'm", "ok", "thanks", "hello", "hi"}


def lex(text: str) -> list[Token]:
    """Split a question into tokens; consecutive capitalised words become one `name`."""
    raw = [Token(m.group(), m.lastgroup or "word", m.start(), stem(m.group())) for m in _LEXER.finditer(text)]
    merged: list[Token] = []
    i = 0
    while i < len(raw):
        end = _name_end(raw, i)
        if end > i:
            span = text[raw[i].start : raw[end - 1].start + len(raw[end - 1].text)]
            merged.append(Token(span, "name", raw[i].start, span.lower()))
            i = end
            continue
        merged.append(raw[i])
        i += 1
    return merged


def _capital(token: Token) -> bool:
    return token.kind == "word" and token.text[0].isupper()


def _name_end(raw: list[Token], i: int) -> int:
    """Index after the proper name that starts at `i`; `i` where none does."""
    token = raw[i]
    if not _capital(token) or (len(token.text) > 1 and token.text.isupper()):
        return i
    opens = i == 0 or (raw[i - 1].kind == "punct" and raw[i - 1].text != ",")
    if opens and (token.lower in _NOT_NAMES or not _followed_as_name(raw, i)):
        return i
    if token.lower in _NOT_NAMES and not (i + 1 < len(raw) and _capital(raw[i + 1])):
        return i
    end = i + 1
    while end < len(raw):
        initial = raw[end].text == "." and len(raw[end - 1].text) == 1
        linked = raw[end].lower in _LINKS and end + 1 < len(raw) and _capital(raw[end + 1])
        if not (_capital(raw[end]) or linked or initial):
            break
        end += 1
    return end


def _followed_as_name(raw: list[Token], i: int) -> bool:
    following = raw[i + 1] if i + 1 < len(raw) else None
    return following is not None and (following.kind == "poss" or _capital(following))


def literals(tokens: list[Token]) -> tuple[Literal, ...]:
    """The values among the tokens, in order."""
    found = []
    for i in range(len(tokens)):
        literal = _literal(tokens, i, _neighbour(tokens, i, -1), _neighbour(tokens, i, 1))
        if literal is not None:
            found.append(literal)
    return tuple(found[:MAX_LITERALS])


def _neighbour(tokens: list[Token], i: int, step: int) -> str:
    j = i + step
    while 0 <= j < len(tokens) and tokens[j].lower in ("the", "a", "an", "is", "named", "called", "number", "id", "no"):
        j += step
    return tokens[j].stem if 0 <= j < len(tokens) and tokens[j].kind == "word" else ""


def _literal(tokens: list[Token], i: int, before: str, after: str) -> Literal | None:
    token = tokens[i]
    text = token.text
    match token.kind:
        case "token":
            inner = text.strip("<>[]").removeprefix("REDACTED_")
            return Literal("token", text, text, before, after, inner.rsplit("_", 1)[0].lower(), i)
        case "quoted":
            return Literal("quoted", text[1:-1], text, before, after, "", i)
        case "email" | "url":
            return Literal(token.kind, text, text, before, after, "", i)
        case "date":
            return Literal("date", iso_date(text), text, before, after, "", i)
        case "id":
            return Literal("id", text.lstrip("#"), text, before, after, "", i)
        case "number":
            return Literal("number", number(text), text, before, after, "", i)
        case "name":
            article = i > 0 and tokens[i - 1].lower in ("the", "a", "an", "this", "that", "our", "every")
            return Literal("name", text, text, before, after, "", i, article)
        case "word" if 2 <= len(text) <= 5 and text.isupper():
            return Literal("code", text, text, before, after, "", i)
    return None


def number(text: str) -> int | float:
    """`$1,200.50` → 1200.5, `7%` → 7."""
    plain = text.replace(",", "").strip("$€£%")
    plain = re.sub(r"[$€£]", "", plain)
    return float(plain) if re.search(r"[.e]", plain) else int(plain)


def iso_date(text: str) -> str:
    """Normalise a date to ISO 8601; a month without a day stays `YYYY-MM`."""
    if text[:4].isdigit():
        return text
    words = re.findall(r"[A-Za-z]+|\d+", text)
    month = next((i + 1 for w in words for i, m in enumerate(_MONTHS) if len(w) > 2 and m.startswith(w.lower())), 1)
    numbers = [int(w) for w in words if w.isdigit()]
    year = numbers[-1]
    return f"{year:04d}-{month:02d}-{numbers[0]:02d}" if len(numbers) > 1 else f"{year:04d}-{month:02d}"
