"""Bedrock through boto3 against a local server that speaks Converse and AWS's event streams."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from agentflow.models.bedrock.provider import BedrockProvider
from agentflow.models.fleet import Deployment
from agentflow.models.worker.provider import MAX_ANSWER, ProviderFailure
from tests.model_servers import (
    EMPTY,
    GARBAGE,
    MEGABYTE,
    PROXY_PAGE,
    BedrockServer,
    Cut,
    Hang,
    Midway,
    Raw,
    Refuse,
    Say,
    ToolCall,
)
from tests.model_servers.bedrock import HAIKU, QWEN, SONNET, TITAN
from tests.model_servers.certificate import certified
from tests.models.bedrock.conftest import Make

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50, "temperature": 0}
SCHEMA = {"type": "object", "properties": {"hue": {"type": "integer"}}, "required": ["hue"]}
HELD = {**HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "Colour", "schema": SCHEMA}}}
EAST, WEST = "us-east-1", "us-west-2"


def at(model: str = SONNET, kind: str = "chat") -> Deployment:
    return Deployment("aws", model, model, kind, "gold", 0.9, None)  # type: ignore[arg-type]


async def streamed(provider: BedrockProvider, body: dict[str, Any], model: str = SONNET) -> list[dict[str, Any]]:
    return [chunk async for chunk in provider.stream(at(model), body, 30)]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


@pytest.mark.parametrize("model", [SONNET, HAIKU, QWEN])
async def test_every_model_answers_in_one_shape(bedrock: BedrockServer, provider: Make, model: str) -> None:
    bedrock.script(Say("good day", usage=(20, 7, 5)))
    answer = await provider().complete(at(model), HELLO, 30)
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("good day", "stop")
    assert answer["usage"]["prompt_tokens"] == 20
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 5
    assert answer["usage"]["completion_tokens"] == 7
    (asked,) = bedrock.requests
    assert asked.model == f"{EAST}/{model}"
    assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATESTTESTTESTTEST/")
    assert asked.body["inferenceConfig"] == {"maxTokens": 50, "temperature": 0}


async def test_a_stream_comes_in_pieces_and_ends_with_its_usage(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Say("one two three", usage=(11, 3)))
    chunks = await streamed(provider(), HELLO)
    assert [c["choices"][0]["delta"].get("content") for c in chunks if c["choices"]] == [
        "", "one", " two", " three", None,
    ]  # fmt: skip
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 14
    assert len({c["id"] for c in chunks}) == 1


async def test_pieces_arrive_before_the_answer_is_over(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Hang(after=2))
    heard = []
    stream = provider().stream(at(), HELLO, 30)
    async for chunk in stream:
        heard.append(chunk["choices"][0]["delta"].get("content"))
        if heard[-1] == " two":
            break
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.to_thread(bedrock.wait_for_gone)
    assert heard == ["", "one", " two"]


async def test_a_cancelled_stream_lets_go_of_its_thread(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Hang(after=1))
    task = asyncio.create_task(streamed(provider(), HELLO))
    await asyncio.to_thread(bedrock.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(bedrock.wait_for_gone)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
async def test_tool_calls_keep_ids_and_arguments(bedrock: BedrockServer, provider: Make, whole: bool) -> None:
    bedrock.script(Say("", tool_calls=[ToolCall("add", {"a": 1, "b": [2]}, id="t1")], finish="tool_calls"))
    function = {"name": "add", "parameters": {"type": "object"}}
    body = {**HELLO, "tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    if whole:
        choice = (await provider().complete(at(), body, 30))["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        name, id_, arguments, finish = (
            call["function"]["name"], call["id"], call["function"]["arguments"], choice["finish_reason"],
        )  # fmt: skip
    else:
        chunks = [c["choices"][0] for c in await streamed(provider(), body) if c["choices"]]
        calls = [c["delta"]["tool_calls"][0] for c in chunks if c["delta"].get("tool_calls")]
        name, id_, finish = calls[0]["function"]["name"], calls[0]["id"], chunks[-1]["finish_reason"]
        arguments = "".join(c["function"]["arguments"] for c in calls)
    assert (name, id_, json.loads(arguments), finish) == ("add", "t1", {"a": 1, "b": [2]}, "tool_calls")
    assert bedrock.requests[0].body["toolConfig"]["toolChoice"] == {"any": {}}


async def test_a_schema_goes_along_as_output_config(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.say({"hue": 7})
    answer = await provider().complete(at(), HELD, 30)
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"hue": 7}
    sent = bedrock.requests[0].body["outputConfig"]["textFormat"]
    assert json.loads(sent["structure"]["jsonSchema"]["schema"]) == SCHEMA


async def test_a_model_without_output_config_is_held_by_a_forced_tool_from_then_on(
    bedrock: BedrockServer, provider: Make
) -> None:
    held = Say("", tool_calls=[ToolCall("answer", {"hue": 7})], finish="tool_calls")
    bedrock.script(Refuse("no_schema"), held, held)
    client = provider()
    answer = await client.complete(at(QWEN), HELD, 30)
    choice = answer["choices"][0]
    assert (json.loads(choice["message"]["content"]), choice["finish_reason"]) == ({"hue": 7}, "stop")
    assert "tool_calls" not in choice["message"]
    chunks = await streamed(client, HELD, QWEN)
    assert json.loads(text_of(chunks)) == {"hue": 7}
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert ["outputConfig" in a.body for a in bedrock.requests] == [True, False, False]


async def test_a_request_that_is_simply_wrong_is_refused_in_the_end(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Refuse("bad_request"), Refuse("bad_request"), Say({"hue": 1}))
    client = provider()
    with pytest.raises(ProviderFailure) as raised:
        await client.complete(at(), HELD, 30)
    assert raised.value.kind == "bad_request"
    await client.complete(at(), HELD, 30)
    assert "outputConfig" in bedrock.requests[2].body


@pytest.mark.parametrize("fault", ["rate_limit", "overloaded", "server_error", "timeout", "quota", "unauthorized"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
async def test_the_next_region_answers_when_the_first_does_not(
    bedrock: BedrockServer, provider: Make, fault: Any, whole: bool
) -> None:
    bedrock.script(Refuse(fault), model=f"{EAST}/{SONNET}")
    client = provider(EAST, WEST)
    if whole:
        assert (await client.complete(at(), HELLO, 30))["choices"][0]["message"]["content"] == "hello"
    else:
        assert text_of(await streamed(client, HELLO)) == "hello"
    assert [a.model for a in bedrock.requests] == [f"{EAST}/{SONNET}", f"{WEST}/{SONNET}"]
    await client.complete(at(), HELLO, 30)
    assert bedrock.requests[-1].model == f"{WEST}/{SONNET}", "a region in trouble comes last for a while"


@pytest.mark.parametrize("fault", [Cut(), Cut(after=1), GARBAGE, PROXY_PAGE, EMPTY], ids=[
    "cut", "half a body", "garbage", "proxy page", "no message",
])  # fmt: skip
async def test_an_answer_that_is_none_sends_the_request_to_the_next_region(
    bedrock: BedrockServer, provider: Make, fault: Any
) -> None:
    bedrock.script(fault, model=f"{EAST}/{SONNET}")
    answer = await provider(EAST, WEST).complete(at(), HELLO, 30)
    assert answer["choices"][0]["message"]["content"] == "hello"


async def test_a_stream_that_fails_before_its_first_piece_is_begun_elsewhere(
    bedrock: BedrockServer, provider: Make
) -> None:
    bedrock.script(Midway("overloaded", after=0), model=f"{EAST}/{SONNET}")
    bedrock.script(Say("all of it"), model=f"{WEST}/{SONNET}")
    assert text_of(await streamed(provider(EAST, WEST), HELLO)) == "all of it"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Cut(after=2), "protocol"),
        (Midway("rate_limit", after=2), "rate_limit"),
        (Midway("server_error", after=2), "server"),
    ],
    ids=["cut", "throttled", "failed"],
)
async def test_a_stream_that_breaks_off_is_a_failure_and_never_begun_again(
    bedrock: BedrockServer, provider: Make, fault: Any, kind: str
) -> None:
    bedrock.script(fault)
    heard: list[dict[str, Any]] = []

    async def listen() -> None:
        async for chunk in provider(EAST, WEST).stream(at(), HELLO, 30):
            heard.append(chunk)

    with pytest.raises(ProviderFailure) as raised:
        await listen()
    assert raised.value.kind == kind
    assert text_of(heard) == "one two"
    assert len(bedrock.requests) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
async def test_a_region_that_hangs_is_left_for_the_next_one_and_asked_last_from_then_on(
    bedrock: BedrockServer, provider: Make, whole: bool
) -> None:
    client = provider(EAST, WEST)
    for region in (EAST, WEST):  # makes the clients, which takes its time
        await client.complete(at(f"{region}/{QWEN}"), HELLO, 30)
    bedrock.script(Hang(), model=f"{EAST}/{SONNET}")
    if whole:
        answer = await client.complete(at(), HELLO, 6)
        assert answer["choices"][0]["message"]["content"] == "hello"
    else:
        assert text_of([chunk async for chunk in client.stream(at(), HELLO, 6)]) == "hello"
    await client.complete(at(), HELLO, 30)
    asked = [f"{EAST}/{SONNET}", f"{WEST}/{SONNET}", f"{WEST}/{SONNET}"]
    assert [a.model for a in bedrock.requests][2:] == asked


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
async def test_regions_that_all_hang_are_a_timeout(bedrock: BedrockServer, provider: Make, whole: bool) -> None:
    bedrock.otherwise = Hang()
    client = provider(EAST, WEST)
    with pytest.raises(ProviderFailure, match=f"{EAST}.*{WEST}") as raised:
        await (client.complete(at(), HELLO, 1.5) if whole else anext(client.stream(at(), HELLO, 1.5)))
    assert raised.value.kind == "timeout"


@pytest.mark.parametrize(
    ("fault", "kind"), [("context_length", "context_window"), ("content_filter", "content_filter")]
)
async def test_what_no_region_would_answer_is_asked_once(
    bedrock: BedrockServer, provider: Make, fault: Any, kind: str
) -> None:
    bedrock.script(Refuse(fault))
    with pytest.raises(ProviderFailure) as raised:
        await provider(EAST, WEST).complete(at(), HELLO, 30)
    assert raised.value.kind == kind
    assert len(bedrock.requests) == 1


async def test_all_regions_down_is_one_failure_that_names_each(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Refuse("forbidden"), Refuse("rate_limit", retry_after=9), Refuse("overloaded"))
    with pytest.raises(ProviderFailure) as raised:
        await provider(EAST, WEST, "eu-west-1").complete(at(), HELLO, 30)
    failure = raised.value
    assert (failure.kind, failure.retry_after) == ("rate_limit", 9)
    assert all(region in failure.message for region in (EAST, WEST, "eu-west-1"))


async def test_throttling_is_repeated_by_boto_in_the_last_region(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Refuse("rate_limit"), Refuse("overloaded"), Say("at last"))
    answer = await provider(retries=2).complete(at(), HELLO, 60)
    assert answer["choices"][0]["message"]["content"] == "at last"
    assert len(bedrock.requests) == 3


async def test_a_profile_of_another_geography_is_asked_as_the_one_here(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Refuse("overloaded"), Refuse("unknown_model"), Say("konnichi wa"))
    client = provider(EAST, "ap-northeast-1")
    answer = await client.complete(at(HAIKU), HELLO, 30)
    assert answer["choices"][0]["message"]["content"] == "konnichi wa"
    tail = HAIKU.removeprefix("us.")
    asked = [a.model for a in bedrock.requests]
    assert asked == [f"{EAST}/{HAIKU}", f"ap-northeast-1/jp.{tail}", f"ap-northeast-1/apac.{tail}"]
    await client.complete(at(HAIKU), HELLO, 30)
    assert bedrock.requests[-1].model == f"ap-northeast-1/apac.{tail}", "and the id that worked is remembered"


async def test_a_model_served_through_a_profile_only_is_asked_through_its_profile(
    bedrock: BedrockServer, provider: Make
) -> None:
    plain = SONNET.removeprefix("us.")
    refused = f"Invocation of model ID {plain} with on-demand throughput isn\u2019t supported. Retry your request."
    bedrock.script(Refuse("bad_request", refused), Say("through the profile"))
    client = provider()
    answer = await client.complete(at(plain), HELLO, 30)
    assert answer["choices"][0]["message"]["content"] == "through the profile"
    await client.complete(at(plain), HELLO, 30)
    assert [a.model for a in bedrock.requests] == [f"{EAST}/{plain}", f"{EAST}/{SONNET}", f"{EAST}/{SONNET}"]


async def test_a_model_with_its_region_is_asked_there_only(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Refuse("overloaded"))
    with pytest.raises(ProviderFailure, match="eu-west-1"):
        await provider(EAST, WEST).complete(at(f"eu-west-1/{QWEN}"), HELLO, 30)
    assert [a.model for a in bedrock.requests] == [f"eu-west-1/{QWEN}"]


async def test_a_megabyte_comes_whole_and_what_is_larger_than_allowed_is_refused(
    bedrock: BedrockServer, provider: Make
) -> None:
    bedrock.script(MEGABYTE, MEGABYTE)
    client = provider()
    assert len((await client.complete(at(), HELLO, 30))["choices"][0]["message"]["content"]) > 1_000_000
    assert len(text_of(await streamed(client, HELLO))) > 1_000_000
    huge = Say("x" * (MAX_ANSWER + 1), pieces=["x" * 1_000_000] * 6)
    bedrock.script(huge, huge)
    with pytest.raises(ProviderFailure, match="larger") as raised:
        await client.complete(at(), HELLO, 30)
    assert raised.value.usage is not None, "it has to be paid all the same"
    with pytest.raises(ProviderFailure, match="larger"):
        await streamed(client, HELLO)


async def test_a_bedrock_api_key_is_sent_as_a_bearer_token_over_https_only(
    bedrock: BedrockServer, provider: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderFailure, match="https"):
        await provider(api_key="ABSK-secret-key").complete(at(), HELLO, 30)
    assert bedrock.requests == []
    secure = BedrockServer()
    secure.tls, bundle = certified(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with secure:
        await provider(api_key="ABSK-secret-key", base_url=secure.base_url + "/{region}").complete(at(), HELLO, 30)
    assert secure.requests[0].headers["authorization"] == "Bearer ABSK-secret-key"
    assert secure.requests[0].model == f"{EAST}/{SONNET}"


async def test_access_keys_can_be_configured(bedrock: BedrockServer, provider: Make) -> None:
    await provider(api_key="ASIAOTHER:its-secret:its-token").complete(at(), HELLO, 30)
    headers = bedrock.requests[0].headers
    assert "Credential=ASIAOTHER/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "its-token"


async def test_a_role_is_taken_over(bedrock: BedrockServer, provider: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bedrock.roles["arn:aws:iam::123456789012:role/models"] = "ASIATAKENOVER"
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", bedrock.base_url)
    await provider(role_arn="arn:aws:iam::123456789012:role/models").complete(at(), HELLO, 30)
    assert "Credential=ASIATAKENOVER/" in bedrock.requests[-1].headers["authorization"]
    with pytest.raises(ProviderFailure) as raised:
        await provider(role_arn="arn:aws:iam::123456789012:role/other").complete(at(), HELLO, 30)
    assert raised.value.kind == "auth"
    assert "sts:AssumeRole on role/other" in raised.value.message
    assert "trust policy" in raised.value.fix


async def test_no_credentials_at_all_is_said_before_anything_is_sent(
    bedrock: BedrockServer, provider: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ProviderFailure, match="no AWS credentials") as raised:
        await provider(EAST, WEST).complete(at(), HELLO, 30)
    assert raised.value.kind == "auth"
    assert "AWS_ACCESS_KEY_ID" in raised.value.fix
    with pytest.raises(ProviderFailure, match="no such profile"):
        await provider(profile="nobody").complete(at(), HELLO, 30)
    assert bedrock.requests == []


async def test_without_regions_aws_s_own_configuration_names_one(
    bedrock: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentflow.config_models import ProviderConfig

    config = ProviderConfig(kind="bedrock", base_url=bedrock.base_url)
    with pytest.raises(ProviderFailure, match="no region"):
        await BedrockProvider(config).complete(at(), HELLO, 30)
    for name, region in (("AWS_REGION", "eu-west-3"), ("AWS_DEFAULT_REGION", "eu-central-1")):
        monkeypatch.setenv(name, region)
        client = BedrockProvider(config)
        await client.complete(at(QWEN), HELLO, 30)
        assert bedrock.requests[-1].model == f"{region}/{QWEN}"
        await client.close()


async def test_embeddings_keep_their_order_and_count_tokens(bedrock: BedrockServer, provider: Make) -> None:
    client = provider()
    body = {"input": ["red cats", "blue dogs", "red cats"], "dimensions": 8}
    for model in (TITAN, "cohere.embed-multilingual-v3"):
        answer = await client.embed(at(model, "embedding"), body, 30)
        first, second, third = (d["embedding"] for d in answer["data"])
        assert first == third != second
    assert bedrock.requests[0].body == {"inputText": "red cats", "dimensions": 8}
    assert (await client.embed(at(TITAN, "embedding"), body, 30))["usage"]["prompt_tokens"] == 6


@pytest.mark.parametrize("given", [[], [""], [[1, 2]], 7, None], ids=["none", "empty", "tokens", "number", "missing"])
async def test_embeddings_of_what_is_no_text_are_refused(provider: Make, given: Any) -> None:
    with pytest.raises(ProviderFailure) as raised:
        await provider().embed(at(TITAN, "embedding"), {"input": given}, 30)
    assert raised.value.kind == "bad_request"


async def test_a_hundred_streams_at_once_and_no_thread_is_left(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.otherwise = Say("one two three", delay=0.3)
    client = provider(max_concurrent=100)
    answers = await asyncio.gather(*(streamed(client, HELLO) for _ in range(100)))
    assert {text_of(chunks) for chunks in answers} == {"one two three"}
    assert bedrock.most_at_once > 50
    for thread in [t for t in threading.enumerate() if t.name == "bedrock-stream"]:
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()


async def test_nothing_secret_is_in_a_failure(bedrock: BedrockServer, provider: Make) -> None:
    for kind in ("forbidden", "unauthorized", "bad_request"):
        bedrock.script(
            Refuse(kind, "AKIATESTTESTTESTTEST hello ann@example.com 123456789012" if kind != "forbidden" else "")
        )
        with pytest.raises(ProviderFailure) as raised:
            await provider().complete(at(), HELLO, 30)
        shown = f"{raised.value} {raised.value.message} {raised.value.fix}"
        for secret in (os.environ["AWS_SECRET_ACCESS_KEY"], "AKIATEST", "ann@example.com", "123456789012", "hello"):
            assert secret not in shown


async def test_a_status_that_aws_never_sends_is_still_one_failure(bedrock: BedrockServer, provider: Make) -> None:
    for status, kind in ((418, "bad_request"), (429, "rate_limit"), (599, "server"), (404, "not_found"), (401, "auth")):
        bedrock.script(Raw(b"{}", status=status))
        with pytest.raises(ProviderFailure) as raised:
            await provider().complete(at(), HELLO, 30)
        assert raised.value.kind == kind
