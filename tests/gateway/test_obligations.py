"""What policy demands along with a call, and what it can ask about, through a whole gateway."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, running_gateway, wait_until

SERVER = Path(__file__).parents[1] / "pipeline" / "person_server.py"
MAIL = "alice.smith@corp-mail.com"


class Model:
    """An endpoint that is asked and never of use; `asked` counts."""

    def __init__(self) -> None:
        self.asked = 0
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                model.asked += 1
                self.send_error(503)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    thread = threading.Thread(target=model.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield model
    model.server.shutdown()
    model.server.server_close()
    thread.join()


def config(tmp_path: Path, rules: dict[str, Any], **sections: Any) -> dict[str, Any]:
    arguments = [str(SERVER), json.dumps({"mail": MAIL}), str(tmp_path / "filed.jsonl")]
    person = {"command": sys.executable, "args": arguments, "trust": "trusted", "namespace": ""}
    policy = {"data": {"settings": {"rules": rules}}}
    return {"mcpServers": {"person": person}, "policy": policy, "flow": {"enabled": False}, **sections}


def text_of(gateway: Gateway, tool: str, arguments: dict[str, Any] | None = None) -> str:
    answer = gateway.call(tool, arguments)
    assert "result" in answer, f"{answer}\n{gateway.log_text()[-3000:]}"
    return str(answer["result"]["content"][0]["text"])


def test_a_type_is_masked_and_the_log_has_one_line_without_it(tmp_path: Path) -> None:
    rules = {
        "masked": {"servers": ["person"], "tools": ["look_up"], "mask": ["EMAIL"]},
        "logged": {"servers": ["person"], "tools": ["look_up"], "log_level": "warning"},
    }
    with running_gateway(config(tmp_path, rules), tmp_path) as gateway:
        gateway.wait_for_tools("look_up")
        assert "a***@corp-mail.com" in text_of(gateway, "look_up", {"of": MAIL})
        text_of(gateway, "file", {"of": "x"})
        lines = [line for line in gateway.log_text().splitlines() if "agentflow.calls" in line]
        assert len(lines) == 1
        assert "WARNING" in lines[0] and "tools/call person/look_up by default/local: ok (role)" in lines[0]
        assert MAIL not in gateway.log_text()


def test_a_model_above_the_tier_is_not_asked(tmp_path: Path, model: Model) -> None:
    rules = {"small": {"servers": ["agentflow"], "tools": ["planner"], "model_tier": "bronze"}}
    flow = {"base_url": model.url, "model": "m", "tier": "gold"}
    with running_gateway(config(tmp_path, rules, flow=flow), tmp_path) as gateway:
        gateway.wait_for_tools("look_up", "planner")
        assert "result" in gateway.call("planner", {"query": "look up the person"})
        assert model.asked == 0
        gateway.call("solver", {"query": "look up the person"})
        assert model.asked > 0


OWN = """package agentflow

import rego.v1

objections contains {"code": "too_large", "message": "too large"} if input.call.size > 100

objections contains {"code": "saving_up", "message": "few calls are left"} if {
	input.call.kind == "tool"
	input.budget.calls_left < 3
}

objections contains {"code": "told_apart", "message": input.session.id} if {
	input.call.kind == "tool"
	input.call.arguments.show == "session"
}
"""


def test_policy_sees_size_budget_and_session(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.rego").write_text(OWN)
    settings = config(tmp_path, {}, limits={"calls_per_minute": 30})
    settings["policy"] = {"layers": [str(tmp_path / "own")]}
    with running_gateway(settings, tmp_path) as gateway:
        wait_until(lambda: b'"ready"' in gateway.get("/readyz")[1], "the server", 20.0, gateway.log_text)

        def codes(arguments: dict[str, Any]) -> list[str]:
            error = gateway.call("file", arguments).get("error", {})
            return [reason["code"] for reason in error.get("data", {}).get("reasons", [])]

        assert codes({"a": "x" * 20}) == []
        assert codes({"a": "x" * 120}) == ["too_large"]
        (told,) = gateway.call("file", {"show": "session"})["error"]["data"]["reasons"]
        assert len(told["message"]) == 32
        seen = [codes({"n": number}) for number in range(30)]
        assert [] in seen
        assert ["saving_up"] in seen
        assert seen.index(["saving_up"]) > 10
