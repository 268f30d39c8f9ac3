"""The OpenAI-compatible client against a local server that speaks the protocol."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel, SecretStr

from agentflow.errors import (
    AgentFlowError,
    ConfigError,
    LimitExceeded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.models.openai import MAX_ANSWER, ChatMessage, ChatModel
from agentflow.models.structured import ask
from tests.models.scripted_endpoint import Endpoint, Reply, running_endpoint

HELLO = [ChatMessage("user", "hello <EMAIL_1f3a9c2e>")]
KEY = "sk-very-secret"


class Colour(BaseModel):
    name: str
    hue: int


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running


def model(endpoint: Endpoint, timeout: float = 5.0) -> ChatModel:
    return ChatModel(endpoint.base_url, "m-1", SecretStr(KEY), timeout=timeout)


async def test_a_completion_carries_text_and_tokens(endpoint: Endpoint) -> None:
    endpoint.say("hi")
    async with model(endpoint) as chat:
        done = await chat.complete(HELLO)
    assert (done.text, done.finish_reason, done.prompt_tokens, done.completion_tokens) == ("hi", "stop", 11, 7)
    headers, body = endpoint.requests[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "m-1"
    assert body["messages"] == [{"role": "user", "content": "hello <EMAIL_1f3a9c2e>"}]


async def test_an_endpoint_that_refuses_response_format_is_asked_without_it_from_then_on(endpoint: Endpoint) -> None:
    endpoint.script = [Reply(status=400, body=b"{}"), Reply("one"), Reply("two")]
    async with model(endpoint) as chat:
        assert (await chat.complete(HELLO, {"type": "object"})).text == "one"
        assert (await chat.complete(HELLO, {"type": "object"})).text == "two"
    assert ["response_format" in body for _, body in endpoint.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=500, body=b"boom"), UpstreamUnavailable),
        (Reply(status=429, body=b"{}"), LimitExceeded),
        (Reply(status=401, body=b"bad key sk-very-secret"), ConfigError),
        (Reply(status=404, body=b"{}"), ConfigError),
        (Reply(status=302, body=b"", headers=(("location", "http://127.0.0.1:1/"),)), ConfigError),
        (Reply(body=b"not json"), UpstreamProtocolError),
        (Reply(body=b'{"choices": []}'), UpstreamProtocolError),
        (Reply(body=b'{"choices": [{"message": {"content": null}}]}'), UpstreamProtocolError),
        (Reply(body=b"[" * 100_000), UpstreamProtocolError),
        (Reply(body=b" " * (MAX_ANSWER + 1)), LimitExceeded),
    ],
)
async def test_every_fault_is_one_typed_error_without_the_key(
    endpoint: Endpoint, reply: Reply, error: type[AgentFlowError]
) -> None:
    endpoint.script = [reply]
    async with model(endpoint) as chat:
        with pytest.raises(error) as raised:
            await chat.complete(HELLO)
    assert KEY not in str(raised.value)
    assert len(endpoint.requests) == 1


async def test_an_endpoint_that_never_answers_is_a_timeout(endpoint: Endpoint) -> None:
    endpoint.script = [Reply(hang=True)]
    async with model(endpoint, timeout=0.2) as chat:
        with pytest.raises(UpstreamTimeout):
            await chat.complete(HELLO)


async def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take the port
        async with ChatModel(f"http://127.0.0.1:{held.getsockname()[1]}/v1", "m") as chat:
            with pytest.raises(UpstreamUnavailable):
                await chat.complete(HELLO)


@pytest.mark.parametrize("base_url", ["http://[broken", "localhost:11434/v1", "file:///etc/passwd", ""])
def test_a_base_url_that_is_none_is_a_configuration_error(base_url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        ChatModel(base_url, "m")


async def test_a_typed_answer_is_found_among_words_and_fences(endpoint: Endpoint) -> None:
    endpoint.say('Sure!\n```json\n{"name": "red", "hue": 0}\n```\nAnything else?')
    async with model(endpoint) as chat:
        assert await ask(chat, HELLO, Colour) == Colour(name="red", hue=0)


async def test_an_invalid_answer_is_repaired_once_with_the_reason(endpoint: Endpoint) -> None:
    endpoint.say({"name": "red", "hue": "warm"}, {"name": "red", "hue": 7})
    async with model(endpoint) as chat:
        assert (await ask(chat, HELLO, Colour)).hue == 7
    assert "hue" in endpoint.requests[1][1]["messages"][-1]["content"]
    assert endpoint.requests[1][1]["messages"][-2]["role"] == "assistant"


async def test_an_answer_invalid_twice_is_reported_and_not_asked_a_third_time(endpoint: Endpoint) -> None:
    endpoint.say("no json at all", {"name": "red"}, {"name": "red", "hue": 7})
    async with model(endpoint) as chat:
        with pytest.raises(UpstreamProtocolError, match="twice"):
            await ask(chat, HELLO, Colour)
    assert len(endpoint.requests) == 2


async def test_a_check_can_send_a_well_formed_answer_back(endpoint: Endpoint) -> None:
    endpoint.say({"name": "red", "hue": 1}, {"name": "blue", "hue": 2})
    async with model(endpoint) as chat:
        answer = await ask(chat, HELLO, Colour, lambda c: "red is taken" if c.name == "red" else None)
    assert answer.name == "blue"
    assert "red is taken" in endpoint.prompts()[1]
