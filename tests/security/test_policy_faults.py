"""The policy engine fails closed: odd, missing, late or failing decisions refuse the call, with a typed reason.

THREATS 17, for the engine of the gateway itself; `tests/gateway/test_opa_served.py` is the same for an OPA.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern, Speaker
from gateway_process import Gateway, running_gateway

from agentflow.audit.read import entries

# What the call's argument says is what the policy answers.
POLICY = """package agentflow

import rego.v1

odd := object.get(object.get(input.call, "arguments", {}), "text", "")

yes := {"allow": true, "reasons": [], "obligations": {}}

decision := yes if input.call.phase == "list"

decision := yes if input.call.tool == ""

decision := yes if odd == "fine"

decision := {} if odd == "an empty object"

decision := null if odd == "null"

decision := true if odd == "true itself"

decision := "true" if odd == "text"

decision := {"allow": "true"} if odd == "allow as text"

decision := {"allow": 1} if odd == "allow as a number"

decision := [yes] if odd == "a list"

decision := object.union(yes, {"obligations": {"shred": true}}) if odd == "an unheard-of obligation"

decision := object.union(yes, {"obligations": {"approval": "somebody"}}) if odd == "a malformed obligation"

decision := yes if odd == "two decisions"

decision := object.union(yes, {"allow": false}) if odd == "two decisions"

decision := yes if {
	odd == "too late"
	some a in numbers.range(1, 3000)
	some b in numbers.range(1, 3000)
	a * b == -1
}
"""
WRONG_TYPE, UNDEFINED = "policy_wrong_type", "policy_undefined"
ODD = {
    "what no rule is about": {UNDEFINED}, "an empty object": {WRONG_TYPE, UNDEFINED}, "null": {WRONG_TYPE},
    "true itself": {WRONG_TYPE}, "text": {WRONG_TYPE}, "allow as text": {WRONG_TYPE},
    "allow as a number": {WRONG_TYPE}, "a list": {WRONG_TYPE}, "an unheard-of obligation": {WRONG_TYPE},
    "a malformed obligation": {WRONG_TYPE}, "two decisions": {"policy_error"}, "too late": {"policy_timeout"},
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "bundle" / "agentflow").mkdir(parents=True)
    (folder / "bundle" / "agentflow" / "policy.rego").write_text(POLICY)
    config = {
        "mcpServers": {"good": evil("--log", str(folder / "seen.jsonl"))},
        "flow": {"enabled": False},
        "policy": {"bundle": str(folder / "bundle"), "timeout": 0.5},
    }
    with running_gateway(config, folder) as running:
        running.wait_for_tools("good__echo")
        yield running


@pytest.mark.parametrize("what", ODD)
def test_an_odd_decision_is_a_refusal_with_its_reason(gateway: Gateway, what: str) -> None:
    speakers: tuple[Speaker, ...] = (HttpModern(gateway), HttpLegacy(gateway))
    for speaker in speakers:
        assert "result" in speaker.call("good__echo", {"text": "fine"})
        error = speaker.call("good__echo", {"text": what})["error"]
        assert error["code"] == -32010 and error["data"]["type"] == "policy_denied"
        assert {reason["code"] for reason in error["data"]["reasons"]} <= ODD[what], error
        assert "Traceback" not in str(error)
        assert "result" in speaker.call("good__echo", {"text": "fine"}), "one odd answer stops nobody else"
    assert f'"text": "{what}"' not in (gateway.config_path.parent / "seen.jsonl").read_text()
    refused = [e.record for e in entries(gateway.data_dir) if f"'text': '{what}'" in str(e.record.get("arguments"))]
    assert [record["outcome"] for record in refused] == ["policy_denied"] * 2
