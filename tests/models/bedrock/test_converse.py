"""A request in OpenAI's shape, as Bedrock's Converse API wants it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agentflow.models.bedrock.answers import Chunks, completion_of
from agentflow.models.bedrock.converse import converse_request
from agentflow.models.bedrock.failures import BedrockFailure
from agentflow.models.bedrock.regions import Place, Places, ids_in, split
from tests.model_servers.bedrock import QWEN, SONNET

ADD = {"type": "function", "function": {"name": "add", "description": "", "parameters": {"type": "object"}}}
CALL = {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_roles_alternate_and_blank_texts_are_left_out() -> None:
    request = converse_request(
        SONNET,
        {
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "developer", "content": [{"type": "text", "text": "and kind"}]},
                {"role": "assistant", "content": "welcome"},
                user("one"),
                user("  "),
                user([{"type": "text", "text": "two"}]),
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "t1", "content": "3"},
                user("and?"),
            ]
        },
    )
    assert request["system"] == [{"text": "be brief"}, {"text": "and kind"}]
    assert request["messages"] == [
        {"role": "user", "content": [{"text": "Continue."}]},
        {"role": "assistant", "content": [{"text": "welcome"}]},
        {"role": "user", "content": [{"text": "one"}, {"text": "two"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": 1}}}]},
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "3"}]}}, {"text": "and?"}],
        },
    ]
    assert request["toolConfig"]["tools"][0]["toolSpec"]["name"] == "add", "wanted as soon as a tool was used"


def test_tools_keep_schema_and_choice() -> None:
    body = {"messages": [user("x")], "tools": [ADD], "tool_choice": {"function": {"name": "add"}}}
    config = converse_request(SONNET, body)["toolConfig"]
    spec = {"name": "add", "description": "add", "inputSchema": {"json": {"type": "object"}}}
    assert config == {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": "add"}}}
    assert "toolConfig" not in converse_request(SONNET, {**body, "tool_choice": "none"})
    assert "toolChoice" not in converse_request(SONNET, {**body, "tool_choice": "auto"})["toolConfig"]


def test_inference_settings_are_the_ones_of_converse() -> None:
    body = {"messages": [user("x")], "max_completion_tokens": 9, "temperature": 1.5, "top_p": 0.5, "stop": "END"}
    assert converse_request(QWEN, body)["inferenceConfig"] == {
        "maxTokens": 9, "temperature": 1.0, "topP": 0.5, "stopSequences": ["END"],
    }  # fmt: skip
    assert "topP" not in converse_request(SONNET, body)["inferenceConfig"], "Claude 4.5 takes one of them only"


def test_a_picture_goes_along_as_bytes() -> None:
    url = "data:image/png;base64," + base64.b64encode(b"png").decode()
    request = converse_request(SONNET, {"messages": [user([{"type": "image_url", "image_url": {"url": url}}])]})
    assert request["messages"][0]["content"] == [{"image": {"format": "png", "source": {"bytes": b"png"}}}]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [user(" ")]},
        {"messages": [user("x")], "n": 2},
        {"messages": [user(7)]},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [user([{"type": "input_audio"}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,%"}}])]},
        {"messages": [user("x")], "response_format": {"type": "json_schema", "json_schema": {"schema": 7}}},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]},
    ],
    ids=[
        "no message", "blank", "two choices", "number", "role", "audio", "address", "base64", "schema", "arguments",
    ],
)  # fmt: skip
def test_what_converse_cannot_do_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BedrockFailure) as raised:
        converse_request(SONNET, body)
    assert raised.value.kind == "bad_request"


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "stop"),
    ],
)
def test_every_stop_reason_has_a_finish_reason(stop: str, finish: str) -> None:
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": stop}
    whole = completion_of(answer, SONNET)
    assert whole["choices"][0]["finish_reason"] == finish
    assert "usage" not in whole, "tokens that nobody counted are not made up"
    assert [c["choices"][0]["finish_reason"] for c in Chunks(SONNET).of({"messageStop": {"stopReason": stop}})] == [
        finish
    ]


def test_reasoning_and_citations_come_along() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"citationsContent": {"content": [{"text": "as written"}], "citations": []}},
    ]
    answer = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn"}
    message = completion_of(answer, SONNET)["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("as written", "hm")
    chunks = Chunks(SONNET)
    (chunk,) = chunks.of({"contentBlockDelta": {"delta": {"reasoningContent": {"text": "hm"}}}})
    assert chunk["choices"][0]["delta"] == {"reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("region", "model", "ids"),
    [
        ("us-east-1", "us.anthropic.x", ("us.anthropic.x",)),
        ("eu-west-1", "us.anthropic.x", ("eu.anthropic.x",)),
        ("ap-south-1", "us.anthropic.x", ("apac.anthropic.x",)),
        ("ap-northeast-1", "eu.anthropic.x", ("jp.anthropic.x", "apac.anthropic.x")),
        ("us-gov-west-1", "us.anthropic.x", ("us-gov.anthropic.x",)),
        ("eu-west-1", "global.anthropic.x", ("global.anthropic.x",)),
        ("me-central-1", "us.anthropic.x", ("us.anthropic.x",)),
        ("eu-west-1", "qwen.qwen3-32b-v1:0", ("qwen.qwen3-32b-v1:0",)),
    ],
)
def test_a_profile_is_the_one_of_the_region_s_geography(region: str, model: str, ids: tuple[str, ...]) -> None:
    assert ids_in(region, model) == ids


def test_a_model_may_name_its_region() -> None:
    arn = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc"
    assert split(f"eu-west-1/{QWEN}") == ("eu-west-1", QWEN)
    assert split(arn) == ("eu-west-1", arn)
    assert split(QWEN) == (None, QWEN)


def test_a_region_in_trouble_comes_last_and_is_first_again_in_time() -> None:
    now = [0.0]
    places = Places(("us-east-1", "us-west-2"), lambda: now[0])
    east, west = Place("us-east-1", QWEN), Place("us-west-2", QWEN)
    assert places.of(QWEN) == [east, west]
    places.failed(east, "server")
    places.failed(west, "bad_request")
    assert places.of(QWEN) == [west, east], "a request that is wrong says nothing of the region"
    assert places.of(SONNET)[0].region == "us-east-1", "another model may well work there"
    now[0] = 16.0
    assert places.of(QWEN) == [east, west]
    places.failed(east, "server")
    places.worked(QWEN, east)
    assert places.of(QWEN) == [east, west]
