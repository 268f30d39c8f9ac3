"""What a client may send: one message at a time, and whatever else comes is said to be wrong in one sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.gateway.inbound import deeper, parse, refusal, request_id

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_depth_is_that_of_the_value_whatever_its_strings_hold(value: Any) -> None:
    text = json.dumps(value).encode()
    assert deeper(text, depth(value)) is False
    assert depth(value) == 0 or deeper(text, depth(value) - 1) is True


@given(st.binary())
def test_no_bytes_make_it_fail_and_whatever_is_refused_has_one_line(body: bytes) -> None:
    message, error = parse(body, 100)
    assert error is not None or message["jsonrpc"] == "2.0"
    if error is not None:
        told = refusal(error, request_id(message))
        assert told["error"]["code"] in (-32700, -32600, -32013)
        assert "\n" not in told["error"]["message"]


@given(VALUES, st.text() | st.integers(-(2**60), 2**60))
def test_a_request_is_taken_with_any_object_for_params(value: Any, number: str | int) -> None:
    sent = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"arguments": value}}
    message, error = parse(json.dumps(sent, ensure_ascii=False).encode(), 500)
    assert error is None
    assert message == sent and request_id(message) == number


@pytest.mark.parametrize("number", [None, 1.5, True, [], {}])
def test_an_id_that_is_no_id_is_refused_not_taken_for_a_notification(number: Any) -> None:
    _, error = parse(json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode(), 100)
    assert error is not None and error.code == -32600


def test_answers_of_the_client_pass_also_without_an_id_it_knows() -> None:
    for answer in ({"id": 1, "result": {}}, {"id": None, "error": {"code": -1, "message": "x"}}):
        assert parse(json.dumps({"jsonrpc": "2.0", **answer}).encode(), 100)[1] is None


def test_the_sender_of_half_a_surrogate_pair_learns_which_request_it_was() -> None:
    message, error = parse(b'{"jsonrpc":"2.0","id":"a","method":"x","params":{"t":"\\ud83d"}}', 100)
    assert error is not None and error.code == -32700 and request_id(message) == "a"
