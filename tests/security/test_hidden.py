"""List equals call: what policy hides is not called by any other road, and reads like what does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern, Speaker, stdio_gateway, wait_for_tools
from gateway_process import Gateway, running_gateway

from agentflow.audit.read import entries


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, dict[str, Speaker], Path]]:
    tmp_path = tmp_path_factory.mktemp("hidden")
    config = {
        "mcpServers": {
            "good": evil("--log", str(tmp_path / "seen.jsonl"), aliases={"twice": "second"}),
            "cut": evil("--log", str(tmp_path / "seen.jsonl"), deny=["slow"]),
        },
        "flow": {"enabled": True},
        "catalogue": {"search_threshold": 5},
        "policy": {"data": {"settings": {"forbidden": ["good/fail", "good/twice"]}}},
    }
    with running_gateway(config, tmp_path) as gateway, stdio_gateway(gateway.config_path, tmp_path) as stdio:
        speakers: dict[str, Speaker] = {
            "modern": HttpModern(gateway),
            "legacy": HttpLegacy(gateway),
            "stdio": stdio,
        }
        for speaker in speakers.values():
            wait_for_tools(speaker, "search_tools", "call_tool")
        yield gateway, speakers, tmp_path


def told(answer: dict[str, Any], name: str) -> tuple[int, str, dict[str, Any]]:
    error = answer["error"]
    data = {key: value for key, value in error["data"].items() if key != "record"}
    return error["code"], error["message"].replace(name, "NAME"), data


@pytest.mark.parametrize("who", ["modern", "legacy", "stdio"])
@pytest.mark.parametrize(
    "name", ["good__fail", "second", "good__twice", "GOOD__FAIL", "cut__slow", "good/fail", "good__fail\u200b"]
)
def test_a_hidden_tool_cannot_be_reached_by_any_name(
    searching: tuple[Gateway, dict[str, Speaker], Path], who: str, name: str
) -> None:
    _, speakers, folder = searching
    speaker = speakers[who]
    before = (folder / "seen.jsonl").read_text().count('"tools/call"')
    direct_unknown = told(speaker.call("no_such", {}), "no_such")
    for arguments in ({}, {"text": 5}, {"nope": 1}, {"text": "x"}):
        if isinstance(speaker, HttpModern) and not name.isascii():
            break  # no such header can be written
        assert told(speaker.call(name, arguments), name) == direct_unknown
        assert told(speaker.call("call_tool", {"name": name, "arguments": arguments}), name) == direct_unknown
    assert (folder / "seen.jsonl").read_text().count('"tools/call"') == before, "it was called"


@pytest.mark.parametrize("who", ["modern", "legacy", "stdio"])
def test_search_does_not_find_what_is_hidden(searching: tuple[Gateway, dict[str, Speaker], Path], who: str) -> None:
    _, speakers, _ = searching
    found: set[str] = set()
    for query in ("fail", "twice", "second", "slow", "good fail", "echo"):
        result = speakers[who].call("search_tools", {"query": query, "limit": 50})["result"]
        found |= {tool["name"] for tool in result["structuredContent"]["tools"]}
    assert "good__echo" in found
    assert not found & {"good__fail", "second", "good__twice", "cut__slow"}


def test_a_flow_tool_is_no_way_around_it(searching: tuple[Gateway, dict[str, Speaker], Path]) -> None:
    gateway, speakers, folder = searching
    before = (folder / "seen.jsonl").read_text().count('"good__fail"')
    action = {"tool": "good__fail", "arguments": {"text": "x"}}
    answer = speakers["modern"].call("executor", {"actions": [action]})
    assert "failed on" not in str(answer)
    assert (folder / "seen.jsonl").read_text().count('"good__fail"') == before
    # Every attempt is on record, as what it was.
    records = [entry.record for entry in entries(gateway.data_dir)]
    hidden = [(r["outcome"], event["target"]) for r in records for event in r.get("events", ()) if "target" in event]
    assert set(hidden) == {("unknown_name", "fail"), ("unknown_name", "twice")}
