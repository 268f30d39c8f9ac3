"""Signed heads: a chain that was rebuilt, cut off or removed with all notes about it is still named."""

from __future__ import annotations

import base64
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from agentflow.audit import chain, retire, signing
from agentflow.audit.log import AuditLog
from agentflow.audit.read import entries
from agentflow.audit.signing import Checkpoint, Head, Signer, Trust
from agentflow.audit.verify import verify
from agentflow.config import AuditConfig
from agentflow.errors import AuditUnavailable, ConfigError


def write(data_dir: Path, count: int, start: int = 1, **config: object) -> None:
    log = AuditLog(data_dir, AuditConfig.model_validate({"sign_every": 4, **config}))
    for number in range(start, start + count):
        log.append({"kind": "call", "id": f"r{number}", "time": float(number), "who": "alice"})
    log.close()


def folder(data_dir: Path) -> Path:
    return chain.chains(data_dir)[0]


def rebuild(data_dir: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """What somebody does who can write the files and knows how they are made, but has not the key."""
    seq, last = 0, chain.FIRST_PREV
    for segment in chain.segments(folder(data_dir)):
        lines = []
        for body in change([line.body for raw in segment.read_bytes().splitlines() if (line := chain.decode(raw))]):
            encoded, last = chain.encode(seq + 1, last, body)
            seq += 1
            lines.append(encoded)
        segment.write_bytes(b"".join(lines))
    (folder(data_dir) / chain.HEAD).write_bytes(chain.encode_head(seq, last))


def blamed(data_dir: Path, **more: object) -> tuple[str, str, int]:
    bad = verify(data_dir, **more).bad  # type: ignore[arg-type]
    assert bad is not None
    assert bad.detail
    return bad.damage, bad.chain, bad.seq


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = tmp_path / signing.KEY_FILE
    made = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write(tmp_path, 1, 2)
    assert path.read_bytes() == made
    assert list(tmp_path.glob(".audit.key*")) == []


def test_a_key_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = tmp_path / signing.KEY_FILE
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="Others may read"):
        AuditLog(tmp_path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(ConfigError, match="not an Ed25519 private key"):
        AuditLog(tmp_path)


@pytest.mark.parametrize("form", ["pem", "base64"])
def test_a_configured_key_signs_and_no_file_is_made(tmp_path: Path, form: str) -> None:
    private = Ed25519PrivateKey.generate()
    text = base64.b64encode(private.private_bytes_raw()).decode()
    if form == "pem":
        os.makedirs(tmp_path / "other")
        signing.signer(tmp_path / "other", AuditConfig())
        text = (tmp_path / "other" / signing.KEY_FILE).read_text()
    config = AuditConfig(signing_key=SecretStr(text))
    log = AuditLog(tmp_path / "data", config)
    log.append({"id": "a"})
    log.close()
    assert not (tmp_path / "data" / signing.KEY_FILE).exists()
    result = verify(tmp_path / "data", signing.trusted(tmp_path / "data", config))
    assert result.ok
    assert result.signed == 1


def test_heads_are_signed_after_so_many_records_at_rotation_and_at_the_end(tmp_path: Path) -> None:
    write(tmp_path, 30, segment_bytes=1000)
    whys = [
        signed.said.why
        for segment in chain.segments(folder(tmp_path))
        for signed in signing.read_heads(chain.signatures(segment))
        if signed is not None
    ]
    assert whys[0] == "open"
    assert {"records", "rotation", "close"} <= set(whys)
    assert whys[-1] in ("close", "records")
    result = verify(tmp_path)
    assert (result.records, result.signed, result.notes) == (30, 30, ())


def test_a_head_that_waits_is_signed_when_the_log_is_tended(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, AuditConfig(sign_after=0.000001))
    log.append({"id": "a"})
    assert verify(tmp_path).notes == ("chain-0001: the last 1 records carry no signature yet",)
    log.tend()
    assert verify(tmp_path).signed == 1
    before = chain.signatures(chain.segments(log.chain)[0]).read_bytes()
    log.tend()
    assert chain.signatures(chain.segments(log.chain)[0]).read_bytes() == before
    log.close()


def test_records_of_a_writer_that_was_killed_are_signed_at_the_next_start(tmp_path: Path) -> None:
    write(tmp_path, 3, sign_every=100)
    signatures = chain.signatures(chain.segments(folder(tmp_path))[0])
    signatures.write_bytes(signatures.read_bytes().splitlines(keepends=True)[0] + b'{"head":{"cha')  # killed
    assert verify(tmp_path).signed == 0
    write(tmp_path, 1, 4, sign_every=100)
    result = verify(tmp_path)
    assert (result.ok, result.signed, result.notes) == (True, 4, ())


Change = Callable[[list[bytes]], list[bytes]]
TAMPERING: dict[str, tuple[Change, str]] = {
    "a value": (lambda bodies: [*bodies[:5], bodies[5].replace(b"alice", b"bob"), *bodies[6:]], "altered"),
    "a record left out": (lambda bodies: [body for body in bodies if b'"r6"' not in body], "altered"),
    "a record put in": (lambda bodies: [*bodies[:3], b'{"kind":"call"}', *bodies[3:]], "altered"),
    "the end cut off": (lambda bodies: bodies[:-3], "truncated"),
    "everything": (lambda bodies: [], "truncated"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_a_chain_rebuilt_with_fitting_hashes_is_named(tmp_path: Path, name: str) -> None:
    change, damage = TAMPERING[name]
    write(tmp_path, 10)
    rebuild(tmp_path, change)
    kind, where, seq = blamed(tmp_path)
    assert (kind, where) == (damage, "chain-0001")
    if name == "a value":  # heads were signed after records 4, 8 and 10
        bad = verify(tmp_path).bad
        assert bad is not None
        assert seq == 8
        assert "from 5 on" in bad.detail


def test_a_tail_removed_with_the_heads_that_name_it_is_missed_where_a_head_is_kept_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, 10)
    kept = signing.latest_line(folder(tmp_path))
    assert kept is not None
    witness = signing.decode(kept, Head)
    assert witness is not None
    signatures = chain.signatures(chain.segments(folder(tmp_path))[0])
    signatures.write_bytes(b"".join(signatures.read_bytes().splitlines(keepends=True)[:2]))  # up to record 4
    rebuild(tmp_path, lambda bodies: bodies[:4])
    assert verify(tmp_path).ok, "an older state of everything looks like one"
    assert blamed(tmp_path, witnesses=[witness]) == ("truncated", "chain-0001", 5)
    shutil.rmtree(folder(tmp_path))
    assert blamed(tmp_path, trust=Trust([]), witnesses=[witness])[:2] == ("missing", "chain-0001")


def test_removed_signatures_are_missed(tmp_path: Path) -> None:
    write(tmp_path, 30, segment_bytes=1000)
    segments = chain.segments(folder(tmp_path))
    for segment in segments[-2:]:
        chain.signatures(segment).unlink()
    assert blamed(tmp_path)[0] == "missing"
    for segment in segments[:-2]:
        chain.signatures(segment).unlink()
    assert "no signed head" in str(verify(tmp_path).bad)


def test_signatures_removed_before_a_restart_leave_a_trace_for_ever(tmp_path: Path) -> None:
    write(tmp_path, 5)
    chain.signatures(chain.segments(folder(tmp_path))[0]).unlink()
    write(tmp_path, 5, 6)
    result = verify(tmp_path)
    assert result.ok
    assert "older than the first signed head" in result.notes[0]
    events = [entry.record for entry in entries(tmp_path) if entry.record["kind"] == "log"]
    assert [(event["event"], event["after"]) for event in events] == [("signing_began", 5)]


def test_a_deleted_last_chain_and_a_deleted_log_are_missed(tmp_path: Path) -> None:
    first, second = AuditLog(tmp_path), AuditLog(tmp_path)
    for log in (first, second):
        log.append({"id": "x"})
    second.close()
    first.close()
    shutil.rmtree(second.chain)
    assert blamed(tmp_path)[:2] == ("missing", "chain-0002")
    shutil.rmtree(chain.audit_dir(tmp_path))
    assert blamed(tmp_path)[:2] == ("missing", "chain-0001")


def test_a_chain_signed_with_another_key_is_not_taken_for_ours(tmp_path: Path) -> None:
    write(tmp_path, 5)
    ours = signing.trusted(tmp_path, AuditConfig())
    shutil.rmtree(chain.audit_dir(tmp_path))
    (tmp_path / signing.KEY_FILE).unlink()
    write(tmp_path, 5)
    assert verify(tmp_path).ok
    assert blamed(tmp_path, trust=ours)[0] == "altered"
    assert "not trusted" in str(verify(tmp_path, ours).bad)


def test_the_key_may_be_changed_and_the_new_one_vouches_for_everything(tmp_path: Path) -> None:
    write(tmp_path, 5)
    (tmp_path / signing.KEY_FILE).unlink()
    write(tmp_path, 5, 6)
    result = verify(tmp_path)
    assert (result.ok, result.signed) == (True, 11)
    assert "up to 5 are older" in result.notes[0]


def test_without_a_key_the_chain_is_checked_and_the_gap_is_said(tmp_path: Path) -> None:
    write(tmp_path, 5)
    (tmp_path / signing.KEY_FILE).unlink()
    result = verify(tmp_path)
    assert (result.ok, result.signed, result.records) == (False, 0, 5)
    assert "not checked" in result.notes[0]
    assert "--public-key" in str(result.bad)
    chain.signatures(chain.segments(folder(tmp_path))[0]).unlink()
    assert verify(tmp_path).ok, "a log from before heads were signed"


def without_heads(data_dir: Path, after: int) -> None:
    """Remove the signed heads of records after this one."""
    for segment in chain.segments(folder(data_dir)):
        path = chain.signatures(segment)
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [raw for raw in lines if (head := signing.decode(raw[:-1], Head)) and head.said.seq <= after]
        path.write_bytes(b"".join(kept))


@pytest.mark.parametrize("left", [0, 8])
def test_more_than_may_go_unsigned_is_never_taken_for_a_killed_writer(tmp_path: Path, left: int) -> None:
    write(tmp_path, 20)
    without_heads(tmp_path, left)
    rebuild(tmp_path, lambda bodies: [*bodies[:left], *(body.replace(b"alice", b"bob") for body in bodies[left:])])
    assert blamed(tmp_path) == ("missing", "chain-0001", left + 1)
    write(tmp_path, 5, 21)  # a restart signs what it finds, and does not make it good
    assert blamed(tmp_path) == ("missing", "chain-0001", left + 1)
    told = [entry.record for entry in entries(tmp_path) if entry.record["kind"] == "log"]
    assert [(each["event"], each["after"], each["upto"]) for each in told] == [("signing_gap", left, 20)]
    for segment in chain.segments(folder(tmp_path)):  # nor without the head that tells of the restart
        path = chain.signatures(segment)
        path.write_bytes(
            b"".join(
                raw
                for raw in path.read_bytes().splitlines(keepends=True)
                if (head := signing.decode(raw[:-1], Head)) and head.said.seq != 20
            )
        )
    assert blamed(tmp_path) == ("missing", "chain-0001", left + 1)


def test_a_forged_head_does_not_bridge_a_gap(tmp_path: Path) -> None:
    write(tmp_path, 20)
    without_heads(tmp_path, 4)
    (segment,) = chain.segments(folder(tmp_path))
    last = chain.read_head(folder(tmp_path))
    assert last is not None
    stranger = Signer(Ed25519PrivateKey.generate())
    forged = Head("chain-0001", 20, last[1], 1e9, 0, 1, "late", signing.signer(tmp_path, AuditConfig()).id)
    with chain.signatures(segment).open("ab") as file:
        file.write(stranger.line(forged))
    assert blamed(tmp_path)[0] == "altered"
    write(tmp_path, 5, 21)
    assert blamed(tmp_path) == ("missing", "chain-0001", 5)


def test_what_a_killed_writer_may_leave_unsigned_is_signed_without_a_word(tmp_path: Path) -> None:
    write(tmp_path, 12)
    without_heads(tmp_path, 8)
    assert verify(tmp_path).ok
    write(tmp_path, 5, 13)
    result = verify(tmp_path)
    assert (result.ok, result.records, result.signed) == (True, 17, 17)


def test_the_bound_is_that_of_the_settings_a_record_was_written_with(tmp_path: Path) -> None:
    for every, start in ((4, 1), (1000, 11), (4, 311), (1000, 321)):
        write(tmp_path, 10 if every == 4 else 300, start, sign_every=every)
        assert verify(tmp_path).ok
    without_heads(tmp_path, 320)
    assert verify(tmp_path).ok, "as if the last writer had been killed"


def test_a_head_from_before_the_bound_was_signed_stands_for_256(tmp_path: Path) -> None:
    signer = Signer(Ed25519PrivateKey.generate())
    body = signer.line(Head("chain-0001", 0, chain.FIRST_PREV, 1.0, 0, 1, "open", signer.id)).rstrip(b"\n")
    found = signing.decode(body.replace(b',"every":256', b""), Head)
    assert found is not None
    assert found.said.every == 256


def test_a_writer_at_work_is_not_taken_for_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path, AuditConfig(sign_every=4))
    log.append({"id": "r1"})
    real = chain.segments

    def meanwhile(path: Path) -> list[Path]:
        monkeypatch.setattr(chain, "segments", real)
        found = real(path)
        heads = signing.read_heads

        def slow(path: Path) -> list[signing.Signed[Head] | None]:
            monkeypatch.setattr(signing, "read_heads", heads)
            read = heads(path)
            for number in range(2, 30):
                log.append({"id": f"r{number}"})
            return read

        monkeypatch.setattr(signing, "read_heads", slow)
        return found

    monkeypatch.setattr(chain, "segments", meanwhile)
    result = verify(tmp_path)
    assert (result.ok, result.records) == (True, 29), result
    log.close()


@pytest.mark.parametrize("change", ["seq", "hash", "time", "since", "chains", "why"])
def test_no_member_of_a_signed_head_can_be_changed(tmp_path: Path, change: str) -> None:
    write(tmp_path, 5)
    path = chain.signatures(chain.segments(folder(tmp_path))[0])
    line = path.read_bytes().splitlines()[-1]
    found = signing.decode(line, Head)
    assert found is not None
    changed = replace(found.said, **{change: {"seq": 4, "hash": "0" * 64, "why": "time"}.get(change, 7)})
    forged = Signer(Ed25519PrivateKey.generate()).line(replace(changed, key=found.said.key))
    path.write_bytes(path.read_bytes().replace(line + b"\n", forged))
    assert not verify(tmp_path).ok


def test_a_checkpoint_is_no_head_and_a_head_no_checkpoint() -> None:
    signer = Signer(Ed25519PrivateKey.generate())
    head = Head("chain-0001", 1, "a" * 64, 1.0, 0, 1, "close", signer.id)
    line = signer.line(head).rstrip(b"\n")
    found = signing.decode(line, Head)
    assert found is not None
    assert Trust([signer.public]).standing(found) == "good"
    assert signing.decode(line, Checkpoint) is None
    assert signing.decode(line.replace(b'{"head":', b'{"checkpoint":'), Checkpoint) is None


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: b'{"head":' + text.encode() + b',"sig":"AA=="}'))
def test_whatever_stands_in_a_signature_file_is_read_without_an_error(noise: bytes) -> None:
    assert signing.decode(noise, Head) is None or noise.startswith(b'{"head":')


