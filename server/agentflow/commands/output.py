"""What commands print, and how they say that they were used wrongly."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Sequence
from typing import Any

from agentflow.errors import AgentFlowError


class UsageError(AgentFlowError):
    """The command line does not make sense; the process exits with 2."""

    kind = "usage"


def user() -> str:
    """Who runs the command, for records of what was done by it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def document(value: Any) -> None:
    """Print `value` as one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in aligned columns; the last column is as wide as it is."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())
