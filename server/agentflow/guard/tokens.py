"""The names that stand for values in text: how they are written, and how they are found again.

A token's *name* is `<TYPE>_<hex>` (`EMAIL_1f3a9c2e`); in text it wears brackets (`<EMAIL_1f3a9c2e>`,
`[REDACTED_EMAIL_1f3a9c2e]`, or those of a template), or, where a JSON Schema asks for a mail address,
`EMAIL_1f3a9c2e@redacted.invalid`. `find` knows it as models quote, re-case and escape it; `mangled.candidates` also
where they have broken it. What a token stands for, and whether it stands for anything, only the vault knows: a name
it does not know stays as it is, so that text which merely looks like a token comes back unchanged.

A *number token* stands for a number where only a number fits: sixteen digits from `NUMBER_FIRST` on, exact in
IEEE 754 doubles, and never a valid card number.

A token is no credential. Whoever sees one may write it elsewhere, an upstream too, hoping that it is turned back
there: values are given back only to the upstreams that policy names (`rehydrate`), and a narrower `guard.vault.scope`
makes a token mean nothing in another session.
"""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from agentflow.guard.entities import ENTITIES
from agentflow.guard.pii import patterns
from agentflow.guard.secrets import TYPES as SECRETS

TokenFormat = str  # `angle`, `redacted`, or a template with {type} and {hex}
# How a value must be spelled in a token's place: `json`, `html` or `url`, how often (`url2`), and in what order
# (`html+json`); or not at all.
Escape = str

NUMBER_FIRST: Final = 8_000_000_000_000_000
NUMBER_LAST: Final = 8_999_999_999_999_999
MAIL_DOMAIN: Final = "@redacted.invalid"
HEX_LENGTHS: Final = (8, 12, 16)
KNOWN: Final = frozenset((*patterns.TYPES, *SECRETS, *ENTITIES))

_STYLES: Final = {"angle": "<{type}_{hex}>", "redacted": "[REDACTED_{type}_{hex}]"}
_ANCHOR: Final = re.compile(r"_([0-9a-fA-F]{16}|[0-9a-fA-F]{12}|[0-9a-fA-F]{8})(?![0-9a-fA-F])")
_NUMBER: Final = re.compile(r"(?<![\w.+-])8\d{15}(?!\w|\.\d*[1-9])")
_LOOK_BACK: Final = 64
LONGEST_OPENER: Final = 24
_IN_TYPE: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_\\"

# What stands before a token as it is written, by what stands after it.
_SPACED: Final = ("", " ", "\n", '"', "(", ",")
_OPENED_BY: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("", " ", "\n", '"', ")", ",", ".", ";"), _SPACED),
    ">": ("<",), "]": ("[",), "»": ("«",), "⟩": ("⟨",), "】": ("【",), "⟧": ("⟦",),
}  # fmt: skip
_IN_KIND: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_KIND: Final = re.compile(r"[A-Z](?:_?[A-Z0-9]){1,31}")

# Opening brackets, their closing ones, and the escape that a value put in their place needs, by pattern.
_PAIRS: Final[tuple[tuple[str, str, str], ...]] = (
    (r"\\?<", r"\\?>", ""), (r"\\?\[", r"\\?\]", ""), (r"\{\{", r"\}\}", ""), (r"\{", r"\}", ""),
    ("«", "»", ""), ("‹", "›", ""), ("⟨", "⟩", ""), ("〈", "〉", ""), ("《", "》", ""), ("＜", "＞", ""),
    ("［", "］", ""), ("【", "】", ""), ("⟦", "⟧", ""), ("≪", "≫", ""),
    (r"\\+(?:u003c|x3c)", r"\\+(?:u003e|x3e)", "json"), (r"\\+u005b", r"\\+u005d", "json"),
    (r"&(?:amp;)*(?:lt|#60|#x3c);", r"&(?:amp;)*(?:gt|#62|#x3e);", "html"),
    (r"&(?:amp;)*(?:lsqb|lbrack|#91|#x5b);", r"&(?:amp;)*(?:rsqb|rbrack|#93|#x5d);", "html"),
    (r"%(?:25)*3c", r"%(?:25)*3e", "url"), (r"%(?:25)*5b", r"%(?:25)*5d", "url"),
)  # fmt: skip
OPENER: Final = "|".join(f"(?P<o{index}>{opening})" for index, (opening, _, _) in enumerate(_PAIRS))
_CLOSERS: Final = tuple(re.compile(closing, re.IGNORECASE) for _, closing, _ in _PAIRS)
_MAIL: Final = re.compile(r"(?:@|%(?:25)*40|\\+u0040|&#64;)redacted\.invalid(?![A-Za-z0-9-])", re.IGNORECASE)
_BEFORE: Final = re.compile(
    rf"(?:{OPENER})?(?P<mark>REDACTED\\*_)?(?P<kind>[A-Za-z][A-Za-z0-9]*(?:\\*_[A-Za-z0-9]+)*)\\*\Z", re.IGNORECASE
)
_TEMPLATE_ONLY: Final = frozenset({2, 3})  # curly brackets belong to the text, unless the separator is a template's
_UNLESS_REDACTED: Final = frozenset({1})  # a lone `[` more often opens a list

