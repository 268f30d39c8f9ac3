"""OpenAI's API on a real gateway with its real model worker, asked with OpenAI's own client and over bare sockets."""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from gateway_process import Gateway, fetch, running_gateway, wait_until

from tests.model_servers import INJECTION, Asked, OpenAIServer, Refuse, Say, ToolCall

MAIL = "alice.smith@corp-mail.com"
OTHER = "bob.jones@corp-mail.com"
TOKEN = re.compile(r"<EMAIL_[0-9a-f]+>")
KEYS = {"KEY_ADMIN": "admin-key-0123456789", "KEY_PLAIN": "plain-key-0123456789", "KEY_NONE": "none-key-0123456789"}
RULES = {
    "big-is-for-admins": {"models": ["big"], "only_roles": ["admin"], "why": "Ask an administrator."},
    "plain-gets-silver": {"roles": ["agent"], "models": ["*"], "model_tier": "silver"},
    "short": {"models": ["short"], "max_result_bytes": 200},
}


@dataclass
class House:
    """A gateway that serves models, and the provider behind it."""

    gateway: Gateway
    provider: OpenAIServer

    def client(self, key: str = "KEY_PLAIN") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.base}/v1", api_key=KEYS[key], max_retries=0, timeout=60)

    def post(self, body: Any, key: str = "KEY_PLAIN", path: str = "/v1/chat/completions", **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {KEYS[key]}", "content-type": "application/json", **headers}
        status, answer, _ = fetch(self.gateway.base + path, raw, sent)
        return status, json.loads(answer)

    def record(self, identifier: str) -> dict[str, Any]:
        return [each for each in self.records() if each["id"] == identifier][-1]

    def records(self) -> list[dict[str, Any]]:
        folder = self.gateway.data_dir / "audit"
        lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.read_text().splitlines()]
        return [record for line in lines if (record := json.loads(line)["record"]).get("kind") == "call"]


