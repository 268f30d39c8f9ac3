"""What flow tools find around their calls in a real gateway: the sandbox, the recorder, long-term memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, running_gateway, wait_until

from agentflow.cli import main
from agentflow.flow.trajectories.files import TrajectoryFiles

PERSON = "jane.roe@example.com"
ORDERS = f'''
from fastmcp.tools import tool

@tool(description="Get the order with an id: its status and amount.", annotations={{"readOnlyHint": True}})
def get_order(order_id: str) -> dict:
    return {{"order_id": order_id, "status": "shipped", "amount": 42.5, "customer_email": "{PERSON}"}}
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flow-data")


@pytest.fixture(scope="module")
def gateway(place: Path) -> Iterator[Gateway]:
    (place / "mine").mkdir()
    (place / "mine" / "orders.py").write_text(ORDERS)
    with running_gateway({"tools": [str(place / "mine")]}, place) as running:
        running.wait_for_tools("get_order", "compute", "solver")
        yield running


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = answer["result"]
    return result


def test_compute_is_a_tool_like_any_other(gateway: Gateway) -> None:
    done = _result(gateway.call("compute", {"code": "sum(xs) / len(xs)", "inputs": {"xs": [1, 2]}}))
    assert done["structuredContent"] == {"result": 1.5, "printed": "", "truncated": False}
    escaped = _result(gateway.call("compute", {"code": "import os\nos.system('id')"}))
    assert escaped["isError"]
    assert "line 2" in escaped["content"][0]["text"]
    named = gateway.call("compute", {"code": "1", "inputs": {"not a name": 1}})
    assert "no variable can have" in json.dumps(named)


def test_a_plan_may_compute(gateway: Gateway) -> None:
    done = _result(gateway.call("executor", {"actions": [{"tool": "compute", "arguments": {"code": "2 ** 10"}}]}))
    (result,) = done["structuredContent"]["results"]
    assert (result["success"], result["output"]["result"]) == (True, 1024)


def test_what_is_computed_over_personal_data_comes_back_as_a_token(gateway: Gateway) -> None:
    done = _result(gateway.call("compute", {"code": "'to ' + who", "inputs": {"who": PERSON}}))
    assert PERSON not in json.dumps(done)
    assert "<EMAIL_" in done["structuredContent"]["result"]


def test_a_run_leaves_its_record_without_personal_data(
    gateway: Gateway, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = f"What is the status of order A-17? My address is {PERSON}."
    solved = _result(gateway.call("solver", {"query": question}))["structuredContent"]
    kept = wait_until(lambda: list(TrajectoryFiles(place / "data").read()), "the record")
    (record,) = [r for r in kept if r.data_id == solved["run"]]
    assert (record.tenant, record.planner, record.answer) == ("default", "offline", solved["answer"])
    assert record.question.startswith("What is the status of order A-17? My address is <EMAIL_")
    assert [call.tool for turn in record.turns for call in turn.calls]
    written = b"".join(path.read_bytes() for path in (place / "data" / "trajectories").iterdir())
    assert PERSON.encode() not in written
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(place / "data"))
    assert main(["trajectories", "export", "--out", str(place / "runs.parquet")]) == 0
    assert PERSON.encode() not in (place / "runs.parquet").read_bytes()
    capsys.readouterr()


def test_a_run_that_answered_is_remembered_and_can_be_forgotten(
    gateway: Gateway, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    solved = _result(gateway.call("solver", {"query": "What is the amount of order A-18?"}))["structuredContent"]
    assert solved["status"] == "complete", solved
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(place / "data"))

    def listed() -> list[dict[str, Any]]:
        assert main(["memory", "list", "--json", "--config", str(place / "agentflow.yaml")]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["memories"]
        return [m for m in found if m["run"] == solved["run"]]

    (memory,) = wait_until(listed, "the memory")
    assert memory["steps"] == [{"tool": "get_order", "arguments": ["order_id"]}]
    assert main(["memory", "forget", memory["id"], "--config", str(place / "agentflow.yaml")]) == 0
    capsys.readouterr()
    assert listed() == []


def test_switched_off_they_are_not_there(tmp_path: Path) -> None:
    config = {"flow": {"sandbox": {"enabled": False}, "trajectories": {"enabled": False}, "memory": {"enabled": False}}}
    with running_gateway(config, tmp_path) as running:
        running.wait_for_tools("solver")
        assert "compute" not in running.tool_names()
        running.call("solver", {"query": "What is the amount of order A-18?"})
    assert not (tmp_path / "data" / "trajectories").exists()
    assert not (tmp_path / "data" / "agentflow.db").exists()
