"""Runs of the flow through a real gateway, by clients of both eras: questions to the person, progress, cancelling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, running_gateway, wait_until
from mcp import Client
from mcp.types import ElicitResult

JSON = dict[str, Any]
DESK = """
import asyncio
from pathlib import Path
from typing import Any

from fastmcp.tools import tool

MARKS = Path(__file__).parent


@tool(description="One support ticket with its status.", annotations={"readOnlyHint": True})
async def get_ticket(ticket_id: str) -> dict[str, Any]:
    return {"ticket_id": ticket_id, "status": "open" if ticket_id == "T-7" else "closed"}


@tool(description="The weather report of a city.", annotations={"readOnlyHint": True})
async def get_weather_report(city: str) -> dict[str, Any]:
    (MARKS / "started").touch()
    try:
        await asyncio.Event().wait()
    finally:
        (MARKS / "ended").touch()
"""
ERAS = ("legacy", "2026-07-28")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "desk.py").write_text(DESK)
    return folder


@pytest.fixture(scope="module")
def gateway(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = {"servers": {"desk": {"path": str(desk), "trust": "trusted"}}}
    with running_gateway(config, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@asynccontextmanager
async def client(gateway: Gateway, era: str, person: Any = None) -> AsyncIterator[Client]:
    async with Client(gateway.url, mode=era, elicitation_callback=person, cache=None) as connected:
        yield connected


def turns(gateway: Gateway) -> list[str]:
    folder = gateway.data_dir / "audit"
    lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.read_text().splitlines()]
    records = [json.loads(line)["record"] for line in lines]
    return [event["event"] for record in records for event in record.get("events", ()) if "event" in event]


@pytest.mark.parametrize("era", ERAS)
async def test_a_person_is_asked_for_what_is_missing_and_the_run_goes_on(gateway: Gateway, era: str) -> None:
    asked: list[JSON] = []

    async def person(context: Any, params: Any) -> ElicitResult:
        asked.append(params.requested_schema)
        return ElicitResult(action="accept", content={"ticket_id": "T-7"})

    async with client(gateway, era, person) as connected:
        result = await connected.call_tool("solver", {"query": "What is the status of the ticket?"})
    assert result.structured_content is not None
    assert (result.structured_content["status"], result.structured_content["answer"]) == ("complete", "open")
    assert list(asked[0]["properties"]) == ["ticket_id"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_person_who_does_not_answer_ends_the_run_with_a_reason(gateway: Gateway, era: str, action: Any) -> None:
    async def person(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action=action)

    async with client(gateway, era, person) as connected:
        result = await connected.call_tool("solver", {"query": "What is the status of the ticket?"})
    assert result.structured_content is not None
    assert result.structured_content["status"] == "escalated"
    assert result.structured_content["reason"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_be_asked_is_not(gateway: Gateway, era: str) -> None:
    async with client(gateway, era) as connected:
        result = await connected.call_tool("solver", {"query": "What is the status of the ticket?"})
    assert result.structured_content is not None
    assert result.structured_content["status"] == "escalated"


@pytest.mark.parametrize("era", ERAS)
async def test_each_turn_is_told_as_progress(gateway: Gateway, era: str) -> None:
    told: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total))

    async with client(gateway, era) as connected:
        question = {"query": "What is the status of the ticket T-7?"}
        result = await connected.call_tool("solver", question, progress_callback=progress)
    assert result.structured_content is not None
    assert result.structured_content["answer"] == "open"
    assert told == [(1, 5)]


def trajectories(gateway: Gateway) -> list[JSON]:
    files = sorted((gateway.data_dir / "trajectories").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_that_its_client_cancels_ends_the_call_under_way_and_is_recorded(
    gateway: Gateway, desk: Path, era: str
) -> None:
    for mark in ("started", "ended"):
        (desk / mark).unlink(missing_ok=True)
    before = len(trajectories(gateway))
    question = {"query": "What is the weather report of the city of Oslo?"}
    async with client(gateway, era) as connected:
        run = asyncio.create_task(connected.call_tool("solver", question))
        await asyncio.to_thread(wait_until, (desk / "started").exists, "the tool to start")
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await asyncio.to_thread(wait_until, (desk / "ended").exists, "the tool to end")
        await asyncio.to_thread(wait_until, lambda: len(trajectories(gateway)) > before, "the record of the run")
    (record,) = trajectories(gateway)[before:]
    assert (record["outcome"], record["reason"]) == ("cancelled", "the run was cancelled")
    assert [[call["tool"] for call in turn["calls"]] for turn in record["turns"]] == [["desk__get_weather_report"]]


@pytest.mark.parametrize("pattern", ["tree-of-thought", "plan-and-solve", "reflection"])
async def test_a_run_chooses_its_pattern(gateway: Gateway, pattern: str) -> None:
    question = {"query": "What is the status of the ticket T-7?", "pattern": pattern, "max_turns": 2}
    async with client(gateway, "2026-07-28") as connected:
        result = await connected.call_tool("solver", question)
    assert result.structured_content is not None
    assert (result.structured_content["answer"], result.structured_content["pattern"]) == ("open", pattern)
    if pattern == "tree-of-thought":
        assert "flow.search" in turns(gateway)
