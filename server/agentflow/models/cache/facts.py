"""The parts of a question in which another one must agree for its answer to serve: what a sentence's vector misses.

In their order: numbers, tokens of personal data, quotations and code, addresses, names (words with a capital that do
not begin a sentence, or that are all capitals), negations and words that turn a comparison round. Words are compared
without case. It errs towards too many: a fact that is none costs a cache hit, one that is missed costs a wrong answer.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_WORDS: Final = """
no not never none nobody nothing without neither nor cannot except excluding only unless before after above below over
under more less fewer most least min max minimum maximum highest lowest largest smallest biggest cheapest dearest
first last next previous earliest latest oldest newest increase decrease rise fall up down in out to from buy sell add
remove delete create enable disable open close start stop accept reject allow deny yes true false and or xor all any
asc desc ascending descending some each per today tomorrow yesterday morning evening am pm north south east west left
right he she his her him who whom which when where why how what one two three four five six seven eight nine ten half
twice nicht kein keine nie ohne vor nach pas sans avant après jamais sin antes después nunca monday tuesday wednesday
thursday friday saturday sunday january february march april may june july august september october november december
"""
_TURNING: Final = frozenset(_WORDS.split())
_FACT: Final = re.compile(
    r"[<\[][A-Z][A-Z0-9_]{1,40}_[0-9a-f]{6,32}[>\]]"  # a token in place of personal data
    r"|`[^`]*`|\"[^\"]*\"|“[^”]*”|«[^»]*»"
    r"|[a-z][a-z0-9+.-]*://\S+|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|[-+−]?\d[\d.,:/%'’_-]*\w*|[$€£¥%<>=≤≥+*/^&|~#@]+"
    r"|\w+(?:[n’']t\b)?",
    re.IGNORECASE,
)
_ENDS: Final = frozenset(".!?:\n")


def facts(question: str) -> tuple[str, ...]:
    """The facts of a question, in their order."""
    text = unicodedata.normalize("NFKC", question)
    found = []
    for match in _FACT.finditer(text):
        word = match[0]
        if not word[0].isalpha() or "://" in word or "@" in word:
            found.append(word if word[0] in '<[`"“«' else word.rstrip(".,:'’-").casefold())
        elif _tells(word, text, match.start()):
            found.append(word.casefold())
    return tuple(each for each in found if each)


def _tells(word: str, text: str, at: int) -> bool:
    """Whether a word is a name, or one that turns the meaning round."""
    plain = word.casefold()
    if plain in _TURNING or plain.endswith(("n't", "n’t")) or any(letter.isdigit() for letter in word):
        return True
    return word[0].isupper() and ((len(word) > 1 and word.isupper()) or not _begins(text, at))


def _begins(text: str, at: int) -> bool:
    """Whether a sentence begins there."""
    before = text[:at].rstrip(" \t\"'“«(")
    return not before or before[-1] in _ENDS
