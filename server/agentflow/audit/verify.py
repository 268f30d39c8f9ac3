"""Whether anything was done to the audit log: names the first record that was altered, is missing, moved or cut off.

Works offline on the files alone, beside a running writer or without one. With a public key it also sees a chain that
was rebuilt with fitting hashes, a tail or a chain removed together with the notes about it, and a forged retirement.
What it cannot see by itself is that all files were put back to an older, properly signed state; signed heads kept
elsewhere (`witnesses`) show that too.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agentflow.audit import chain, signing
from agentflow.audit.chain import Line
from agentflow.audit.signing import Head, Signed, Trust
from agentflow.config import AuditConfig

_RETIREMENTS = 3  # in a row, during one pass, that are waited out
Damage = Literal["altered", "missing", "reordered", "truncated"]


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
    """What `verify` found.

    Attributes:
        records, chains: how many were looked at.
        signed: how many of the records a good signature vouches for.
        retired: how many records were retired, by good checkpoints.
        bad: the first damage.
        notes: crashes and the like: explained, and no damage.
    """

    records: int
    chains: int
    signed: int = 0
    retired: int = 0
    bad: Bad | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.bad is None


def verify(data_dir: Path, trust: Trust | None = None, witnesses: Sequence[Signed[Head]] = ()) -> Verification:
    """Check every chain of a data directory; `bad` is the first damage, in order of chains.

    Args:
        trust: the keys whose signatures count; by default that of `audit.key` in the directory. With none the chains
            are checked, and their signatures are not.
        witnesses: signed heads that were kept elsewhere.

    Raises:
        ConfigError: `audit.key` is no key.
    """
    trust = signing.trusted(data_dir, AuditConfig()) if trust is None else trust
    folders = chain.chains(data_dir)
    records = signed = retired = 0
    bad: Bad | None = None
    notes = [] if trust else ["no public key is at hand, so signatures were not checked"]
    for number, folder in enumerate(folders, start=1):
        if folder.name != f"chain-{number:04d}":
            bad = _gone(number)
            break
        walk, bad = _walked(folder, trust, [each for each in witnesses if _about(each) == folder.name])
        records, signed, retired = records + walk.records, signed + walk.signed, retired + walk.retired
        notes += walk.notes
        if bad is None and walk.siblings > (there := len(chain.chains(data_dir))):
            bad = _gone(there + 1)
        if bad is not None:
            break
    names = {folder.name for folder in folders}
    if bad is None and (lost := sorted({_about(each) for each in witnesses} - names)):
        bad = Bad("missing", lost[0], "", 0, 1, "the whole chain is gone, of which a head was kept elsewhere")
    if bad is None:
        bad = _unproven(data_dir, folders, trust)
    return Verification(records, len(folders), signed, retired, bad, tuple(notes))


def _unproven(data_dir: Path, folders: Sequence[Path], trust: Trust) -> Bad | None:
    """Where nothing is left to check, or nothing to check it with, nothing is proven."""
    if not data_dir.is_dir():
        return Bad("missing", "", "", 0, 1, f"there is no {data_dir}")
    if trust:
        return None if folders else _gone(1)
    for folder in folders:
        signed = any(folder.glob("*.sig"))
        if signed or (folder / chain.CHECKPOINT).exists():
            detail = "the chain is signed and no public key is at hand, so nothing is proven; give --public-key"
            return Bad("missing", folder.name, signing.KEY_FILE, 0, 1, detail)
    return None


def _walked(folder: Path, trust: Trust, witnesses: Sequence[Signed[Head]]) -> tuple[_Walk, Bad | None]:
    """Walk along a chain; once more where segments were retired meanwhile."""
    for _ in range(_RETIREMENTS):
        before, walk = signing.retired(folder), _Walk(folder, trust, witnesses)
        with contextlib.suppress(FileNotFoundError):
            bad = walk.run()
            if bad is None or signing.retired(folder) == before:
                return walk, bad
    walk = _Walk(folder, trust, witnesses)
    return walk, walk.run()


def _about(signed: Signed[Head]) -> str:
    return signed.said.chain


def _gone(number: int) -> Bad:
    return Bad("missing", f"chain-{number:04d}", "", 0, 1, "the whole chain is gone")


@dataclass
class _Walk:
    """One pass along one chain."""

    folder: Path
    trust: Trust
    witnesses: Sequence[Signed[Head]]
    records: int = 0
    signed: int = 0
    retired: int = 0
    siblings: int = 0  # chains there were, as the newest head has it
    notes: list[str] = field(default_factory=list)
    _expected: int = 1
    _prev: str = chain.FIRST_PREV
    _where: tuple[str, int] = ("", 0)  # segment and line of the last good record
    _torn: tuple[str, bytes] | None = None  # segment, and what stands after its last whole line
    _head: tuple[int, str] | None = None
    _head_hash: str | None = None  # hash of the record that the head is about
    _claims: dict[int, Signed[Head]] = field(default_factory=dict)  # heads that records have yet to meet
    _kept: int = 0  # the last record before the first one that is still there
    _ended: int = 0  # the last record of the segment before the last
    _newest: Signed[Head] | None = None
    _met: int = 0  # the last record that was as a head says
    _heads: list[Signed[Head]] = field(default_factory=list)
    _after: dict[int, str] = field(default_factory=dict)  # hashes of the records that come after the newest head

    def run(self) -> Bad | None:
        self._head = chain.read_head(self.folder)  # before the records: a writer may be at work
        bad = self._retired()
        if bad is not None:
            return bad
        segments = [path for path in chain.segments(self.folder) if chain.first_of(path) > self._kept]
        # Heads come before the records too: what is signed later is not looked for.
        for path in segments:
            bad = self._claimed(chain.signatures(path))
            if bad is not None:
                return bad
        for witness in self.witnesses:
            bad = self._claim(witness, "a kept head")
            if bad is not None:
                return bad
        for segment in segments:
            self._ended = self._expected - 1
            bad = self._segment(segment)
            if bad is not None:
                return bad
        return self._ending() or self._vouched()

    # Signed statements --------------------------------------------------------------------------------------

    def _retired(self) -> Bad | None:
        """Begin after what was retired."""

        def bad(detail: str) -> Bad:
            return Bad("altered", self.folder.name, chain.CHECKPOINT, 0, 1, detail)

        try:
            found = signing.read_checkpoint(self.folder)
        except ValueError:
            return bad("the checkpoint is not one")
        if found is None:
            return None
        said = found.said
        standing = self.trust.standing(found)
        if said.chain != self.folder.name or (self.trust and standing == "bad"):
            return bad("the checkpoint's signature does not fit, so nobody vouches for what it says was retired")
        if self.trust and standing == "stranger":
            return bad(f"the checkpoint is signed with a key that is not trusted here, {said.key}")
        self._expected, self._prev, self._kept = said.upto + 1, said.hash, said.upto
        self._where, self.retired = (chain.CHECKPOINT, 0), said.records
        self.notes.append(
            f"{self.folder.name}: records up to {said.upto}, of {_day(said.first)} to {_day(said.last)}, were retired"
        )
        return None

    def _claimed(self, path: Path) -> Bad | None:
        for number, signed in enumerate(signing.read_heads(path), start=1):
            if signed is None:
                return Bad("altered", self.folder.name, path.name, number, 0, "the line is not a signed head")
            bad = self._claim(signed, f"{path.name}:{number}")
            if bad is not None:
                return bad
        return None

    def _claim(self, signed: Signed[Head], where: str) -> Bad | None:
        said = signed.said
        if said.chain != self.folder.name:
            return Bad("altered", self.folder.name, where, 0, 0, "it is the head of another chain")
        other = self._claims.get(said.seq)
        if other is not None and other.said.hash != said.hash:
            detail = f"two heads of record {said.seq} differ: the chain was rebuilt"
            return Bad("altered", self.folder.name, "", 0, said.seq, detail)
        if said.seq > self._kept or said.seq == 0:
            self._claims[said.seq] = signed
            self._heads.append(signed)
        if self._newest is None or said.seq >= self._newest.said.seq:
            self._newest, self.siblings = signed, max(self.siblings, said.chains)
        return None

    def _meet(self, line: Line, signed: Signed[Head], segment: Path, number: int) -> Bad | None:
        """A record that a head is about."""
        said = signed.said
        if said.hash == line.hash:
            self._met = line.seq
            return None
        if self.trust and self.trust.standing(signed) == "bad":
            return Bad("altered", self.folder.name, segment.stem + ".sig", 0, line.seq, "a signed head was changed")
        first = max(self._met, self._kept) + 1
        since = "" if first == line.seq else f"; the first altered record is one from {first} on"
        detail = f"the chain was rebuilt: this is not the record that was signed on {_day(said.time)}{since}"
        return Bad("altered", self.folder.name, segment.name, number, line.seq, detail)

    def _vouched(self) -> Bad | None:
        """The newest head must be signed with a trusted key, and be where it belongs."""
        last = self._expected - 1
        if not self.trust:
            return None
        if self._newest is None:
            if last <= self._kept:
                return None
            detail = "there is no signed head: signatures were removed, or the log is older than them"
            return Bad("missing", self.folder.name, "", 0, last, detail)
        said = self._newest.said
        standing = self.trust.standing(self._newest)
        if standing == "bad":
            return Bad("altered", self.folder.name, "", 0, self._met, "the signature of the newest head does not fit")
        if standing == "stranger":
            detail = f"the newest head is signed with a key that is not trusted here, {said.key}"
            return Bad("altered", self.folder.name, "", 0, said.seq, detail)
        if said.seq < self._ended:
            detail = f"the signed heads end at record {said.seq}; those up to record {self._ended} were removed"
            return Bad("missing", self.folder.name, "", 0, said.seq + 1, detail)
        bad = self._bounded(said, last)
        if bad is not None:
            return bad
        self.signed = max(said.seq - self._kept, 0)
        if said.since:
            self.notes.append(f"{self.folder.name}: records up to {said.since} are older than the first signed head")
        if said.seq < last:
            self.notes.append(f"{self.folder.name}: the last {last - said.seq} records carry no signature yet")
        return None

    def _bounded(self, newest: Head, last: int) -> Bad | None:
        """No more records may go without a signature than heads say: else the rest could be written by anybody."""
        if last - newest.seq > newest.every:
            self._heads += self._fresh()
        seq = max(self._kept, newest.since)
        heads = sorted(
            (each for each in self._heads if each.said.seq >= seq), key=lambda each: (each.said.seq, each.said.time)
        )
        numbers, at = [each.said.seq for each in heads], 0
        # The head before the first one may have been retired; the first of all, of no record, is still there.
        first = [each for each in heads if each.said.seq == seq and self.trust.standing(each) == "good"]
        reach = first[-1].said.every if first else max(signing.EVERY, newest.every)
        while at < len(heads):
            # As few signatures as will do: the last within reach, else the next, which then has to be a late one.
            end = bisect.bisect_right(numbers, seq + reach, at)
            near = (n for n in range(end - 1, at - 1, -1) if self.trust.standing(heads[n]) == "good")
            step = next(near, None)
            if step is None:
                step = next((n for n in range(end, len(heads)) if self.trust.standing(heads[n]) == "good"), None)
                if step is None:
                    break
                if heads[step].said.why != "late":
                    return self._unsigned(seq, numbers[step], reach)
            seq, reach, at = numbers[step], heads[step].said.every, step + 1
        return self._unsigned(seq, last, reach) if last - seq > reach else None

    def _fresh(self) -> list[Signed[Head]]:
        """Heads that a writer at work has signed since, of records that were read."""
        found = (each for path in chain.segments(self.folder) for each in signing.read_heads(chain.signatures(path)))
        return [each for each in found if each is not None and self._after.get(each.said.seq) == each.said.hash]

    def _unsigned(self, after: int, upto: int, most: int) -> Bad:
        detail = (
            f"records {after + 1} to {upto} have no signature of their own, and {most} at most may go without one: "
            "signed heads were removed, or could not be written"
        )
        return Bad("missing", self.folder.name, "", 0, after + 1, detail)

    # Records ------------------------------------------------------------------------------------------------

    def _segment(self, segment: Path) -> Bad | None:
        content = segment.read_bytes()
        if not content:
            return None  # begun, and nothing written yet
        lines = content.split(b"\n")
        rest = lines.pop()
        claims, head_seq = self._claims, self._head[0] if self._head else 0
        newest = self._newest.said.seq if self._newest else 0
        for number, raw in enumerate(lines, start=1):
            line = chain.decode(raw)
            bad = self._line(segment, number, line)
            if bad is not None or line is None:
                return bad
            self._prev, self._expected, self._where = line.hash, line.seq + 1, (segment.name, number)
            self.records += 1
            if line.seq == head_seq:
                self._head_hash = line.hash
            if line.seq > newest:
                self._after[line.seq] = line.hash
            if line.seq in claims:
                bad = self._meet(line, claims.pop(line.seq), segment, number)
                if bad is not None:
                    return bad
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

    def _ending(self) -> Bad | None:
        head, last, name = self._head, self._expected - 1, self._where[0]
        if head is None:
            if last:
                return Bad("missing", self.folder.name, chain.HEAD, 0, last, "the head of the chain is gone")
        elif head[0] > last:
            detail = f"the chain ends at record {last}, and {head[0]} were written"
            return Bad("truncated", self.folder.name, name, 0, last + 1, detail)
        elif head[0] > self._kept and self._head_hash != head[1]:
            return Bad(
                "altered", self.folder.name, name, 0, head[0], "it is not the record the head of the chain names"
            )
        upto = max((seq for seq in self._claims if seq > last), default=0)
        if upto:
            detail = f"the chain ends at record {last}, and a signed head names record {upto}"
            return Bad("truncated", self.folder.name, name, 0, last + 1, detail)
        if self._torn is not None:
            self.notes.append(
                f"{self.folder.name}/{self._torn[0]}: ends in the middle of a record (never answered for)"
            )
        return None


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
