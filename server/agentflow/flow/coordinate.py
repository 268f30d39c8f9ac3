"""Pairs in a phrase: "X's first and last order" is two phrases, each readable alone.

Works on the words only: selectors, values of the same kind, and whole phrases beside "and"; what one side leaves
out ("that of Y", "Y's", "the cheapest one") is filled in from the other.
"""

from __future__ import annotations

import re

from agentflow.flow.literals import Token, lex
from agentflow.flow.question import is_selector

_VALUES = frozenset(("name", "id", "email", "token", "date", "quoted", "number", "code", "url"))
_DETERMINERS = frozenset(("the", "a", "an", "their", "his", "her"))


def pair(text: str, words: tuple[str, ...] = ("and",)) -> tuple[str, str] | None:
    """The two phrases that `and` (or another word) joins, completed, or None where nothing is joined."""
    tokens = lex(text)
    joints = [i for i, t in enumerate(tokens) if t.lower in words and 0 < i < len(tokens) - 1]
    for i in joints:
        found = _selectors(text, tokens, i) or _values(text, tokens, i)
        if found is not None:
            return found
    for i in joints:
        left = text[: tokens[i].start].strip(" ,")
        right = text[tokens[i].start + len(tokens[i].text) :].strip(" ,")
        if left and right:
            return complete(left, right)
    return None


def _end(token: Token) -> int:
    return token.start + len(token.text)


def _selectors(text: str, tokens: list[Token], i: int) -> tuple[str, str] | None:
    """`the first and (the) last order of X`."""
    after = i + 1 + (tokens[i + 1].lower in _DETERMINERS)
    if after >= len(tokens):
        return None
    if tokens[i - 1].lower in ("most", "least") and tokens[after].lower in ("most", "least"):
        prefix, suffix = text[: tokens[i - 1].start], text[_end(tokens[after]) :]
        return f"{prefix}{tokens[i - 1].text}{suffix}", f"{prefix}{tokens[after].text}{suffix}"
    left_words = 2 if i >= 2 and tokens[i - 2].lower in ("most", "least") else 1
    left, right = tokens[i - left_words], tokens[after]
    both = is_selector(tokens[i - 1].lower) or left_words == 2
    if not (both and (is_selector(right.lower) or right.lower in ("most", "least"))):
        return None
    far = after + (2 if right.lower in ("most", "least") else 1)
    if far >= len(tokens):
        return None
    prefix, suffix = text[: left.start], text[tokens[far - 1].start + len(tokens[far - 1].text) :]
    return (
        f"{prefix}{text[left.start : _end(tokens[i - 1])]}{suffix}",
        f"{prefix}{text[right.start : _end(tokens[far - 1])]}{suffix}",
    )


def _values(text: str, tokens: list[Token], i: int) -> tuple[str, str] | None:
    """`orders A and B`, `order A and order B`, `X and Y's last orders`, `X's and Y's last orders`."""
    at = i - 1
    possessive = tokens[at].kind == "poss"
    at -= possessive
    if at < 0 or tokens[at].kind not in _VALUES:
        return None
    right = i + 1
    while right < len(tokens) and (tokens[right].lower in _DETERMINERS or _repeats(tokens, at, right)):
        right += 1
    if right >= len(tokens) or tokens[right].kind != tokens[at].kind:
        return None
    prefix, suffix = text[: tokens[at].start], text[_end(tokens[right]) :]
    own = tokens[at - 1].lower == "between" if at else False
    tail = right + 1 < len(tokens) and tokens[right + 1].kind == "poss"
    if possessive and not tail:
        return None
    if possessive or not tail or not own:
        return f"{prefix}{tokens[at].text}{suffix}", f"{prefix}{tokens[right].text}{suffix}"
    return f"{prefix}{tokens[at].text}{suffix}", f"{prefix}{tokens[right].text}{suffix}"


def _repeats(tokens: list[Token], at: int, right: int) -> bool:
    """Whether the word at `right` only repeats the noun before the left value ("*order* A and *order* B")."""
    return (
        tokens[right].kind == "word"
        and at > 0
        and any(t.stem == tokens[right].stem for t in tokens[max(0, at - 2) : at])
    )


def complete(left: str, right: str) -> tuple[str, str]:
    """Fill in what one of two compared phrases leaves to the other."""
    stand_in = re.match(
        r"^(?:that|those|the one|the ones|the same)\s+(of|for|from|in|on|by|about|with)\s+(.*)$", right, re.I
    )
    if stand_in:
        cut = re.match(rf"^(.*?\b){stand_in.group(1)}\s+", left, re.I)
        if cut:
            return left, f"{cut.group(1)}{stand_in.group(1)} {stand_in.group(2)}"
        head = re.match(r"^.*['’]s?\s+(.*)$", left)
        if head:
            return left, f"the {head.group(1)} {stand_in.group(1)} {stand_in.group(2)}"
    one = re.match(r"^(?:the|a|an)\s+(.*?)\s*\b(?:one|ones)\b(.*)$", right, re.I)
    if one:
        return left, _with_noun(left, one.group(1), one.group(2))
    own = re.match(r"^(.*['’]s?)\s+(.*?)\s*\bones?\b(.*)$", right)
    if own:
        bare = re.sub(r"^.*?['’]s?\s+", "", left)
        return left, f"{own.group(1)} {_with_noun(bare, own.group(2), own.group(3))}"
    if re.search(r"['’]s?$", right):
        tail = re.match(r"^.*?['’]s?\s+(.*)$", left)
        if tail:
            return left, f"{right} {tail.group(1)}"
    if re.match(r"^(?:the\s+)?[\w-]+$", right) and is_selector(right.split()[-1].lower()):
        return left, _with_noun(left, right.removeprefix("the "), "")
    return left, right


def _with_noun(left: str, selector: str, rest: str) -> str:
    """Put another selector where the left phrase has its own: "X's most expensive order" + cheapest."""
    tokens = lex(left)
    for i, token in enumerate(tokens):
        if is_selector(token.lower) or token.lower in ("most", "least"):
            last = i + (token.lower in ("most", "least") and i + 1 < len(tokens))
            return f"{left[: token.start]}{selector}{left[_end(tokens[last]) :]}{rest}"
    return f"the {selector} {left}{rest}"