# A look at serialised JSON (UTF-8): eight hex digits, with what may have come between them, after what ends a type.
_JOINT: Final = (
    rb"(?:[\s\-\\\x80-\xff]|\\+[nrt]|\\+u[0-9a-fA-F]{4}|%(?:25)*(?:0[aAdD9]|20|[cC]2|[aA][0dD])|&[a-zA-Z0-9#;]{2,16};|"
    rb"<[a-z /]{2,6}>)"
)
_GATE: Final = patterns.compile_(
    rb"(?:[0-9A-Za-z](?:_|%(?:25)*5[fF]|&(?:amp;)*#(?:95|[xX]5[fF]);|\\+u005[fF])" + _JOINT + rb"*|"
    rb"[A-Za-z](?:" + _JOINT + rb"|[:.|#_])+)(?:[0-9a-fA-F]" + _JOINT + rb"*){7}[0-9a-fA-F]|"
    rb"8\d{15}|8\d{3}(?:[ -]\d{4}){3}|8(?:[ ,.]\d{3}){5}"
)


class TokenSpan(NamedTuple):
    """A possible token in a text: `text[start:end]`, brackets included."""

    start: int
    end: int
    name: str
    escape: Escape


def render(name: str, style: TokenFormat) -> str:
    """Return the token called `name` as it is shown in text."""
    kind, _, digits = name.rpartition("_")
    return _STYLES.get(style, style).format(type=kind, hex=digits)


def check_format(style: str) -> str:
    """Return a token format that reads back what it writes.

    Raises:
        ValueError: a template that does not hold {type} and {hex} once, or whose tokens `find` would not know.
    """
    for name in ("EMAIL_1f3a9c2e", "EMPLOYEE_ID_0123456789ab", "X9_0123456789abcdef"):
        try:
            shown = render(name, style)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"token format {style!r}: write {{type}} and {{hex}}, and {{{{ for a brace") from error
        for text in (shown, f'to "{shown}", please', f"({shown})"):
            if [text[span.start : span.end] for span in find(text) if span.name == name] != [shown]:
                raise ValueError(
                    f"token format {style!r} cannot be told from other text: use <> [] «» ⟨⟩ 【】 ⟦⟧ around "
                    "{type}_{hex}, or {{{{ }}}} around {type}:{hex}"
                )
    return style


def suspect(data: bytes) -> bool:
    """Whether a token may occur in `data` (serialised JSON, UTF-8); never wrong about "no"."""
    return _GATE.search(data) is not None


@dataclass(slots=True)
class Effort:
    """What may still be tried in one message, so that hostile text costs no more than other text of its length.

    Attributes:
        odd: tokens written in another way than `render` writes them.
        looks: places looked at closely for a broken token; a model breaks a few, not hundreds.
        steps: places passed on the way to them.
    """

    odd: int = 600
    looks: int = 150
    steps: int = 1500

    @property
    def spent(self) -> bool:
        """Whether no more broken tokens are looked for."""
        return self.looks <= 0 or self.steps <= 0


def find(text: str, effort: Effort | None = None) -> list[TokenSpan]:
    """Return what may be tokens in `text`, in order, without overlap.

    Without brackets a name counts only if its type is a usual one, or it is in upper case with hex in lower case.
    Tokens as `render` writes them are all found, others while `effort` lasts.
    """
    effort = effort or Effort()
    found: list[TokenSpan] = []
    if "_" in text or ":" in text:
        end = 0
        for match in (_ANCHOR if ":" not in text else _ANY_ANCHOR).finditer(text):
            span = _span(text, match, effort)
            if span is not None and end <= span.start:
                found.append(span)
                end = span.end
    numbers = _numbers(text)
    if numbers and found:
        return sorted([*found, *(number for number in numbers if not _covered(number, found))])
    return numbers or found


def _covered(number: TokenSpan, found: Sequence[TokenSpan]) -> bool:
    index = bisect_right(found, number.start, key=lambda span: span.start)
    return (index > 0 and found[index - 1].end > number.start) or (
        index < len(found) and found[index].start < number.end
    )


_ANY_ANCHOR: Final = re.compile(_ANCHOR.pattern.replace("_", "[_:]", 1))


def _numbers(text: str) -> list[TokenSpan]:
    if len(text) < 16:
        return []
    return [TokenSpan(match.start(), match.end(), match.group(), "") for match in _NUMBER.finditer(text)]


def _span(text: str, match: re.Match[str], effort: Effort) -> TokenSpan | None:
    left = max(0, match.start() - _LOOK_BACK)
    window = text[left : match.start()]
    plain = _plain(text, match, window)
    if plain is not None:
        return plain
    if effort.odd <= 0:
        return None
    effort.odd -= 1
    before = _before(window)
    if before is None:
        return None
    kind, digits = before["kind"].replace("\\", "").upper(), match[1]
    if not 2 <= len(kind) <= 32:
        return None
    marked = before["mark"] is not None
    start = left + before.start("mark" if marked else "kind")
    span = bracketed(text, start, match.end(), before, left, marked, text[match.start()] == ":")
    if span is None:
        return None
    begin, end, escape, dressed = span
    if not dressed and not marked and kind not in KNOWN and not (kind in window and digits == digits.lower()):
        return None
    return TokenSpan(begin, end, f"{kind}_{digits.lower()}", escape)


