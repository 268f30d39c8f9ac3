"""The policy engine fails closed: odd or missing decisions refuse the call, with a typed reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.conftest import evil
from faults.speakers import HttpLegacy, HttpModern, Speaker
from gateway_process import running_gateway

HEAD = "package agentflow\n\nimport rego.v1\n\n"

ALLOW = 'decision := {"allow": true, "reasons": [], "obligations": {}} if input.call.tool == "echo"\n'
ODD = {
    "nothing at all": "",
    "allow as text": 'decision := {"allow": "true", "reasons": [], "obligations": {}} if input.call.tool == "strict"\n',
    "two decisions": (
        'decision := {"allow": true, "reasons": [], "obligations": {}} if input.call.tool == "strict"\n'
        'decision := {"allow": false, "reasons": [], "obligations": {}} if input.call.tool == "strict"\n'
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_decision_is_a_refusal(tmp_path: Path, what: str) -> None:
    (tmp_path / "bundle" / "agentflow").mkdir(parents=True)
    surfaces = 'decision := {"allow": true, "reasons": [], "obligations": {}} if input.call.tool == ""\n'
    (tmp_path / "bundle" / "agentflow" / "policy.rego").write_text(HEAD + surfaces + ALLOW + ODD[what])
    config = {
        "mcpServers": {"good": evil("--log", str(tmp_path / "seen.jsonl"))},
        "flow": {"enabled": False},
        "policy": {"bundle": str(tmp_path / "bundle")},
    }
    with running_gateway(config, tmp_path) as gateway:
        speakers: tuple[Speaker, ...] = (HttpModern(gateway), HttpLegacy(gateway))
        for speaker in speakers:
            assert "result" in speaker.call("good__echo", {"text": "what is decided goes on"})
            error = speaker.call("good__strict", {"text": "must not run"})["error"]
            assert error["code"] in (-32010, -32602) and error["data"]["type"] in ("policy_denied", "unknown_name")
            assert "Traceback" not in str(error)
        assert "must not run" not in (tmp_path / "seen.jsonl").read_text()
