"""What counts as an answer, what it used, and what an error of a provider means; nothing of its words is repeated."""

from __future__ import annotations

import contextlib
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow import errors
from agentflow.models.worker.answers import (
    Assembled,
    as_chunks,
    check_completion,
    check_embeddings,
    tokens_of,
)
from agentflow.models.worker.failures import refusal, retry_after
from agentflow.models.worker.provider import ProviderFailure
from agentflow.models.worker.wire import error_body, error_of

JSON_VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "message", "content", "tool_calls", "function", "name", "index", "usage"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def answer(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


def call(name: str, arguments: object) -> dict[str, Any]:
    return answer(content=None, tool_calls=[{"id": "1", "function": {"name": name, "arguments": arguments}}])


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([], id="no object"),
        pytest.param({"answer": "x"}, id="another shape"),
        pytest.param({"choices": []}, id="no choices"),
        pytest.param({"choices": [{"text": "x"}]}, id="no message"),
        pytest.param(answer(content=5), id="a number"),
        pytest.param(answer(content=None), id="nothing"),
        pytest.param(answer(content="", tool_calls="add"), id="calls that are none"),
        pytest.param(call("subtract", "{}"), id="a tool that was not offered"),
        pytest.param(call("add", '{"a": '), id="half of the arguments"),
        pytest.param(call("add", "[1]"), id="a list of arguments"),
        pytest.param(call("add", {"a": 1}), id="arguments that are not text"),
    ],
)
def test_what_is_no_answer_is_refused(wrong: object) -> None:
    with pytest.raises(ProviderFailure) as caught:
        check_completion(wrong, {"add"})
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "right",
    [
        pytest.param(answer(content="hello"), id="text"),
        pytest.param(answer(content=""), id="no words"),
        pytest.param(call("add", '{"a": 1}'), id="a call"),
        pytest.param(call("add", ""), id="a call without arguments"),
        pytest.param(answer(content=None, refusal="I may not"), id="a refusal"),
    ],
)
def test_an_answer_is_an_answer_whole_or_in_parts(right: dict[str, Any]) -> None:
    assert check_completion(right, {"add"}) is right
    so_far = Assembled({"add"})
    for chunk in as_chunks(right):
        so_far.add(chunk)
    told, again = right["choices"][0]["message"], so_far.completion()["choices"][0]["message"]
    assert (again.get("content") or "") == (told.get("content") or "")
    assert len(again.get("tool_calls", [])) == len(told.get("tool_calls", []))


@given(JSON_VALUES)
def test_nothing_that_a_provider_sends_is_more_than_a_failure(value: object) -> None:
    for look in (
        lambda: check_completion(value, {"add"}),
        lambda: check_embeddings(value, 1),
        lambda: Assembled({"add"}).add(value),
        lambda: tokens_of(value, 5, 5),
        lambda: refusal(400, {}, value),
    ):
        with contextlib.suppress(ProviderFailure):
            look()


def test_a_stream_without_an_end_is_no_answer() -> None:
    so_far = Assembled(None)
    so_far.add({"choices": [{"index": 0, "delta": {"content": "half an an"}}]})
    with pytest.raises(ProviderFailure, match="broke off"):
        so_far.completion()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"prompt_tokens": 9, "completion_tokens": 4}, (9, 4, 0, True), id="reported"),
        pytest.param({"prompt_tokens": 9, "total_tokens": 12}, (9, 3, 0, True), id="by the sum"),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 50}},
            (9, 4, 9, True),
            id="more cached than sent",
        ),
        pytest.param(
            {"prompt_tokens": 90, "completion_tokens": 4, "cache_creation_input_tokens": 30},
            (90, 4, 0, True),
            id="kept",
        ),
        pytest.param({"prompt_tokens": -9, "completion_tokens": 4}, (100, 5, 0, False), id="negative"),
        pytest.param({"prompt_tokens": 10**12, "completion_tokens": 4}, (100, 5, 0, False), id="absurd"),
        pytest.param(None, (100, 5, 0, False), id="silence"),
    ],
)
def test_tokens_are_those_reported_or_estimated(usage: object, expected: tuple[int, int, int, bool]) -> None:
    told = tokens_of(usage, 100, 20)
    assert (told.prompt, told.completion, told.cached, told.reported) == expected


def test_embeddings_come_in_the_order_of_their_texts() -> None:
    told = {"data": [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.0]}]}
    assert [item["embedding"] for item in check_embeddings(told, 2)["data"]] == [[0.0], [1.0]]
    for wrong in ({"data": told["data"][:1]}, {"data": [{"embedding": []}] * 2}, {"data": None}):
        with pytest.raises(ProviderFailure):
            check_embeddings(wrong, 2)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (429, "slow down", "rate_limit"),
        (429, "You exceeded your current quota (insufficient_quota)", "auth"),
        (401, "no", "auth"),
        (403, "no", "auth"),
        (404, "The model does not exist", "not_found"),
        (302, "", "not_found"),
        (400, "This model's maximum context length is 8192 tokens", "context_window"),
        (400, "prompt is too long: 212000 tokens > 200000 maximum", "context_window"),
        (400, "The input token count (9999) exceeds the maximum number of tokens allowed", "context_window"),
        (413, "", "context_window"),
        (400, "The response was filtered due to content management policy: content_filter", "content_filter"),
        (400, "Unrecognized argument", "bad_request"),
        (422, "", "bad_request"),
        (500, "", "server"),
        (529, "overloaded", "server"),
    ],
)
def test_a_status_means_one_thing(status: int, message: str, kind: str) -> None:
    told = refusal(status, {}, {"error": {"message": message}})
    assert told.kind == kind
    assert message not in told.message or not message


def test_of_a_providers_words_only_codes_are_repeated() -> None:
    error = {"message": "key sk-abc and the prompt", "code": "invalid_value", "param": "tools[0].name", "type": "a b c"}
    told = refusal(400, {}, {"error": error})
    assert told.message == "it refused the request (400, invalid_value tools[0].name)"
    assert told.param == "tools[0].name"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after-ms": "250", "retry-after": "7"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after": "-5"}, 0.0, id="past"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"retry-after": "1e99"}, 86_400.0, id="for ever"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_when_to_come_back_is_read_as_providers_write_it(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_when_to_come_back_may_be_a_date() -> None:
    told = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert told is not None
    assert 0 <= told <= 31


@pytest.mark.parametrize(
    "error",
    [
        errors.BudgetExceeded("no money", fix="earn some", budget="b", left=5),
        errors.LimitExceeded("too fast", retry_after=2.5),
        errors.ModelUnavailable("nobody", attempts=["a: b"]),
        errors.ContentBlocked("no"),
        errors.UpstreamTimeout("late"),
        errors.StoreUnavailable("gone"),
        errors.InvalidArguments("what"),
    ],
    ids=lambda error: error.kind,
)
def test_an_error_crosses_the_socket_unharmed(error: errors.AgentFlowError) -> None:
    status, body = error_body(error)
    again = error_of(body)
    assert status >= 400
    assert (type(again), again.message, again.fix, again.data) == (type(error), error.message, error.fix, error.data)


def test_what_is_none_of_our_errors_crosses_without_its_text() -> None:
    assert "secret" not in str(error_body(ValueError("secret"))[1])
    assert isinstance(error_of({"error": "secret"}), errors.ModelUnavailable)
    assert isinstance(error_of(None), errors.ModelUnavailable)