def _plain(text: str, match: re.Match[str], window: str) -> TokenSpan | None:
    """A token as `render` writes it, in brackets of one character or between spaces; most are, and this is quick."""
    end = match.end()
    closing = text[end : end + 1]
    opening = _OPENED_BY.get(closing)
    if opening is None or text[match.start()] != "_":
        return None
    kind = window[len(window.rstrip(_IN_KIND)) :]
    start = match.start() - len(kind)
    before = text[start - 1 : start] if start else ""
    if before not in opening or (before == "<" and text[start - 2 : start - 1] == "\\"):
        return None
    marked = kind.startswith("REDACTED_")
    if before == "[" and not marked:
        return None
    if marked:
        if before != "[":
            return None
        kind = kind[9:]
    digits = match[1]
    if not digits.islower() or (kind not in KNOWN and _KIND.fullmatch(kind) is None):
        return None
    if before in _SPACED:
        return TokenSpan(start, end, f"{kind}_{digits}", "")
    return TokenSpan(start - 1, end + 1, f"{kind}_{digits}", "")


def _before(window: str) -> re.Match[str] | None:
    """What ends a window as a type does, with its opening bracket; the leftmost such match."""
    word = len(window.rstrip(_IN_TYPE))
    if word and window[word - 1] in "<[":
        return _BEFORE.match(window, word - 1 - (window[word - 2 : word - 1] == "\\"))
    return _BEFORE.search(window, max(0, word - LONGEST_OPENER))


def bracketed(
    text: str, start: int, end: int, before: re.Match[str], left: int, marked: bool, template: bool
) -> tuple[int, int, Escape, bool] | None:
    """Extend a bare name to its brackets: `(start, end, escape, whether it has any)`; None: it is part of a word.

    Args:
        before: a match that may have an `OPENER`, in the part of `text` that begins at `left`.
        marked: whether the name says REDACTED.
        template: whether type and hex are joined as only a template joins them.
    """
    mail = _MAIL.match(text, end)
    opening = opener(before)
    if opening is not None and opening in _TEMPLATE_ONLY and not template:
        opening = None
    closing = None if opening is None else _CLOSERS[opening].match(text, _past_backslashes(text, end, opening))
    if opening is not None and closing is None and opening in _UNLESS_REDACTED and not marked:
        opening = None
    if opening is None:
        if template or (start and (text[start - 1].isalnum() or text[start - 1] == "_")):
            return None
        if mail is not None:
            return start, mail.end(), "", True
        if _in_word(text, end):
            return None
        return start, _orphan(text, start, end), "", False
    begin = left + before.start(f"o{opening}")
    mark = before[f"o{opening}"]
    if closing is None and mail is None and _in_word(text, end):
        return None
    stop = closing.end() if closing is not None else mail.end() if mail is not None else end
    return begin, stop, _escape(_PAIRS[opening][2], mark), closing is not None or marked


def opener(before: re.Match[str]) -> int | None:
    """Which of the brackets a match of a pattern that starts with `OPENER` begins with."""
    for index, group in enumerate(before.groups()[: len(_PAIRS)]):
        if group is not None:
            return index
    return None


def _orphan(text: str, start: int, end: int) -> int:
    """Take in a closing `>` that nothing opened: half of a token's own brackets."""
    if text[end : end + 1] != ">":
        return end
    opened, closed = text.rfind("<", max(0, start - 256), start), text.rfind(">", max(0, start - 256), start)
    return end + 1 if opened <= closed else end


def _past_backslashes(text: str, end: int, opening: int) -> int:
    if _PAIRS[opening][2] == "json":  # JSON in JSON in JSON
        while text.startswith("\\\\", end):
            end += 1
    return end


def _in_word(text: str, end: int) -> bool:
    after = text[end : end + 1]
    return after.isalnum() or after == "_"


def _escape(kind: str, mark: str) -> Escape:
    """How often a value must be escaped, from how often its bracket was."""
    if kind == "url":
        times = 1 + mark.count("25")
    elif kind == "html":
        times = 1 + mark.lower().count("amp;")
    elif kind == "json":
        times = (len(mark) - len(mark.lstrip("\\"))).bit_length()
    else:
        return ""
    return kind if times == 1 else f"{kind}{min(times, 4)}"


def escaped(value: str, escape: Escape) -> str:
    """Return `value` spelled for the place of a token whose brackets were spelled that way."""
    steps: dict[str, Any] = {"json": _json, "html": html.escape, "url": _url}
    for each in escape.split("+") if escape else ():
        kind, times = each.rstrip("234"), int(each[-1]) if each[-1:].isdigit() else 1
        for _ in range(times):
            value = steps[kind](value)
    return value


def _json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _url(value: str) -> str:
    return quote(value, safe="")
