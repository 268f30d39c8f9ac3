"""Values cut in two: text that an upstream spreads over adjacent content blocks of one message.

It promises to find a value that begins in one block of text and ends in the next or a later one, wherever blocks
follow each other directly in `content` or `contents`. It does not look across messages: pages of one resource that are
read by several calls, and fields of a record, are searched one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace as altered
from itertools import pairwise
from typing import Any, Final

from agentflow.guard.embedded import Edit
from agentflow.guard.spans import Matcher
from agentflow.guard.walk import JSON, Leaf

_REACH: Final = 160  # characters on either side of a joint
_LISTS: Final = ("content", "contents")


def suspect(matcher: Matcher, body: JSON) -> bool:
    """Whether a value may stand across a joint."""
    for name in _LISTS:
        blocks = body.get(name)
        if not isinstance(blocks, list) or len(blocks) < 2:
            continue
        texts = [_text(block) for block in blocks]
        for run in _runs(texts):
            for text, joints in _windows([texts[at] for at in run]):
                if joints and matcher.suspect(text.encode("utf-8", "surrogatepass")):
                    return True
    return False


def across(
    matcher: Matcher, plan: list[tuple[Leaf, tuple[Edit, ...]]], wanted: Callable[[str], bool]
) -> list[tuple[Leaf, tuple[Edit, ...]]]:
    """Return `plan` with edits for the values that stand across joints: a token in the first part, none in the others.

    Args:
        plan: every leaf of the message, in order, with its own edits (none, for most).
        wanted: whether values of a type are to be replaced.
    """
    blocks: dict[tuple[int, int], int] = {}
    for number, (leaf, _) in enumerate(plan):
        place = _place(leaf)
        if place is not None:
            blocks[place] = number
    edits = {number: list(plan[number][1]) for number in blocks.values()}
    for group in _adjacent(sorted(blocks)):
        numbers = [blocks[place] for place in group]
        for parts, value in _found(matcher, [str(plan[number][0].value) for number in numbers]):
            if wanted(value[0]):
                _lay(edits, [(numbers[at], start, end) for at, start, end in parts], value)
    return [(leaf, tuple(edits.get(number, own))) for number, (leaf, own) in enumerate(plan)]


def _lay(edits: dict[int, list[Edit]], parts: list[tuple[int, int, int]], value: tuple[str, str]) -> None:
    first = Edit(0, 0, value)
    for number, start, end in parts:
        kept = [edit for edit in edits[number] if edit.end <= start or edit.start >= end]
        kept.append(altered(first, start=start, end=end))
        edits[number] = sorted(kept, key=lambda edit: edit.start)
        first = Edit(0, 0, None, codec="cut")


def _text(block: Any) -> str | None:
    if not isinstance(block, dict) or block.get("type", "text") != "text":
        return None
    text = block.get("text")
    return text if isinstance(text, str) else None


def _place(leaf: Leaf) -> tuple[int, int] | None:
    """(the list, the index in it) of a text block's text."""
    node = leaf.node
    if leaf.key != "text" or not isinstance(node.key, int) or node.parent is None or _text(node.value) is None:
        return None
    above = node.parent
    return (id(above.value), node.key) if above.key in _LISTS else None


def _adjacent(places: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    group: list[tuple[int, int]] = []
    for place in places:
        if group and place != (group[-1][0], group[-1][1] + 1):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _runs(texts: list[str | None]) -> Iterator[list[int]]:
    run: list[int] = []
    for at, text in enumerate([*texts, None]):
        if text is not None:
            run.append(at)
        else:
            if len(run) > 1:
                yield run
            run = []


def _windows(texts: list[Any]) -> Iterator[tuple[str, list[int]]]:
    """Yield the texts around joints, and where in them the joints are; blocks shorter than the reach are whole."""
    pieces: list[str] = []
    joints: list[int] = []
    length = 0
    for left, right in pairwise(texts):
        if not pieces:
            pieces, length = [left[-_REACH:]], min(len(left), _REACH)
        joints.append(length)
        pieces.append(right[:_REACH])
        length += min(len(right), _REACH)
        if len(right) > _REACH:
            yield "".join(pieces), joints
            pieces, joints, length = [], [], 0
    if pieces:
        yield "".join(pieces), joints


def _found(matcher: Matcher, texts: list[str]) -> Iterator[tuple[list[tuple[int, int, int]], tuple[str, str]]]:
    """Yield each value across a joint: its parts as (block, start, end), and itself."""
    bounds = [0]
    for text in texts:
        bounds.append(bounds[-1] + len(text))
    block = 0
    for window, joints in _windows(texts):
        origin = bounds[block + 1] - joints[0]
        for match in matcher.find(window):
            if any(match.start < joint < match.end for joint in joints):
                start, end = origin + match.start, origin + match.end
                parts = [
                    (at, max(start, low) - low, min(end, high) - low)
                    for at, (low, high) in enumerate(pairwise(bounds))
                    if max(start, low) < min(end, high)
                ]
                yield parts, (match.type, window[match.start : match.end])
        block += len(joints)
