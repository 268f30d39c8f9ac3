"""The deep tier's worker never writes down what it analysed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentflow.guard.deep import worker


def test_an_error_is_told_without_the_text_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing:
        def find(self, texts: list[Any]) -> list[Any]:
            raise ValueError(f"cannot read {texts!r}")

    kind, body = worker._answer(b"Q", json.dumps([["Margaret Hamilton", ""]]).encode(), {"analyser": Failing()})
    said = capsys.readouterr().err
    assert (kind, body) == (b"E", b"ValueError in the deep tier")
    assert "ValueError" in said and " in find" in said and "Hamilton" not in said
