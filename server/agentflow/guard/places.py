"""Which part of a server a call is about: the repository, the table, the channel, the customer that its arguments name.

One server keeps what outsiders may read beside what they may not: a public repository and a private one, a ticket's
thread and a table of keys. It promises the same number for the same place, in whatever order it is named, and 0 where
the arguments name none.
"""

from __future__ import annotations

import re
from typing import Any, Final

from agentflow.guard.messages import leaves
from agentflow.guard.sinks import STATEMENT, words_of
from agentflow.guard.values import hashed

_LONGEST: Final = 2000  # characters of a statement
_MOST: Final = 64  # leaves of the arguments
_KEYS: Final = frozenset(
    word
    for words in (
        "owner repo repository project namespace table bucket channel database schema workspace organization org",
        "customer tenant client account board space room folder dataset collection index group team site mailbox",
    )
    for word in words.split()
)
_TABLE: Final = re.compile(r"\b(?:from|into|update|join|table)\s+[\"`\[]?([\w.]+)")


def place_of(arguments: Any) -> int:
    """The place that arguments name, as a number; 0 for none."""
    named: set[str] = set()
    for number, (_, key, value) in enumerate(leaves(arguments)):
        if number >= _MOST:
            break
        if not isinstance(value, str):
            continue
        words = words_of(key)
        if not STATEMENT.isdisjoint(words):
            named.update(_TABLE.findall(value[:_LONGEST].lower()))
        elif len(value) < 100 and not _KEYS.isdisjoint(words):
            named.update(value.lower().strip("#/ ").split("/"))
    return hashed("\n".join(sorted(named))) | 1 if named else 0