def asking(text: str, model: str = "small", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with OpenAIServer() as provider:
        models = [
            {"model": "m-small", "name": "small", "tier": "bronze", "price": {"input": 1, "output": 2}},
            {"model": "m-short", "name": "short", "tier": "bronze", "price": {"input": 1, "output": 2}},
            {"model": "m-middle", "name": "middle", "tier": "silver", "price": {"input": 5, "output": 9}},
            {"model": "m-large", "name": "large", "tier": "gold", "price": {"input": 50, "output": 90}},
            {"model": "m-big", "name": "big", "tier": "bronze", "price": {"input": 0, "output": 0}},
            {"model": "e-1", "name": "vectors", "kind": "embedding", "tier": "bronze", "price": {"input": 1}},
        ]
        local = {"kind": "openai_compatible", "base_url": provider.base_url, "models": models, "retries": 0}
        config = {
            "models": {"providers": {"local": local}, "serve": True, "cache": {"enabled": False}},
            "flow": {"enabled": False},
            "policy": {"data": {"settings": {"rules": RULES}}},
            "auth": {
                "api_keys": [
                    {"id": "ann", "key": "${KEY_ADMIN}", "roles": ["admin"]},
                    {"id": "pat", "key": "${KEY_PLAIN}", "roles": ["agent"]},
                    {"id": "nil", "key": "${KEY_NONE}", "roles": ["viewer"]},
                ]
            },
        }
        with running_gateway(config, tmp_path_factory.mktemp("served"), env=KEYS) as gateway:
            yield House(gateway, provider)


@pytest.fixture(autouse=True)
def _fresh(house: House) -> None:
    house.provider.reset()


def echo(asked: Asked) -> Say:
    """Says what it was asked, with somebody else's address, a few letters at a time."""
    said = f"You wrote: {asked.body['messages'][-1]['content']} I would ask {OTHER} about that instead."
    return Say(said, pieces=[said[at : at + 7] for at in range(0, len(said), 7)], gap=0.005)


def test_personal_data_leaves_as_a_token_and_comes_back_to_who_typed_it(house: House) -> None:
    house.provider.otherwise = echo
    answer = house.client().chat.completions.create(**asking(f"Write to {MAIL} please."))
    sent = " ".join(house.provider.requests[-1].texts())
    assert MAIL not in sent
    assert TOKEN.search(sent)
    said = answer.choices[0].message.content or ""
    assert MAIL in said
    assert OTHER not in said
    assert len(TOKEN.findall(said)) == 1
    assert answer.usage is not None
    assert answer.usage.total_tokens == 18


def test_a_token_that_somebody_sent_as_a_token_stays_one(house: House) -> None:
    house.provider.otherwise = echo
    said = house.client().chat.completions.create(**asking("Hello.")).choices[0].message.content or ""
    (token,) = TOKEN.findall(said)
    again = house.client().chat.completions.create(**asking(f"And {token}?")).choices[0].message.content or ""
    assert again.count(token) == 2
    assert OTHER not in again


def test_a_stream_gives_back_what_was_typed_and_hides_what_was_not_wherever_it_is_cut(house: House) -> None:
    house.provider.otherwise = echo
    text = f"{'Some words that go first. ' * 8}My address is {MAIL}, and {'more words follow it. ' * 20}"
    stream = house.client().chat.completions.create(**asking(text), stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said.startswith("You wrote: Some words")
    assert MAIL in said
    assert OTHER not in said
    assert len(TOKEN.findall(said)) == 1
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_calls_of_tools_carry_what_was_typed_and_keep_their_ids(house: House) -> None:
    def calling(asked: Asked) -> Say:
        token = TOKEN.findall(asked.body["messages"][0]["content"])[0]
        return Say("", tool_calls=[ToolCall("send", {"to": token, "cc": OTHER}, "call_7")], finish="tool_calls")

    house.provider.otherwise = calling
    send = {"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}
    for stream in (False, True):
        body = asking(f"Send it to {MAIL}", tools=[send])
        if stream:
            chunks = list(house.client().chat.completions.create(**body, stream=True))
            (call,) = next(c.choices[0].delta.tool_calls for c in chunks if c.choices[0].delta.tool_calls)
            assert chunks[-1].choices[0].finish_reason == "tool_calls"
        else:
            (call,) = house.client().chat.completions.create(**body).choices[0].message.tool_calls or ()
        arguments = json.loads(call.function.arguments)  # type: ignore[union-attr]
        assert call.id == "call_7"
        assert arguments["to"] == MAIL
        assert TOKEN.fullmatch(arguments["cc"])


def test_the_record_says_who_answered_at_what_cost_and_nothing_clear(house: House) -> None:
    house.provider.otherwise = echo
    _, answer = house.post(asking(f"I am {MAIL}"))
    record = house.record(answer["agentflow"]["record"])
    assert record["surface"] == "models/chat"
    assert record["principal"]["id"] == "pat"
    model = record["model"]
    assert (model["provider"], model["name"], model["tier"]) == ("local", "small", "bronze")
    assert (model["prompt_tokens"], model["completion_tokens"]) == (11, 7)
    assert model["cost_nano"] == 11 * 1000 + 7 * 2000
    assert answer["agentflow"]["cost_usd"] == pytest.approx(25e-6)
    assert record["pii"]["counts"] == {"EMAIL": 1}
    at_rest = [p for p in house.gateway.data_dir.rglob("*") if p.is_file() and b"corp-mail.com" in p.read_bytes()]
    assert not at_rest
    assert "corp-mail.com" not in house.gateway.log_text()


def test_what_is_listed_is_what_can_be_asked(house: House) -> None:
    everybody = {"auto", "small", "short", "middle", "large", "vectors"}
    assert {each.id for each in house.client().models.list()} == everybody
    assert {each.id for each in house.client("KEY_ADMIN").models.list()} == everybody | {"big"}
    assert list(house.client("KEY_NONE").models.list()) == []
    hidden = house.post(asking("hi", "big"))
    unknown = house.post(asking("hi", "bog"))
    assert hidden[0] == unknown[0] == 404
    assert hidden[1]["error"]["message"].replace("big", "bog") == unknown[1]["error"]["message"]
    assert hidden[1]["error"]["code"] == unknown[1]["error"]["code"] == "model_not_found"
    assert house.post(asking("hi", "small"), "KEY_NONE")[0] == 404
    with pytest.raises(openai.NotFoundError):
        house.client().models.retrieve("big")
    assert house.provider.requests == []
    assert house.client("KEY_ADMIN").models.retrieve("big").id == "big"
    assert house.post(asking("hi", "big"), "KEY_ADMIN")[0] == 200


def test_auto_takes_no_model_that_its_caller_may_not_ask(house: House) -> None:
    asked = {"tier": "bronze", "strategy": "cheapest"}
    house.post(asking("hi", "auto", agentflow=asked))
    assert house.provider.requests[-1].model != "m-big"
    house.post(asking("hi", "auto", agentflow=asked), "KEY_ADMIN")
    assert house.provider.requests[-1].model == "m-big"


def test_the_tier_that_policy_allows_bounds_who_answers(house: House) -> None:
    status, refused = house.post(asking("hi", "large"))
    assert status == 403
    assert "no model above silver" in refused["error"]["message"]
    assert house.provider.requests == []
    for _ in range(4):
        house.post(asking("Prove it step by step.", "auto", agentflow={"tier": "gold"}))
        assert house.provider.requests[-1].model in ("m-small", "m-middle")  # `short` has a bound of its own
    assert house.post(asking("hi", "large"), "KEY_ADMIN")[0] == 200


def test_a_bound_on_answers_holds_for_streams_too(house: House) -> None:
    house.provider.otherwise = Say("too long " * 100)
    status, refused = house.post(asking("hi", "short"))
    assert status == 429
    assert refused["error"]["agentflow"]["limit"] == "max_result_bytes"
    with pytest.raises(openai.APIError, match="larger than the 200 bytes"):
        list(house.client().chat.completions.create(**asking("hi", "short"), stream=True))


def test_an_order_in_an_answer_is_stopped_by_the_screen(house: House) -> None:
    for stream in (False, True):
        house.provider.script(INJECTION)
        with pytest.raises(openai.APIError, match="injected instruction"):
            list(house.client().chat.completions.create(**asking("hi"), stream=stream))  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        pytest.param({"messages": []}, "model", "must name a model", id="no-model"),
        pytest.param({"model": "small"}, None, "messages", id="no-messages"),
        pytest.param(asking("x", api_base="http://evil.example"), None, "api_base", id="unknown-member"),
        pytest.param(asking("x", temperature="hot"), "temperature", "number", id="wrong-kind"),
        pytest.param({"model": "small", "messages": [{"role": "boss"}]}, "messages.0.role", "role", id="wrong-role"),
        pytest.param(asking("x", logprobs=True), "logprobs", "redacted", id="log-probabilities"),
        pytest.param(asking("x", stream="yes"), "stream", "true or false", id="wrong-stream"),
        pytest.param(asking("x", agentflow={"principal": "ann"}), "agentflow", "principal", id="somebody-else"),
        pytest.param(asking("x", agentflow={"tier": "platinum"}), None, "tier", id="no-such-tier"),
        pytest.param(b"[1]", None, "object", id="no-object"),
        pytest.param(b"{", None, "not JSON", id="no-json"),
    ],
)
def test_a_request_that_is_none_is_refused_with_what_is_wrong(house: House, body: Any, param: Any, words: str) -> None:
    status, said = house.post(body)
    assert status == 400
    assert said["error"]["type"] == "invalid_request_error"
    assert said["error"]["param"] == param
    assert words in said["error"]["message"]
    assert house.provider.requests == []


def test_who_has_no_key_is_told_so_as_openai_does(house: House) -> None:
    status, body, _ = fetch(f"{house.gateway.base}/v1/models", None, {"authorization": "Bearer wrong"})
    assert status == 401
    assert json.loads(body)["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{house.gateway.base}/v1", api_key="x", max_retries=0).models.list()


def test_other_pages_forms_and_places_are_refused(house: House) -> None:
    assert house.post(asking("x"), origin="https://evil.example")[0] == 403
    assert house.post(asking("x"), **{"content-type": "text/plain"})[0] == 415
    assert house.post(asking("x"), path="/v1/audio/speech")[0] == 404
    assert house.provider.requests == []


def test_a_provider_that_fails_is_one_clear_error_and_a_whole_record(house: House) -> None:
    house.provider.otherwise = Refuse("server_error")
    status, said = house.post(asking("hi", "large"), "KEY_ADMIN")
    assert status == 503
    assert "no model answered" in said["error"]["message"]
    record = house.record(said["error"]["agentflow"]["record"])
    assert record["outcome"] == "model_unavailable"
    assert record["model"]["attempts"]


def test_vectors_come_as_numbers_and_packed(house: House) -> None:
    client = house.client()
    plain = client.embeddings.create(model="vectors", input=["one", f"mail {MAIL}"], encoding_format="float")
    assert [len(each.embedding) for each in plain.data] == [8, 8]
    assert MAIL not in " ".join(house.provider.requests[-1].texts())
    status, packed = house.post(
        {"model": "vectors", "input": "one", "encoding_format": "base64"}, path="/v1/embeddings"
    )
    assert status == 200
    values = struct.unpack("<8f", b64decode(packed["data"][0]["embedding"]))
    assert values == pytest.approx(plain.data[0].embedding, rel=1e-6)
    assert client.embeddings.create(model="vectors", input="one").data[0].embedding == pytest.approx(values)
    assert house.post({"model": "vectors", "input": [[1, 2]]}, path="/v1/embeddings")[0] == 400
    assert house.post({"model": "small", "input": "x"}, path="/v1/embeddings")[0] == 404


def test_who_leaves_ends_what_is_written_for_him(house: House) -> None:
    house.provider.otherwise = Say("word " * 400, gap=0.02)
    with house.client().chat.completions.create(**asking("hi"), stream=True) as stream:
        next(iter(stream))
    wait_until(lambda: house.provider.gone == 1, "the provider to notice", 30.0, house.gateway.log_text)
    wait_until(lambda: house.records()[-1]["outcome"] == "cancelled", "the record", 30.0)


def test_models_are_served_only_where_the_configuration_says_so(tmp_path: Path) -> None:
    with running_gateway({"flow": {"enabled": False}, "models": {"serve": True}}, tmp_path) as gateway:
        assert fetch(f"{gateway.base}/v1/models")[0] == 404
