"""What commands print, and how they say that they were used wrongly."""

from __future__ import annotations

import getpass
import json
import os
import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agentflow.errors import AgentFlowError

_AGO = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class UsageError(AgentFlowError):
    """The command line does not make sense; the process exits with 2."""

    kind = "usage"


def user() -> str:
    """Who runs the command, for records of what was done by it: whose process it is, whatever the environment says."""
    try:
        import pwd
    except ImportError:  # Windows
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def printable(text: str) -> str:
    """The text on one line, with nothing in it that a terminal obeys: what cannot be printed stands there escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def document(value: Any) -> None:
    """Print `value` as one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def moment(text: str) -> float:
    """Read a time: `7d` (ago), `2026-11-01`, `2026-11-01T12:30`, local unless it says otherwise; epoch seconds.

    Raises:
        UsageError: it is none.
    """
    if ago := _AGO.fullmatch(text):
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(f"{text!r} is no time", fix="write 7d, 12h, 2026-11-01 or 2026-11-01T12:30") from None


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in aligned columns, `printable`; the last column is as wide as it is."""
    if not rows:
        return
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())
