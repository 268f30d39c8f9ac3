"""Rules of `data.json` in a whole gateway: their obligations reach the answer and the audit record."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway_process import running_gateway

from agentflow.policy.settings import Rule

SERVER = Path(__file__).with_name("person_server.py")
NAME = "Margaret Hamilton"


def test_rules_take_names_out_of_answers_and_records_and_say_what_injections_meet(tmp_path: Path) -> None:
    person: dict[str, Any] = {"customer_name": NAME, "note": f"I talked to {NAME} about it."}
    arguments = [str(SERVER), json.dumps(person), str(tmp_path / "record.jsonl")]
    config = {
        "mcpServers": {"person": {"command": sys.executable, "args": arguments, "namespace": ""}},
        "flow": {"enabled": False},
        "guard": {"deep": {"timeout": 60}},
        "policy": {
            "data": {
                "settings": {"rules": {"people": {"servers": ["person"], "deep": True, "injection": "quarantine"}}}
            }
        },
    }
    with running_gateway(config, tmp_path) as gateway:
        gateway.wait_for_tools("look_up")
        shown = gateway.call("look_up")["result"]["structuredContent"]
        assert shown["customer_name"].startswith("<PERSON_") and shown["customer_name"] in shown["note"]
        gateway.call("file", {"text": f"Written for {NAME} at her request."})
    records = [path.read_text() for path in tmp_path.rglob("*.jsonl") if path.name != "record.jsonl"]
    kept = "".join(records).replace(" ", "")
    assert '"deep":true' in kept and '"injection":"quarantine"' in kept and "Hamilton" not in kept


@pytest.mark.parametrize("action", ["annotate", "spotlight", "cut", "quarantine", "block"])
def test_a_rule_may_name_every_action_on_injected_instructions(action: str) -> None:
    assert Rule.model_validate({"injection": action}).injection == action


def test_a_rule_may_name_no_other() -> None:
    with pytest.raises(ValueError, match="injection"):
        Rule.model_validate({"injection": "shred"})
