"""What a caller may say to a model, and what it can cost at most."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import InvalidArguments
from agentflow.models.fleet import Deployment, Price
from agentflow.models.worker.requests import MAX_TOKENS, parse

HELLO = [{"role": "user", "content": "hello"}]


def deployment(**more: Any) -> Deployment:
    price = Price(Fraction(1), Fraction(1), Fraction(1))
    return Deployment("a", "m", "m", "chat", "silver", 0.7, price, **more)


@pytest.mark.parametrize(
    "member",
    ["api_base", "api_key", "base_url", "extra_headers", "extra_body", "fallbacks", "mock_response", "caching",
     "custom_llm_provider", "litellm_params", "timeout", "num_retries", "input_cost_per_token"],
)  # fmt: skip
def test_settings_of_the_library_are_no_members_of_a_request(member: str) -> None:
    with pytest.raises(InvalidArguments, match=member):
        parse("chat", {"messages": HELLO, member: "http://evil.example"})


def test_what_a_client_says_of_itself_stays_here() -> None:
    asked = parse(
        "chat", {"messages": HELLO, "user": "ann@example.org", "metadata": {"a": 1}, "store": True, "stop": "x"}
    )
    assert asked.body == {"messages": HELLO, "stop": "x"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([], id="no object"),
        pytest.param({}, id="no messages"),
        pytest.param({"messages": []}, id="none"),
        pytest.param({"messages": ["hello"]}, id="no objects"),
        pytest.param({"messages": [{"role": "wizard", "content": "x"}]}, id="role"),
        pytest.param({"messages": [{"role": "user", "content": 5}]}, id="content"),
        pytest.param({"messages": HELLO, "max_tokens": 0}, id="no tokens"),
        pytest.param({"messages": HELLO, "max_tokens": True}, id="true tokens"),
        pytest.param({"messages": HELLO, "max_tokens": 5, "max_completion_tokens": 6}, id="two bounds"),
        pytest.param({"messages": HELLO, "temperature": "hot"}, id="temperature"),
        pytest.param({"messages": HELLO, "n": 1000}, id="choices"),
        pytest.param({"messages": HELLO, "tools": [{"type": "function"}]}, id="tools"),
        pytest.param({"messages": HELLO, "response_format": "json"}, id="format"),
        pytest.param({"messages": HELLO, "model": 5}, id="model"),
        pytest.param({"messages": HELLO, "stream": "yes"}, id="stream"),
        pytest.param({"messages": HELLO, "agentflow": {"tenant": 5}}, id="tenant"),
        pytest.param({"messages": HELLO, "agentflow": {"run_cost": -5}}, id="negative"),
        pytest.param({"messages": HELLO, "agentflow": {"nonsense": 1}}, id="unknown"),
    ],
)
def test_a_malformed_request_is_refused(body: object) -> None:
    with pytest.raises(InvalidArguments):
        parse("chat", body)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([1, 2, 3], id="tokens"),
        pytest.param([[1, 2]], id="lists of tokens"),
        pytest.param("", id="empty"),
        pytest.param(["a", ""], id="one empty"),
        pytest.param(["a"] * 5000, id="too many"),
        pytest.param(None, id="nothing"),
    ],
)
def test_only_texts_are_embedded(given: object) -> None:
    with pytest.raises(InvalidArguments):
        parse("embedding", {"input": given})


def test_no_tools_are_the_same_as_an_empty_list_of_them() -> None:
    asked = parse("chat", {"messages": HELLO, "tools": [], "tool_choice": "auto"})
    assert asked.body == {"messages": HELLO}


@pytest.mark.parametrize("name", [None, "", "auto"])
def test_without_a_name_the_router_chooses(name: str | None) -> None:
    assert parse("chat", {"messages": HELLO, "model": name}).model is None


def test_an_answer_is_always_bounded() -> None:
    asked = parse("chat", {"messages": HELLO})
    assert asked.for_deployment(deployment())[0]["max_tokens"] == MAX_TOKENS
    assert asked.for_deployment(deployment(max_output=500)) == ({"messages": HELLO, "max_tokens": 500}, 500)
    assert asked.for_deployment(deployment(context_window=1000))[1] < 1000
    many = parse("chat", {"messages": HELLO, "max_completion_tokens": 100, "n": 3})
    body, most = many.for_deployment(deployment(max_output=50))
    assert (body["max_completion_tokens"], most) == (50, 150)


@given(st.text())
def test_a_prompt_has_at_most_as_many_tokens_as_bytes(text: str) -> None:
    asked = parse("chat", {"messages": [{"role": "user", "content": text.encode("utf-8", "ignore").decode()}]})
    assert asked.bound >= len(text.encode("utf-8", "ignore"))
    assert asked.route.prompt_tokens <= asked.bound


def test_the_bytes_of_a_picture_are_not_its_tokens() -> None:
    url = "data:image/png;base64," + "A" * 1_000_000
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    assert parse("chat", {"messages": [{"role": "user", "content": parts}]}).bound < 10_000
