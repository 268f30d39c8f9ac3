"""Calls through a gateway whose policy is an OPA's: decided, cut off, slowed down, answered with nonsense, restored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern
from gateway_process import Gateway, running_gateway, wait_until
from policy.opa_process import OpaProcess
from policy.opa_server import Opa, serving

from agentflow.config import PolicyConfig
from agentflow.policy.archive import pack
from agentflow.policy.bundle import read_bundle

RULES = {"no-strict": {"servers": ["good"], "tools": ["strict"], "effect": "deny", "why": "not this one"}}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = read_bundle(PolicyConfig(data={"settings": {"rules": RULES}}))
    path = tmp_path_factory.mktemp("bundle") / "bundle.tar.gz"
    path.write_bytes(pack(bundle.texts, bundle.data, bundle.revision))
    return path


@pytest.fixture
def opa(tmp_path: Path, packed: Path) -> Iterator[Opa]:
    (tmp_path / "opa").mkdir()
    with serving(tmp_path / "opa") as running:
        running.load(packed)
        yield running


def config(opa: Opa, packed: Path, seen: Path) -> dict[str, Any]:
    remote = {"url": opa.url, "timeout": 0.5, "cache": 0, "failures": 3, "pause": 0.2}
    return {
        "mcpServers": {"good": evil("--log", str(seen))},
        "flow": {"enabled": False},
        "policy": {"engine": "opa", "bundle": str(packed), "opa": remote},
    }


def outcome(gateway: Gateway, tool: str = "good__echo", text: str = "x") -> str:
    """`ok`, or the code of the first reason of the refusal."""
    answer = gateway.call(tool, {"text": text})
    if "result" in answer:
        return "ok"
    reasons = answer["error"]["data"].get("reasons")
    return str(reasons[0]["code"] if reasons else answer["error"]["data"]["type"])


def test_calls_and_listings_are_decided_by_opa_in_both_eras(tmp_path: Path, opa: Opa, packed: Path) -> None:
    seen = tmp_path / "seen.jsonl"
    with running_gateway(config(opa, packed, seen), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        assert "good__strict" not in gateway.tool_names()
        for speaker in (HttpModern(gateway), HttpLegacy(gateway)):
            assert "result" in speaker.call("good__echo", {"text": "goes on"})
            assert speaker.call("good__strict", {"text": "must not run"})["error"]["data"]["type"] == "unknown_name"
        assert len(opa.questions) > 2
        assert opa.queries and all("provenance=true" in query for query in opa.queries)
        text = seen.read_text()
        assert "goes on" in text
        assert "must not run" not in text
        records = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*.jsonl"))
        assert f'"revision":"opa:{opa.revision}"'.encode() in records


FAULTS = {
    "garbage": (lambda handler: handler.answer(200, b"<html>"), "policy_error"),
    "an odd type": (lambda handler: handler.answer(200, {"result": {"allow": "true"}}), "policy_wrong_type"),
    "nothing": (lambda handler: handler.answer(200, {}), "policy_undefined"),
    "an error": (lambda handler: handler.answer(500, {"code": "internal_error", "message": "x"}), "policy_error"),
    "unavailable": (lambda handler: handler.answer(503, b""), "policy_unavailable"),
    "an unheard-of obligation": (
        lambda handler: handler.answer(200, {"result": {"allow": True, "obligations": {"shred": 1}}}),
        "policy_wrong_type",
    ),
}


def test_what_is_no_answer_refuses_the_call_and_the_next_good_one_lets_it_through(
    tmp_path: Path, opa: Opa, packed: Path
) -> None:
    seen = tmp_path / "seen.jsonl"
    with running_gateway(config(opa, packed, seen), tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        for name, (fault, code) in FAULTS.items():
            opa.fault = fault
            assert outcome(gateway, text="must not run") == code, name
            opa.fault = None
            wait_until(lambda: outcome(gateway) == "ok", f"recovery from {name}", 10.0, gateway.log_text)
        assert "must not run" not in seen.read_text()


def test_a_slow_opa_is_a_refusal_in_time_and_holds_up_nobody_else(tmp_path: Path, opa: Opa, packed: Path) -> None:
    go_on = threading.Event()

    def slow(_: Any) -> None:
        go_on.wait(30)

    opa.fault = slow
    seen = tmp_path / "seen.jsonl"
    with running_gateway(config(opa, packed, seen), tmp_path) as gateway:
        first = outcome(gateway, text="must not run")
        assert first in ("policy_timeout", "policy_unavailable", "unknown_name")
        assert gateway.get("/healthz")[0] == 200
        opa.fault = None
        go_on.set()
        gateway.wait_for_tools("good__echo")
        wait_until(lambda: outcome(gateway) == "ok", "recovery", 10.0, gateway.log_text)
        assert "must not run" not in seen.read_text()


def test_an_opa_that_is_killed_refuses_everything_until_it_is_back(tmp_path: Path, packed: Path) -> None:
    seen = tmp_path / "seen.jsonl"
    with OpaProcess(packed, tmp_path) as opa:
        settings = config(Opa(tmp_path, url=opa.url), packed, seen)
        with running_gateway(settings, tmp_path) as gateway:
            gateway.wait_for_tools("good__echo")
            assert outcome(gateway) == "ok"
            assert outcome(gateway, "good__strict") == outcome(gateway, "good__absent") == "unknown_name"
            opa.kill()
            refused = [outcome(gateway, text="must not run") for _ in range(5)]
            assert set(refused) == {"policy_unavailable"}
            # Nobody learns from it which names there are: a hidden one, one that is not there, one that was open.
            every = {outcome(gateway, tool) for tool in ("good__echo", "good__strict", "good__absent", "none__at_all")}
            assert every == {"policy_unavailable"}
            refusals = [gateway.call(tool, {"text": "x"})["error"] for tool in ("good__strict", "good__absent")]
            for refusal in refusals:
                del refusal["data"]["record"]
            assert refusals[0] == refusals[1]
            assert "error" in gateway.rpc("tools/list")
            opa.start()
            wait_until(lambda: outcome(gateway) == "ok", "recovery", 15.0, gateway.log_text)
            assert "must not run" not in seen.read_text()
