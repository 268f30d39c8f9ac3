"""What a client hears of a run while it goes on: its turns, and the answer's text as it is written.

Promises: each notification's progress is greater than the last one's (MCP 2025-11-25, progress), the answer's pieces
count as parts of a turn, so that `progress` never passes the turns done and under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""(progress, total, message) → nothing."""


class Telling:
    """Tells of one run."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._turns, self._total, self._pieces = 0, 1, 0

    async def turn(self, turn: int, of: int, message: str) -> None:
        """A turn has ended."""
        self._turns, self._total, self._pieces = turn, of, 0
        await self._report(turn, of, message)

    async def piece(self, text: str) -> None:
        """A piece of the answer: the messages after the last turn's, put together, are its text."""
        self._pieces += 1
        part = self._pieces / (self._pieces + 1)
        await self._report(self._turns + part, max(self._total, self._turns + 1), text)
