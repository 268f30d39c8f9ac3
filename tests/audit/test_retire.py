"""Retention: what goes leaves a signed trace, what is doubtful stays, and the chain verifies at any moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentflow.audit import chain, retire, signing
from agentflow.audit.index import FILE, SqliteIndex, catch_up
from agentflow.audit.log import AuditLog
from agentflow.audit.read import entries
from agentflow.audit.retire import Retired
from agentflow.audit.signing import Signer
from agentflow.audit.verify import verify
from agentflow.config import AuditConfig

SMALL = AuditConfig(segment_bytes=1000, sign_every=4)


def write(data_dir: Path, count: int, start: int = 1) -> AuditLog:
    log = AuditLog(data_dir, SMALL)
    for number in range(start, start + count):
        log.append({"kind": "call", "id": f"r{number}", "time": float(number)})
    return log


def signer(data_dir: Path) -> Signer:
    return signing.signer(data_dir, SMALL)


def age(segment: Path, seconds: float) -> None:
    os.utime(segment, (seconds, seconds))


def numbers(data_dir: Path) -> list[int]:
    return [int(entry.record["id"][1:]) for entry in entries(data_dir)]


def size(data_dir: Path) -> int:
    return sum(path.stat().st_size for folder in chain.chains(data_dir) for path in chain.segments(folder))


def retired(data_dir: Path, keep_bytes: int = 0, before: float | None = None) -> Retired:
    (done,) = retire.retire(data_dir, signer(data_dir), keep_bytes=keep_bytes, before=before)
    return done


def test_the_oldest_go_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    done = retired(tmp_path, keep_bytes=3000)
    assert size(tmp_path) <= 3000
    assert done.records == done.upto > 0
    assert numbers(tmp_path) == list(range(done.upto + 1, 41))
    result = verify(tmp_path)
    assert result.ok, result
    assert (result.retired, result.records) == (done.upto, 40 - done.upto)
    assert f"records up to {done.upto}" in result.notes[0]
    log.append({"kind": "call", "id": "r41", "time": 41.0})
    log.close()
    assert verify(tmp_path).ok
    write(tmp_path, 5, 42).close()
    assert verify(tmp_path).ok
    assert numbers(tmp_path)[-1] == 46


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    segments = chain.segments(log.chain)
    for number, segment in enumerate(segments):
        age(segment, 1000.0 + number)
    done = retired(tmp_path, before=1002.0)
    assert done.segments == 2
    assert chain.segments(log.chain) == segments[2:]
    assert not chain.signatures(segments[0]).exists()
    assert retire.retire(tmp_path, signer(tmp_path), before=1002.0) == []
    log.close()
    assert verify(tmp_path).ok


def test_retiring_again_moves_the_checkpoint_on(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    first = retired(tmp_path, keep_bytes=3500)
    for number in range(41, 61):
        log.append({"kind": "call", "id": f"r{number}", "time": float(number)})
    second = retired(tmp_path, keep_bytes=3500)
    assert second.upto > first.upto
    checkpoint = signing.retired(log.chain)
    assert checkpoint is not None
    assert (checkpoint.upto, checkpoint.first, checkpoint.last) == (second.upto, 1.0, float(second.upto))
    assert checkpoint.segments == first.segments + second.segments
    log.close()
    assert verify(tmp_path).ok


def test_the_segment_being_written_stays_and_that_of_a_chain_nobody_writes_goes(tmp_path: Path) -> None:
    log = write(tmp_path, 3)
    assert retire.retire(tmp_path, signer(tmp_path), keep_bytes=1) == []
    log.close()
    done = retired(tmp_path, keep_bytes=1)
    assert (done.records, numbers(tmp_path)) == (3, [])
    assert verify(tmp_path).ok
    write(tmp_path, 2, 4).close()
    result = verify(tmp_path)
    assert (result.ok, result.records, result.signed) == (True, 2, 2), result
    assert numbers(tmp_path) == [4, 5]


def test_damage_is_not_retired_away(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    segments = chain.segments(log.chain)
    segments[2].write_bytes(segments[2].read_bytes().replace(b'"kind":"call"', b'"kind":"calm"', 1))
    done = retired(tmp_path, keep_bytes=1)
    assert done.segments == 2
    assert "damaged" in done.refused
    assert segments[2].exists()
    log.close()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert bad.segment == segments[2].name


def test_a_rebuilt_chain_is_not_retired_away(tmp_path: Path) -> None:
    log = write(tmp_path, 20)
    first = chain.segments(log.chain)[0]
    seq, last, lines = 0, chain.FIRST_PREV, []
    for raw in first.read_bytes().splitlines():
        line = chain.decode(raw)
        assert line is not None
        encoded, last = chain.encode(seq := seq + 1, last, line.body.replace(b"r1", b"x1"))
        lines.append(encoded)
    first.write_bytes(b"".join(lines))
    done = retired(tmp_path, keep_bytes=1)
    assert done.records == 0
    assert "not as it was signed" in done.refused
    log.close()


def test_what_nobody_has_signed_is_not_retired(tmp_path: Path) -> None:
    log = write(tmp_path, 20)
    for segment in chain.segments(log.chain):
        chain.signatures(segment).unlink()
    done = retired(tmp_path, keep_bytes=1)
    assert done.records == 0
    assert "no signed head" in done.refused
    log.close()


def test_records_older_than_signing_go_once_a_later_head_vouches_for_them(tmp_path: Path) -> None:
    log = write(tmp_path, 20)
    segments = chain.segments(log.chain)
    for segment in segments[:-2]:
        chain.signatures(segment).unlink()
    assert retired(tmp_path, keep_bytes=1).segments == len(segments) - 1
    log.close()
    assert verify(tmp_path).ok


@pytest.mark.parametrize("after", ["checkpoint", "one file"])
def test_a_run_that_was_broken_off_leaves_a_chain_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    log = write(tmp_path, 40)
    left = 0 if after == "checkpoint" else 1
    real = Path.unlink

    def dying(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if path.suffix in (".jsonl", ".sig"):
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        real(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        with pytest.raises(KeyboardInterrupt):
            retired(tmp_path, keep_bytes=3000)
    assert verify(tmp_path).ok
    assert size(tmp_path) > 3000
    retire.retire(tmp_path, signer(tmp_path), keep_bytes=3000)
    assert size(tmp_path) <= 3000
    log.close()
    assert verify(tmp_path).ok


def test_a_forged_or_moved_checkpoint_is_damage(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    retired(tmp_path, keep_bytes=3000)
    log.close()
    path = log.chain / chain.CHECKPOINT
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"records":', b'"records":1'))
    assert verify(tmp_path).bad is not None
    path.write_bytes(b"noise\n")
    assert verify(tmp_path).bad is not None
    path.unlink()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.seq) == ("missing", 1)
    path.write_bytes(good)
    assert verify(tmp_path).ok


@pytest.mark.parametrize("forged", ["by a stranger", "with our key's name", "noise"])
def test_nothing_is_removed_on_the_word_of_a_forged_checkpoint(tmp_path: Path, forged: str) -> None:
    log = write(tmp_path, 40)
    evil = Signer(Ed25519PrivateKey.generate())
    key = signer(tmp_path).id if forged == "with our key's name" else evil.id
    line = evil.line(signing.Checkpoint("chain-0001", 38, "0" * 64, 38, 1, 1.0, 2.0, 3.0, key))
    (log.chain / chain.CHECKPOINT).write_bytes(b"noise\n" if forged == "noise" else line)
    store = SqliteIndex(tmp_path / FILE)
    catch_up(tmp_path, store)
    for keep_bytes in (1, 0):
        done = retired(tmp_path, keep_bytes=keep_bytes, before=1.0)
        assert done.records == 0
        assert "no trusted key signed the checkpoint" in done.refused
    assert catch_up(tmp_path, store) == 0
    assert len(list(store.places("1 = 1", ()))) == len(numbers(tmp_path)) == 40
    store.close()
    log.close()


def test_more_than_was_retired_cannot_be_removed(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    done = retired(tmp_path, keep_bytes=3000)
    log.close()
    chain.segments(log.chain)[0].unlink()
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.seq) == ("missing", done.upto + 1)


def test_where_records_may_not_grow_old_a_segment_ends_in_time(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, AuditConfig(keep_days=1))
    log.append({"id": "a", "time": time.time() - 9000})
    log.tend()
    assert len(chain.segments(log.chain)) == 1, "begun just now"
    log.close()
    log = AuditLog(tmp_path, AuditConfig(keep_days=1))
    log.tend()
    assert len(chain.segments(log.chain)) == 2, "its first record is more than a tenth of a day old"
    log.tend()
    assert len(chain.segments(log.chain)) == 2, "an empty one does not end"
    log.append({"id": "b", "time": time.time()})
    log.close()
    assert verify(tmp_path).ok


def test_a_segment_with_an_odd_date_keeps_the_later_ones(tmp_path: Path) -> None:
    log = write(tmp_path, 40)
    segments = chain.segments(log.chain)
    for segment in segments:
        age(segment, 1000.0)
    age(segments[1], 9_999_999_999.0)
    done = retired(tmp_path, before=2000.0)
    assert (done.segments, done.refused) == (1, "")
    assert not retire.due(tmp_path, 2000.0, 0)
    log.close()
