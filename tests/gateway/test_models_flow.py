"""The flow with models: what a model reads of a question, what tools get of it, and which models policy leaves it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, running_gateway

from agentflow.config import Config
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.flow_caller import FlowCaller, entered
from agentflow.gateway.service import Service
from agentflow.guard.own import Own
from agentflow.identity.principal import Principal
from agentflow.models.port import MODELS
from tests.model_servers import Asked, OpenAIServer, Say

JSON = dict[str, Any]
PERSON = Path(__file__).parents[1] / "pipeline" / "person_server.py"
MAIL = "alice.smith@corp-mail.com"
THEIRS = "bob.jones@corp-mail.com"
EXAMPLE = "<EMAIL_1f3a9c2e>"  # of the flow's own rules
TOKEN = re.compile(r"<EMAIL_[0-9a-f]+>")
RULES = {
    "weak": {"servers": ["agentflow"], "tools": ["verifier"], "model_tier": "bronze"},
    "none": {"roles": ["viewer"], "servers": ["agentflow"], "tools": ["planner"], "model_tier": "offline"},
}


@dataclass
class Thinking:
    """A model that looks the person up, then files what the question and the result say."""

    own: str = ""
    theirs: str = ""
    plans: int = 0
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Say:
        self.asked.append(asked)
        texts = [str(message["content"]) for message in asked.body["messages"]]
        found = [token for token in TOKEN.findall(" ".join(texts)) if token != EXAMPLE]
        self.own = self.own or found[0]
        self.theirs = next((token for token in found if token != self.own), self.theirs)
        if "You are the planner" in texts[0]:
            self.plans += 1
            return Say(self._plan())
        if "You are the verifier" in texts[0]:
            done = self.plans > 1
            return Say(
                {
                    "execution_analysis": "it worked",
                    "memory_analysis": "enough" if done else "not all yet",
                    "verification_status": "success",
                    "next_action": "complete" if done else "continue",
                    "reasoning": "as planned",
                }
            )
        return Say({"answer": f"Filed for {self.own}.", "confidence": 0.9, "evidence": []})

    def _plan(self) -> JSON:
        step: JSON = {"required_skills": [], "reasoning": "as asked"}
        if self.plans == 1:
            look = {"tool": "look_up", "arguments": {"of": self.own}, "purpose": "to know it"}
            return {**step, "current_sub_goal": "look up", "selected_tool": "look_up", "actions": [look]}
        file = {"tool": "file", "arguments": {"to": self.own, "note": f"see {self.theirs}"}, "purpose": "to file it"}
        return {**step, "current_sub_goal": "file", "selected_tool": "file", "actions": [file]}


@dataclass
class House:
    gateway: Gateway
    provider: OpenAIServer
    filed: Path

    def records(self, **of: str) -> list[JSON]:
        folder = self.gateway.data_dir / "audit"
        lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.read_text().splitlines()]
        found = [json.loads(line)["record"] for line in lines]
        return [each for each in found if all(each.get(name) == value for name, value in of.items())]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("flow")
    filed = folder / "filed.jsonl"
    person = {"command": sys.executable, "args": [str(PERSON), json.dumps({"mail": THEIRS}), str(filed)]}
    with OpenAIServer() as provider:
        config = {
            "mcpServers": {"person": {**person, "namespace": ""}},
            "flow": {"base_url": provider.base_url, "model": "m", "tier": "silver", "trajectories": {"enabled": True}},
            "policy": {"data": {"settings": {"rules": RULES}}},
        }
        with running_gateway(config, folder) as gateway:
            gateway.wait_for_tools("look_up", "file", "solver")
            yield House(gateway, provider, filed)


@pytest.fixture(autouse=True)
def _fresh(house: House) -> None:
    house.provider.reset()


def test_models_read_tokens_and_tools_get_what_was_typed(house: House) -> None:
    thinking = house.provider.otherwise = Thinking()
    answer = house.gateway.call("solver", {"query": f"Look up the person {MAIL} and file it."})
    solution = answer["result"]["structuredContent"]
    assert solution["status"] == "complete", solution
    sent = " ".join(text for asked in thinking.asked for text in asked.texts())
    assert MAIL not in sent
    assert THEIRS not in sent
    (filed,) = [json.loads(line) for line in house.filed.read_text().splitlines()]
    assert filed["to"] == MAIL  # typed clear by the caller: it goes on as typed
    assert filed["note"] == f"see {thinking.theirs}"  # of a result: policy gives this server no values
    assert THEIRS not in json.dumps(answer)


def test_each_request_to_a_model_is_a_call_of_the_run_with_its_own_record(house: House) -> None:
    house.provider.otherwise = Thinking()
    house.gateway.call("solver", {"query": f"Look up the person {MAIL} and file it."})
    run = house.records(surface="tools/call", name="solver")[-1]
    asked = house.records(surface="models/chat", parent=run["id"])
    assert len(asked) >= 4
    for record in asked:
        assert record["transport"] == "flow"
        assert record["session"] == run["session"]
        assert record["model"]["provider"] == "flow"
        assert record["model"]["prompt_tokens"] == 11
    clear = [p for p in house.gateway.data_dir.rglob("*") if p.is_file() and b"corp-mail.com" in p.read_bytes()]
    assert not clear
    assert "corp-mail.com" not in house.gateway.log_text()


def test_policy_bounds_the_models_of_a_flow_tool(house: House) -> None:
    thinking = house.provider.otherwise = Thinking(own="x")
    assert "result" in house.gateway.call("verifier", {"query": "was the person looked up?", "results": []})
    assert thinking.asked == []  # the only model is silver, and policy allows bronze there: rules judge
    assert "result" in house.gateway.call("planner", {"query": "look up the person"})
    assert len(thinking.asked) >= 1


class Person:
    """The other end of a client: answers what it is asked."""

    def __init__(self, answer: JSON) -> None:
        self.answer, self.asked = answer, ""

    async def notify(self, method: str, params: JSON) -> None:
        raise AssertionError("nothing is told here")

    async def ask(self, method: str, params: JSON) -> JSON:
        self.asked = params["message"]
        return self.answer


def client_of(person: Person) -> ClientEnd:
    forms = {"elicitation": {}}
    return ClientEnd(Principal("p", roles=("agent",)), person, "http", "legacy", "2025-11-25", {}, forms, "s")


async def test_what_a_person_answers_is_theirs_too_and_no_model_reads_it_clear(tmp_path: Path) -> None:
    service = Service(Config(data_dir=tmp_path))
    try:
        person = Person({"action": "accept", "content": {"mail": MAIL}})
        client = client_of(person)
        call = service.gateway.call_for("tools/call", {"name": "solver", "arguments": {}}, client)
        caller = FlowCaller(service.gateway, call, client, Own(), labels=True)
        assert caller.can_ask
        told = await caller.ask(f"Is it {THEIRS}?", {"type": "object"})
        assert told is not None
        assert TOKEN.fullmatch(told["mail"])
        assert TOKEN.search(person.asked)
        assert caller._own.restored({"arguments": told}) == {"arguments": {"mail": MAIL}}
        plain = FlowCaller(service.gateway, call, client, Own())
        assert await plain.ask("And now?", {"type": "object"}) == {"mail": MAIL}
        person.answer = {"action": "decline"}
        assert await plain.ask("And now?", {"type": "object"}) is None
    finally:
        await service.close()


async def test_without_a_configured_model_a_flow_tool_finds_none_and_gets_what_was_typed(tmp_path: Path) -> None:
    service = Service(Config(data_dir=tmp_path))
    try:
        client = client_of(Person({}))
        params = {"name": "solver", "arguments": {"query": f"who is {MAIL}?"}}
        call = service.gateway.call_for("tools/call", params, client)
        assert await entered(service.gateway, call, client, params) == params
        assert MODELS.get() is None
    finally:
        await service.close()
