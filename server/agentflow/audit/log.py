"""The writer of the audit log: append-only, hash-chained, on disk before `append` returns.

It promises that a record it accepted survives kill -9 of the process (with `fsync: always` a power cut), that the
chain goes on across restarts and segments, and that what a crash left half-written is kept and noted, never dropped
in silence. It refuses (`AuditUnavailable`) when it cannot write, and works again as soon as it can.

Linux and macOS; needs `flock`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
import time
from pathlib import Path

import orjson

from agentflow.audit import chain
from agentflow.audit.chain import JSON
from agentflow.config import AuditConfig
from agentflow.errors import AuditUnavailable
from agentflow.paths import private_dir

_MAX_CHAINS = 64
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class AuditLog:
    """One writer with a chain of its own. Thread-safe.

    Attributes:
        chain: the folder this writer appends to.
    """

    def __init__(self, data_dir: Path, config: AuditConfig | None = None) -> None:
        """Take the first free chain of the data directory and go on where it ends.

        Raises:
            AuditUnavailable: the folder cannot be made, written or locked.
        """
        self._config = config or AuditConfig()
        self._mutex = threading.Lock()
        self._segment = self._head = self._lock = -1
        self._size = 0
        self._seq, self._last = 0, chain.FIRST_PREV
        self._torn = False  # the end of the segment is not a whole line
        self._failing = False  # the last record could not be written
        try:
            self.chain = self._take_chain(data_dir)
            self._open()
        except OSError as error:
            self.close()
            raise _unavailable(error) from error

    def ready(self) -> None:
        """Find out, after a failure, whether records can be written again; the gap is then noted in the chain.

        Asked before a call is sent on, so that with a full disk nothing runs that nobody could account for. Where
        all is well it costs nothing.

        Raises:
            AuditUnavailable: they still cannot.
        """
        if self._failing:
            self.append({"kind": "log", "time": round(time.time(), 6), "event": "writable_again"})

    def append(self, record: JSON) -> None:
        """Write one record; it is in the file when this returns.

        Raises:
            AuditUnavailable: it is not; nothing of it counts.
        """
        body = _encoded(record)
        with self._mutex:
            if self._lock < 0:
                raise AuditUnavailable("The audit log is closed.")
            try:
                self._room()
                self._write(body)
            except OSError as error:
                self._failing = True
                raise _unavailable(error) from error
            self._failing = False

    def close(self) -> None:
        """Release the chain. Idempotent."""
        with self._mutex:
            for descriptor in (self._segment, self._head, self._lock):
                if descriptor >= 0:
                    os.close(descriptor)
            self._segment = self._head = self._lock = -1

    def _take_chain(self, data_dir: Path) -> Path:
        folder = private_dir(chain.audit_dir(private_dir(data_dir)))
        for number in range(1, _MAX_CHAINS + 1):
            path = private_dir(folder / f"chain-{number:04d}")
            descriptor = os.open(path / chain.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self._lock = descriptor
            return path
        raise AuditUnavailable(
            f"{_MAX_CHAINS} gateways already write audit logs in {folder}.", fix="give this one a data_dir of its own"
        )

    def _open(self) -> None:
        """Find the end of the chain, and go on after it."""
        torn: JSON | None = None
        for path in reversed(chain.segments(self.chain)):
            last, size, rest = _end_of(path)
            if rest:
                torn = {"segment": path.name, "bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}
            if last is not None:
                self._seq, self._last = last.seq, last.hash
                if torn is None:
                    self._segment, self._size = os.open(path, _APPEND), size
                break
            # Not one whole record in it, and the next segment may need its name: kept under another one.
            if rest:
                os.replace(path, path.with_name(f"{path.stem}.torn-{time.time_ns()}"))
        noted = chain.read_head(self.chain)
        self._head = os.open(self.chain / chain.HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        event: JSON | None = {"event": "recovered", "torn": torn} if torn else None
        if noted is None:
            event = {**(event or {}), "event": "head_missing"} if self._seq else event
            os.pwrite(self._head, chain.encode_head(self._seq, self._last), 0)  # takes its space once and for all
        elif noted[0] > self._seq:
            # The end of the chain is gone. Numbers go on after it, so that the gap stays visible for ever.
            event = {**(event or {}), "event": "records_missing", "after": self._seq, "upto": noted[0]}
            self._seq, self._last = noted
        if event is not None or self._segment < 0:
            self._roll(event)

    def _room(self) -> None:
        """Make sure that a whole line can follow: repair after a failed write, begin a new segment when full."""
        if self._torn:
            os.ftruncate(self._segment, self._size)  # what was refused is no record; the chain must not carry it
            self._torn = False
        if self._segment < 0 or self._size >= self._config.segment_bytes:
            self._roll(None)

    def _roll(self, event: JSON | None) -> None:
        """Begin the segment of the next record; `event`, if any, becomes its first one."""
        descriptor = os.open(self.chain / chain.segment_name(self._seq + 1), _APPEND | os.O_CREAT, 0o600)
        if self._segment >= 0:
            os.close(self._segment)
        self._segment, self._size = descriptor, 0
        if self._config.fsync == "always":
            _sync_folder(self.chain)
        if event is not None:
            self._write(orjson.dumps({"kind": "log", "time": round(time.time(), 6), **event}))

    def _write(self, body: bytes) -> None:
        line, own = chain.encode(self._seq + 1, self._last, body)
        self._torn = True
        if os.write(self._segment, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._config.fsync == "always":
            os.fsync(self._segment)
        self._torn = False
        self._size += len(line)
        self._seq += 1
        self._last = own
        # A stale head is no error (readers know records beyond it), a head beyond the end is: so it comes second.
        os.pwrite(self._head, chain.encode_head(self._seq, own), 0)


def _encoded(record: JSON) -> bytes:
    try:
        return orjson.dumps(record)
    except TypeError:  # integers beyond 64 bits; text that is not Unicode, of which "?" is kept
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of(path: Path) -> tuple[chain.Line | None, int, bytes]:
    """The last whole record of a segment, the size up to it, and what stands after it."""
    content = path.read_bytes()
    end = len(content)
    while end:
        cut = content.rfind(b"\n", 0, end)
        if cut < 0:
            break
        start = content.rfind(b"\n", 0, cut) + 1
        line = chain.decode(content[start:cut])
        if line is not None:
            return line, cut + 1, content[cut + 1 :]
        end = start
    return None, 0, content


def _unavailable(error: OSError) -> AuditUnavailable:
    return AuditUnavailable(
        f"The audit record could not be written: {error.strerror or error}.",
        fix="free space on, or repair, the disk that holds data_dir; calls go through again as soon as it works",
    )
