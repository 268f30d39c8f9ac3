"""The writer of the audit log: append-only, hash-chained, on disk before `append` returns.

It promises that a record it accepted survives kill -9 of the process (with `fsync: always` a power cut), that the
chain goes on across restarts and segments, that what a crash left half-written is kept and noted, never dropped in
silence, and that the head of the chain is signed at rotation, at the end, and after a number of records (`tend` does
it after some seconds too). It refuses (`AuditUnavailable`) when it cannot write, and works again as soon as it can.

Linux and macOS; needs `flock`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from agentflow.audit import chain, signing
from agentflow.audit.chain import JSON
from agentflow.audit.events import Event
from agentflow.config import AuditConfig
from agentflow.errors import AuditUnavailable
from agentflow.paths import private_dir

_MAX_CHAINS = 64
_DAY = 86_400
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


def _unheard(_: JSON) -> None:
    """Nobody asked."""


class AuditLog:
    """One writer with a chain of its own. Thread-safe.

    Attributes:
        chain: the folder this writer appends to.
        signer: holds the key that its heads are signed with.
        heard: told of every record, in the writer's thread, once it is written; must neither wait nor raise.
    """

    def __init__(self, data_dir: Path, config: AuditConfig | None = None) -> None:
        """Take the first free chain of the data directory and go on where it ends.

        Raises:
            AuditUnavailable: the folder cannot be made, written or locked.
            ConfigError: the key to sign with is none.
        """
        self._config = config or AuditConfig()
        self.heard: Callable[[JSON], object] = _unheard
        self._mutex = threading.Lock()
        self._segment = self._head = self._lock = -1
        self._size = 0
        self._seq, self._last = 0, chain.FIRST_PREV
        self._torn = False  # the end of the segment is not a whole line
        self._failing = False  # the last record could not be written
        self._signatures = -1
        self._signed = self._since = 0  # the last record that a signed head covers; the one after which signing began
        self._signed_at = time.monotonic()
        self._began = time.time()  # when the first record of the segment was written
        try:
            private_dir(data_dir)
            self.signer = signing.signer(data_dir, self._config)
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
            if self._seq - self._signed >= self._config.sign_every:
                with contextlib.suppress(OSError):  # the record is written; the next one tries again
                    self._sign("records")
        self.heard(record)

    def event(self, event: Event) -> str:
        """Record something that is no call; returns the record's id.

        Raises:
            AuditUnavailable: it is not recorded, so it should not happen.
        """
        record = event.record()
        self.append(record)
        return str(record["id"])

    @property
    def end(self) -> tuple[str, int]:
        """The chain and the number of its last record."""
        return self.chain.name, self._seq

    def tend(self) -> None:
        """Sign the head if it is older than `sign_after`, and end a segment whose time has come.

        To be called now and then, from any thread.
        """
        with self._mutex, contextlib.suppress(OSError):
            if self._lock < 0 or self._torn:
                return
            if time.monotonic() - self._signed_at >= self._config.sign_after and self._seq > self._signed:
                self._sign("time")
            # Only whole segments are retired: where records may not grow old, no segment may last long.
            if self._config.keep_days and self._size and time.time() - self._began >= self._segment_lasts():
                self._roll(None)

    def _segment_lasts(self) -> float:
        return min(_DAY, self._config.keep_days * _DAY / 10)

    def close(self) -> None:
        """Sign the head and release the chain. Idempotent."""
        with self._mutex:
            if self._lock >= 0 and self._segment >= 0 and self._seq > self._signed:
                with contextlib.suppress(OSError):
                    self._sign("close")
            for descriptor in (self._segment, self._signatures, self._head, self._lock):
                if descriptor >= 0:
                    os.close(descriptor)
            self._segment = self._signatures = self._head = self._lock = -1

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
        odd: JSON | None = None
        checkpoint = signing.retired(self.chain)
        if checkpoint is not None:
            self._seq, self._last, self._signed = checkpoint.upto, checkpoint.hash, checkpoint.upto
        for path in reversed(chain.segments(self.chain)):
            last, size, rest = _end_of(path)
            if rest:
                torn = {"segment": path.name, "bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}
            if last is not None:
                self._seq, self._last = last.seq, last.hash
                odd = self._attest(path)
                if torn is None:
                    self._segment, self._size, self._began = os.open(path, _APPEND), size, _begun(path)
                break
            # Not one whole record in it, and the next segment may need its name: kept under another one.
            if rest:
                os.replace(path, path.with_name(f"{path.stem}.torn-{time.time_ns()}"))
            elif not signing.read_heads(chain.signatures(path)):
                # Begun, and killed before its first record. What follows may still go into the one before.
                path.unlink()
                chain.signatures(path).unlink(missing_ok=True)
        known = signing.latest(self.chain)
        noted = chain.read_head(self.chain)
        self._head = os.open(self.chain / chain.HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        event: JSON | None = {"event": "recovered", "torn": torn} if torn else None
        if noted is None:
            event = {**(event or {}), "event": "head_missing"} if self._seq else event
            os.pwrite(self._head, chain.encode_head(self._seq, self._last), 0)  # takes its space once and for all
        upto = max(noted or (0, ""), (known.seq, known.hash) if known else (0, ""))
        if upto[0] > self._seq:
            # The end of the chain is gone. Numbers go on after it, so that the gap stays visible for ever.
            event = {**(event or {}), "event": "records_missing", "after": self._seq, "upto": upto[0]}
            self._seq, self._last = upto
        elif odd is not None:
            event = {**(event or {}), **odd}
        if event is not None or self._segment < 0:
            self._roll(event)
        if not self._seq and (known is None or known.every != self._config.sign_every):
            self._sign("open")  # of nothing: from here on it can be told when the signatures are gone

    def _attest(self, segment: Path) -> JSON | None:
        """Sign what was found in the last segment, if no signed head covers it yet.

        Returns what the chain has to say of it, if more was found than a killed writer may leave unsigned: others may
        have written that.
        """
        known, odd = signing.latest(self.chain), None
        if known is not None and known.key == self.signer.id:
            self._signed, self._since = known.seq, known.since
            if self._seq - known.seq > known.every:
                odd = {"event": "signing_gap", "after": known.seq, "upto": self._seq}
        else:
            # Written before heads were signed or with another key, or somebody has removed the signatures.
            self._since = self._seq
            odd = {"event": "signing_began", "after": self._since}
        self._open_signatures(segment)
        if (
            self._seq > self._signed
            or known is None
            or known.key != self.signer.id
            or (known.every != self._config.sign_every)
        ):
            self._sign("open")
        return odd

    def _room(self) -> None:
        """Make sure that a whole line can follow: repair after a failed write, begin a new segment when full."""
        if self._torn:
            os.ftruncate(self._segment, self._size)  # what was refused is no record; the chain must not carry it
            self._torn = False
        if self._segment < 0 or self._size >= self._config.segment_bytes:
            self._roll(None)

    def _roll(self, event: JSON | None) -> None:
        """Begin the segment of the next record; `event`, if any, becomes its first one."""
        if self._segment >= 0 and self._seq > self._signed:
            self._sign("rotation")
        path = self.chain / chain.segment_name(self._seq + 1)
        descriptor = os.open(path, _APPEND | os.O_CREAT, 0o600)
        try:
            self._open_signatures(path)
        except OSError:
            os.close(descriptor)
            raise
        if self._segment >= 0:
            os.close(self._segment)
        self._segment, self._size, self._began = descriptor, 0, time.time()
        if self._config.fsync == "always":
            chain.sync_folder(self.chain)
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

    def _open_signatures(self, segment: Path) -> None:
        descriptor = os.open(chain.signatures(segment), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self._signatures >= 0:
            os.close(self._signatures)
        self._signatures = descriptor
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # A crash tore it off; no answer depended on it.
            os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)

    def _sign(self, why: signing.Why) -> None:
        """Write a signed head for the last record.

        Raises:
            OSError: it could not be written.
        """
        line = self.signer.line(
            signing.Head(
                chain=self.chain.name,
                seq=self._seq,
                hash=self._last,
                time=round(time.time(), 6),
                since=self._since,
                chains=chain.count(self.chain.parent),
                # Here the hash comes from memory, not from the file: nobody can have slipped a record in.
                why="late" if why != "open" and self._seq - self._signed > self._config.sign_every else why,
                key=self.signer.id,
                every=self._config.sign_every,
            )
        )
        written = os.write(self._signatures, line)
        if written != len(line):
            os.ftruncate(self._signatures, os.fstat(self._signatures).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._config.fsync == "always":
            os.fsync(self._signatures)
        self._signed, self._signed_at = self._seq, time.monotonic()


def _encoded(record: JSON) -> bytes:
    try:
        return orjson.dumps(record)
    except TypeError:  # integers beyond 64 bits; text that is not Unicode, of which "?" is kept
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")


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


def _begun(path: Path) -> float:
    """When the first record of a segment was written; now where it does not say."""
    with path.open("rb") as file:
        line = chain.decode(file.readline().rstrip(b"\n"))
    moment = line.record.get("time") if line is not None else None
    return float(moment) if isinstance(moment, int | float) else time.time()


def _unavailable(error: OSError) -> AuditUnavailable:
    return AuditUnavailable(
        f"The audit record could not be written: {error.strerror or error}.",
        fix="free space on, or repair, the disk that holds data_dir; calls go through again as soon as it works",
    )
