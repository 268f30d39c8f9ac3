"""Parts of a list that is at hand as a whole: the cursor names the last item shown, by a key that it keeps."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from agentflow.admin.models import Page
from agentflow.errors import InvalidArguments

T = TypeVar("T")


def paged(items: Sequence[T], key: Callable[[T], str], limit: int, cursor: str | None) -> Page[T]:
    """Cut the part that follows `cursor`.

    Raises:
        InvalidArguments: the cursor is none of ours, or what it names has gone.
    """
    start = 0
    if cursor is not None:
        last = _decoded(cursor)
        start = next((number for number, item in enumerate(items, 1) if key(item) == last), -1)
        if start < 0:
            raise InvalidArguments("What the cursor names has gone", fix="List again without it")
    part = list(items[start : start + limit])
    more = start + limit < len(items) and part
    return Page(items=part, next=_encoded(key(part[-1])) if more else None)


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        raise InvalidArguments("The cursor is not one this gateway gave out", fix="List again without it") from None
