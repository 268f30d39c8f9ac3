"""Amounts between dollars and nano-dollars: exact, and readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.models.money.amounts import MOST, dollars, exact, nano_of


@pytest.mark.parametrize(
    ("text", "nano"),
    [("50", 50 * 10**9), ("$12.50", 12_500_000_000), (" 1,000.00 ", 10**12), (".5", 5 * 10**8), ("0", 0),
     ("0.000000001", 1), ("5 USD", 5 * 10**9), ("1000000000", MOST)],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(text: str, nano: int) -> None:
    assert nano_of(text) == nano


@pytest.mark.parametrize(
    "text",
    ["", "-5", "1e3", "five", "1.2.3", "1,00", "0.0000000001", "99999999999", "NaN", "$", ".", "５", "1000000000.01"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount|more than can be counted"):
        nano_of(text)


@given(st.integers(0, MOST))
def test_what_is_written_exactly_is_read_again(nano: int) -> None:
    assert nano_of(exact(nano)) == nano
    shown = nano_of(dollars(nano))
    assert abs(shown - nano) <= (5_000_000 if nano >= 10_000_000 else nano // 20)


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (172_499, "$0.00017"),
        (2_000_000, "$0.0020"),
        (9_999_999, "$0.0100"),
        (10_000_000, "$0.01"),
        (1_234_567_890_000, "$1,234.57"),
        (-5 * 10**9, "$-5.00"),
        (999_999_999, "$1.00"),
    ],
)
def test_dollars_are_rounded_to_the_cent_and_little_to_two_digits(nano: int, said: str) -> None:
    assert dollars(nano) == said.replace("$-", "-$")
