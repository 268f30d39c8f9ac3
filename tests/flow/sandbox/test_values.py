"""What a program's value becomes as JSON."""

from __future__ import annotations

import datetime
import decimal
import fractions
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.flow.sandbox.values import TooLarge, plain

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_stays_what_it_is(value: Any) -> None:
    try:
        value_as_text = json.dumps(value).encode("utf-8").decode()
        json.loads(value_as_text).__repr__().encode()
    except UnicodeEncodeError:
        return
    assert plain(value, 1_000_000) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ((1, 2), [1, 2]),
        ({3, 1}, [1, 3]),
        ({1: "a", (1, 2): "b", None: "c"}, {"1": "a", "[1, 2]": "b", "None": "c"}),
        (2**70, str(2**70)),
        (float("inf"), "inf"),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (datetime.date(2026, 11, 20), "2026-11-20"),
        (b"abc", "abc"),
        (len, "<built-in function len>"),
        ("\ud800", "?"),
    ],
    ids=["tuple", "set", "keys", "large", "infinite", "decimal", "fraction", "date", "bytes", "object", "surrogate"],
)
def test_what_json_cannot_hold_is_told_in_its_words(value: Any, shown: Any) -> None:
    assert plain(value, 10_000) == shown


@pytest.mark.parametrize(
    "value", ["x" * 2_000, list(range(1_000)), 10**6_000, {"k" * 2_000: 1}], ids=["text", "list", "digits", "key"]
)
def test_what_is_too_large_is_refused(value: Any) -> None:
    with pytest.raises(TooLarge):
        plain(value, 1_000)


def test_what_is_nested_too_deep_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100):
        value = [value]
    with pytest.raises(TooLarge):
        plain(value, 1_000_000)
    value.append(value)
    with pytest.raises(TooLarge):
        plain(value, 1_000_000)
