"""Masks: enough of a value to recognise it by, never enough to know it. Secrets show nothing."""

from __future__ import annotations

import re
from typing import Final

from agentflow.guard.secrets import TYPES as SECRETS

_SHOWN: Final = 4
_LEAST_HIDDEN: Final = 4
_WORD: Final = re.compile(r"\w+")
_ALNUM: Final = re.compile(r"[^\W_]")
_BY_WORD: Final = frozenset({"PERSON", "ORGANIZATION", "LOCATION", "ADDRESS", "TITLE", "NRP"})
_WHOLE: Final = frozenset({*SECRETS, "API_KEY", "DATE_OF_BIRTH", "AGE", "CRYPTO"})


def mask(kind: str, value: str | int) -> str | int:
    """Return `a***@example.com`, `**** **** **** 1111`, `J*** S***`, `****`; of a number its last four digits."""
    if isinstance(value, int):
        digits = str(value)
        return int(digits[-_SHOWN:]) if kind not in _WHOLE and len(digits) >= _SHOWN + _LEAST_HIDDEN else 0
    if kind in _WHOLE:
        return "****"
    if kind == "EMAIL" and "@" in value:
        local, _, domain = value.rpartition("@")
        return f"{local[:1]}***@{domain}"
    if kind in _BY_WORD:
        return _WORD.sub(lambda word: f"{word[0][0]}***", value)
    hidden = max(len(_ALNUM.findall(value)) - _SHOWN, _LEAST_HIDDEN)
    return _ALNUM.sub("*", value, count=hidden)
