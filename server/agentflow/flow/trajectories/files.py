"""The records of runs on disk: one file of JSON lines per day (UTC), in `trajectories` of the data directory.

Promises: a record is written with one `write`, so that several gateways of one machine may share the folder; the
folder and its files are their owner's alone; a line that a crash cut short is passed over, and counted; records older
than the retention are gone with their day's file. Everything here waits for a disk: from the event loop, in a thread.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import ValidationError

from agentflow.flow.trajectories.record import Trajectory
from agentflow.paths import private_dir

FOLDER: Final = "trajectories"
_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl")
_SWEEP: Final = 3600.0  # seconds between two looks for what is too old
_BLOCK: Final = 1 << 20  # bytes that are read at a time, from a file's end


@dataclass(slots=True)
class Wanted:
    """Which records are asked for; an empty member asks for any.

    Attributes:
        unflagged: only runs that met nothing suspicious.
        since, until: epoch seconds of the run's start.
    """

    tenant: str = ""
    principal: str = ""
    outcome: str = ""
    planner: str = ""
    unflagged: bool = False
    since: float = 0.0
    until: float = field(default=float("inf"))

    def fits(self, record: Trajectory) -> bool:
        asked = (
            (self.tenant, record.tenant),
            (self.principal, record.principal),
            (self.outcome, record.outcome),
            (self.planner, record.planner),
        )
        if self.unflagged and record.flagged:
            return False
        return self.since <= record.started <= self.until and all(want in ("", has) for want, has in asked)


class TrajectoryFiles:
    """The records of one data directory.

    Args:
        days: after which a record goes; None: never.

    Attributes:
        damaged: lines that could not be read so far.
    """

    def __init__(self, data_dir: Path, days: int | None = None) -> None:
        self._folder = data_dir / FOLDER
        self._days = days
        self._swept = 0.0
        self.damaged = 0

    def append(self, record: Trajectory) -> None:
        """Write a record into the file of the day it began.

        Raises:
            OSError: it could not be written.
        """
        private_dir(self._folder)
        path = self._folder / f"{_day(record.started)}.jsonl"
        line = record.model_dump_json().encode() + b"\n"
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line  # after a line that was cut short
            if os.write(handle, line) != len(line):
                raise OSError(28, "No space left on device", str(path))
        finally:
            os.close(handle)
        if time.monotonic() - self._swept > _SWEEP:
            self._swept = time.monotonic()
            self.expire()

    def expire(self, now: float | None = None) -> int:
        """Remove the files of days that are too old; how many went."""
        if self._days is None:
            return 0
        oldest = _day((time.time() if now is None else now) - timedelta(days=self._days).total_seconds())
        gone = 0
        for path in self._days_files():
            if path.stem < oldest:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def read(self, wanted: Wanted | None = None, *, newest_first: bool = False) -> Iterator[Trajectory]:
        """The records that are asked for, in the order they were kept, or the other way round."""
        wanted = wanted or Wanted()
        return filter(wanted.fits, self._records(wanted, newest_first))

    def find(self, data_id: str) -> Trajectory | None:
        """The newest record of that id, or of the only id that begins so."""
        near: Trajectory | None = None
        several = False
        named = b'"data_id":"' + data_id.encode("utf-8", "replace")  # as `append` writes it
        for record in self._records(Wanted(), True, named):
            if record.data_id == data_id:
                return record
            if record.data_id.startswith(data_id):
                several = several or (near is not None and near.data_id != record.data_id)
                near = near or record
        return None if several else near

    def _records(self, wanted: Wanted, newest_first: bool, holding: bytes = b"") -> Iterator[Trajectory]:
        last = _day(wanted.until) if wanted.until < float("inf") else "9999"
        files = [p for p in self._days_files() if _day(wanted.since) <= p.stem <= last]
        for path in reversed(files) if newest_first else files:
            try:
                with path.open("rb") as file:
                    for line in _backwards(file) if newest_first else file:
                        if holding not in line or not line.strip():
                            continue
                        try:
                            yield Trajectory.model_validate_json(line)
                        except ValidationError:
                            self.damaged += 1
            except FileNotFoundError:  # its day was over meanwhile
                continue

    def _days_files(self) -> list[Path]:
        try:
            found = list(self._folder.iterdir())
        except FileNotFoundError:
            return []
        return sorted(path for path in found if _NAME.fullmatch(path.name))


def _backwards(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, the last first; of the file no more than a block and a line are held."""
    at, parts = file.seek(0, os.SEEK_END), [b""]
    while at:
        size = min(_BLOCK, at)
        at -= size
        file.seek(at)
        block = file.read(size)
        if b"\n" in block:
            first, *lines = b"".join([block, *reversed(parts)]).split(b"\n")
            yield from reversed(lines)
            parts = [first]
        else:
            parts.append(block)
    yield b"".join(reversed(parts))


def _day(moment: float) -> str:
    return datetime.fromtimestamp(max(moment, 0.0), UTC).strftime("%Y-%m-%d")
