"""Models under approvals, a search for names, and budgets; and prompts as long as requests may be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_process import Gateway, child_environment, fetch, running_gateway, wait_until

from tests.model_servers import OpenAIServer, Say

JSON = dict[str, Any]
KEYS = {"KEY_ANN": "ann-key-0123456789", "KEY_BOB": "bob-key-0123456789"}
RULES = {
    "people-say-yes": {
        "models": ["guarded", "guarded-vectors"],
        "effect": "approve",
        "approvers": {"who": ["role:finance"]},
        "ttl": 60,
    },
    "names-are-hidden": {"models": ["searched"], "deep": True},
}
PRICE = {"input": 1, "output": 2}
COST = 25_000  # nano-dollars for 11 tokens of prompt and 7 of answer


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(provider: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    names = {"guarded": "chat", "guarded-vectors": "embedding", "searched": "chat", "plain": "chat"}
    models = [{"model": f"m-{name}", "name": name, "kind": kind, "price": PRICE} for name, kind in names.items()]
    account = {"kind": "openai_compatible", "base_url": provider.base_url, "models": models, "retries": 0}
    config = {
        "models": {"providers": {"local": account}, "serve": True, "cache": {"enabled": False}},
        "flow": {"enabled": False},
        "approvals": {"hold": 0.2},
        "policy": {"data": {"settings": {"rules": RULES}}},
        "auth": {
            "api_keys": [
                {"id": "ann", "key": "${KEY_ANN}", "roles": ["agent"], "tenant": "acme"},
                {"id": "bob", "key": "${KEY_BOB}", "roles": ["agent"], "tenant": "bolt"},
            ]
        },
    }
    with running_gateway(config, tmp_path_factory.mktemp("governed"), env=KEYS) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(provider: OpenAIServer) -> None:
    provider.reset()


def post(gateway: Gateway, body: JSON, path: str = "/v1/chat/completions", key: str = "KEY_ANN") -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {KEYS[key]}", "content-type": "application/json"}
    status, answer, _ = fetch(gateway.base + path, json.dumps(body).encode(), headers)
    return status, answer


def chat(model: str, text: str = "hello", **more: Any) -> JSON:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def agentflow(gateway: Gateway, *words: str) -> str:
    command = [sys.executable, "-m", "agentflow", *words, "--config", str(gateway.config_path)]
    env = {**child_environment(gateway.data_dir, KEYS), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/chat/completions", chat("guarded"), id="whole"),
        pytest.param("/v1/chat/completions", chat("guarded", "in pieces", stream=True), id="streamed"),
        pytest.param("/v1/embeddings", {"model": "guarded-vectors", "input": ["a text"]}, id="embedding"),
    ],
)
def test_what_needs_a_persons_approval_is_asked_once_it_is_given_and_once_only(
    gateway: Gateway, provider: OpenAIServer, path: str, body: JSON
) -> None:
    status, refused = post(gateway, body, path)
    said = json.loads(refused)["error"]
    assert (status, said["code"], provider.requests) == (403, "approval_required", [])
    assert ".." not in said["message"]
    agentflow(gateway, "approvals", "approve", said["agentflow"]["approval"])
    status, answer = post(gateway, body, path)
    assert status == 200, answer
    assert len(provider.requests) == 1
    assert post(gateway, body, path)[0] == 403
    assert len(provider.requests) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_where_policy_has_names_looked_for_none_leaves(
    gateway: Gateway, provider: OpenAIServer, streamed: bool
) -> None:
    provider.otherwise = Say("I met Angela Merkel in Berlin.", gap=0.01)
    status, answer = post(gateway, chat("searched", stream=streamed))
    assert status == 200, answer
    assert b"Merkel" not in answer
    assert b"<PERSON_" in answer


def test_a_budget_that_is_nearly_spent_is_in_the_audit_log_once_for_each_level(
    gateway: Gateway, provider: OpenAIServer
) -> None:
    agentflow(gateway, "budget", "create", "small", "--tenant", "bolt", "--limit", "0.0005", "--period", "monthly")
    answers = [post(gateway, chat("plain", max_tokens=8), key="KEY_BOB") for _ in range(15)]
    assert {status for status, _ in answers} == {200}
    answers += [post(gateway, chat("plain", max_tokens=8), key="KEY_BOB") for _ in range(4)]
    _, last = answers[-1]
    assert json.loads(last)["error"]["code"] == "budget_exceeded"

    def warned() -> list[JSON]:
        lines = [
            line for f in sorted((gateway.data_dir / "audit").rglob("*.jsonl")) for line in f.read_text().splitlines()
        ]
        return [record for line in lines if (record := json.loads(line)["record"])["kind"] == "budget"]

    wait_until(lambda: bool(warned()), "the warning", 30.0, gateway.log_text)
    (first, *_) = found = warned()
    assert (first["event"], first["tenant"], first["subject"]) == ("warned", "bolt", "small")
    assert first["details"] | {"resets": 0} == {"level": 75, "spent": 15 * COST, "limit": 500_000, "resets": 0}
    assert len({each["details"]["level"] for each in found}) == len(found)


def test_a_prompt_as_long_as_requests_may_be_is_asked(gateway: Gateway, provider: OpenAIServer) -> None:
    status, answer = post(gateway, chat("plain", "word " * 600_000), key="KEY_ANN")
    assert status == 200, answer
    status, answer = post(gateway, {"model": "plain", "messages": [{"role": "boss", "content": "word " * 600_000}]})
    assert (status, json.loads(answer)["error"]["param"]) == (400, "messages.0.role")
