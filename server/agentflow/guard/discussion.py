"""Text *about* injection: whether a passage is shown to a reader rather than said to one.

A paper, a rule list, a test or a post-mortem quotes attacks. A passage that stands in quotation marks, in code marks or
in a fence, short and complete, in a text that talks about attacks, is a *mention*: worth less than a flag. One that is
quoted less clearly is a *quotation*: flagged, never blocked. Anything else is taken at its word. JSON's own
quotation marks do not count: everything in JSON stands in them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

_NEAR: Final = 400  # characters on either side that say what a text is about
_SHORT: Final = 220  # characters that a mention may have
_QUOTES: Final = "\"'`“”‘’«»「」"
_PAIRS: Final = (("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ("「", "」"))
_STRONG: Final = re.compile(
    r"prompt[- ]?_?injection|indirect injection|injections?\b|attack(?:s|ers?|ed)?\b|jail-?break|adversar(?:y|ial|ies)"
    r"|malicious|vulnerabilit|red[- ]team|exploit|owasp|guard-?rails?|exfiltrat|poison(?:ed|ing)|threat|tricked"
    r"|classif(?:y|ier)|phrases? (?:like|such as)|false positives?|payloads?\b|chat templates?|special tokens?|chatml"
    r"|hidden (?:white )?(?:text|prompts?|instructions?)",
    re.IGNORECASE,
)
_WEAK: Final = re.compile(
    r"researchers?\b|for example|e\.g\.|such as|tokeni[sz]er|mitigat"
    r"|detect(?:s|ed|ion|or|ing)?\b|defen[cs]es?\b|security|paper|benchmark|test case|expected|\bassert\b|saying"
    r"|says?\b|reads?\b|typing|containing|filter|block(?:ed|list)?|refuse|patterns?\b|keywords?\b|phrases?\b"
    r"|examples?\b|language models?|\bllms?\b|chatbots?|large model",
    re.IGNORECASE,
)
_TRAILING: Final = re.compile(r"(?:[\"'`”’»」]|\n)\W{0,6}(?:\w{1,10}\W{0,3})?$|\n[`~]{3}\W*$")
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


class Standing(Enum):
    """How a passage stands in its text."""

    SAID = 0
    QUOTED = 1
    MENTIONED = 2


def standing(text: str, start: int, end: int) -> Standing:
    """Return how `text[start:end]` stands in `text`."""
    while start < end and text[start] in _QUOTES:  # a rule may have begun at the quotation mark
        start += 1
    if trailing := _TRAILING.search(text, start, end):  # or have ended behind it
        end = trailing.start()
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    opened = any(q in before[-60:] for q in _QUOTES) or "\n    " in before[-80:] or "```" in before
    closed = any(q in after[:120] for q in _QUOTES) or "```" in after
    if not (opened and closed):
        return Standing.SAID
    strong = {m.group().lower()[:6] for part in (before, after) for m in _STRONG.finditer(part)}
    weak = {m.group().lower()[:6] for part in (before, after) for m in _WEAK.finditer(part)}
    if not strong or len(strong | weak) < 2:
        return Standing.SAID
    return Standing.MENTIONED if _enclosed(text, start, end) else Standing.QUOTED


def terms(text: str, start: int, end: int, near: int) -> int:
    """How many different terms of texts about attacks stand within `near` characters of a passage, outside it."""
    around = (text[max(0, start - near) : start], text[end : end + near])
    return len({m.group().lower()[:6] for part in around for m in _STRONG.finditer(part)})


def _enclosed(text: str, start: int, end: int) -> bool:
    """Whether a passage lies in short quotation marks on its line, or in a short fence."""
    head = text.rfind("\n", 0, start) + 1
    tail = text.find("\n", end)
    tail = len(text) if tail < 0 else tail
    before, after = text[max(head, start - _SHORT) : start], text[end : min(tail, end + _SHORT)]
    json = text.lstrip()[:1] in ("{", "[")
    for mark in ("`", "'", '\\"' if json else '"'):
        if _count(before, mark) % 2 and mark in after:
            return True
    if any(before.rfind(left) > before.rfind(right) and right in after for left, right in _PAIRS):
        return True
    fences = [match.start() for match in _FENCE.finditer(text, max(0, start - 3 * _SHORT), end + 3 * _SHORT)]
    return sum(at < start for at in fences) % 2 == 1 and any(at >= end for at in fences)


def _count(text: str, mark: str) -> int:
    """How many quotation marks, apostrophes inside words left out."""
    return len(re.findall(r"(?<!\w)'|'(?!\w)", text)) if mark == "'" else text.count(mark)
