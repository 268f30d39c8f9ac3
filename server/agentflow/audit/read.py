"""Reading the audit log: the last records, one record, and whether anything was done to it.

Works on the files alone, beside a running writer or without one. `verify` names the first record that was altered,
is missing, was moved, or was cut off; it cannot see that a whole chain was rebuilt, which needs a signed head.
"""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agentflow.audit import chain
from agentflow.audit.chain import JSON, Line

Damage = Literal["altered", "missing", "reordered", "truncated"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, and where it stands."""

    chain: str
    seq: int
    record: JSON


@dataclass(frozen=True, slots=True)
class Bad:
    """The first record that is not as it was written. `line` counts from 1; 0 where there is no line."""

    damage: Damage
    chain: str
    segment: str
    line: int
    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `notes` are crashes and the like: explained, and no damage."""

    records: int
    chains: int
    bad: Bad | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.bad is None


def entries(data_dir: Path) -> Iterator[Entry]:
    """Every readable record, chain after chain, in the order written."""
    for folder in chain.chains(data_dir):
        for segment in chain.segments(folder):
            with segment.open("rb") as file:
                for raw in file:
                    line = chain.decode(raw[:-1]) if raw.endswith(b"\n") else None
                    if line is not None:
                        yield Entry(folder.name, line.seq, line.record)


def find(data_dir: Path, record_id: str) -> Entry | None:
    """Return the record with this id, or None."""
    needle = b'"id":"%s"' % record_id.encode()
    for folder in chain.chains(data_dir):
        for segment in reversed(chain.segments(folder)):
            content = segment.read_bytes()
            if needle not in content:
                continue
            for raw in content.split(b"\n"):
                line = chain.decode(raw) if needle in raw else None
                if line is not None and line.record.get("id") == record_id:
                    return Entry(folder.name, line.seq, line.record)
    return None


def tail(
    data_dir: Path,
    n: int = 20,
    follow: bool = False,
    *,
    poll: float = 0.2,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Entry]:
    """Yield the last `n` records of all chains in order of time, then, with `follow`, each new one as it comes.

    Args:
        poll: seconds between two looks while following.
        stop: asked between two looks; true ends the iteration.
    """
    followers: dict[str, _Follower] = {}
    last: list[Entry] = []
    for folder in chain.chains(data_dir):
        follower = followers[folder.name] = _Follower(folder)
        last += follower.last(n)
    yield from heapq.nlargest(n, last, key=_when)[::-1]
    while follow and not stop():
        for folder in chain.chains(data_dir):
            if folder.name not in followers:
                followers[folder.name] = _Follower(folder)
        fresh = [entry for follower in followers.values() for entry in follower.fresh()]
        yield from sorted(fresh, key=_when)
        if not fresh:
            time.sleep(poll)


def _when(entry: Entry) -> tuple[float, int]:
    moment = entry.record.get("time", 0.0)
    return (float(moment) if isinstance(moment, int | float) else 0.0, entry.seq)


class _Follower:
    """A place in one chain: the segment being read and how far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segment = ""
        self._offset = 0

    def last(self, n: int) -> list[Entry]:
        """The last `n` records; the place is then behind them."""
        found: list[Entry] = []
        for segment in reversed(chain.segments(self._folder)):
            content = segment.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if not self._segment:
                self._segment, self._offset = segment.name, len(whole)
            for raw in reversed(whole.split(b"\n")):
                if len(found) >= n:
                    return found[::-1]
                if raw and (line := chain.decode(raw)) is not None:
                    found.append(Entry(self._folder.name, line.seq, line.record))
        return found[::-1]

    def fresh(self) -> list[Entry]:
        """Whole records written since; follows into new segments."""
        found: list[Entry] = []
        for segment in chain.segments(self._folder):
            if segment.name < self._segment:
                continue
            if segment.name > self._segment:
                self._segment, self._offset = segment.name, 0
            with segment.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._offset += len(whole)
            for raw in whole.split(b"\n"):
                if raw and (line := chain.decode(raw)) is not None:
                    found.append(Entry(self._folder.name, line.seq, line.record))
        return found


def verify(data_dir: Path) -> Verification:
    """Check every chain of a data directory; `bad` is the first damage, in order of chains."""
    folders = chain.chains(data_dir)
    records = 0
    notes: list[str] = []
    for number, folder in enumerate(folders, start=1):
        if folder.name != f"chain-{number:04d}":
            bad = Bad("missing", f"chain-{number:04d}", "", 0, 1, "the whole chain is gone")
            return Verification(records, len(folders), bad, tuple(notes))
        walk = _Walk(folder)
        bad_here = walk.run()
        records += walk.records
        notes += walk.notes
        if bad_here is not None:
            return Verification(records, len(folders), bad_here, tuple(notes))
    return Verification(records, len(folders), None, tuple(notes))


@dataclass
class _Walk:
    """One pass along one chain."""

    folder: Path
    records: int = 0
    notes: list[str] = field(default_factory=list)
    _expected: int = 1
    _prev: str = chain.FIRST_PREV
    _where: tuple[str, int] = ("", 0)  # segment and line of the last good record
    _torn: tuple[str, bytes] | None = None  # segment, and what stands after its last whole line
    _head_hash: str | None = None  # hash of the record that the head is about

    def run(self) -> Bad | None:
        head = chain.read_head(self.folder)  # before the records: a writer may be at work
        for segment in chain.segments(self.folder):
            bad = self._segment(segment, head[0] if head else 0)
            if bad is not None:
                return bad
        return self._ending(head)

    def _segment(self, segment: Path, head_seq: int) -> Bad | None:
        content = segment.read_bytes()
        if not content:
            return None  # begun, and nothing written yet
        lines = content.split(b"\n")
        rest = lines.pop()
        for number, raw in enumerate(lines, start=1):
            line = chain.decode(raw)
            bad = self._line(segment, number, line)
            if bad is not None or line is None:
                return bad
            self._prev, self._expected, self._where = line.hash, line.seq + 1, (segment.name, number)
            self.records += 1
            if line.seq == head_seq:
                self._head_hash = line.hash
        if rest:
            self._torn = (segment.name, rest)
        return None

    def _line(self, segment: Path, number: int, line: Line | None) -> Bad | None:
        def bad(damage: Damage, seq: int, detail: str) -> Bad:
            return Bad(damage, self.folder.name, segment.name, number, seq, detail)

        if line is None:
            return bad("altered", self._expected, "the line is not a record")
        if line.seq != self._expected:
            if line.seq < self._expected or self._occurs_later(segment, self._expected):
                return bad("reordered", line.seq, f"record {line.seq} stands where {self._expected} belongs")
            gone = f"{self._expected}" if line.seq == self._expected + 1 else f"{self._expected} to {line.seq - 1}"
            return bad("missing", self._expected, f"record {gone} missing before {line.seq}")
        if not line.sound:
            return bad("altered", line.seq, "its content does not fit its hash")
        if line.prev != self._prev:
            if line.seq == 1:
                return bad("altered", 1, "the first record names a predecessor")
            name, row = self._where
            detail = f"record {line.seq} was written after another record {line.seq - 1}"
            return Bad("altered", self.folder.name, name, row, line.seq - 1, detail)
        if number == 1 and segment.name != chain.segment_name(line.seq):
            return bad("altered", line.seq, "the segment's name does not fit its first record")
        return self._explained(segment, number, line)

    def _explained(self, segment: Path, number: int, line: Line) -> Bad | None:
        """A half-written end must be accounted for by the first record of the next segment."""
        if self._torn is None:
            return None
        name, rest = self._torn
        record = line.record
        stated = {"segment": name, "bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}
        if record.get("kind") != "log" or record.get("torn") != stated:
            return Bad(
                "altered", self.folder.name, name, 0, line.seq - 1, "its end holds bytes that no later record explains"
            )
        self._torn = None
        self.notes.append(
            f"{self.folder.name}/{name}: the writer was killed in the middle of a record ({len(rest)} bytes)"
        )
        return None

    def _occurs_later(self, segment: Path, seq: int) -> bool:
        needle = b'{"seq":%d,"prev":' % seq
        return any(needle in path.read_bytes() for path in chain.segments(self.folder) if path.name >= segment.name)

    def _ending(self, head: tuple[int, str] | None) -> Bad | None:
        last, name = self._expected - 1, self._where[0]
        if head is None:
            if last:
                return Bad("missing", self.folder.name, chain.HEAD, 0, last, "the head of the chain is gone")
        elif head[0] > last:
            detail = f"the chain ends at record {last}, and {head[0]} were written"
            return Bad("truncated", self.folder.name, name, 0, last + 1, detail)
        elif head[0] and self._head_hash != head[1]:
            return Bad(
                "altered", self.folder.name, name, 0, head[0], "it is not the record the head of the chain names"
            )
        if self._torn is not None:
            self.notes.append(
                f"{self.folder.name}/{self._torn[0]}: ends in the middle of a record (never answered for)"
            )
        return None
