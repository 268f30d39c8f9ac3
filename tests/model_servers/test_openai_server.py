"""The server that speaks OpenAI's wire format, asked by OpenAI's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.model_servers import EMPTY, Cut, Hang, Midway, OpenAIServer, Raw, Refuse, Say, ToolCall

openai = pytest.importorskip("openai")

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with OpenAIServer("m-1", "m-2") as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.reset()
    return running


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="sk-secret", max_retries=0, timeout=30) as client:
        yield client


def test_a_scripted_answer_comes_whole_and_as_a_stream(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.say("good day to you", "good day to you")
    whole = client.chat.completions.create(model="m-1", messages=HELLO)
    assert whole.choices[0].message.content == "good day to you"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (11, 7)
    stream = list(
        client.chat.completions.create(model="m-1", messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "good day to you"
    assert stream[-1].usage.total_tokens == 18
    assert [a.model for a in server.chats()] == ["m-1", "m-1"]
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"


def test_each_model_has_its_own_script(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.say("second", model="m-2").say("anyone")
    answers = [client.chat.completions.create(model=m, messages=HELLO) for m in ("m-1", "m-2", "m-1")]
    assert [a.choices[0].message.content for a in answers] == ["anyone", "second", "hello"]


def test_tool_calls_come_whole_and_as_a_stream(server: OpenAIServer, client: openai.OpenAI) -> None:
    asked = Say("", tool_calls=[ToolCall("add", {"a": 1})], finish="tool_calls")
    server.script(asked, asked)
    call = client.chat.completions.create(model="m-1", messages=HELLO).choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 1}')
    deltas = [
        c.choices[0].delta.tool_calls[0].function.arguments
        for c in client.chat.completions.create(model="m-1", messages=HELLO, stream=True)
        if c.choices and c.choices[0].delta.tool_calls
    ]
    assert "".join(deltas) == '{"a": 1}'


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("rate_limit", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("unauthorized", openai.AuthenticationError),
        ("unknown_model", openai.NotFoundError),
        ("context_length", openai.BadRequestError),
        ("content_filter", openai.BadRequestError),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_refusals_are_the_errors_that_openai_s_client_knows(
    server: OpenAIServer, client: openai.OpenAI, kind: str, error: type[Exception]
) -> None:
    server.script(Refuse(kind, retry_after=3))
    with pytest.raises(error) as raised:
        client.chat.completions.create(model="m-1", messages=HELLO)
    assert raised.value.response.headers["retry-after"] == "3"


def test_half_a_stream_is_half_and_then_a_broken_connection(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.script(Cut(after=2, said=Say("one two three four")))
    heard: list[str] = []
    stream = client.chat.completions.create(model="m-1", messages=HELLO, stream=True)
    with pytest.raises(httpx.TransportError):
        heard.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(heard) == "one two"


def test_a_stream_can_fail_in_its_own_terms(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.script(Midway("server_error", after=1))
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(client.chat.completions.create(model="m-1", messages=HELLO, stream=True))


def test_a_cut_before_the_answer_is_a_connection_error(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.script(Cut(), Cut(after=1))
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="m-1", messages=HELLO)
    with pytest.raises((openai.APIConnectionError, httpx.TransportError)):
        client.chat.completions.create(model="m-1", messages=HELLO)
    assert server.gone == 0


def test_a_caller_that_leaves_a_hanging_stream_is_noticed(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.script(Hang(after=1), Hang())
    stream = client.chat.completions.create(model="m-1", messages=HELLO, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "one"]
    stream.close()
    server.wait_for_gone(1)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="m-1", messages=HELLO, timeout=0.2)
    server.wait_for_gone(2)


def test_empty_choices_and_bytes_come_as_scripted(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.script(EMPTY, Raw(b"moved", status=302, headers={"location": server.base_url + "/elsewhere"}))
    assert client.chat.completions.create(model="m-1", messages=HELLO).choices == []
    with httpx.Client() as plain:
        assert plain.post(f"{server.base_url}/chat/completions", json={"model": "m-1"}).status_code == 302


def test_models_and_embeddings_are_served(server: OpenAIServer, client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["m-1", "m-2"]
    one, two, other = (
        d.embedding
        for d in client.embeddings.create(model="e-1", input=["cats", "cats", "dogs"], encoding_format="float").data
    )
    assert one == two != other
    assert len(one) == server.dimensions


def test_a_hundred_callers_are_served_at_once(server: OpenAIServer) -> None:
    server.otherwise = Hang()
    callers = [threading.Thread(target=_until_closed, args=(server.base_url,)) for _ in range(100)]
    for caller in callers:
        caller.start()
    server.wait(lambda s: s.under_way == 100, "a hundred callers at once")
    server.close()
    for caller in callers:
        caller.join(60)
    server.start()
    assert server.most_at_once == 100


def _until_closed(base_url: str) -> None:
    with httpx.Client(timeout=120) as plain, pytest.raises(httpx.TransportError):
        plain.post(f"{base_url}/chat/completions", json={"model": "m-1"})
