"""Records of runs: kept, bounded, listed, shown, exported."""

from __future__ import annotations

import json
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from agentflow.cli import main
from agentflow.errors import PolicyDenied
from agentflow.flow.trajectories import files as files_module
from agentflow.flow.trajectories.export import export
from agentflow.flow.trajectories.files import TrajectoryFiles, Wanted
from agentflow.flow.trajectories.keeping import LONGEST, MOST, FileRecorder
from agentflow.flow.trajectories.record import Exchange, Message, Observation, Refusal, ToolCall, Trajectory, Turn
from agentflow.flow.types import Evidence, PlannerOutput, VerifierOutput

DAY = 86_400.0
NOON = 1_795_176_000.0  # 2026-11-20 12:00 UTC


def _run(number: int = 1, **more: Any) -> Trajectory:
    exchange = Exchange(
        purpose="planner",
        prompt=[Message(role="user", content="plan")],
        output="{}",
        provider="p",
        model="m",
        prompt_tokens=10,
        completion_tokens=5,
        cost=1_500,
    )
    turn = Turn(
        turn=1,
        plan=PlannerOutput(current_sub_goal="find it", selected_tool="find", required_skills=["search"]),
        exchanges=[exchange],
        calls=[ToolCall(tool="find", arguments={"q": "x", "n": 1}), ToolCall(tool="drop")],
        observations=[
            Observation(tool="find", success=True, output={"rows": [1, {"a": None}]}),
            Observation(tool="drop", success=False, error="policy_denied", message="no"),
        ],
        verdict=VerifierOutput(
            execution_analysis="e", memory_analysis="m", verification_status="partial", next_action="complete"
        ),
        shown_tools=["find", "drop"],
        seconds=0.5,
    )
    given: dict[str, Any] = {
        "data_id": f"run{number}",
        "question": f"question {number}?",
        "answer": "42",
        "confidence": 0.8,
        "evidence": [Evidence(tool="find", path="/rows/0", value=1)],
        "turns": [turn],
        "exchanges": [exchange.model_copy(update={"purpose": "solver", "model": "n"})],
        "refusals": [Refusal(turn=1, tool="drop", kind="policy_denied", reasons=["writes"])],
        "started": NOON,
        "tenant": "default",
        "principal": "anna",
    }
    return Trajectory.model_validate(given | more)


def test_sums_are_those_of_all_requests() -> None:
    run = _run()
    assert (run.tokens, run.cost, run.models) == (30, 3_000, ["p:m", "p:n"])
    assert (run.turns[0].tokens, run.turns[0].cost) == (15, 1_500)


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    files = TrajectoryFiles(tmp_path)
    files.append(_run())
    assert list(files.read()) == [_run()]
    assert files.find("run1") == _run()
    assert files.find("nothing") is None


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    TrajectoryFiles(tmp_path).append(_run())
    folder = tmp_path / "trajectories"
    (file,) = folder.iterdir()
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    assert file.name == "2026-11-20.jsonl"


def test_a_line_cut_short_costs_no_other(tmp_path: Path) -> None:
    files = TrajectoryFiles(tmp_path)
    files.append(_run(1))
    file = next((tmp_path / "trajectories").iterdir())
    with file.open("ab") as handle:
        handle.write(b'{"version":1,"data_id":"half')
    files.append(_run(2))
    assert [run.data_id for run in files.read()] == ["run1", "run2"]
    assert files.damaged == 1


def test_what_is_too_old_goes_with_its_day(tmp_path: Path) -> None:
    TrajectoryFiles(tmp_path).append(_run(1, started=NOON - 40 * DAY))
    files = TrajectoryFiles(tmp_path, days=30)
    files.append(_run(2))
    files.expire(NOON)
    assert [run.data_id for run in files.read()] == ["run2"]
    assert TrajectoryFiles(tmp_path).expire(NOON + 1000 * DAY) == 0


