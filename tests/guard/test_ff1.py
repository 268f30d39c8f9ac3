"""FF1 gives what the standard's samples say, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard import ff1

AES_128 = "2B7E151628AED2A6ABF7158809CF4F3C"
AES_192 = AES_128 + "EF4359D8D580AA4F"
AES_256 = AES_192 + "7F036D6F04FC6A94"
TWEAK = "39383736353433323130"


@pytest.mark.parametrize(
    ("key", "tweak", "expected"),
    [
        (AES_128, "", "2433477484"), (AES_128, TWEAK, "6124200773"),
        (AES_192, "", "2830668132"), (AES_192, TWEAK, "2496655549"),
        (AES_256, "", "6657667009"), (AES_256, TWEAK, "1001623463"),
    ],
)  # fmt: skip
def test_the_samples_of_the_standard_hold(key: str, tweak: str, expected: str) -> None:
    shown = ff1.encrypt(bytes.fromhex(key), bytes.fromhex(tweak), "0123456789")
    assert shown == expected
    assert ff1.decrypt(bytes.fromhex(key), bytes.fromhex(tweak), shown) == "0123456789"


@given(st.text("0123456789", min_size=6, max_size=120), st.binary(max_size=40))
def test_every_string_of_digits_comes_back_as_long_as_it_was(digits: str, tweak: bytes) -> None:
    shown = ff1.encrypt(bytes(32), tweak, digits)
    assert len(shown) == len(digits)
    assert ff1.decrypt(bytes(32), tweak, shown) == digits


@pytest.mark.parametrize("text", ["", "12345", "12345a", "１２３４５６"])
def test_what_is_too_short_or_no_digit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal digits"):
        ff1.encrypt(bytes(32), b"", text)
