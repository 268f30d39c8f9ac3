"""Tool files run inside the gateway: what a careless one does must not reach anybody else's calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from faults.speakers import HttpLegacy, HttpModern, Speaker, stdio_gateway, wait_for_tools
from gateway_process import running_gateway

CARELESS = """
import sys
from fastmcp.tools import tool

@tool
def cut_emoji() -> str:
    "Ends in the middle of a surrogate pair."
    return "x\\ud83d"

@tool
def fails_oddly() -> str:
    "Raises with half a surrogate pair."
    raise RuntimeError("x\\ud83d")

@tool
def leaves() -> str:
    "Ends the process."
    sys.exit(3)

@tool
def prints() -> str:
    "Writes to standard output."
    print("stray output")
    return "printed"

@tool
def huge_number() -> dict:
    "An integer beyond 64 bits."
    return {"n": 10 ** 30}
"""


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Speaker]]:
    tmp_path = tmp_path_factory.mktemp("careless")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "careless.py").write_text(CARELESS)
    config = {"tools": [str(tmp_path / "tools")], "flow": {"enabled": False}}
    with running_gateway(config, tmp_path) as gateway, stdio_gateway(gateway.config_path, tmp_path) as stdio:
        gateway.wait_for_tools("prints")
        wait_for_tools(stdio, "prints")
        yield {"http-modern": HttpModern(gateway), "http-legacy": HttpLegacy(gateway), "stdio": stdio}


@pytest.fixture(params=["http-modern", "http-legacy", "stdio"])
def client(careless: dict[str, Speaker], request: pytest.FixtureRequest) -> Speaker:
    return careless[request.param]


def test_half_a_surrogate_pair_becomes_a_question_mark(client: Speaker) -> None:
    assert client.call("cut_emoji", {})["result"]["content"][0]["text"] == "x?"
    failed: Any = client.call("fails_oddly", {})
    assert "x?" in str(failed)


def test_sys_exit_ends_its_own_call_only(client: Speaker) -> None:
    error = client.call("leaves", {})["error"]
    assert error["code"] == -32603 and "SystemExit" in error["message"]
    assert "result" in client.call("prints", {})


def test_stray_output_never_reaches_the_protocol(client: Speaker) -> None:
    assert client.call("prints", {})["result"]["content"][0]["text"] == "printed"


def test_a_large_integer_arrives_whole(client: Speaker) -> None:
    assert client.call("huge_number", {})["result"]["structuredContent"] == {"n": 10**30}
