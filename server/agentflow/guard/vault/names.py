"""How the entries of a vault are called: token names, number tokens, and the hidden names of stand-ins.

A name follows from the value by HMAC-SHA256 under the tenant's naming key, narrowed to a scope where there is one: it
says nothing about the value to anyone without that key. It is cut short; where another value already has a name, or
had it and was forgotten, a value takes its next one.
"""

from __future__ import annotations

import re
from hmac import digest
from typing import Final

from agentflow.guard.tokens import HEX_LENGTHS, NUMBER_FIRST, NUMBER_LAST
from agentflow.guard.vault.keys import as_bytes

ROUNDS: Final = 8
STAND_IN: Final = "="  # no token's name begins so
_SEPARATORS: Final = re.compile(r"[\s.()/+\-]+")
_NUMERIC: Final = frozenset("0123456789" + STAND_IN)
_SPACE: Final = re.compile(r"\s+")


def scoped(naming: bytes, scope: str) -> bytes:
    """The naming key of one scope; the tenant's own where there is none."""
    return digest(naming, b"scope\0" + as_bytes(scope), "sha256") if scope else naming


def scope_column(naming: bytes, scope: str) -> str:
    """How a scope is called in the tables: a session's id is a secret, and a principal's name is personal."""
    return digest(naming, b"scope name\0" + as_bytes(scope), "sha256").hex()[:32] if scope else ""


def candidates(key: bytes, kind: str, value: str | int, turn: int = 0) -> tuple[str, ...]:
    """Return three names for a value, shortest first; each `turn` has three others."""
    number = isinstance(value, int)
    form = b"number" if number else b"text"
    if turn:
        form = b"%d %s" % (turn, form)
    mac = digest(key, b"\0".join((form, kind.encode(), as_bytes(str(value)))), "sha256")
    if number:
        parts = (mac[:8], mac[8:16], mac[16:24])
        return tuple(str(NUMBER_FIRST + int.from_bytes(part) % (NUMBER_LAST - NUMBER_FIRST + 1)) for part in parts)
    digits = mac.hex()
    return tuple([f"{kind}_{digits[:length]}" for length in HEX_LENGTHS])


def fit(name: str) -> bool:
    """Whether a name may be given out: with a letter and a digit in its hex it is neither a word nor a number."""
    digits = name[name.rfind("_") + 1 :]
    return name[0] in _NUMERIC or not (digits.isdigit() or digits.isalpha())


def stand_in(key: bytes, shown: str | int) -> str:
    """The name of the entry behind a value that was put in another one's place."""
    return STAND_IN + digest(key, b"stand-in\0" + as_bytes(canonical(str(shown))), "sha256").hex()[:32]


def canonical(text: str) -> str:
    """A value without what changes when it is copied: case, spaces, and in numbers their punctuation."""
    bare = _SEPARATORS.sub("", text)
    if bare.isdecimal():
        return bare
    return _SPACE.sub(" ", text).strip().casefold()
