"""The writer: nothing it accepted is lost, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from agentflow.audit import chain
from agentflow.audit.log import AuditLog
from agentflow.audit.read import entries
from agentflow.audit.verify import verify
from agentflow.config import AuditConfig
from agentflow.errors import AuditUnavailable

SERVER = Path(__file__).parents[2] / "server"


def write(data_dir: Path, count: int, start: int = 0, **config: Any) -> None:
    log = AuditLog(data_dir, AuditConfig(**config))
    for number in range(start, start + count):
        log.append({"id": f"r{number}", "time": float(number), "kind": "call"})
    log.close()


def numbers(data_dir: Path) -> list[str]:
    return [entry.record["id"] for entry in entries(data_dir) if "id" in entry.record]


def test_records_are_chained_from_the_first_on(tmp_path: Path) -> None:
    write(tmp_path, 3)
    segment = chain.segments(chain.chains(tmp_path)[0])[0]
    lines = [chain.decode(raw) for raw in segment.read_bytes().splitlines()]
    assert [line.seq for line in lines if line] == [1, 2, 3]
    assert lines[0] is not None
    assert lines[0].prev == chain.FIRST_PREV
    assert [line.prev for line in lines[1:] if line] == [line.hash for line in lines[:-1] if line]
    assert segment.name == chain.segment_name(1)


def test_only_the_owner_may_read_the_log(tmp_path: Path) -> None:
    write(tmp_path, 1)
    folder = chain.chains(tmp_path)[0]
    for path in (folder.parent, folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_record_is_written_with_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path)
    written: list[bytes] = []
    real = os.write

    def counting(descriptor: int, data: bytes) -> int:
        written.append(bytes(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", counting)
    log.append({"id": "one"})
    assert len(written) == 1
    assert written[0].endswith(b"}\n")
    log.close()


def test_the_chain_goes_on_across_restarts_and_segments(tmp_path: Path) -> None:
    for start in range(0, 40, 10):
        write(tmp_path, 10, start, segment_bytes=1000)
    folder = chain.chains(tmp_path)[0]
    assert len(chain.segments(folder)) > 3
    assert numbers(tmp_path) == [f"r{number}" for number in range(40)]
    assert verify(tmp_path).ok
    for segment in chain.segments(folder):
        first = chain.decode(segment.read_bytes().split(b"\n")[0])
        assert first is not None
        assert segment.name == chain.segment_name(first.seq)


def test_a_second_gateway_on_the_same_directory_writes_a_chain_of_its_own(tmp_path: Path) -> None:
    first, second = AuditLog(tmp_path), AuditLog(tmp_path)
    assert first.chain != second.chain
    first.append({"id": "a"})
    second.append({"id": "b"})
    second.close()
    third = AuditLog(tmp_path)
    assert third.chain == second.chain
    third.append({"id": "c"})
    for log in (first, third):
        log.close()
    assert verify(tmp_path).ok
    assert numbers(tmp_path) == ["a", "b", "c"]


def test_a_line_torn_by_a_crash_is_noted_and_the_chain_goes_on(tmp_path: Path) -> None:
    write(tmp_path, 3)
    segment = chain.segments(chain.chains(tmp_path)[0])[0]
    with segment.open("ab") as file:
        file.write(b'{"seq":4,"prev":"abc')
    write(tmp_path, 1, 3)
    result = verify(tmp_path)
    assert result.ok
    assert "killed in the middle" in result.notes[0]
    assert numbers(tmp_path) == ["r0", "r1", "r2", "r3"]
    note = next(entry.record for entry in entries(tmp_path) if entry.record["kind"] == "log")
    assert note["event"] == "recovered"
    assert note["torn"]["bytes"] == 20


def test_a_segment_torn_in_its_first_line_is_kept_aside_and_noted(tmp_path: Path) -> None:
    write(tmp_path, 2)
    folder = chain.chains(tmp_path)[0]
    (folder / chain.segment_name(3)).write_bytes(b'{"seq":3,')
    write(tmp_path, 1, 2)
    assert verify(tmp_path).ok
    assert [entry.record.get("event") for entry in entries(tmp_path)] == [None, None, "recovered", None]
    assert len(list(folder.glob("*.torn-*"))) == 1


def test_a_segment_that_was_begun_and_never_written_does_not_outlive_the_start(tmp_path: Path) -> None:
    write(tmp_path, 5)
    folder = chain.chains(tmp_path)[0]
    (folder / chain.segment_name(6)).touch()
    chain.signatures(folder / chain.segment_name(6)).touch()
    write(tmp_path, 2, 5)
    assert chain.segments(folder) == [folder / chain.segment_name(1)]
    assert verify(tmp_path).ok
    assert numbers(tmp_path) == [f"r{number}" for number in range(7)]


def test_records_cut_off_while_no_gateway_ran_leave_a_gap_for_ever(tmp_path: Path) -> None:
    write(tmp_path, 5)
    segment = chain.segments(chain.chains(tmp_path)[0])[0]
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:3]))
    write(tmp_path, 1, 5)
    events = [entry.record for entry in entries(tmp_path) if entry.record["kind"] == "log"]
    assert (events[0]["event"], events[0]["after"], events[0]["upto"]) == ("records_missing", 3, 5)
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.seq) == ("missing", 4)


def test_a_full_disk_refuses_the_record_and_space_brings_the_log_back(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append({"id": "before"})
    segment = chain.segments(log.chain)[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # The kernel cuts the write short, as it does on a disk that fills up in the middle of a line.
        resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 50, hard))
        for _ in range(2):
            with pytest.raises(AuditUnavailable, match="could not be written"):
                log.append({"id": "refused"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    log.append({"id": "after"})
    log.close()
    assert numbers(tmp_path) == ["before", "after"]
    result = verify(tmp_path)
    assert result.ok
    assert result.notes == ()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_write_that_fails_is_one_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    log = AuditLog(tmp_path)

    def failing(descriptor: int, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        with pytest.raises(AuditUnavailable) as caught:
            log.append({"id": "x"})
    assert caught.value.fix
    log.append({"id": "y"})
    log.close()
    assert numbers(tmp_path) == ["y"]


def test_a_directory_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AuditUnavailable):
        AuditLog(tmp_path / "file" / "data")


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.close()
    log.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        log.append({})


def test_fsync_always_reaches_the_disk_at_every_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    log = AuditLog(tmp_path, AuditConfig(fsync="always"))
    before = len(synced)
    log.append({"id": "a"})
    log.append({"id": "b"})
    assert len(synced) - before >= 2
    log.close()


def test_threads_share_one_writer(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, AuditConfig(segment_bytes=2000))

    def work(name: int) -> None:
        for number in range(50):
            log.append({"id": f"{name}-{number}"})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert verify(tmp_path).ok
    assert len(numbers(tmp_path)) == 200


@pytest.mark.parametrize("value", [2**80, "\ud800", {"deep": ["\udfff"]}])
def test_values_that_json_writers_dislike_are_still_recorded(tmp_path: Path, value: object) -> None:
    log = AuditLog(tmp_path)
    log.append({"id": "odd", "value": value})
    log.close()
    assert numbers(tmp_path) == ["odd"]
    assert verify(tmp_path).ok


WRITER = """
import sys
from pathlib import Path
from agentflow.audit.log import AuditLog
from agentflow.config import AuditConfig
log = AuditLog(Path(sys.argv[1]), AuditConfig(segment_bytes=20_000, sign_every=int(sys.argv[3])))
number = int(sys.argv[2])
while True:
    log.append({"id": f"r{number}", "time": float(number), "kind": "call", "filler": "x" * 200})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.mark.parametrize("sign_every", [1, 7, 1000])
def test_kill_9_in_the_middle_of_writing_loses_nothing_acknowledged(tmp_path: Path, sign_every: int) -> None:
    acknowledged = -1
    chosen = random.Random(sign_every)
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(acknowledged + 1), str(sign_every)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SERVER)},
        )
        assert writer.stdout is not None
        for _ in range(chosen.randrange(1, 400)):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.stdout.read().split(b"\n")[:-1]
        writer.stdout.close()
        writer.wait()
        if rest:
            acknowledged = int(rest[-1])
        result = verify(tmp_path)
        assert result.ok, result
        assert result.records - result.signed <= max(sign_every, 1)
        written = {int(name[1:]) for name in numbers(tmp_path)}
        assert written >= set(range(acknowledged + 1))
        acknowledged = max(written)  # one more may be on disk than its writer could say
    log = AuditLog(tmp_path)
    log.append({"id": "r999999"})
    log.close()
    result = verify(tmp_path)
    assert (result.ok, result.signed) == (True, result.records), result
    assert orjson.loads(chain.segments(chain.chains(tmp_path)[0])[-1].read_bytes().splitlines()[-1])["record"] == {
        "id": "r999999"
    }
