"""Fields of records: which one a word means, which hold dates, amounts, ids, names.

Decided from the values as much as from the names, because most servers describe neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from agentflow.flow.catalogue import ID_WORDS
from agentflow.flow.facts import Record
from agentflow.flow.literals import TOKEN
from agentflow.flow.words import alike, best_alike, overlap, stem, stems

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?$")
_ID_VALUE = re.compile(r"^(?:[A-Za-z]{1,8}[-_:]?\d[\w-]*|\d+|[0-9a-f]{8}-[0-9a-f-]{27})$")
_PII = re.compile(rf"^(?:{TOKEN})$")

_MAIN_DATE = stems("created date placed ordered opened issued at time timestamp published hired")
_SIDE_DATE = frozenset(stems("updated modified due birth birthday deadline expires until end"))
_MONEY = stems("total amount price cost balance salary fee value sum budget")
_IDENTITY = stems("name title subject label headline")
PERSON = frozenset(
    stems(
        "customer user person employee author owner assignee agent manager member client staff contact "
        "borrower reporter driver student teacher patient doctor seller buyer"
    )
)
_PLACE = stems("city location place address town room office country warehouse")


def words_of(path: str) -> tuple[str, ...]:
    """Stems of a field path; of `address/city` the last part counts first."""
    *outer, last = path.split("/")
    return (*stems(last), *(w for part in outer for w in stems(part)))


def is_id_key(path: str) -> bool:
    """Whether a field is named like an identifier (`id`, `customer_id`, `sku`)."""
    words = stems(path.rsplit("/", 1)[-1])
    return bool(words) and words[-1] in ("id", "uid", "uuid", "identifier", "sku", "key")


def is_date(value: Any) -> bool:
    return isinstance(value, str) and bool(_DATE.match(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def id_like(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and bool(_ID_VALUE.match(value))
    )


def pii_type(value: Any) -> str:
    """The type of a PII token in lower case (`email`), or ""."""
    if not isinstance(value, str) or not _PII.match(value):
        return ""
    return value.strip("<>[]").removeprefix("REDACTED_").rsplit("_", 1)[0].lower()


def shape(value: Any) -> str:
    """The pattern of an identifier: `O-1042` → `O-9`."""
    return re.sub(r"\d+", "9", str(value))


def own_id(record: Record) -> tuple[str, Any] | None:
    """The record's own identifier: `id`, `<entity>_id`, or another id-like field named after the entity."""
    scalars = {path: value for path, value in record.fields(depth=0) if isinstance(value, str | int)}
    for path, value in scalars.items():
        words = stems(path)
        if words == ("id",) or (words[-1:] == ("id",) and best_alike(record.entity, words[:-1]) == 1.0):
            return path, value
    for path, value in scalars.items():
        words = stems(path)
        if words and words[-1] in ID_WORDS and (len(words) == 1 or best_alike(record.entity, words[:-1])):
            return path, value
    return None


def date_field(records: Sequence[Record], asked: Iterable[str]) -> str | None:
    """The date to sort or answer by: one that was asked for, else when the thing came to be."""
    keys = _keys(records, is_date)
    wanted = [w for w in asked if w not in ("date", "day")]
    named = [(max((alike(a, w) for a in wanted for w in words_of(k)), default=0.0), k) for k in keys]
    best = max(named, key=lambda pair: pair[0], default=(0.0, ""))
    if best[0] == 1.0:
        return best[1]
    ranked = sorted(keys, key=lambda k: (bool(_SIDE_DATE & set(words_of(k))), _rank(words_of(k), _MAIN_DATE)))
    return ranked[0] if ranked else None


def number_field(records: Sequence[Record], asked: Iterable[str], implied: str = "") -> str | None:
    """The quantity to compare, add or answer by: one that was asked for, else a money-like one, else the only one."""
    keys = [k for k in _keys(records, is_number) if not is_id_key(k)]
    wanted = [*asked, *([stem(implied)] if implied else [])]
    scored = sorted(
        ((max((alike(a, w) for a in wanted for w in words_of(k)), default=0.0), -i, k) for i, k in enumerate(keys)),
        reverse=True,
    )
    if scored and scored[0][0] > 0:
        return scored[0][2]
    money = sorted((k for k in keys if set(words_of(k)) & set(_MONEY)), key=lambda k: _rank(words_of(k), _MONEY))
    if money:
        return money[0]
    return keys[0] if len(keys) == 1 else None


def _keys(records: Sequence[Record], test: Any) -> list[str]:
    counts: dict[str, int] = {}
    for record in records[:50]:
        for path, value in record.fields():
            if test(value):
                counts[path] = counts.get(path, 0) + 1
    needed = max(1, min(len(records), 50) // 2)
    return [key for key, n in counts.items() if n >= needed]


def _rank(words: Sequence[str], order: Sequence[str]) -> int:
    return min((order.index(w) for w in words if w in order), default=len(order))


def identity(record: Record) -> tuple[str, Any] | None:
    """What one would call the record: its name, title or subject, else its id."""
    for word in _IDENTITY:
        for path, value in record.fields(depth=0):
            if stems(path)[-1:] == (word,) and len(stems(path)) <= 2 and isinstance(value, str) and value:
                return path, value
    first = dict(record.fields(depth=0))
    if "first_name" in first and "last_name" in first:
        return "first_name", f"{first['first_name']} {first['last_name']}"
    return own_id(record)


def project(record: Record, head: Sequence[str], implied: str) -> tuple[str, Any, float] | None:
    """The field that a head noun means: (path, value, quality 0..1), or None.

    A field that only holds another thing's id answers poorly (quality 0.4): the thing's name was asked for.
    """
    best: tuple[float, str, Any] | None = None
    for path, value in record.fields():
        quality = _quality(record, path, value, head, implied)
        if quality >= 0.45 and (best is None or quality > best[0]):
            best = (quality, path, value)
    if best is None:
        return None
    quality, path, value = best
    asked_id = any(w in ID_WORDS for w in head)
    if is_id_key(path) and not asked_id and stems(path) != ("id",):
        quality = 0.4
    return path, value, min(quality, 1.0)


def _quality(record: Record, path: str, value: Any, head: Sequence[str], implied: str) -> float:
    words = words_of(path)
    if head:
        entity = [w for w in head if not record.is_a(w)] or list(head)
        quality = max(overlap(head, words), overlap(entity, words))
        if implied == "date" and is_date(value) and any(best_alike(h, words) for h in head):
            quality = max(quality, 0.8)
        return quality if value is not None else 0.0
    if implied == "person":
        if is_id_key(path):
            return 0.45 if set(words) & PERSON else 0.0
        if set(words) & PERSON and isinstance(value, str) and not is_date(value):
            return 0.9
        return 0.9 if words[0] == stem("name") and record.entity in PERSON else 0.0
    if implied == "place":
        return 0.95 - 0.05 * _PLACE.index(words[0]) if words[0] in _PLACE else 0.0
    if implied == "money" and is_number(value) and not is_id_key(path):
        return 0.9 - 0.05 * _rank(words, _MONEY) if set(words) & set(_MONEY) else 0.0
    return 0.0
