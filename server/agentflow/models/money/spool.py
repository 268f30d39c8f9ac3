"""What requests have used while the database could not be told: a file in the data directory, told later.

It promises that what was added is on disk before `add` returns, and that it is told at least once; whoever takes it
counts it once. Several processes may share a file. A line that was torn by a crash is left out, and logged.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

from agentflow.models.money.entries import Charge, Entry, Place, Usage
from agentflow.paths import private_dir

try:
    import fcntl
except ImportError:  # Windows: one process writes
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
FILE: Final = "unsettled.jsonl"


class Spool:
    """The file in a folder; made when something is added, empty when all of it has been told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        try:
            return self._path.stat().st_size == 0
        except (FileNotFoundError, NotADirectoryError):
            return True

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep entries.

        Raises:
            OSError: they are not kept.
        """
        private_dir(self._folder)
        text = "".join(json.dumps(_dumped(entry), separators=(",", ":")) + "\n" for entry in entries)
        with self._locked(os.O_RDWR | os.O_CREAT) as file:
            file.seek(0)
            kept = file.read()
            file.write(b"\n" * (kept[-1:] not in (b"", b"\n")) + text.encode())  # a crash may have left half a line
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def taken(self) -> Iterator[list[Entry]]:
        """All that waits; gone when the block ends well, kept when it raises.

        Raises:
            OSError: it cannot be read.
        """
        if self.empty:
            yield []
            return
        with self._locked(os.O_RDWR) as file:
            yield [entry for line in file if line.strip() and (entry := _read(line)) is not None]
            file.truncate(0)

    @contextmanager
    def _locked(self, flags: int) -> Iterator[BinaryIO]:
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _dumped(entry: Entry) -> dict[str, Any]:
    ago = max(time.monotonic() - entry.at, 0.0)
    return {
        "id": entry.id, "time": time.time() - ago, "charge": asdict(entry.charge), "usage": asdict(entry.usage),
        "held": entry.held, "nano": entry.nano, "tokens": entry.tokens,
    }  # fmt: skip


def _read(line: bytes) -> Entry | None:
    try:
        told = json.loads(line)
        held = tuple(Place(*map(str, each)) for each in told["held"])
        at = time.monotonic() - max(time.time() - float(told["time"]), 0.0)
        return Entry(
            str(told["id"]), Charge(**told["charge"]), Usage(**told["usage"]), held, int(told["nano"]),
            int(told["tokens"]), at, again=True,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError):
        log.error("%s: a line cannot be read and is left out (%d bytes)", FILE, len(line))
        return None
