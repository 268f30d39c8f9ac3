"""Readers: what was done to a log is named, and the log can be followed while it grows."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agentflow.audit import chain, signing
from agentflow.audit.log import AuditLog
from agentflow.audit.read import Entry, entries, find, tail
from agentflow.audit.verify import verify
from agentflow.config import AuditConfig


def write(data_dir: Path, count: int, segment_bytes: int = 1 << 20) -> None:
    log = AuditLog(data_dir, AuditConfig(segment_bytes=segment_bytes))
    for number in range(1, count + 1):
        log.append({"kind": "call", "id": f"r{number}", "time": float(number), "who": "alice"})
    log.close()


def folder(data_dir: Path) -> Path:
    return chain.chains(data_dir)[0]


def edit(data_dir: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    segment = chain.segments(folder(data_dir))[0]
    segment.write_bytes(b"".join(change(segment.read_bytes().splitlines(keepends=True))))


def rehash(line: bytes, old: bytes, new: bytes) -> bytes:
    found = chain.decode(line.rstrip(b"\n"))
    assert found is not None
    return chain.encode(found.seq, found.prev, found.body.replace(old, new))[0]


def cut(lines: list[bytes], size: int) -> list[bytes]:
    return [b"".join(lines)[:-size]]


TAMPERING: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str, int]] = {
    "a value changed": (lambda x: [*x[:3], x[3].replace(b"alice", b"mallory"), *x[4:]], "altered", 4),
    "a value changed and its hash made to fit": (
        lambda x: [*x[:3], rehash(x[3], b"alice", b"bob"), *x[4:]],
        "altered",
        4,
    ),
    "the last record changed and its hash made to fit": (
        lambda x: [*x[:9], rehash(x[9], b"alice", b"bob")],
        "altered",
        10,
    ),
    "a hash changed": (lambda x: [*x[:3], re.sub(rb'"hash":"....', b'"hash":"0000', x[3]), *x[4:]], "altered", 4),
    "a line replaced by noise": (lambda x: [*x[:3], b"noise\n", *x[4:]], "altered", 4),
    "a line deleted": (lambda x: [*x[:3], *x[4:]], "missing", 4),
    "the first line deleted": (lambda x: x[1:], "missing", 1),
    "two lines swapped": (lambda x: [*x[:3], x[4], x[3], *x[5:]], "reordered", 5),
    "a line repeated": (lambda x: [*x[:4], x[3], *x[4:]], "reordered", 4),
    "a line moved to the end": (lambda x: [*x[:3], *x[4:], x[3]], "reordered", 5),
    "the last lines cut off": (lambda x: x[:8], "truncated", 9),
    "half of the last line cut off": (lambda x: cut(x, 40), "truncated", 10),
    "everything cut off": (lambda x: [], "truncated", 1),
    "an empty line put in": (lambda x: [*x[:3], b"\n", *x[3:]], "altered", 4),
    "a sequence number changed": (lambda x: [*x[:3], x[3].replace(b'"seq":4', b'"seq":9'), *x[4:]], "missing", 4),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_verify_names_the_first_damaged_record(tmp_path: Path, name: str) -> None:
    change, damage, seq = TAMPERING[name]
    write(tmp_path, 10)
    edit(tmp_path, change)
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.seq) == (damage, seq), bad
    assert bad.chain == "chain-0001"
    assert bad.detail


def test_an_untouched_log_verifies(tmp_path: Path) -> None:
    write(tmp_path, 50, segment_bytes=1000)
    result = verify(tmp_path)
    assert result.ok
    assert (result.records, result.chains, result.notes) == (50, 1, ())


def test_where_nothing_is_left_to_check_nothing_is_proven(tmp_path: Path) -> None:
    assert "there is no" in str(verify(tmp_path / "nowhere").bad)
    (tmp_path / "begun").mkdir()
    assert verify(tmp_path / "begun").ok, "no key, no log: a gateway that never ran"
    key = signing.signer(tmp_path, AuditConfig()).public
    bad = verify(tmp_path / "begun", signing.Trust([key])).bad
    assert bad is not None
    assert (bad.damage, bad.chain) == ("missing", "chain-0001")


def test_a_record_that_is_no_json_is_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, 5)
    (segment,) = chain.segments(chain.chains(tmp_path)[0])
    lines, last = [], chain.FIRST_PREV
    for number, raw in enumerate(segment.read_bytes().splitlines(), start=1):
        line = chain.decode(raw)
        assert line is not None
        made, last = chain.encode(number, last, b'{"kind":call"}' if number == 3 else line.body)
        lines.append(made)
    segment.write_bytes(b"".join(lines))
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.line) == ("altered", 3)
    damaged: list[Path] = []
    assert [entry.seq for entry in entries(tmp_path, damaged.append)] == [1, 2, 4, 5]
    assert [entry.seq for entry in tail(tmp_path, 3, damaged=damaged.append)] == [2, 4, 5]
    assert damaged == [segment, segment]


@pytest.mark.parametrize("seq", [10**18, 2**63, 10**19])
def test_a_number_that_no_database_holds_is_no_record_number(seq: int) -> None:
    assert chain.decode(chain.encode(seq, chain.FIRST_PREV, b"{}")[0][:-1]) is None
    assert chain.decode(chain.encode(10**18 - 1, chain.FIRST_PREV, b"{}")[0][:-1]) is not None


def test_a_deleted_segment_is_missed(tmp_path: Path) -> None:
    write(tmp_path, 30, segment_bytes=1000)
    segments = chain.segments(folder(tmp_path))
    first_lost = int(segments[1].stem)
    segments[1].unlink()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.seq) == ("missing", first_lost)


def test_a_deleted_last_segment_is_missed(tmp_path: Path) -> None:
    write(tmp_path, 30, segment_bytes=1000)
    last = chain.segments(folder(tmp_path))[-1]
    last.unlink()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.seq) == ("truncated", int(last.stem))


def test_a_deleted_head_or_chain_is_missed(tmp_path: Path) -> None:
    first, second = AuditLog(tmp_path), AuditLog(tmp_path)
    for log in (first, second):
        log.append({"id": "x"})
        log.close()
    (first.chain / chain.HEAD).unlink()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.segment) == ("missing", "head")
    for path in first.chain.iterdir():
        path.unlink()
    first.chain.rmdir()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.chain) == ("missing", "chain-0001")


def test_bytes_at_the_end_that_no_record_explains_are_damage(tmp_path: Path) -> None:
    write(tmp_path, 30, segment_bytes=1000)
    first = chain.segments(folder(tmp_path))[0]
    first.write_bytes(first.read_bytes() + b'{"seq":')
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.segment) == ("altered", first.name)


def test_tail_shows_the_last_records_of_all_chains_in_order_of_time(tmp_path: Path) -> None:
    logs = [AuditLog(tmp_path, AuditConfig(segment_bytes=500)) for _ in range(2)]
    for number in range(20):
        logs[number % 2].append({"id": f"r{number}", "time": float(number)})
    assert [entry.record["id"] for entry in tail(tmp_path, 5)] == ["r15", "r16", "r17", "r18", "r19"]
    assert len(list(tail(tmp_path, 100))) == 20
    assert list(tail(tmp_path, 0)) == []
    for log in logs:
        log.close()


def test_tail_follows_across_segments_and_new_chains(tmp_path: Path) -> None:
    first = AuditLog(tmp_path, AuditConfig(segment_bytes=300))
    first.append({"id": "old", "time": 0.0})
    seen: list[Entry] = []
    arrived, done = threading.Condition(), threading.Event()

    def follow() -> None:
        for entry in tail(tmp_path, 1, follow=True, poll=0.005, stop=done.is_set):
            with arrived:
                seen.append(entry)
                arrived.notify_all()

    def wait_for(count: int) -> None:
        with arrived:
            assert arrived.wait_for(lambda: len(seen) >= count, timeout=10)

    follower = threading.Thread(target=follow)
    follower.start()
    wait_for(1)
    for number in range(1, 6):
        first.append({"id": f"a{number}", "time": float(number)})
    second = AuditLog(tmp_path)
    second.append({"id": "b", "time": 9.0})
    wait_for(7)
    done.set()
    follower.join()
    first.close()
    second.close()
    assert sorted(entry.record["id"] for entry in seen) == ["a1", "a2", "a3", "a4", "a5", "b", "old"]


def test_find_returns_the_record_with_the_id(tmp_path: Path) -> None:
    write(tmp_path, 30, segment_bytes=1000)
    found = find(tmp_path, "r17")
    assert found is not None
    assert (found.seq, found.record["time"]) == (17, 17.0)
    assert find(tmp_path, "nobody") is None


def test_verify_beside_a_running_writer_finds_no_damage(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, AuditConfig(segment_bytes=5000))
    done = threading.Event()

    def work() -> None:
        number = 0
        while not done.is_set():
            log.append({"id": f"r{number}"})
            number += 1

    writer = threading.Thread(target=work)
    writer.start()
    try:
        results = [verify(tmp_path) for _ in range(10)]
    finally:
        done.set()
        writer.join()
        log.close()
    assert [result.bad for result in results if not result.ok] == []
