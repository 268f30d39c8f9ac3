"""Reading a `CallToolResult`: the data in it, or why there is none.

Order: `structuredContent`, else JSON in the text content, else the text itself. FastMCP wraps what is not an
object as `{"result": …}`; the wrapper is taken off.
"""

from __future__ import annotations

import json
from typing import Any

JSON = dict[str, Any]


def failed(result: JSON) -> str | None:
    """The message of a result with `isError`, or None."""
    if not result.get("isError"):
        return None
    return text_of(result) or "the tool reported an error without a message"


def text_of(result: JSON) -> str:
    """All text of a result's content blocks, embedded resources included."""
    parts: list[str] = []
    for block in result.get("content") or ():
        if not isinstance(block, dict):
            continue
        if isinstance(block.get("text"), str):
            parts.append(block["text"])
        elif isinstance(resource := block.get("resource"), dict) and isinstance(resource.get("text"), str):
            parts.append(resource["text"])
    return "\n".join(parts)


def data_of(result: JSON) -> Any:
    """The data of a successful result: JSON where there is any, else text, else None."""
    structured = result.get("structuredContent")
    if structured is not None:
        return _unwrap(structured)
    blocks = [b["text"] for b in result.get("content") or () if isinstance(b, dict) and isinstance(b.get("text"), str)]
    if len(blocks) > 1:
        parsed = [_parse(text) for text in blocks]
        if all(isinstance(value, dict | list) for value in parsed):
            return parsed
    text = text_of(result)
    return _unwrap(_parse(text)) if text else None


def empty(data: Any) -> bool:
    """Whether there is nothing in it: null, "", [], {}, or a wrapper around one of these.

    A zero and a false are data.
    """
    if data is None or (isinstance(data, str) and not data.strip()):
        return True
    if isinstance(data, list):
        return all(empty(item) for item in data)
    if isinstance(data, dict):
        lists = [v for v in data.values() if isinstance(v, list)]
        scalars = [v for k, v in data.items() if not isinstance(v, list | dict) and k not in _COUNTERS]
        return all(empty(v) for v in data.values()) or (bool(lists) and not any(lists) and not scalars)
    return False


_COUNTERS = frozenset({"total", "count", "page", "limit", "offset", "has_more", "next_cursor", "nextCursor"})


def _unwrap(data: Any) -> Any:
    if isinstance(data, dict) and set(data) == {"result"}:
        return data["result"]
    return data


def _parse(text: str) -> Any:
    stripped = text.strip()
    if stripped[:1] in "{[" or stripped in ("null", "true", "false") or _is_number(stripped):
        try:
            return json.loads(stripped)
        except (ValueError, RecursionError):
            return text
    return text


def _is_number(text: str) -> bool:
    # "007" is a code, not seven.
    return text.lstrip("-").replace(".", "", 1).isdigit() and not (len(text) > 1 and text[0] == "0" and text[1] != ".")
