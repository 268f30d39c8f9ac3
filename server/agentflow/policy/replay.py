"""What another bundle would have decided: recorded calls decided again, compared, counted.

It reads the audit log beside a running gateway and changes nothing. Equal questions are decided once: what counts is
the part of the input that the bundle can read. Work is shared out among processes by stretches of the log, so a
million records take minutes. Records that hold no input document are counted by the reason, never guessed at.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agentflow.audit import chain
from agentflow.audit.asked import NotRecorded, restored, same, told
from agentflow.config import PolicyConfig
from agentflow.pipeline.call import JSON, Decision
from agentflow.policy.engine import Engine

Kind = Literal["newly_denied", "newly_allowed", "obligations_changed"]
KINDS: tuple[Kind, ...] = ("newly_denied", "newly_allowed", "obligations_changed")
_STRETCH = 8 * 2**20  # bytes of the log given to a process at a time
_EXAMPLES = 3
_REMEMBERED = 200_000  # decisions, in each process


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One way in which calls come out otherwise. `why`: reason codes now (and before), or the obligations."""

    kind: Kind
    server: str
    name: str
    why: str


@dataclass
class Group:
    """The calls that come out otherwise in one way: how many, and the ids of some records."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What a replay found.

    Attributes:
        records: records of the period, whatever they are about.
        replayed: of these, calls that were decided again.
        skipped: the others by reason.
        changes: what came out otherwise.
        distinct: questions that differed, in each process by itself.
    """

    records: int = 0
    replayed: int = 0
    distinct: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    changes: dict[Change, Group] = field(default_factory=dict)

    def add(self, change: Change, record_id: str, count: int = 1) -> None:
        group = self.changes.setdefault(change, Group())
        group.count += count
        if len(group.examples) < _EXAMPLES:
            group.examples.append(record_id)

    def total(self, kind: Kind) -> int:
        """How many calls changed in this way."""
        return sum(group.count for change, group in self.changes.items() if change.kind == kind)

    def join(self, other: Outcome) -> None:
        """Add what another process found."""
        self.records += other.records
        self.replayed += other.replayed
        self.distinct += other.distinct
        self.skipped += other.skipped
        for change, found in other.changes.items():
            group = self.changes.setdefault(change, Group())
            group.count += found.count
            group.examples = (group.examples + found.examples)[:_EXAMPLES]


@dataclass(frozen=True, slots=True)
class Period:
    """Calls that began in it, epoch seconds; the end is not part of it."""

    since: float = 0.0
    until: float = float("inf")


def replay(
    config: PolicyConfig,
    data_dir: Path,
    period: Period = Period(),
    *,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> Outcome:
    """Decide the recorded calls of a data directory again, by the bundle of `config`.

    Args:
        config: names the bundle; it is expected to have been checked (`engine.check`).
        processes: default one for each core, two at most.
        progress: called with bytes done and bytes in all; what it raises ends the replay.

    Raises:
        ConfigError: the bundle cannot be used.
    """
    stretches = list(_stretches(data_dir))
    whole, done = sum(end - start for _, start, end in stretches), 0
    outcome = Outcome()
    count = min(processes or min(2, os.cpu_count() or 1), max(1, len(stretches)))
    config = config.model_copy(update={"cache_size": _REMEMBERED})
    Engine(config, tested=True).close()  # here, where what is wrong with it can be said
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _begin, (config, period)) as pool:
        waiting = {pool.submit(_stretch, *stretch): stretch for stretch in stretches}
        try:
            progress(0, whole)
            for finished in as_completed(waiting):
                outcome.join(finished.result())
                _, start, end = waiting[finished]
                done += end - start
                progress(done, whole)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outcome


