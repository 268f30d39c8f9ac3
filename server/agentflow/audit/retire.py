"""Retention: what is too old, or too much, is removed from the beginning of a chain, and a signed checkpoint says so.

Only whole segments go, and only after a look at each record: one that is damaged, or that no good signed head vouches
for, stays, and so does everything after it. The checkpoint is on disk before the first file is removed, so that a
crash in between leaves files too many, never a chain that does not verify. A checkpoint that no trusted key signed is
never acted upon. A chain nobody writes to may lose its last
segment too.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentflow.audit import chain, signing
from agentflow.audit.chain import Line
from agentflow.audit.signing import Checkpoint, Head, Signed, Signer, Trust

_LOCK = "retire.lock"
_AT_ONCE = 100  # records looked at between two pauses


@dataclass(frozen=True, slots=True)
class Retired:
    """What one run removed from one chain, and `refused`, why it went no further although it should have."""

    chain: str
    upto: int
    records: int
    segments: int
    bytes: int
    first: float
    last: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    size: int
    ended: float  # epoch seconds of its last change


@dataclass(frozen=True, slots=True)
class _Read:
    """A segment as it was found before it goes."""

    last: Line
    records: int
    since: float
    until: float
    vouched: int  # the last record that is as a good signed head of this segment says


def retire(
    data_dir: Path,
    signer: Signer,
    *,
    before: float | None = None,
    keep_bytes: int = 0,
    trust: Trust | None = None,
    pause: Callable[[], None] = lambda: None,
) -> list[Retired]:
    """Remove what is older than `before` (epoch seconds), and the oldest while all takes more than `keep_bytes`.

    Args:
        trust: keys whose signed heads count; by default the signer's.
        pause: called again and again, so that a process with other things to do can do them.

    Returns:
        One entry for each chain that lost something, or should have.

    Raises:
        OSError: a file cannot be written or removed.
    """
    trust = trust or Trust([signer.public])
    done: list[Retired] = []
    with _alone(data_dir) as mine:
        if not mine:
            return done
        doubtful: set[str] = set()
        for folder in chain.chains(data_dir):
            try:
                _sweep(folder, trust)
            except ValueError:
                doubtful.add(folder.name)
                why = f"no trusted key signed the checkpoint of {folder.name}; see `agentflow audit verify`"
                done.append(Retired(folder.name, 0, 0, 0, 0, 0.0, 0.0, why))
        going = _going(data_dir, before, keep_bytes)
        for folder in chain.chains(data_dir):
            if folder.name in doubtful:
                continue
            with _unused(folder) as free:
                paths = going.get(folder.name, [])
                if not free:
                    paths = [path for path in paths if path != chain.segments(folder)[-1]]
                if paths:
                    done.append(_retire(folder, paths, signer, trust, pause))
    return done


def due(data_dir: Path, before: float | None, keep_bytes: int) -> bool:
    """Whether there is anything to retire; a look at names and sizes only."""
    return any(_going(data_dir, before, keep_bytes).values())


@contextmanager
def _alone(data_dir: Path) -> Iterator[bool]:
    """True unless another process is at it."""
    folder = chain.audit_dir(data_dir)
    if not folder.is_dir():
        yield False
        return
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(descriptor)
    finally:
        os.close(descriptor)


def _going(data_dir: Path, before: float | None, keep_bytes: int) -> dict[str, list[Path]]:
    """The segments that have to go, by chain, oldest first."""
    everything: list[_Segment] = []
    removable: list[_Segment] = []
    for folder in chain.chains(data_dir):
        kept = signing.retired(folder)
        found = [_segment(path) for path in chain.segments(folder) if kept is None or chain.first_of(path) > kept.upto]
        everything += found
        with _unused(folder) as free:
            removable += found if free else found[:-1]
    removable.sort(key=lambda segment: segment.ended)
    total = sum(segment.size for segment in everything)
    going: dict[str, list[Path]] = {}
    for segment in removable:
        too_much = bool(keep_bytes) and total > keep_bytes
        too_old = before is not None and segment.ended < before
        if segment.size and (too_much or too_old):
            going.setdefault(segment.path.parent.name, []).append(segment.path)
            total -= segment.size
    return {name: _beginning(removable, paths) for name, paths in going.items()}


def _beginning(removable: list[_Segment], going: list[Path]) -> list[Path]:
    """What goes from the beginning of a chain without a gap; a segment whose date is odd keeps the later ones."""
    own = sorted(each.path for each in removable if each.path.parent == going[0].parent)
    return list(itertools.takewhile(lambda path: path in going, own))


def _segment(path: Path) -> _Segment:
    stat = path.stat()
    return _Segment(path, stat.st_size, stat.st_mtime)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _unused(folder: Path) -> Iterator[bool]:
    """True where no writer has this chain, and none may have it until this is over."""
    descriptor = os.open(folder / chain.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(descriptor)
    finally:
        os.close(descriptor)


def _retire(folder: Path, paths: list[Path], signer: Signer, trust: Trust, pause: Callable[[], None]) -> Retired:
    """Look at the segments one by one, write the checkpoint, remove them."""
    before = signing.retired(folder)
    seq, prev = (before.upto, before.hash) if before else (0, chain.FIRST_PREV)
    start = seq
    gone: list[tuple[Path, _Read]] = []
    refused = ""
    vouched = start
    for path in [path for path in chain.segments(folder) if path >= paths[0]]:
        if path not in paths and (not gone or vouched >= seq):
            break
        found = _look(path, seq, prev, trust, pause)
        if isinstance(found, str):
            refused = found
            break
        vouched = max(vouched, found.vouched)
        if path in paths:
            gone.append((path, found))
        seq, prev = found.last.seq, found.last.hash
    kept = [each for each in gone if each[1].last.seq > vouched]
    gone = [each for each in gone if each[1].last.seq <= vouched]
    if kept and not refused:
        refused = f"no signed head vouches for {folder.name}/{kept[0][0].name} yet"
    if not gone:
        return Retired(folder.name, start, 0, 0, 0, 0.0, 0.0, refused)
    seq, prev = gone[-1][1].last.seq, gone[-1][1].last.hash
    first, last = gone[0][1].since, gone[-1][1].until
    told = Checkpoint(
        chain=folder.name,
        upto=seq,
        hash=prev,
        records=seq,
        segments=len(gone) + (before.segments if before else 0),
        first=before.first if before else first,
        last=last,
        time=round(time.time(), 6),
        key=signer.id,
    )
    _write(folder, signer.line(told))
    size = sum(path.stat().st_size for path, _ in gone)
    for path, _ in gone:
        _remove(path)
    records = sum(read.records for _, read in gone)
    return Retired(folder.name, seq, records, len(gone), size, first, last, refused)


def _look(path: Path, seq: int, prev: str, trust: Trust, pause: Callable[[], None]) -> _Read | str:
    """Read a segment that should begin after record `seq`; text says why it must stay."""
    count, since, line = 0, 0.0, None
    heads = {each.said.seq: each for each in _heads(path)}
    met: Signed[Head] | None = None
    with path.open("rb") as file:
        for raw in file:
            found = chain.decode(raw[:-1])
            if found is None and not raw.endswith(b"\n"):
                break  # torn off by a crash, and told of by the next segment
            if found is None or found.seq != seq + 1 or found.prev != prev or not found.sound:
                return f"{path.parent.name}/{path.name} is damaged after record {seq}; see `agentflow audit verify`"
            line, seq, prev, count = found, found.seq, found.hash, count + 1
            if seq in heads:
                met = heads[seq]
                if met.said.hash != found.hash:
                    return f"{path.parent.name}/{path.name} is not as it was signed; see `agentflow audit verify`"
            if count == 1:
                since = _time(line)
            if count % _AT_ONCE == 0:
                pause()
    if line is None:
        return f"{path.parent.name}/{path.name} holds no record"
    vouched = met.said.seq if met is not None and trust.standing(met) == "good" else 0
    return _Read(line, count, since, _time(line), vouched)


def _heads(segment: Path) -> Iterator[Signed[Head]]:
    return (each for each in signing.read_heads(chain.signatures(segment)) if each is not None)


def _time(line: Line) -> float:
    moment = line.record.get("time")
    return float(moment) if isinstance(moment, int | float) else 0.0


def _write(folder: Path, line: bytes) -> None:
    path = folder / chain.CHECKPOINT
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        chain.sync_folder(folder)
    finally:
        draft.unlink(missing_ok=True)


def _sweep(folder: Path, trust: Trust) -> None:
    """Remove what a run that was broken off had retired already.

    Raises:
        ValueError: nobody who is trusted vouches for the checkpoint.
    """
    kept = signing.good_checkpoint(folder, trust)
    for path in chain.segments(folder):
        if kept is not None and chain.first_of(path) <= kept.upto:
            _remove(path)


def _remove(segment: Path) -> None:
    segment.unlink(missing_ok=True)
    chain.signatures(segment).unlink(missing_ok=True)