@pytest.mark.parametrize("noise", [b"noise\n", b'{"head":{},"sig":"AA=="}\n', b"\n"])
def test_a_line_that_is_no_signed_head_is_damage(tmp_path: Path, noise: bytes) -> None:
    write(tmp_path, 5)
    path = chain.signatures(chain.segments(folder(tmp_path))[0])
    path.write_bytes(noise + path.read_bytes())
    bad = verify(tmp_path).bad
    assert bad is not None
    assert (bad.damage, bad.segment, bad.line) == ("altered", path.name, 1)


def test_a_head_of_another_chain_is_damage(tmp_path: Path) -> None:
    first, second = AuditLog(tmp_path), AuditLog(tmp_path)
    for log in (first, second):
        log.append({"id": "x"})
        log.close()
    path = chain.signatures(chain.segments(first.chain)[0])
    other = chain.signatures(chain.segments(second.chain)[0])
    path.write_bytes(path.read_bytes() + other.read_bytes())
    assert "another chain" in str(verify(tmp_path).bad)


def test_a_signature_that_cannot_be_written_refuses_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path, AuditConfig(sign_every=2))
    real = os.write

    def failing(descriptor: int, data: bytes) -> int:
        if data.startswith(b'{"head"'):
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        for number in range(5):
            log.append({"id": f"r{number}"})
    assert verify(tmp_path).signed == 0
    log.append({"id": "r5"})
    assert verify(tmp_path).signed == 6
    log.close()


