"""Cohere in its own wire format, against a local server that speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from agentflow.config_models import ProviderConfig
from agentflow.models.fleet import Deployment
from agentflow.models.worker.cohere_wire import CohereWire, chat_request
from agentflow.models.worker.provider import ProviderFailure
from tests.model_servers import GARBAGE, CohereServer, Cut, Midway, Refuse, Say, ToolCall

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
CHAT = Deployment("c", "command-a-03-2025", "command-a-03-2025", "chat", "gold", 0.9, None)
EMBED = Deployment("c", "embed-v4.0", "embed-v4.0", "embedding", "gold", 0.9, None)
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def running() -> Iterator[CohereServer]:
    with CohereServer("command-a-03-2025") as server:
        yield server


@pytest.fixture
def cohere(running: CohereServer) -> CohereServer:
    running.reset()
    return running


@pytest.fixture
async def wire(cohere: CohereServer) -> AsyncIterator[CohereWire]:
    client = CohereWire("c", ProviderConfig(kind="cohere", base_url=cohere.base_url, api_key=SecretStr("co-key")))
    yield client
    await client.close()


async def streamed(wire: CohereWire, body: dict[str, Any]) -> list[dict[str, Any]]:
    return [chunk async for chunk in wire.stream(CHAT, body, 30)]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


async def test_an_answer_comes_with_the_tokens_that_are_billed(cohere: CohereServer, wire: CohereWire) -> None:
    cohere.script(Say("good day", usage=(20, 7)))
    answer = await wire.complete(CHAT, HELLO, 30)
    assert answer["choices"][0]["message"]["content"] == "good day"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (20, 7)
    assert cohere.requests[0].headers["authorization"] == "Bearer co-key"


async def test_a_stream_comes_in_pieces_and_ends_with_its_usage(cohere: CohereServer, wire: CohereWire) -> None:
    cohere.script(Say("one two three", usage=(20, 7)))
    chunks = await streamed(wire, HELLO)
    assert text_of(chunks) == "one two three"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 27


async def test_tool_calls_come_whole_and_streamed(cohere: CohereServer, wire: CohereWire) -> None:
    said = Say("", tool_calls=[ToolCall("add", {"a": 1}, id="t1")], finish="tool_calls")
    cohere.script(said, said)
    body = {**HELLO, "tools": [ADD], "tool_choice": "required"}
    (call,) = (await wire.complete(CHAT, body, 30))["choices"][0]["message"]["tool_calls"]
    assert (call["id"], call["function"]) == ("t1", {"name": "add", "arguments": '{"a": 1}'})
    parts = [c["choices"][0]["delta"].get("tool_calls") for c in await streamed(wire, body) if c["choices"]]
    calls = [part[0] for part in parts if part]
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("t1", "add")
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a": 1}'
    assert cohere.requests[0].body["tool_choice"] == "REQUIRED"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Refuse("rate_limit", retry_after=3), "rate_limit"),
        (Refuse("server_error"), "server"),
        (Refuse("unauthorized"), "auth"),
        (Refuse("unknown_model"), "not_found"),
        (Refuse("context_length"), "context_window"),
        (Refuse("content_filter"), "content_filter"),
        (Cut(), "server"),
        (Cut(after=2), "protocol"),
        (Midway("server_error"), "server"),
        (GARBAGE, "protocol"),
    ],
    ids=["429", "500", "401", "404", "too long", "filtered", "reset", "half a stream", "failed midway", "garbage"],
)
async def test_every_fault_has_its_kind(cohere: CohereServer, wire: CohereWire, reply: Any, kind: str) -> None:
    cohere.script(reply)
    with pytest.raises(ProviderFailure) as raised:
        await streamed(wire, HELLO)
    assert raised.value.kind == kind
    assert len(cohere.requests) == 1


async def test_embeddings_keep_their_order(cohere: CohereServer, wire: CohereWire) -> None:
    answer = await wire.embed(EMBED, {"input": ["red cats", "blue dogs", "red cats"]}, 30)
    first, second, third = (item["embedding"] for item in answer["data"])
    assert first == third != second
    assert answer["usage"]["prompt_tokens"] == 6
    many = await wire.embed(EMBED, {"input": [f"text {i}" for i in range(200)]}, 30)
    assert len(many["data"]) == 200
    assert [len(a.body["texts"]) for a in cohere.requests] == [3, 96, 96, 8]


async def test_what_it_lists_is_found(cohere: CohereServer, wire: CohereWire) -> None:
    (found,) = await wire.discover()
    assert (found.model, found.kind, found.context_window) == ("command-a-03-2025", "chat", 128_000)


def test_a_request_says_the_same_in_cohere_s_words() -> None:
    schema = {"type": "object", "properties": {}}
    request = chat_request(
        "m",
        {
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "t1"}]},
                {"role": "tool", "tool_call_id": "t1", "content": "3"},
            ],
            "temperature": 1.7,
            "top_p": 1,
            "stop": "END",
            "max_completion_tokens": 9,
            "tools": [ADD, {"type": "function", "function": {"name": "sub"}}],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        },
    )
    assert [m["role"] for m in request["messages"]] == ["system", "assistant", "tool"]
    assert "content" not in request["messages"][1]
    assert (request["temperature"], request["p"], request["max_tokens"]) == (1.0, 0.99, 9)
    assert request["stop_sequences"] == ["END"]
    assert request["tools"] == [ADD]
    assert request["response_format"] == {"type": "json_object", "json_schema": schema}
    with pytest.raises(ProviderFailure):
        chat_request("m", {"n": 2})


@pytest.mark.parametrize("suffix", ["", "/", "/v2", "/v1", "/v2/chat"])
def test_the_address_may_have_a_version(suffix: str) -> None:
    wire = CohereWire("c", ProviderConfig(kind="cohere", base_url=f"http://127.0.0.1:9{suffix}"))
    assert wire._base == "http://127.0.0.1:9"
