"""Text *about* injection: whether a passage is shown to a reader rather than said to one.

A paper, a rule list, a test or a post-mortem quotes attacks. A passage that stands in quotation marks, in code marks or
in a fence, in a text that talks about attacks, is a *mention*: worth less than a flag. What is quoted less clearly, or
stands where terms of such texts abound, is a *quotation*: flagged, never blocked. Anything else is taken at its word.
JSON's own quotation marks do not count: everything in JSON stands in them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from enum import Enum
from itertools import islice
from typing import Final

import re2

_NEAR: Final = 400  # characters on either side that say what a text is about
_FAR: Final = 1500  # and that say whether it is full of it
_ABOUND: Final = 3  # different terms
_WIDE: Final = 520  # characters on either side in which marks are looked for
_MOST: Final = 2000  # terms of one text that are looked at
_QUOTES: Final = "\"'`“”‘’«»「」"
_STRONG: Final = re.compile(
    r"prompt[- ]?_?injection|indirect injection|injections?\b|attack(?:s|ers?|ed)?\b|jail-?break|adversar(?:y|ial|ies)"
    r"|malicious|vulnerab|red[- ]team|exploit|owasp|guard-?rails?|exfiltrat|poison(?:ed|ing)|threat|tricked"
    r"|classif(?:y|ier)|phrases? (?:like|such as)|false positives?|payloads?\b|chat templates?|special tokens?|chatml"
    r"|hidden (?:white )?(?:text|prompts?|instructions?)|instructions? hidden|proofs?[- ]of[- ]concept"
    r"|\bcve-\d|\bcvss\b|hijack|fooled|duped|untrusted|injected|keyword filter|spotlighting"
    r"|fell for|fake turns?|role tags",
    re.IGNORECASE,
)
_WEAK: Final = re.compile(
    r"researchers?\b|for example|e\.g\.|such as|tokeni[sz]er|mitigat"
    r"|detect(?:s|ed|ion|or|ing)?\b|defen[cs]es?\b|security|paper|benchmark|test case|expected|\bassert\b|saying"
    r"|says?\b|reads?\b|typing|containing|filter|block(?:ed|list)?|refuse|patterns?\b|keywords?\b|phrases?\b"
    r"|examples?\b|language models?|\bllms?\b|chatbots?|large model",
    re.IGNORECASE,
)
# Passages in marks; within JSON only marks that are escaped.
_MARKED: Final = (
    r"(?s)```.+?(?:```|\z)|~~~.+?(?:~~~|\z)|`[^`\n]+`|“[^”]+”|«[^»]+»|「[^」]+」"
    r"|„[^“”]+[“”]|(?:^|[^\pL\pN])[‘'](?:[^'’\n]|['’][\pL])+['’]|%s"
)
_PLAIN: Final = re2.compile(_MARKED % r'"[^"\n]+"')
_JSON: Final = re2.compile(_MARKED % r'\\"[^"\\]+\\"')
_ENCLOSED: Final = 0.35  # share of a passage that stands in marks; what leads into a quotation is often part of it


class Standing(Enum):
    """How a passage stands in its text."""

    SAID = 0
    QUOTED = 1
    MENTIONED = 2


class Discussion:
    """How passages of one text stand in it. What it talks about is looked up once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._json = text.lstrip()[:1] in ("{", "[")
        self._strong = [(m.start(), m.group().lower()[:6]) for m in islice(_STRONG.finditer(text), _MOST)]
        self._weak = [(m.start(), m.group().lower()[:6]) for m in islice(_WEAK.finditer(text), _MOST)]

    def standing(self, start: int, end: int) -> Standing:
        """Return how `text[start:end]` stands in the text."""
        if not self._strong:
            return Standing.SAID
        shown = self._shown(start, end)
        first, last = shown or (start, end)
        strong = self._around(self._strong, first, last, _NEAR)
        both = strong | self._around(self._weak, first, last, _NEAR)
        widely = self._around(self._strong, first, last, _FAR)
        if (strong and len(both) > 1) or len(widely) > 1:
            if shown:
                return Standing.MENTIONED
            if self._between(start, end):
                return Standing.QUOTED
        everywhere = self._around(self._strong, start, start, _FAR)
        return Standing.QUOTED if len(everywhere) >= _ABOUND else Standing.SAID

    def terms(self, start: int, end: int, near: int) -> int:
        """How many different terms of texts about attacks stand within `near` characters of a passage, outside it."""
        return len(self._around(self._strong, start, end, near))

    @staticmethod
    def _around(found: list[tuple[int, str]], start: int, end: int, near: int) -> set[str]:
        first, last = bisect_left(found, (start - near, "")), bisect_left(found, (end + near, ""))
        return {term for at, term in found[first:last] if not start <= at < end}

    def _between(self, start: int, end: int) -> bool:
        """Whether marks, or an indented block, open before a passage and close behind it."""
        before, after = self._text[max(0, start - _NEAR) : start], self._text[end : end + _NEAR]
        opened = any(q in before[-60:] for q in _QUOTES) or "\n    " in before[-80:] or "```" in before
        return opened and (any(q in after[:120] for q in _QUOTES) or "```" in after)

    def _shown(self, start: int, end: int) -> tuple[int, int] | None:
        """What of a passage stands in marks, from the first to the last, if that is most of it."""
        base, marked = max(0, start - _WIDE), []
        for match in (_JSON if self._json else _PLAIN).finditer(self._text[base : end + _WIDE]):
            first, last = max(start, base + match.start()), min(end, base + match.end())
            if first < last:
                marked.append((first, last))
        if not marked or sum(last - first for first, last in marked) < _ENCLOSED * (end - start):
            return None
        return marked[0][0], marked[-1][1]
