"""What a cache of answers has served and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts of one tenant; `saved` in nano-dollars."""

    exact: int = 0
    semantic: int = 0
    misses: int = 0
    stored: int = 0
    evicted: int = 0
    expired: int = 0
    saved: int = 0

    def hit(self, exact: bool, cost: int) -> None:
        """An answer that had cost `cost` was given again."""
        if exact:
            self.exact += 1
        else:
            self.semantic += 1
        self.saved += cost


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Totals since the process began.

    Attributes:
        entries, bytes: held now.
        hit_rate: part of the look-ups that found something, 0 to 1; 0 before the first.
        saved: nano-dollars that the answers given again had cost.
    """

    entries: int
    bytes: int
    exact_hits: int
    semantic_hits: int
    misses: int
    stored: int
    evicted: int
    expired: int
    saved: int

    @property
    def hit_rate(self) -> float:
        hits = self.exact_hits + self.semantic_hits
        return hits / (hits + self.misses) if hits + self.misses else 0.0

    @classmethod
    def of(cls, entries: int, size: int, tallies: Sequence[Tally]) -> CacheStats:
        """The sum of several tenants' counts."""
        return cls(
            entries=entries,
            bytes=size,
            exact_hits=sum(each.exact for each in tallies),
            semantic_hits=sum(each.semantic for each in tallies),
            misses=sum(each.misses for each in tallies),
            stored=sum(each.stored for each in tallies),
            evicted=sum(each.evicted for each in tallies),
            expired=sum(each.expired for each in tallies),
            saved=sum(each.saved for each in tallies),
        )
