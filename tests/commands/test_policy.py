"""`agentflow policy build|eval|explain|diff|replay` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from policy.recorded_calls import question, record_of, write

from agentflow import cli
from agentflow.commands.output import UsageError, moment
from agentflow.pipeline.call import Decision

ALLOW = 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true} if input.call.tool != "drop"\n'


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "p.rego").write_text(ALLOW)
    return tmp_path / "mine"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["policy", *words])
    return code, capsys.readouterr().out


def test_what_is_built_is_loaded_again(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    code, out = run(capsys, "build", "--bundle", str(folder), "--revision", "v3", "--json")
    assert (code, json.loads(out)["revision"]) == (0, "v3")
    first = (tmp_path / "bundle.tar.gz").read_bytes()
    run(capsys, "build", "--bundle", str(folder), "--revision", "v3", "-o", "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == first
    assert run(capsys, "check", "bundle.tar.gz")[0] == 0
    assert run(capsys, "diff", "bundle.tar.gz", str(folder)) == (0, "no difference\n")


def test_a_bundle_whose_tests_fail_is_not_built(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "p_test.rego").write_text("package agentflow_test\n\nimport rego.v1\n\ntest_no if 1 == 2\n")
    assert run(capsys, "build", "--bundle", str(folder))[0] == 1
    assert not Path("bundle.tar.gz").exists()


def test_a_document_is_decided_and_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps({"input": question("nobody")}))
    code, out = run(capsys, "eval", "q.json", "--json")
    said = json.loads(out)
    assert (code, said["decision"]["allow"]) == (1, False)
    (tmp_path / "q.json").write_text(json.dumps(question(arguments={"amount": 501}, server="pay")))
    assert run(capsys, "eval", "q.json")[0] == 0
    code, out = run(capsys, "eval", "q.json", "--layer", "library/approval-over-amount")
    assert code == 0
    assert out.startswith("asks first")
    assert "/call/arguments/amount = 501" in out
    (tmp_path / "q.json").write_text("[1]")
    assert run(capsys, "eval", "q.json")[0] == 2


def test_a_recorded_call_is_explained(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    record = record_of(question(tool="drop"), Decision(True, (("role", "x"),), revision="old"), 7)
    write(tmp_path / "data", [record, {**record, "id": "x" * 32, "asked": None}])
    code, out = run(capsys, "explain", record["id"], "--bundle", str(folder))
    assert code == 0
    assert "denied (policy_undefined)" in out
    assert "decided at the time by another revision, old: allowed" in out
    assert run(capsys, "explain", "x" * 32)[0] == 1
    assert run(capsys, "explain", "f" * 32)[0] == 1


def test_differences_are_told(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "p.rego").write_text(ALLOW.replace('"drop"', '"delete"'))
    code, out = run(capsys, "diff", str(folder), str(other))
    assert code == 1
    assert "changed  agentflow.decision" in out
    assert '+decision := {"allow": true} if input.call.tool != "delete"' in out
    said = json.loads(run(capsys, "diff", str(folder), str(other), "--json")[1])
    assert [each["kind"] for each in said["differences"]] == ["changed"]


def test_a_replay_is_told(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    decision = Decision(True, (("role", "x"),))
    calls: list[Any] = [record_of(question(tool="drop" if n % 2 else "find"), decision, n) for n in range(10)]
    write(tmp_path / "data", calls)
    code, out = run(capsys, "replay", "--since", "1970-01-01", "--bundle", str(folder))
    assert code == 1
    assert "5 newly denied, 0 newly allowed, 0 obligations changed" in out
    assert "policy_undefined" in out
    said = json.loads(run(capsys, "replay", "--since", "1970-01-01", "--bundle", str(folder), "--json")[1])
    assert (said["newly_denied"], said["replayed"]) == (5, 10)
    assert run(capsys, "replay", "--since", "1h", "--bundle", str(folder))[0] == 0


@pytest.mark.parametrize("text", ["7d", "12h", "2026-11-01", "2026-11-01T12:30", "2026-11-01T12:30+02:00"])
def test_times_are_read(text: str) -> None:
    assert moment(text) > 0


def test_what_is_no_time_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        moment("yesterday")


@pytest.mark.parametrize("words", [("build",), ("explain", "7"), ("replay", "--since", "7d")])
def test_a_faulty_configuration_is_not_replaced_by_defaults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "agentflow.yaml").write_text("policy: {data: {settings: {default: deny}}}\nnonsense: true\n")
    code = cli.main(["policy", *words])
    assert code != 0
    assert "cannot be used: 1 problem" in capsys.readouterr().err
    assert not Path("bundle.tar.gz").exists()


def test_what_is_wrong_with_the_configuration_is_said_before_a_document_is_decided(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "agentflow.yaml").write_text("nonsense: true\n")
    (tmp_path / "q.json").write_text(json.dumps(question()))
    cli.main(["policy", "eval", "q.json"])
    assert "nonsense" in capsys.readouterr().err


def test_an_impossible_setting_is_a_problem_and_no_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "agentflow.yaml").write_text("policy: {data: {settings: {rules: 5}}}\n")
    code, out = run(capsys, "check")
    assert code == 1 and "settings.rules: Input should be" in out


@pytest.mark.parametrize("depth", [150, 100_000])
def test_a_document_nested_too_deeply_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, depth: int
) -> None:
    (tmp_path / "q.json").write_text('{"input": {"a": ' + "[" * depth + "]" * depth + "}}")
    assert cli.main(["policy", "eval", "q.json"]) == 2
    assert "nested too deeply" in capsys.readouterr().err
