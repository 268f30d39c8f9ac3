"""Reading the audit log: all records, the last ones, one of them.

Works on the files alone, beside a running writer or without one, and takes no notice of signatures: see `verify`.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentflow.audit import chain
from agentflow.audit.chain import JSON


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, and where it stands."""

    chain: str
    seq: int
    record: JSON


def _ignored(segment: Path) -> None:
    """Nobody asked."""


def entries(data_dir: Path, damaged: Callable[[Path], None] = _ignored) -> Iterator[Entry]:
    """Every readable record, chain after chain, in the order written.

    Args:
        damaged: told of the segment of each whole line that is no record; such lines are left out.
    """
    for folder in chain.chains(data_dir):
        for segment in chain.segments(folder):
            with suppress(FileNotFoundError), segment.open("rb") as file:  # it may be retired meanwhile
                for raw in file:
                    line = chain.decode(raw[:-1]) if raw.endswith(b"\n") else None
                    if line is not None:
                        yield Entry(folder.name, line.seq, line.record)
                    elif raw.endswith(b"\n"):
                        damaged(segment)


def find(data_dir: Path, record_id: str) -> Entry | None:
    """Return the record with this id, or None."""
    needle = b'"id":"%s"' % record_id.encode()
    for folder in chain.chains(data_dir):
        for segment in reversed(chain.segments(folder)):
            content = _content(segment)
            if needle not in content:
                continue
            for raw in content.split(b"\n"):
                line = chain.decode(raw) if needle in raw else None
                if line is not None and line.record.get("id") == record_id:
                    return Entry(folder.name, line.seq, line.record)
    return None


def _content(segment: Path, offset: int = 0) -> bytes:
    """What a segment holds; nothing where it was retired meanwhile."""
    try:
        with segment.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def tail(
    data_dir: Path,
    n: int = 20,
    follow: bool = False,
    *,
    poll: float = 0.2,
    stop: Callable[[], bool] = lambda: False,
    damaged: Callable[[Path], None] = _ignored,
) -> Iterator[Entry]:
    """Yield the last `n` records of all chains in order of time, then, with `follow`, each new one as it comes.

    Args:
        poll: seconds between two looks while following.
        stop: asked between two looks; true ends the iteration.
        damaged: as in `entries`.
    """
    followers: dict[str, _Follower] = {}
    last: list[Entry] = []
    for folder in chain.chains(data_dir):
        follower = followers[folder.name] = _Follower(folder, damaged)
        last += follower.last(n)
    yield from heapq.nlargest(n, last, key=_when)[::-1]
    while follow and not stop():
        for folder in chain.chains(data_dir):
            if folder.name not in followers:
                followers[folder.name] = _Follower(folder, damaged)
        fresh = [entry for follower in followers.values() for entry in follower.fresh()]
        yield from sorted(fresh, key=_when)
        if not fresh:
            time.sleep(poll)


def _when(entry: Entry) -> tuple[float, int]:
    moment = entry.record.get("time", 0.0)
    return (float(moment) if isinstance(moment, int | float) else 0.0, entry.seq)


class _Follower:
    """A place in one chain: the segment being read and how far."""

    def __init__(self, folder: Path, damaged: Callable[[Path], None]) -> None:
        self._folder = folder
        self._damaged = damaged
        self._segment = ""
        self._offset = 0

    def last(self, n: int) -> list[Entry]:
        """The last `n` records; the place is then behind them."""
        found: list[Entry] = []
        for segment in reversed(chain.segments(self._folder)):
            content = _content(segment)
            whole = content[: content.rfind(b"\n") + 1]
            if not self._segment:
                self._segment, self._offset = segment.name, len(whole)
            for raw in reversed(whole.split(b"\n")):
                if len(found) >= n:
                    return found[::-1]
                if raw:
                    found += self._read(segment, raw)
        return found[::-1]

    def fresh(self) -> list[Entry]:
        """Whole records written since; follows into new segments."""
        found: list[Entry] = []
        for segment in chain.segments(self._folder):
            if segment.name < self._segment:
                continue
            if segment.name > self._segment:
                self._segment, self._offset = segment.name, 0
            content = _content(segment, self._offset)
            whole = content[: content.rfind(b"\n") + 1]
            self._offset += len(whole)
            for raw in whole.split(b"\n"):
                if raw:
                    found += self._read(segment, raw)
        return found

    def _read(self, segment: Path, raw: bytes) -> list[Entry]:
        line = chain.decode(raw)
        if line is None:
            self._damaged(segment)
            return []
        return [Entry(self._folder.name, line.seq, line.record)]
