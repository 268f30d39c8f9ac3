"""Each provider's own wire format, through one real model worker: answers, streams, tools, faults, embeddings, money.

Anthropic, Gemini and Ollama go through litellm, Cohere and OpenAI's format over the worker's own wires, Bedrock over
boto3; every one against a local server that speaks its format, every one with a fall-back model beside it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from agentflow import errors
from agentflow.models.client import RequestContext
from tests.model_servers import (
    EMPTY,
    GARBAGE,
    MEGABYTE,
    PROXY_PAGE,
    UNKNOWN_TOOL,
    AnthropicServer,
    BedrockServer,
    CohereServer,
    Cut,
    GeminiServer,
    Hang,
    Midway,
    ModelServer,
    OllamaServer,
    OpenAIServer,
    Refuse,
    Reply,
    Say,
    ToolCall,
)
from tests.model_servers.bedrock import QWEN, SONNET, TITAN
from tests.models.running_worker import HELLO, RunningWorker, heard, raised, running_worker, text_of

KEY = "sk-very-secret"
ADD = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"hue": {"type": "integer"}}, "required": ["hue"]}
PRICE = {"input": 1, "output": 2, "cached_input": 0.5}
COST = 25_000  # nano-dollars for 11 tokens of prompt and 7 of answer


@dataclass(frozen=True)
class Wire:
    """A provider: its kind in the configuration, its server, a model, an embedding model if it has one."""

    kind: str
    server: type[ModelServer]
    model: str
    embedding: str = ""


WIRES = {
    "openai": Wire("openai", OpenAIServer, "gpt-4o-mini", "text-embedding-3-small"),
    "vllm": Wire("vllm", OpenAIServer, "Qwen/Qwen3-8B", "BAAI/bge-m3"),
    "anthropic": Wire("anthropic", AnthropicServer, "claude-haiku-4-5-20251001"),
    "gemini": Wire("gemini", GeminiServer, "gemini-2.5-flash", "gemini-embedding-001"),
    "cohere": Wire("cohere", CohereServer, "command-a-03-2025", "embed-v4.0"),
    "ollama": Wire("ollama", OllamaServer, "qwen3:8b", "nomic-embed-text"),
    "bedrock": Wire("bedrock", BedrockServer, SONNET, TITAN),
}
NAMES = list(WIRES)


class World:
    """Every provider, one worker, and a tenant with a budget."""

    def __init__(self, servers: dict[str, ModelServer], spare: ModelServer, worker: RunningWorker, tenant: str) -> None:
        self.servers = servers
        self.spare = spare
        self.worker = worker
        self.tenant = tenant

    def complete(self, name: str, **body: Any) -> dict[str, Any]:
        return self.worker.complete({**HELLO, "model": name, **body}, tenant=self.tenant)

    def stream(self, name: str, **body: Any) -> list[dict[str, Any]]:
        return self.worker.stream({**HELLO, "model": name, **body}, tenant=self.tenant)

    def charged(self, *nano: int) -> None:
        rows = self.worker.usage(self.tenant, len(nano))
        assert sorted(row["nano"] for row in rows) == sorted(nano)
        assert self.worker.spent(self.tenant) == sum(nano)


def provider(wire: Wire, server: ModelServer, name: str) -> dict[str, Any]:
    models: list[dict[str, Any]] = [{"model": wire.model, "name": name, "price": PRICE}]
    if wire.embedding:
        models.append({"model": wire.embedding, "name": f"{name}-embedding", "kind": "embedding", "price": PRICE})
    base = {"kind": wire.kind, "base_url": server.base_url, "models": models, "retries": 0, "timeout": 5.0}
    if wire.kind == "bedrock":
        return {**base, "regions": ["us-east-1", "us-west-2"]}
    return {**base, "api_key": KEY}


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, ModelServer], OpenAIServer, RunningWorker]]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in [each for each in os.environ if each.startswith("AWS_")]:
            patch.delenv(variable)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
        patch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        servers = {name: wire.server(wire.model).start() for name, wire in WIRES.items()}
        spare = OpenAIServer("spare").start()
        last = [{"model": "spare", "name": name, "price": {"input": 100, "output": 100}} for name in NAMES]
        # One provider for each spare model: a deployment is known by provider and model.
        spares = {
            f"spare-{item['name']}": {"kind": "openai_compatible", "base_url": spare.base_url, "models": [item]}
            for item in last
        }
        models = {
            "providers": {**{n: provider(w, servers[n], n) for n, w in WIRES.items()}, **spares},
            "routing": {"strategy": "cheapest", "failures": 1000, "cooldown": 0.001},
        }
        with running_worker(tmp_path_factory.mktemp("worker"), models) as worker:
            yield servers, spare, worker
        for server in (*servers.values(), spare):
            server.close()


_tenants = itertools.count()


@pytest.fixture
def world(running: tuple[dict[str, ModelServer], OpenAIServer, RunningWorker]) -> World:
    servers, spare, worker = running
    for server in (*servers.values(), spare):
        server.reset()
    worker.begin_anew()
    found = World(servers, spare, worker, f"tenant-{next(_tenants)}")
    worker.budget(found.tenant, 1_000_000_000_000)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_comes_in_one_shape_and_is_paid(world: World, name: str) -> None:
    world.servers[name].script(Say("good day"))
    answer = world.complete(name, temperature=0)
    assert (text_of(answer), answer["choices"][0]["finish_reason"]) == ("good day", "stop")
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (11, 7)
    assert answer["agentflow"]["provider"] == name
    assert answer["agentflow"]["attempts"] == []
    world.charged(COST)
    (asked,) = world.servers[name].chats()
    assert "hello" in asked.prompt
    if WIRES[name].kind != "bedrock":
        assert any(KEY in value for value in asked.headers.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_comes_in_pieces_and_is_paid(world: World, name: str) -> None:
    world.servers[name].script(Say("one two three"))
    chunks = world.stream(name)
    assert heard(chunks) == "one two three"
    assert len([c for c in chunks if c["choices"] and c["choices"][0]["delta"].get("content")]) == 3
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 18
    world.charged(COST)


@pytest.mark.parametrize("name", NAMES)
def test_pieces_come_before_the_answer_is_over_and_a_break_is_an_error(world: World, name: str) -> None:
    world.servers[name].script(Cut(after=2), Midway("server_error", after=2))
    for _ in range(2):
        error = raised(lambda: world.stream(name), errors.UpstreamProtocolError)
        assert "broke off" in error.message
        assert heard(world.worker.chunks) == "one two"
    rows = world.worker.usage(world.tenant, 2)
    assert all(row["outcome"] != "ok" and row["nano"] > 0 for row in rows)
    assert world.worker.spent(world.tenant) == sum(row["nano"] for row in rows)
    assert world.spare.chats() == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", NAMES)
def test_a_tool_call_keeps_name_and_arguments(world: World, name: str, streamed: bool) -> None:
    world.servers[name].script(Say("", tool_calls=[ToolCall("add", {"a": 1, "b": "é"})], finish="tool_calls"))
    if streamed:
        choices = [c["choices"][0] for c in world.stream(name, tools=[ADD]) if c["choices"]]
        parts = [part for c in choices for part in c["delta"].get("tool_calls") or []]
        names = [part["function"]["name"] for part in parts if part["function"].get("name")]
        arguments, finish = "".join(p["function"].get("arguments") or "" for p in parts), choices[-1]["finish_reason"]
    else:
        choice = world.complete(name, tools=[ADD])["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        names, arguments, finish = [call["function"]["name"]], call["function"]["arguments"], choice["finish_reason"]
    assert (names, json.loads(arguments), finish) == (["add"], {"a": 1, "b": "é"}, "tool_calls")
    world.charged(COST)
    (asked,) = world.servers[name].chats()
    assert "add" in asked.texts()


@pytest.mark.parametrize("name", NAMES)
def test_the_conversation_goes_along_with_tools_and_their_results(world: World, name: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 40}'}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "forty-two"},
    ]
    assert text_of(world.complete(name, messages=messages, tools=[ADD])) == "hello"
    prompt = world.servers[name].chats()[0].prompt
    for said in ("be brief", "what is it?", "forty-two"):
        assert said in prompt


@pytest.mark.parametrize("name", NAMES)
def test_a_wanted_schema_reaches_the_provider(world: World, name: str) -> None:
    world.servers[name].say({"hue": 7})
    wanted = {"type": "json_schema", "json_schema": {"name": "Colour", "schema": SCHEMA}}
    answer = world.complete(name, response_format=wanted)
    assert "hue" in json.dumps(world.servers[name].chats()[0].body)
    assert json.loads(text_of(answer) or "") == {"hue": 7}


FAULTS: dict[str, Reply] = {
    "429": Refuse("rate_limit"),
    "500": Refuse("server_error"),
    "overloaded": Refuse("overloaded"),
    "401": Refuse("unauthorized"),
    "404": Refuse("unknown_model"),
    "context length": Refuse("context_length"),
    "content filter": Refuse("content_filter"),
    "reset": Cut(),
    "garbage": GARBAGE,
    "proxy page": PROXY_PAGE,
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_fails_the_spare_model_answers_and_only_it_is_paid(world: World, name: str, streamed: bool) -> None:
    for fault, reply in FAULTS.items():
        world.servers[name].otherwise = reply
        told = (world.stream if streamed else world.complete)(name)
        where = (told[-1] if isinstance(told, list) else told)["agentflow"]
        assert (where["provider"], where["cost_nano"]) == (f"spare-{name}", 1_800_000), fault
        assert len(where["attempts"]) == 1, fault
        asked = sum(each.body.get("model") != "warm" for each in world.servers[name].chats())
        most = 2 if name == "bedrock" else 1  # which has another region
        assert asked <= most, f"{fault}: nothing is repeated that may have been paid"
        world.servers[name].requests.clear()
        world.worker.begin_anew()
    rows = world.worker.usage(world.tenant, 2 * len(FAULTS))
    assert sum(row["nano"] for row in rows) == len(FAULTS) * 1_800_000
    assert world.worker.spent(world.tenant) == len(FAULTS) * 1_800_000


def test_providers_that_hang_are_left_for_the_spare_model_and_half_a_stream_is_an_error(world: World) -> None:
    context = RequestContext(tenant=world.tenant, cache=False)
    client = world.worker.client

    async def whole(name: str) -> str:
        answer = await client.complete({**HELLO, "model": name}, context)
        assert len(answer["agentflow"]["attempts"]) == 1
        return str(answer["agentflow"]["provider"])

    async def streamed(name: str) -> str:
        said, broken = "", ""
        try:
            async for chunk in client.stream({**HELLO, "model": name}, context):
                said += heard([chunk])
        except errors.UpstreamProtocolError as error:
            broken = error.message
        assert not broken or "broke off" in broken
        return f"{said}, and then {broken.rpartition(': ')[2]}" if broken else said

    async def all_of_them(ask: Callable[[str], Coroutine[Any, Any, str]]) -> list[str]:
        return list(await asyncio.gather(*map(ask, NAMES)))

    for server in world.servers.values():
        server.otherwise = Hang(after=2)
    told = world.worker.run(all_of_them(streamed))
    assert {each for name, each in zip(NAMES, told, strict=True) if name != "bedrock"} == {
        "one two, and then it did not answer within 5 s"
    }
    assert all(each.startswith("one two, and then ") for each in told)
    world.worker.begin_anew()
    assert world.worker.run(all_of_them(whole)) == [f"spare-{name}" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_calls_a_tool_nobody_offered_is_paid_and_another_model_asked(world: World, name: str) -> None:
    world.servers[name].script(UNKNOWN_TOOL)
    answer = world.complete(name)
    assert answer["agentflow"]["provider"] == f"spare-{name}"
    world.charged(COST, 1_800_000)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("ollama", "bedrock")])
def test_an_answer_without_choices_is_paid_and_another_model_asked(world: World, name: str) -> None:
    world.servers[name].script(EMPTY)
    assert world.complete(name)["agentflow"]["provider"] == f"spare-{name}"
    world.charged(COST, 1_800_000)


@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_comes_whole(world: World, name: str) -> None:
    world.servers[name].script(MEGABYTE)
    assert len(heard(world.stream(name, max_tokens=300_000))) > 1_000_000
    world.charged(11 * 1000 + 262_144 * 2000)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("cohere", "ollama")])
def test_tokens_that_the_provider_had_cached_cost_less(world: World, name: str) -> None:
    world.servers[name].script(Say("hello", usage=(100, 7, 80)))
    world.complete(name)
    world.charged(20 * 1000 + 80 * 500 + 7 * 2000)


@pytest.mark.parametrize("name", [name for name, wire in WIRES.items() if wire.embedding])
def test_embeddings_keep_their_order_and_are_paid(world: World, name: str) -> None:
    body = {"input": ["red cats", "blue dogs", "red cats"], "model": f"{name}-embedding"}

    async def ask() -> dict[str, Any]:
        return await world.worker.client.embed(body, RequestContext(tenant=world.tenant, cache=False))

    answer = world.worker.run(ask())
    first, second, third = (item["embedding"] for item in answer["data"])
    assert first == third != second
    world.charged(answer["usage"]["prompt_tokens"] * 1000)


def test_bedrock_goes_to_the_next_region_before_another_model_is_asked(world: World) -> None:
    world.servers["bedrock"].script(Refuse("overloaded"), model=f"us-east-1/{SONNET}")
    answer = world.complete("bedrock")
    assert (text_of(answer), answer["agentflow"]["provider"]) == ("hello", "bedrock")
    assert world.servers["bedrock"].chats()[-1].model == f"us-west-2/{SONNET}"
    world.charged(COST)


def test_bedrock_without_permission_says_what_is_missing(world: World) -> None:
    world.servers["bedrock"].otherwise = Refuse("forbidden")
    world.spare.otherwise = Refuse("overloaded")
    error = raised(lambda: world.complete("bedrock"), errors.ModelUnavailable)
    assert "assumed-role/agents may not bedrock:InvokeModel on inference-profile/us.anthropic" in error.message
    assert "allow bedrock:InvokeModel" in error.fix
    assert "123456789012" not in error.message
    assert QWEN not in error.message
