"""`agentflow audit …`: what the commands print, and what their exit codes say."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from agentflow.audit import chain, signing
from agentflow.audit.events import Event
from agentflow.audit.log import AuditLog
from agentflow.cli import main
from agentflow.config import AuditConfig


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def fill(data_dir: Path, count: int = 12, **config: object) -> None:
    log = AuditLog(data_dir, AuditConfig.model_validate(config))
    now = time.time()
    for n in range(count):
        log.append(
            {
                "kind": "call",
                "id": f"id-{n}",
                "time": now - (count - n) * 600,
                "principal": {"id": "ada" if n % 2 else "bob", "tenant": "acme"},
                "surface": "tools/call",
                "server": "crm",
                "name": "crm__find",
                "outcome": "policy_denied" if n == 3 else "ok",
                "micros": 700,
                "decision": {"allow": n != 3, "reasons": [["forbidden" if n == 3 else "role", "why | so"]]},
            }
        )
    log.event(Event("policy", "activated", by="acme/ada", subject="rev"))
    log.close()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["audit", *words])
    return code, capsys.readouterr().out


def ids(text: str) -> list[str]:
    return [entry["record"]["id"] for entry in json.loads(text) if entry["record"]["kind"] == "call"]


def test_query_filters_by_what_is_asked(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    fill(data_dir)
    for words, expected in (
        (["--decision", "deny"], ["id-3"]),
        (["--reason", "forbidden"], ["id-3"]),
        (["--refused"], ["id-3"]),
        (["--since", "25m"], ["id-10", "id-11"]),
        (["--until", "115m", "--since", "3h"], ["id-0"]),
        (["--principal", "bob", "-n", "2"], ["id-8", "id-10"]),
        (["--id", "id-7"], ["id-7"]),
        (["--kind", "policy"], []),
    ):
        for more in ([], ["--no-index"]):
            code, out = run(capsys, "query", *words, *more, "--json")
            assert (code, ids(out)) == (0, expected), words
    code, out = run(capsys, "query", "--decision", "deny")
    assert out.splitlines()[0].split() == ["TIME", "CALLER", "WHAT", "SERVER", "OUTCOME", "µs", "RECORD", "WHY"]
    assert out.splitlines()[1].split()[2:] == ["acme/ada", "tools/call", "crm__find", "crm",
                                               "policy_denied", "700", "id-3", "forbidden"]  # fmt: skip
    assert [json.loads(each)["seq"] for each in run(capsys, "query", "-n", "2", "--jsonl")[1].splitlines()] == [12, 13]


def test_a_time_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    assert main(["audit", "query", "--since", "yesterday-ish"]) == 2
    assert "is no time" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["jsonl", "ocsf", "cef"])
def test_export_writes_one_line_a_record(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, form: str
) -> None:
    fill(data_dir)
    code, out = run(capsys, "export", "--format", form)
    assert (code, len(out.splitlines())) == (0, 13)
    assert run(capsys, "export", "--format", form, "--out", str(tmp_path / "out"), "--decision", "deny")[0] == 0
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert line == out.splitlines()[3]
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_the_public_key_verifies_a_copy_without_the_private_one(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(data_dir)
    assert run(capsys, "key", "--out", str(tmp_path / "public.pem"))[0] == 0
    told = json.loads(run(capsys, "key", "--json")[1])
    assert (tmp_path / "public.pem").read_text() == told["pem"] == run(capsys, "key")[1]
    assert "PRIVATE" not in told["pem"]
    (data_dir / "audit.key").rename(tmp_path / "elsewhere")
    code, out = run(capsys, "verify")
    assert (code, "not checked" in out, "give --public-key" in out) == (1, True, True)
    for given in (str(tmp_path / "public.pem"), told["public_key"]):
        code, out = run(capsys, "verify", "--public-key", given)
        assert (code, "13 of them vouched for" in out) == (0, True)
    assert main(["audit", "verify", "--public-key", "nonsense"]) == 1
    assert "not an Ed25519 public key" in capsys.readouterr().err


def test_openssl_reads_the_keys(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    fill(data_dir)
    made = subprocess.run(
        ["openssl", "pkey", "-in", str(data_dir / "audit.key"), "-pubout"], capture_output=True, text=True, check=True
    )
    assert made.stdout == run(capsys, "key")[1]


def test_heads_kept_elsewhere_show_that_the_log_went_back(
    capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    fill(data_dir)
    (tmp_path / "heads").write_text(run(capsys, "heads")[1])
    assert run(capsys, "verify", "--witness", str(tmp_path / "heads"))[0] == 0
    key = (data_dir / "audit.key").read_text()
    for path in sorted(data_dir.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (data_dir / "audit.key").write_text(key)
    (data_dir / "audit.key").chmod(0o600)
    fill(data_dir, 2)
    assert run(capsys, "verify")[0] == 0
    code, out = run(capsys, "verify", "--witness", str(tmp_path / "heads"), "--json")
    assert (code, json.loads(out)["bad"]["damage"]) == (1, "truncated")
    (tmp_path / "heads").write_text("noise\n")
    assert main(["audit", "verify", "--witness", str(tmp_path / "heads")]) == 2


def test_retire_says_what_went_and_leaves_a_record_of_it(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    assert main(["audit", "retire"]) == 2
    assert "--keep-days" in capsys.readouterr().err
    fill(data_dir, 40, segment_bytes=3000)
    code, out = run(capsys, "retire", "--keep-bytes", "6000")
    assert code == 0
    assert "retired" in out
    assert run(capsys, "verify")[0] == 0
    (told,) = json.loads(run(capsys, "query", "--event", "retired", "--json")[1])
    assert told["record"]["details"]["upto"] == signing.retired(chain.chains(data_dir)[0]).upto  # type: ignore[union-attr]
    assert run(capsys, "retire", "--keep-days", "1") == (0, "nothing to retire\n")


@pytest.mark.parametrize("days", ["-1", "0", "nan", "inf", "-inf", "soon"])
def test_days_that_are_none_retire_nothing(capsys: pytest.CaptureFixture[str], data_dir: Path, days: str) -> None:
    fill(data_dir, 40, segment_bytes=3000)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "retire", f"--keep-days={days}"])
    assert ended.value.code == 2
    assert "number of days above 0" in capsys.readouterr().err
    assert signing.retired(chain.chains(data_dir)[0]) is None


def test_damaged_records_are_left_out_and_counted(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    fill(data_dir)
    (segment,) = chain.segments(chain.chains(data_dir)[0])
    segment.write_bytes(segment.read_bytes().replace(b'"id":"id-2"', b'"id":id-2"'))
    for words in (["query", "--no-index"], ["export"], ["export", "--format", "cef"], ["tail", "-n", "20"]):
        assert main(["audit", *words]) == 0
        err = capsys.readouterr().err
        assert f"1 damaged records left out, the first in chain-0001/{segment.name}" in err
    assert main(["audit", "query"]) == 0
    code, out = run(capsys, "verify")
    assert (code, "altered at record 3" in out) == (1, True)


def test_no_record_makes_a_line_of_its_own_or_talks_to_the_terminal(
    capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    evil = "x\n2026-01-01 00:00:00  acme/eve\x1b[2J\x9b31m\u2028\u202e\x00"
    log = AuditLog(data_dir)
    for kind in ("call", "policy"):
        who = {"id": evil, "tenant": evil}
        log.append({"kind": kind, "id": evil, "time": 1e9, "principal": who, "name": evil, "outcome": evil})
    log.close()
    for words, lines in ((["tail"], 2), (["query"], 3), (["export", "--format", "cef"], 2)):
        out = run(capsys, *words)[1]
        assert len(out.splitlines()) == lines, words
        assert all(c.isprintable() or c == "\n" for c in out.replace("\u202e", "")), words
    assert "\\x1b[2J\\x9b31m\\u2028\\u202e\\x00" in run(capsys, "tail")[1]


def test_index_is_filled_and_made_anew(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    fill(data_dir)
    assert run(capsys, "index")[1] == "13 records added to the index\n"
    assert run(capsys, "index")[1] == "0 records added to the index\n"
    (data_dir / "audit.db").write_bytes(b"noise" * 1000)
    assert run(capsys, "index", "--rebuild")[1] == "13 records added to the index\n"


def test_without_a_log_nothing_is_made_up(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    assert run(capsys, "query")[0] == 0
    assert run(capsys, "export") == (0, "")
    assert run(capsys, "heads") == (0, "")
    for words in (["key"], ["index"], ["retire", "--keep-days", "3"], ["verify", "--witness", "nowhere"]):
        assert main(["audit", *words]) == 2
        assert len(capsys.readouterr().err.splitlines()) <= 2
    assert run(capsys, "verify")[0] == 1
    assert not data_dir.exists()
