"""Random strings that match a regular expression, from Python's own parse of it."""

from __future__ import annotations

import random
import re._parser as parser  # type: ignore[import-not-found]
from typing import Any

_DIGITS, _LETTERS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORD = _DIGITS + _LETTERS


def sample(pattern: str, rng: random.Random) -> str:
    """Return a string that `pattern` matches, upper case where it may be; look-around is not obeyed."""
    groups: dict[int, str] = {}
    return "".join(_node(node, rng, groups) for node in parser.parse(pattern))


def _node(node: tuple[Any, Any], rng: random.Random, groups: dict[int, str]) -> str:
    kind, value = str(node[0]), node[1]
    if kind == "LITERAL":
        return chr(value)
    if kind in ("AT", "ASSERT", "ASSERT_NOT"):
        return ""
    if kind == "IN":
        return rng.choice(_members(value))
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = value
        count = rng.randint(least, min(int(most), least + 6))
        return "".join(_node(part, rng, groups) for _ in range(count) for part in inner)
    if kind == "SUBPATTERN":
        text = "".join(_node(part, rng, groups) for part in value[3])
        if value[0] is not None:
            groups[value[0]] = text
        return text
    if kind == "GROUPREF":
        return groups[value]
    if kind == "BRANCH":
        return "".join(_node(part, rng, groups) for part in rng.choice(value[1]))
    raise NotImplementedError(kind)


def _members(items: list[tuple[Any, Any]]) -> list[str]:
    chars: list[str] = []
    for kind, value in items:
        if str(kind) == "LITERAL":
            chars.append(chr(value))
        elif str(kind) == "RANGE":
            chars += [chr(code) for code in range(value[0], value[1] + 1)]
        elif str(value) == "CATEGORY_DIGIT":
            chars += _DIGITS
        elif str(value) == "CATEGORY_SPACE":
            chars.append(" ")
        elif str(value) == "CATEGORY_WORD":
            chars += _WORD
    upper = [char for char in chars if not char.islower()]
    return upper or chars
