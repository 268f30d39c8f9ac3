"""What is read off a request before a model is chosen for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.models.routing.request import COMPLEX, complexity, prompt_tokens, routing_request

SIMPLE = [
    "Hi!",
    "What is the capital of Peru?",
    "Translate 'good morning' into French.",
    "Who is the mayor of Lyon?",
    "Convert 5 miles to kilometres.",
    "Classify this review as positive or negative: great shoes",
]
HARD = [
    "Analyse the trade-offs between these two database designs, compare their costs step by step and justify which one "
    "you would choose under the condition that writes dominate reads.",
    "Prove that the sum of the first n odd numbers is n^2, then derive the general formula for cubes.",
    "Design a caching strategy for our API:\n1. list the constraints\n2. evaluate three options\n3. plan the migration",
    "Debug this and explain why it deadlocks:\n```python\nimport threading\nlock = threading.Lock()\n```\n"
    "Then refactor it so that it cannot.",
]
json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["role", "content", "text", "type", "messages", "input", "tools", "max_tokens", "response_format"]), inner),
    max_leaves=12,
)  # fmt: skip


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize("text", SIMPLE, ids=range(len(SIMPLE)))
def test_a_look_up_is_simple(text: str) -> None:
    assert complexity(chat(text)) < COMPLEX


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_a_task_is_complex(text: str) -> None:
    assert complexity(chat(text)) >= COMPLEX


@given(st.dictionaries(st.sampled_from(["messages", "input", "tools", "max_tokens", "response_format"]), json_like))
def test_any_body_can_be_measured(body: dict[str, Any]) -> None:
    found = routing_request(body)
    assert found.prompt_tokens >= 0 and 0.0 <= found.complexity <= 1.0 and found.max_tokens > 0


def test_tokens_grow_with_text_tools_and_pictures() -> None:
    plain = prompt_tokens(chat("word " * 100))
    assert 100 <= plain <= 200
    assert prompt_tokens(chat("word " * 100, tools=[{"name": "t", "description": "d" * 350}])) > plain + 80
    pictured = {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "hi"}]}]}
    assert prompt_tokens(pictured) > 1_000
    assert prompt_tokens({"input": ["日本語のテキスト"]}) >= 6


def test_a_request_says_what_it_needs() -> None:
    body = chat("hi", max_completion_tokens=77, response_format={"type": "json_schema", "json_schema": {}})
    found = routing_request(body, tier="gold", purpose="planner", max_cost=5)
    assert (found.max_tokens, found.needs_schema, found.tier, found.purpose) == (77, True, "gold", "planner")
    assert found.context == "chat/planner/simple/short"
    assert routing_request(body, purpose="unheard of").purpose == "chat"
    assert routing_request({"input": "x"}, kind="embedding").context == "embedding"
