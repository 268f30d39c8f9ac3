"""A secret in clear does not reach a server that is not trusted; its token does, and results hold tokens only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.conftest import evil
from gateway_process import Gateway, running_gateway

PASSWORD = "hunter2!Zebra9"
KEY = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("secrets")
    heard = folder / "heard.log"
    servers = {"far": evil("--log", str(heard)), "near": evil(trust="trusted")}
    with running_gateway({"mcpServers": servers}, folder) as running:
        running.wait_for_tools("far__echo", "near__echo")
        yield running


def heard(gateway: Gateway) -> str:
    log = Path(gateway.data_dir).parent / "heard.log"
    return log.read_text() if log.exists() else ""


@pytest.mark.parametrize("text", [f"password={PASSWORD}", f"use {KEY} please", json.dumps({"token": KEY})])
def test_a_secret_is_refused_before_it_leaves(gateway: Gateway, text: str) -> None:
    answer = gateway.call("far__echo", {"text": text})
    assert answer["error"]["data"]["reasons"][0]["code"] == "secret_to_untrusted"
    assert "secret" in answer["error"]["message"]
    assert PASSWORD not in heard(gateway) and KEY not in heard(gateway)
    assert PASSWORD not in json.dumps(answer) and KEY not in json.dumps(answer)


def test_its_token_passes_and_the_result_of_a_trusted_server_holds_tokens_only(gateway: Gateway) -> None:
    shown = gateway.call("near__echo", {"text": f"deploy with {KEY}"})["result"]["content"][0]["text"]
    assert KEY not in shown and "<API_KEY_" in shown
    token = json.loads(shown)["text"].removeprefix("deploy with ")
    answer = gateway.call("far__echo", {"text": token})
    assert json.loads(answer["result"]["content"][0]["text"])["text"] == token
    assert KEY not in heard(gateway)


def test_what_is_no_secret_goes_through(gateway: Gateway) -> None:
    text = "commit da39a3ee5e6b4b0d3255bfef95601890afd80709 of 550e8400-e29b-41d4-a716-446655440000"
    assert text in gateway.call("far__echo", {"text": text})["result"]["content"][0]["text"]