@pytest.mark.parametrize("ending", [".sig", ".jsonl"])
def test_a_segment_that_cannot_be_begun_refuses_records_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    log = AuditLog(tmp_path, AuditConfig(segment_bytes=300, sign_every=1000))
    log.append({"id": "a", "filler": "x" * 300})
    real = os.open

    def failing(path: object, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(ending):
            raise OSError(24, "Too many open files")
        return real(path, flags, mode)  # type: ignore[call-overload,no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        for _ in range(2):
            with pytest.raises(AuditUnavailable):
                log.append({"id": "refused"})
    for name in "bcd":
        log.append({"id": name})
    log.close()
    result = verify(tmp_path)
    assert (result.ok, result.records, result.signed) == (True, 4, 4), result


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("untouched")
    write(data_dir, 12, segment_bytes=1000)
    retire.retire(data_dir, signing.signer(data_dir, AuditConfig()), keep_bytes=2500)
    assert verify(data_dir).ok
    return data_dir


@given(data=st.data())
def test_no_byte_of_a_record_or_of_the_checkpoint_can_be_changed_or_removed(
    untouched: Path, data: st.DataObject
) -> None:
    files = [*chain.segments(folder(untouched)), folder(untouched) / chain.CHECKPOINT]
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    # The end of a base64 text has bits that mean nothing, and the checkpoint may end with a line break or not.
    at = data.draw(st.integers(0, len(whole) - (1 if path.suffix else 8)))
    new = data.draw(st.binary(max_size=2).filter(lambda new: new != whole[at : at + 1]))
    try:
        path.write_bytes(whole[:at] + new + whole[at + 1 :])
        assert not verify(untouched).ok
    finally:
        path.write_bytes(whole)
    assert verify(untouched).ok
