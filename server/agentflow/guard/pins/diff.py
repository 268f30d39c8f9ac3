"""What changed between two definitions, member by member and word by word, with nothing hidden.

Definitions come as they are kept (`store.Store.kept`): canonical JSON, perhaps cut, in which case they are compared
as one text. Characters that cannot be seen, or that pass for others, are written as `⟨U+200B⟩`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentflow.guard.pins.canonical import parsed
from agentflow.guard.pins.names import skeleton, unseen

Op = Literal["same", "added", "removed"]

_WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")
_LONGEST: Final = 4_000  # words of a text that are aligned; of longer ones only what differs at the ends is told apart
_TOLD: Final = 20  # members named in a summary


@dataclass(frozen=True, slots=True)
class Summary:
    """A change in numbers: which members, by JSON pointer (20 at most), and how many words came and went."""

    members: tuple[str, ...]
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Change:
    """One member that differs. `before` and `after` are JSON values, absent as `...`; `words` align them."""

    pointer: str
    before: Any
    after: Any
    words: tuple[tuple[Op, str], ...]

    def json(self) -> dict[str, Any]:
        """As a JSON object: `pointer`, `before` and `after` (left out where absent), `words` as `[op, text]`."""
        ends = {name: value for name, value in (("before", self.before), ("after", self.after)) if value is not ...}
        return {"pointer": self.pointer, **ends, "words": [list(word) for word in self.words]}


def summary(before: str, after: str) -> Summary:
    """Linear in both."""
    old, new = _members(before), _members(after)
    changed = [pointer for pointer in {**old, **new} if _told(old, pointer) != _told(new, pointer)]
    was, now = Counter[str](), Counter[str]()
    for pointer in changed:
        was.update(_WORDS.findall(_text(old.get(pointer, ""))))
        now.update(_WORDS.findall(_text(new.get(pointer, ""))))
    added, removed = now - was, was - now
    count = [sum(n for word, n in each.items() if not word.isspace()) for each in (added, removed)]
    return Summary(tuple(visible(pointer)[:200] for pointer in changed[:_TOLD]), *count)


def changes(before: str, after: str) -> list[Change]:
    """Every member that differs, in the order of the new definition."""
    old, new = _members(before), _members(after)
    found = []
    for pointer in {**new, **old}:
        was, now = old.get(pointer, ...), new.get(pointer, ...)
        if _told(old, pointer) != _told(new, pointer):
            texts = ("" if was is ... else _text(was)), ("" if now is ... else _text(now))
            found.append(Change(pointer, was, now, tuple(_aligned(*texts))))
    return found


def visible(text: str) -> str:
    """The text with what cannot be seen, or passes for a Latin letter among Latin ones, written as code points."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(word) for word in _WORDS.findall(text))


def _visible(word: str) -> str:
    mixed = not word.isascii() and any(c.isascii() and c.isalpha() for c in word)
    posing = not word.isascii() and (mixed or skeleton(word).isascii())
    return "".join(
        f"⟨U+{ord(c):04X}⟩"
        if (unseen(c) and c not in "\n\t") or (posing and not c.isascii() and skeleton(c).isascii())
        else c
        for c in word
    )


def _aligned(before: str, after: str) -> Iterator[tuple[Op, str]]:
    from difflib import SequenceMatcher  # not needed by a gateway

    old, new = _WORDS.findall(before), _WORDS.findall(after)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    yield from _run("same", old[:start])
    one, two = old[start : len(old) - end], new[start : len(new) - end]
    if len(one) + len(two) > _LONGEST:
        yield from _run("removed", one)
        yield from _run("added", two)
    else:
        for _, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
            if one[a:b] == two[c:d]:
                yield from _run("same", one[a:b])
            else:
                yield from _run("removed", one[a:b])
                yield from _run("added", two[c:d])
    yield from _run("same", old[len(old) - end :])


def _run(op: Op, words: list[str]) -> Iterator[tuple[Op, str]]:
    if words:
        yield op, "".join(words)


def _members(definition: str) -> dict[str, Any]:
    """JSON pointer → scalar, or an empty container. Iterative; one text where the definition is not whole."""
    if not definition:
        return {}
    try:
        root = parsed(definition)
    except (ValueError, RecursionError):
        return {"": definition}
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        pointer, value = stack.pop()
        if isinstance(value, dict) and value:
            inside = [(key.replace("~", "~0").replace("/", "~1"), item) for key, item in value.items()]
            stack.extend((f"{pointer}/{key}", item) for key, item in reversed(inside))
        elif isinstance(value, list) and value:
            stack.extend((f"{pointer}/{index}", item) for index, item in reversed(list(enumerate(value))))
        else:
            found[pointer] = value
    return found


def _told(members: dict[str, Any], pointer: str) -> tuple[bool, str]:
    """A value as it is compared: 1, 1.0 and true are three different things."""
    return (True, json.dumps(members[pointer])) if pointer in members else (False, "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
