"""A policy that looks at answers, through a whole gateway: what it keeps back, what the record says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from gateway_process import running_gateway

from agentflow.audit.read import entries

SERVER = Path(__file__).parents[1] / "pipeline" / "person_server.py"
MAIL = "alice.smith@corp-mail.com"
OWN = """package agentflow

import rego.v1

objections contains {"code": "no_mail_out", "message": "an answer with addresses stays here"} if {
	input.call.phase == "result"
	input.call.arguments.strict == true
	"EMAIL" in input.call.pii.types
	some path in input.call.pii.paths
	endswith(path, "/mail")
}
"""
TEST = """package answers_test

import rego.v1

import data.agentflow

codes contains reason.code if {
	decision := agentflow.decision with input.call as {
		"phase": "result", "arguments": {"strict": true}, "pii": {"types": ["EMAIL"], "paths": ["/a/mail"]},
	}
	some reason in decision.reasons
}

test_addresses_stay if "no_mail_out" in codes
"""


def test_an_answer_that_policy_keeps_back_reaches_nobody_and_the_call_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.rego").write_text(OWN)
    (tmp_path / "own" / "own_test.rego").write_text(TEST)
    arguments = [str(SERVER), json.dumps({"mail": MAIL}), str(tmp_path / "filed.jsonl")]
    config: dict[str, Any] = {
        "mcpServers": {"person": {"command": sys.executable, "args": arguments, "namespace": ""}},
        "policy": {"layers": [str(tmp_path / "own")]},
        "flow": {"enabled": False},
    }
    with running_gateway(config, tmp_path) as gateway:
        gateway.wait_for_tools("look_up")
        assert "<EMAIL" in json.dumps(gateway.call("look_up", {"strict": False})["result"])
        assert gateway.call("file", {"strict": True})["result"]["content"][0]["text"] == "filed"
        error = gateway.call("look_up", {"strict": True})["error"]
        assert [reason["code"] for reason in error["data"]["reasons"]] == ["no_mail_out"]
        assert "EMAIL" not in json.dumps(error)
    (record,) = [e.record for e in entries(gateway.data_dir) if e.record.get("id") == error["data"]["record"]]
    assert (record["outcome"], record["decision"]["allow"]) == ("policy_denied", True)
    refused = [run for run in record["stages"] if run[0] == "decide" and run[1] == "outbound"]
    assert "no_mail_out" in json.dumps(refused)
    assert MAIL not in json.dumps(record)