def test_records_are_chosen_by_what_is_asked(tmp_path: Path) -> None:
    files = TrajectoryFiles(tmp_path)
    files.append(_run(1, started=NOON - 3 * DAY))
    files.append(_run(2, tenant="other"))
    files.append(_run(3, outcome="escalated", principal="ben"))
    assert [r.data_id for r in files.read(Wanted(since=NOON - DAY))] == ["run2", "run3"]
    assert [r.data_id for r in files.read(Wanted(tenant="other"))] == ["run2"]
    assert [r.data_id for r in files.read(Wanted(principal="ben", outcome="escalated"))] == ["run3"]
    assert [r.data_id for r in files.read(newest_first=True)] == ["run3", "run2", "run1"]


async def test_a_recorder_cleans_bounds_and_names_the_owner(tmp_path: Path) -> None:
    async def clean(body: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = json.loads(json.dumps(body).replace("a@b.example", "<EMAIL_12345678>"))
        return cleaned

    files = TrajectoryFiles(tmp_path)
    recorder = FileRecorder(files, clean, "acme", "anna")
    large = _run(question="mail a@b.example", tenant="forged", started=NOON)
    large.turns[0].observations[0].output = {"text": "x" * (2 * LONGEST), "rows": list(range(2 * MOST))}
    await recorder.keep(large)
    (kept,) = files.read()
    assert (kept.tenant, kept.principal, kept.question) == ("acme", "anna", "mail <EMAIL_12345678>")
    output = kept.turns[0].observations[0].output
    assert (len(output["text"]), len(output["rows"])) == (LONGEST, MOST)


async def test_a_record_that_cannot_be_kept_fails_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def objects(body: dict[str, Any]) -> dict[str, Any]:
        raise PolicyDenied("no: question 1?")

    async def same(body: dict[str, Any]) -> dict[str, Any]:
        return body

    await FileRecorder(TrajectoryFiles(tmp_path), objects, "t", "p").keep(_run())
    (tmp_path / "trajectories").write_text("a file in the way")
    await FileRecorder(TrajectoryFiles(tmp_path), same, "t", "p").keep(_run())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "question" not in caplog.text


def test_parquet_has_the_trainers_columns_and_nested_turns(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "runs.parquet"
    assert export([_run(1), _run(2, turns=[], evidence=[], reward=0.5)], out) == 2
    table = parquet.read_table(out)
    assert table.column_names[:4] == ["question", "answer", "data_id", "turns"]
    first, second = table.to_pylist()
    assert (first["question"], first["answer"], first["data_id"]) == ("question 1?", "42", "run1")
    turn = first["turns"][0]
    assert (turn["tool"], turn["sub_goal"], turn["verdict"]["next_action"]) == ("find", "find it", "complete")
    assert json.loads(turn["calls"][0]["arguments"]) == {"q": "x", "n": 1}
    assert json.loads(turn["observations"][0]["output"]) == {"rows": [1, {"a": None}]}
    assert turn["exchanges"][0]["prompt"] == [{"role": "user", "content": "plan"}]
    assert (first["tokens"], first["cost_nano"], first["models"]) == (30, 3_000, ["p:m", "p:n"])
    assert first["policy_refusals"][0]["reasons"] == ["writes"]
    assert first["started"].timestamp() == NOON
    assert (second["turns"], second["reward"], first["reward"]) == ([], 0.5, None)
    assert "principal" not in table.column_names


def test_no_records_are_a_file_with_the_same_columns(tmp_path: Path) -> None:
    assert export([], tmp_path / "none.parquet") == 0
    export([_run()], tmp_path / "one.parquet")
    none, one = (parquet.read_table(tmp_path / f"{name}.parquet") for name in ("none", "one"))
    assert (none.num_rows, none.schema) == (0, one.schema)


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "runs.parquet"
    export([_run()], out)

    def breaking() -> Any:
        yield _run(2)
        raise RuntimeError("the disk broke")

    with pytest.raises(RuntimeError):
        export(breaking(), out)
    assert parquet.read_table(out).num_rows == 1
    assert os.listdir(tmp_path) == ["runs.parquet"]


def test_nothing_but_a_regular_file_is_replaced(tmp_path: Path) -> None:
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(pipe)
    folder.mkdir()
    for place in (pipe, folder):
        link.unlink(missing_ok=True)
        link.symlink_to(place)
        for out in (place, link):
            with pytest.raises(OSError, match="Not a regular file"):
                export([_run()], out)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link.unlink()
    link.symlink_to(tmp_path / "runs.parquet")
    assert export([_run()], link) == 1
    assert link.is_symlink()
    assert parquet.read_table(tmp_path / "runs.parquet").num_rows == 1


def test_the_newest_come_first_without_reading_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "_BLOCK", 1000)  # a record is longer
    files = TrajectoryFiles(tmp_path)
    for number in range(30):
        files.append(_run(number))
    (path,) = (tmp_path / "trajectories").iterdir()
    path.write_bytes(b"not a record\n" + path.read_bytes())
    assert [r.data_id for r in islice(files.read(newest_first=True), 3)] == ["run29", "run28", "run27"]
    assert files.damaged == 0, "the damaged line is the first, and nobody has got that far"
    assert [r.data_id for r in files.read(newest_first=True)] == [f"run{n}" for n in reversed(range(30))]
    assert files.damaged == 1
    assert [r.data_id for r in files.read()] == [f"run{n}" for n in range(30)]
    found = files.find("run7"), files.find("run1"), files.find("run2"), files.find("run3")
    assert [r.data_id if r else None for r in found] == ["run7", "run1", "run2", "run3"]
    assert files.find("run") is None
    assert files.find('run7"') is None


async def test_what_the_gateway_made_up_is_not_taken_for_personal_data(tmp_path: Path) -> None:
    async def eager(body: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(body).replace("4111111111111111", "<CARD_1>").replace(str(NOON), '"<PHONE_1>"')
        return dict(json.loads(text))

    files = TrajectoryFiles(tmp_path)
    card = "4111111111111111"  # an id may look like one by chance
    await FileRecorder(files, eager, "t", "p").keep(_run(1, data_id=card, answer=f"card {card}", memories=[card]))
    (record,) = files.read()
    assert (record.data_id, record.memories, record.started, record.answer) == (card, [card], NOON, "card <CARD_1>")


@pytest.mark.parametrize(
    ("suspicious", "kind", "flagged"),
    [
        (False, "policy_denied", []),
        (True, "policy_denied", ["injection"]),
        (False, "content_blocked", ["injection", "blocked"]),
        (False, "tool_held", ["injection", "blocked"]),
    ],
    ids=["nothing", "met", "blocked", "held"],
)
async def test_a_run_that_met_injected_instructions_is_marked(
    tmp_path: Path, suspicious: bool, kind: str, flagged: list[str]
) -> None:
    async def same(body: dict[str, Any]) -> dict[str, Any]:
        return body

    files = TrajectoryFiles(tmp_path)
    run = _run(1, refusals=[Refusal(turn=1, tool="drop", kind=kind)], flagged=["blocked"])
    await FileRecorder(files, same, "t", "p", lambda: suspicious).keep(run)
    (record,) = files.read()
    assert record.flagged == flagged
    assert bool(list(files.read(Wanted(unflagged=True)))) == (not flagged)
    export(files.read(), tmp_path / "out.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").column("flagged").to_pylist() == [flagged]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    files = TrajectoryFiles(tmp_path)
    files.append(_run(1))
    files.append(_run(2, outcome="escalated", reason="no \x1b[31mtool", answer=""))
    return tmp_path


def test_the_command_lists_and_shows(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trajectories", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["ID", "STARTED"]
    assert [line.split()[0] for line in lines[1:]] == ["run2", "run1"]
    assert main(["trajectories", "show", "run1"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("question 1?", "42", "find it", "policy_denied", "$0.000003"))
    assert main(["trajectories", "show", "run2"]) == 0
    assert "no \\x1b[31mtool" in capsys.readouterr().out
    assert main(["trajectories", "show", "run"]) == 1
    capsys.readouterr()
    assert main(["trajectories", "list", "--outcome", "escalated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trajectories"][0]["data_id"] == "run2"


def test_the_command_exports_what_is_asked_for(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data_dir / "out.parquet"
    assert main(["trajectories", "export", "--out", str(out), "--outcome", "complete"]) == 0
    assert "1 runs" in capsys.readouterr().out
    assert parquet.read_table(out).column("data_id").to_pylist() == ["run1"]


def test_without_any_run_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["trajectories", "list"]) == 0
    assert "no run is recorded" in capsys.readouterr().err
