"""Servers that answer in every wrong way: one clear typed error each, the others unharmed, nothing lost."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from faults.conftest import World
from faults.speakers import HttpLegacy, HttpModern, Speaker
from gateway_process import wait_until

from agentflow.audit.read import entries
from agentflow.audit.verify import verify

PROTOCOL_ERROR, TIMEOUT = -32015, -32016
FAULTS = {
    "garbage": (PROTOCOL_ERROR, "upstream_protocol_error"),
    "half": (PROTOCOL_ERROR, "upstream_protocol_error"),
    "huge": (PROTOCOL_ERROR, "upstream_protocol_error"),
    "die": (PROTOCOL_ERROR, "upstream_protocol_error"),
    "never": (TIMEOUT, "upstream_timeout"),
}


def text_of(answer: dict[str, Any]) -> str:
    assert "result" in answer, answer
    return str(answer["result"]["content"][0]["text"])


def echoes(speaker: Speaker, server: str) -> bool:
    return "result" in speaker.call(f"{server}__echo", {"text": "still here"})


@pytest.mark.parametrize("server", ["evil", "web"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_answer_is_one_typed_error_and_harms_nobody(
    world: World, speaker: Speaker, server: str, fault: str
) -> None:
    code, kind = FAULTS[fault]
    error = speaker.call(f"{server}__{fault}", {"text": "x"})["error"]
    assert error["code"] == code
    assert error["data"]["type"] == kind
    assert "\n" not in error["message"] and "File " not in error["message"]
    assert echoes(speaker, "good")
    wait_until(lambda: echoes(speaker, server), f"{server} to recover from {fault}", 15, world.logs)


@pytest.mark.parametrize("server", ["evil", "web"])
def test_of_two_answers_the_first_one_counts(speaker: Speaker, server: str) -> None:
    assert text_of(speaker.call(f"{server}__twice", {})) == "first"
    assert json.loads(text_of(speaker.call(f"{server}__echo", {"text": "own"}))) == {"text": "own"}


def test_a_stuck_upstream_delays_nobody(world: World) -> None:
    stuck_answers: list[dict[str, Any]] = []
    stuck: list[tuple[Speaker, str]] = [
        (HttpModern(world.gateway), "evil"),
        (HttpModern(world.gateway), "web"),
        (HttpLegacy(world.gateway), "evil"),
        (HttpLegacy(world.gateway), "web"),
    ]
    waiting = [
        threading.Thread(target=lambda s=s, n=n: stuck_answers.append(s.call(f"{n}__never", {}))) for s, n in stuck
    ]
    for thread in waiting:
        thread.start()
    other, done = HttpLegacy(world.gateway), 0
    while not stuck_answers:  # they take a second
        assert "result" in other.call("good__echo", {"text": "on time"})
        done += 1
    for thread in waiting:
        thread.join(20)
    assert done > 5
    assert [answer["error"]["code"] for answer in stuck_answers] == [TIMEOUT] * 4


def test_a_server_that_lists_too_much_is_left_out_as_a_whole_and_says_why(world: World) -> None:
    status = json.loads(world.gateway.get("/readyz")[1])
    (many,) = (server for server in status["servers"] if server["name"] == "many")
    assert many["status"] == "unavailable" and "more than 20000 tools" in many["reason"]
    assert not [name for name in world.gateway.tool_names() if name.startswith("many__")]


def test_a_tool_with_an_invalid_schema_is_left_out_alone_and_said(world: World, speaker: Speaker) -> None:
    names = {tool["name"] for tool in speaker.ask("tools/list")["result"]["tools"]}
    assert "odd__echo" in names and "odd__bad_schema" not in names
    assert speaker.call("odd__bad_schema", {})["error"]["data"]["type"] == "unknown_name"
    status = json.loads(world.gateway.get("/readyz")[1])
    assert any("bad_schema" in problem and "inputSchema is invalid" in problem for problem in status["problems"])


def test_every_fault_is_in_the_audit_and_the_chain_holds(world: World) -> None:
    for data_dir in world.data_dirs:
        checked = verify(data_dir)
        assert checked.ok, checked
        known = {entry.record["id"] for entry in entries(data_dir) if entry.record["kind"] == "call"}
        assert len(known) == sum(1 for entry in entries(data_dir) if entry.record["kind"] == "call")
    answer = world.gateway.call("evil__half", {})
    record = answer["error"]["data"]["record"]
    (found,) = (e.record for e in entries(world.gateway.data_dir) if e.record.get("id") == record)
    assert found["outcome"] == "upstream_protocol_error" and found["error_code"] == PROTOCOL_ERROR


def test_no_traceback_reaches_the_log(world: World) -> None:
    assert "Traceback (most recent call last)" not in world.logs()
