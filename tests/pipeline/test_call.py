"""A message is serialised once for all stages, and never told as it was before a stage changed it."""

from __future__ import annotations

from agentflow.pipeline.call import Direction, Message


def test_a_body_is_serialised_once() -> None:
    message = Message("tools/call", Direction.OUTBOUND, {"a": "é"})
    assert message.data == '{"a":"é"}'.encode()
    assert message.data is message.data


def test_a_replaced_body_is_serialised_anew() -> None:
    message = Message("tools/call", Direction.OUTBOUND, {"a": "alice@example.com"})
    assert message.data
    message.body = {"a": "<EMAIL_1f3a9c2e>"}
    assert message.data == b'{"a":"<EMAIL_1f3a9c2e>"}'


def test_a_replaced_body_is_known_by_another_digest() -> None:
    message = Message("tools/call", Direction.OUTBOUND, {"a": 1})
    first = message.digest
    message.body = {"a": 2}
    assert message.digest != first
    message.body = {"a": 1}
    assert message.digest == first


def test_a_body_that_is_no_json_has_no_serialised_form() -> None:
    message = Message("tools/call", Direction.OUTBOUND, {"a": 2**70})
    assert message.data is None
    message.body = {"a": 1}
    assert message.data == b'{"a":1}'
