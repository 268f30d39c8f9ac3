"""Text that assigns and assigns: what is judged stays in proportion to the text, and real secrets are still found."""

from __future__ import annotations

import re

import pytest

from agentflow.guard.secrets import assigned, looks
from agentflow.guard.secrets.matcher import SecretMatcher

_WORDS = sorted(
    {
        word.strip("_")
        for word in re.split(r"[|()]", f"{assigned._SECRECY}|{assigned._SERVICES}".replace(r"\b", ""))
        if re.fullmatch(r"[a-z_]{3,}", word)
    }
    | {"key", "AccountKey", "api_key", "sig", "auth", "access", "pass", "DB_PASSWORD"}
)
_UNITS = (
    "key=", "key=key=", "token: ", "AccountKey=", 'password="', "secret=>", "key=token=secret=", "key=" * 8 + " ",
    "token=x1" * 8 + " ", 'password="a b', "name: token, value: ab1x9k ",
)  # fmt: skip
_SIZE = 100_000


@pytest.mark.parametrize("unit", [*_UNITS, *(f"{word}=" for word in _WORDS)])
def test_what_is_judged_is_bounded_by_the_text(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []

    def surprise(text: str) -> float:
        judged.append(len(text))
        return measured(text)

    measured = looks.surprise
    monkeypatch.setattr(looks, "surprise", surprise)
    SecretMatcher().find((unit * _SIZE)[:_SIZE])
    assert sum(judged) <= 6 * _SIZE
    assert max(judged, default=0) <= 256


def test_a_secret_behind_other_assignments_is_found_whole() -> None:
    secret = "x9Kq2mZ7v1Lp4nT8wRb3Yc6H"
    for text in (f"key=token={secret}", f"conn key=key=key=key=token={secret} end", f'password="{secret}"'):
        (found,) = SecretMatcher().find(text)
        assert text[found.start : found.end].endswith(secret)


def test_a_secret_longer_than_what_is_judged_is_taken_out_whole() -> None:
    secret = "x9Kq2mZ7v1Lp4nT8wRb3Yc6H" * 30
    (found,) = SecretMatcher().find(f"API_TOKEN={secret} end")
    assert found.end - found.start == len(secret)
