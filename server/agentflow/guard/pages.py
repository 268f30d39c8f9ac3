"""Values cut in two by paging: the end of one page and the beginning of the next one that a conversation reads.

It promises that a value which the last page of the same source left unfinished is made whole at the head of the next
one, so that it is found and replaced there (where its second half is not found by itself); what the last page showed
of it has left already and stays as it is. It keeps the last characters of a page, clear, in memory only, for a bounded
number of sources and some minutes. A page is the first text of a result; the source is the tool or resource of one
conversation, asked with other arguments. A line that a server puts around each page ("Contents of …", "truncated, go
on at 5000") may stand in between.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from agentflow.guard.spans import Matcher
from agentflow.guard.walk import JSON, leaves, replace

_REACH: Final = 160  # characters on either side of the cut
_SHORTEST: Final = 64  # characters of a text that may be a page
_LONGEST_LINE: Final = 300  # characters of a line that stands in front of a page
_TTL: Final = 900.0  # seconds
_LISTS: Final = ("content", "contents")


@dataclass(frozen=True, slots=True)
class _End:
    asked: Hashable
    text: str
    until: float


class Pages:
    """The ends of the pages last read.

    Args:
        most: sources that are remembered; the least recently read is forgotten first.
        clock: monotonic seconds.
    """

    def __init__(self, most: int = 1024, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._ends: OrderedDict[Hashable, _End] = OrderedDict()

    def whole(
        self, source: Hashable, asked: Hashable, body: JSON, matcher: Matcher, wanted: Callable[[str], bool]
    ) -> JSON:
        """Return the body with the value that the last page began made whole; itself where there is none.

        Args:
            source: whose page this is.
            asked: what was asked for; the same again is no next page.
            wanted: whether values of a type are to be replaced.
        """
        text = _first_text(body)
        if text is None:
            return body
        last = self._ends.pop(source, None)
        now = self._clock()
        if len(text) >= _SHORTEST:
            self._ends[source] = _End(asked, text[-2 * _REACH :], now + _TTL)
            if len(self._ends) > self._most:
                self._ends.popitem(last=False)
        if last is None or last.asked == asked or last.until < now:
            return body
        cut = _cut(last.text, text, matcher, wanted)
        if cut is None:
            return body
        at, begun = cut
        # The structured twin of a text holds it word for word.
        same = [leaf for leaf in leaves(body, files=True) if leaf.value == text]
        completed: JSON = replace(body, [(leaf, text[:at] + begun + text[at:]) for leaf in same])
        return completed


def _cut(end: str, text: str, matcher: Matcher, wanted: Callable[[str], bool]) -> tuple[int, str] | None:
    """Where in `text` a value goes on that `end` began, and what `end` holds of it."""
    seams = [(before, text[at : at + _REACH], at) for before in _without_frame(end) for at in _starts(text)]
    if not matcher.suspect("\0".join(before + after for before, after, _ in seams).encode("utf-8", "surrogatepass")):
        return None
    for before, after, at in seams:
        for found in matcher.find(before + after):
            if not found.start < len(before) < found.end or not wanted(found.type):
                continue
            # What is a value by itself is replaced by itself: to add to it might make another one of it.
            if all(own.end != found.end - len(before) for own in matcher.find(after)):
                return at, before[found.start :]
    return None


def _without_frame(end: str) -> list[str]:
    """The end of a page as it is, and without its last line or paragraph."""
    shorter = (end.rpartition(mark)[0] for mark in ("\n\n", "\n"))
    return list(dict.fromkeys([end, *(found for found in shorter if found)]))


def _starts(text: str) -> list[int]:
    """Where a page may begin: at once, or after its first line."""
    first = text.find("\n", 0, _LONGEST_LINE) + 1
    return [0, first] if 0 < first < len(text) else [0]


def _first_text(body: JSON) -> str | None:
    for name in _LISTS:
        blocks: Any = body.get(name)
        if isinstance(blocks, list) and blocks and isinstance(blocks[0], dict):
            text = blocks[0].get("text")
            return text if isinstance(text, str) and text else None
    return None
