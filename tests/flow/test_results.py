"""Reading tool results."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.flow.results import data_of, empty, failed


def _text(*texts: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text} for text in texts]}


@pytest.mark.parametrize(
    ("result", "data"),
    [
        ({"structuredContent": {"a": 1}, **_text("other")}, {"a": 1}),
        ({"structuredContent": {"result": [1, 2]}, "content": []}, [1, 2]),
        (_text('{"a": 1}'), {"a": 1}),
        (_text('{"result": []}'), []),
        (_text('{"a": 1}', '{"a": 2}'), [{"a": 1}, {"a": 2}]),
        (_text("12.5"), 12.5),
        (_text("007"), "007"),
        (_text("{broken"), "{broken"),
        (_text("[" * 5000), "[" * 5000),
        ({"content": []}, None),
        ({"content": [{"type": "resource", "resource": {"uri": "x:y", "text": "inside"}}]}, "inside"),
    ],
)
def test_data_is_structured_content_else_json_else_text(result: dict[str, Any], data: Any) -> None:
    assert data_of(result) == data


def test_an_error_result_gives_its_message() -> None:
    assert failed({"isError": True, **_text("no such order")}) == "no such order"
    assert failed({"isError": True, "content": []})
    assert failed(_text("fine")) is None


@pytest.mark.parametrize("data", [None, "", " ", [], {}, {"orders": []}, {"orders": [], "total": 0}, [None, ""]])
def test_nothing_is_empty(data: Any) -> None:
    assert empty(data)


@pytest.mark.parametrize("data", [0, False, "x", [0], {"id": 1, "items": []}, {"orders": [{}], "n": 1}])
def test_something_is_not_empty(data: Any) -> None:
    assert not empty(data)
