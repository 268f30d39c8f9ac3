"""The periods that budgets run by, in UTC: a day, a week from Monday, a calendar month; or one run.

A period is derived from the clock alone and names its own row. A clock that is set back finds the row that it left,
with what was spent; one that is set forward begins a row that keeps what it was charged until that time really comes.
So no jump of a clock lets a period spend more than its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

Period = Literal["daily", "weekly", "monthly", "run"]
Status = Literal["healthy", "warning", "critical", "exceeded"]
WARNING: Final = 75
CRITICAL: Final = 90
_FIRST, _LAST = 0.0, 250_000_000_000.0  # year 9892: what a clock says beyond is as good as that


@dataclass(frozen=True, slots=True)
class Window:
    """One period of a budget.

    Attributes:
        key: the day it begins, `2026-11-16`, or `run:` and the run.
        starts, ends: epoch seconds, the end exclusive; None of a run.
    """

    key: str
    starts: float
    ends: float | None


def window(period: Period, now: float, run: str = "") -> Window:
    """The period that `now` (epoch seconds) is in."""
    moment = datetime.fromtimestamp(min(max(now, _FIRST), _LAST), UTC)
    if period == "run":
        return Window(f"run:{run}", now, None)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "daily":
        begin, end = day, day + timedelta(days=1)
    elif period == "weekly":
        begin = day - timedelta(days=day.weekday())
        end = begin + timedelta(days=7)
    else:
        begin = day.replace(day=1)
        end = (begin + timedelta(days=32)).replace(day=1)
    return Window(begin.date().isoformat(), begin.timestamp(), end.timestamp())


def level(spent: int, limit: int | None) -> int:
    """The share of a limit that is reached: 0, 75, 90 or 100 per cent. Of a limit of nothing there is no share."""
    if not limit:
        return 0
    return next((each for each in (100, CRITICAL, WARNING) if spent * 100 >= each * limit), 0)


def status(spent: int, limit: int | None) -> Status:
    """`healthy` below 75 %, `warning` below 90 %, `critical` below 100 %, `exceeded`."""
    if limit == 0:
        return "exceeded"
    names: dict[int, Status] = {0: "healthy", WARNING: "warning", CRITICAL: "critical", 100: "exceeded"}
    return names[level(spent, limit)]


def written(moment: float | None) -> str:
    """A moment for people and documents, to the second: `2026-12-01T00:00:00Z`; "" of none."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(min(max(moment, _FIRST), _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
