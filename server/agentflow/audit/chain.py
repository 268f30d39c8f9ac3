"""How records are laid out on disk, and the arithmetic of their chain; shared by the writer and the readers.

`data_dir/audit/chain-0001/00000000000000000001.jsonl` is a segment, named after its first sequence number. One line
is one record:

    {"seq":1,"prev":"<64 hex>","hash":"<64 hex>","record":{…}}

with hash = SHA-256(prev ‖ "\\n" ‖ seq ‖ "\\n" ‖ the bytes of the record as they stand in the line). `head` beside the
segments holds the last sequence number and hash, so that a cut-off end is noticed. `00000000000000000001.sig` holds
signed heads of that segment, `checkpoint` what was retired (see `signing`). A second gateway on the same data
directory writes a chain of its own (`chain-0002`, …), so that two writers never share a file.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

JSON = dict[str, Any]
FIRST_PREV = "0" * 64
HEAD = "head"
LOCK = "lock"
CHECKPOINT = "checkpoint"
_LINE = re.compile(
    rb'\{"seq":([1-9]\d{0,17}),"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})","record":(\{.*\})\}', re.DOTALL
)
_SEGMENT = re.compile(r"\d{20}\.jsonl")
_CHAIN = re.compile(r"chain-\d{4,}")
_HEAD = re.compile(rb"(\d{20}) ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class Line:
    """One record as stored. `body` is the JSON text of `record`; `sound` says whether it fits its own hash."""

    seq: int
    prev: str
    hash: str
    body: bytes
    record: JSON

    @property
    def sound(self) -> bool:
        return digest(self.prev, self.seq, self.body) == self.hash


def digest(prev: str, seq: int, body: bytes) -> str:
    """The hash that ties a record to its predecessor."""
    return hashlib.sha256(b"%s\n%d\n%s" % (prev.encode(), seq, body)).hexdigest()


def encode(seq: int, prev: str, body: bytes) -> tuple[bytes, str]:
    """Return the line for a record (newline included) and its hash."""
    own = digest(prev, seq, body)
    return b'{"seq":%d,"prev":"%s","hash":"%s","record":%s}\n' % (seq, prev.encode(), own.encode(), body), own


def decode(line: bytes) -> Line | None:
    """Read one line without its newline; None when it is not a record, or what it holds is no JSON object."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    seq, prev, own, body = match.groups()
    try:
        record = orjson.loads(body)
    except ValueError:
        return None
    return Line(int(seq), prev.decode(), own.decode(), body, record) if isinstance(record, dict) else None


def audit_dir(data_dir: Path) -> Path:
    return data_dir / "audit"


def chains(data_dir: Path) -> list[Path]:
    """Every chain's folder, in order."""
    folder = audit_dir(data_dir)
    if not folder.is_dir():
        return []
    return sorted(
        (path for path in folder.iterdir() if _CHAIN.fullmatch(path.name)), key=lambda path: int(path.name[6:])
    )


def count(folder: Path) -> int:
    """How many chains an audit folder has."""
    return sum(1 for name in os.listdir(folder) if _CHAIN.fullmatch(name))


def segments(chain: Path) -> list[Path]:
    """A chain's segment files, oldest first."""
    return sorted(path for path in chain.iterdir() if _SEGMENT.fullmatch(path.name))


def segment_name(first_seq: int) -> str:
    return f"{first_seq:020d}.jsonl"


def first_of(segment: Path) -> int:
    """The first sequence number of a segment, by its name."""
    return int(segment.stem)


def signatures(segment: Path) -> Path:
    """The file of a segment's signed heads."""
    return segment.with_suffix(".sig")


def encode_head(seq: int, own: str) -> bytes:
    return b"%020d %s\n" % (seq, own.encode())


def read_head(chain: Path) -> tuple[int, str] | None:
    """The last sequence number and hash that the writer noted, or None where there is no readable note."""
    try:
        match = _HEAD.fullmatch((chain / HEAD).read_bytes())
    except FileNotFoundError:
        return None
    return (int(match.group(1)), match.group(2).decode()) if match else None


def sync_folder(path: Path) -> None:
    """Make what was created, renamed or removed in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