class Judge:
    """Decides records again and compares."""

    def __init__(self, decide: Callable[[JSON], Decision], period: Period) -> None:
        self._decide = decide
        self._period = period
        self._told: dict[int, tuple[Decision, JSON]] = {}

    def take(self, record: JSON, outcome: Outcome) -> None:
        """Count one record into `outcome`."""
        began = record.get("time", 0.0)
        if isinstance(began, int | float) and not self._period.since <= began < self._period.until:
            return
        outcome.records += 1
        try:
            question = restored(record)
            before, server, name = _recorded(record, question)
        except NotRecorded as error:
            outcome.skipped[str(error)] += 1
            return
        except (LookupError, TypeError, AttributeError):
            outcome.skipped["a record of another version"] += 1
            return
        now = self._as_told(self._decide(question))
        outcome.replayed += 1
        if same(before, now):
            return
        outcome.add(_change(server, name, before, now), str(record.get("id", "")))

    def _as_told(self, decision: Decision) -> JSON:
        known = self._told.get(id(decision))
        if known is None or known[0] is not decision:
            if len(self._told) > _REMEMBERED:
                self._told.clear()
            known = self._told[id(decision)] = (decision, told(decision))
        return known[1]


def _recorded(record: JSON, question: JSON) -> tuple[JSON, str, str]:
    """The decision of a record, and what it was about.

    Raises:
        LookupError, TypeError: they are not there, or of another type than they are written with.
    """
    before = record["decision"]
    server, name = record["server"], question["call"]["tool"] or record["surface"]
    reasons, obligations = before.get("reasons", ()), before.get("obligations", {})
    if not (isinstance(before["allow"], bool) and isinstance(server, str) and isinstance(name, str)):
        raise TypeError
    if not (isinstance(obligations, dict) and all(isinstance(reason, list | tuple) and reason for reason in reasons)):
        raise TypeError
    return before, server, name


def _change(server: str, name: str, before: JSON, now: JSON) -> Change:
    if before["allow"] and not now["allow"]:
        return Change("newly_denied", server, name, _codes(now))
    if now["allow"] and not before["allow"]:
        return Change("newly_allowed", server, name, f"was: {_codes(before)}")
    one, other = before.get("obligations", {}), now.get("obligations", {})
    changed = [key for key in sorted({*one, *other}) if not _equal(one.get(key), other.get(key))]
    why = "; ".join(f"{key}: {_shown(one.get(key))} → {_shown(other.get(key))}" for key in changed)
    return Change("obligations_changed", server, name, why)


def _codes(decision: JSON) -> str:
    return ", ".join(str(reason[0]) for reason in decision.get("reasons", ()))


def _equal(one: object, other: object) -> bool:
    return (list(one) if isinstance(one, tuple) else one) == (list(other) if isinstance(other, tuple) else other)


def _shown(value: object) -> str:
    if value is None or value == [] or value == ():
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return f"asks {value.get('who', 'somebody')} ({value.get('ttl', 0):g} s)"
    return str(value)


def _stretches(data_dir: Path) -> Iterator[tuple[Path, int, int]]:
    for folder in chain.chains(data_dir):
        for segment in chain.segments(folder):
            try:
                size = segment.stat().st_size
            except FileNotFoundError:  # retired a moment ago
                continue
            for start in range(0, size, _STRETCH):
                yield segment, start, min(start + _STRETCH, size)


_here: dict[str, tuple[Engine, Judge]] = {}  # of a process of the pool


def _begin(config: PolicyConfig, period: Period) -> None:
    engine = Engine(config, tested=True)
    _here["judge"] = (engine, Judge(engine.decide, period))


def _stretch(segment: Path, start: int, end: int) -> Outcome:
    """Replay the records whose lines begin in this stretch."""
    outcome = Outcome()
    engine, judge = _here["judge"]
    before = engine.evaluations
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        outcome.skipped["a stretch of the log that was retired meanwhile"] += 1
        return outcome
    with file:
        if start:
            file.seek(start - 1)
            file.readline()
        while file.tell() < end and (raw := file.readline()):
            line = chain.decode(raw[:-1])
            if line is not None:
                judge.take(line.record, outcome)
    outcome.distinct = engine.evaluations - before
    return outcome
