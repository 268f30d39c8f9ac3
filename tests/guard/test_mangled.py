"""Tokens come back from whatever a model makes of them, and nothing else is touched."""

from __future__ import annotations

import html
import json
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard import tokens
from agentflow.guard.mangled import candidates

NAME = "EMAIL_1f3a9c2e"


def names(text: str) -> set[str]:
    return {span.name for offer in candidates(text) for span in offer}


def without(text: str, name: str) -> str:
    """The text without the first thing that may be `name`."""
    span = next(span for offer in candidates(text) for span in offer if span.name == name)
    return text[: span.start] + text[span.end :]


@pytest.mark.parametrize(
    "shape",
    [
        "<EMAIL_ 1f3a 9c2e>", "<EMAIL_1f3a-9c2e>", "EMAIL 1f3a9c2e", "<EM\u00adAIL_1f3a9c2e>", "email-1f3a9c2e",
        "<EMAIL_1f\u200b3a9c2e>", "<EMAIL_1f3a\n    9c2e>", "＜EMAIL_1f3a9c2e＞", "<EMAIL_1f3a9c2e", "EMAIL_1f3a9c2e>",
        "%253CEMAIL_1f3a9c2e%253E", "%3CEMAIL%5F1f3a9c2e%3E", "&lt;EMAIL&#95;1f3a9c2e&gt;", "< EMAIL_1f3a9c2e >",
        "\\u003cEMAIL\\u005f1f3a9c2e\\u003e", "&amp;lt;EMAIL_1f3a9c2e&amp;gt;", "[REDACTED EMAIL 1f3a9c2e]",
        "[REDACTED_EMAIL_1f3a9c2e", "{EMAIL: 1f3a9c2e}", "EMAIL\\_1f3a9c2e", "EMAIL_1f3a\\n9c2e", "【EMAIL_1f3a9c2e】",
        "<EMAIL_1f3a%209c2e>", "<EMAIL_1f3a&nbsp;9c2e>", "<EMAIL_1f3a&shy;9c2e>", "\\<EMAIL\\_1f3a9c2e\\>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "write to {}, please", '"{}"', "{}'s box", "a decade {} be added"])
def test_a_broken_token_is_found_whole(shape: str, around: str) -> None:
    text = around.format(shape)
    assert without(text, NAME) == around.format("")
    assert tokens.suspect(json.dumps(text, ensure_ascii=False).encode())


def test_italics_are_not_part_of_it() -> None:
    assert without("_EMAIL_1f3a9c2e_", NAME) == "__"


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("<EMPLOYEE ID 1f3a9c2e>", "EMPLOYEE_ID_1f3a9c2e"), ("<EMPLOYEE_ID_1f3a 9c2e>", "EMPLOYEE_ID_1f3a9c2e"),
        ("EMPLOYEE_ID_1f3a9c2e", "EMPLOYEE_ID_1f3a9c2e"), ("<EMP\nLOYEE_ID_1f3a9c2e>", "EMPLOYEE_ID_1f3a9c2e"),
        ("url credentials 1f3a9c2e", "URL_CREDENTIALS_1f3a9c2e"), ("8000 0000 0000 0000", "8000000000000000"),
        ("8,123,456,789,012,345", "8123456789012345"), ("<CARD_0123 4567 89ab>", "CARD_0123456789ab"),
    ],
)  # fmt: skip
def test_other_types_and_numbers_too(shape: str, name: str) -> None:
    assert without(f"x {shape} y", name) == "x  y"


@pytest.mark.parametrize(
    "text",
    [
        "a decade fed by a facade", "phone 555 0123", "call 12345678 now", "commit deadbeef", "v1.2.3-1f3a9c2e",
        "550e8400-e29b-41d4-a716-446655440000", "2026-11-20 12:00:00", "sha256:0123456789abcdef", "order id 1f3a9c2e",
        "#1f3a9c2e", "<b>1f3a9c2e</b>", "x = [1, 2]", "user_1f3a9c2e", "8000 0000 0000 00001", "be faced, dead bee",
    ],
)  # fmt: skip
def test_ordinary_text_holds_none(text: str) -> None:
    assert candidates(text) == []


manglings: list[Callable[[str, int], str]] = [
    lambda text, seed: text.lower(),
    lambda text, seed: text.upper(),
    lambda text, seed: json.dumps(text)[1:-1],
    lambda text, seed: json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e")[1:-1],
    lambda text, seed: html.escape(text),
    lambda text, seed: quote(text),
    lambda text, seed: quote(quote(text)),
    lambda text, seed: text.replace("_", "\\_"),
    lambda text, seed: text.strip("<>[]"),
    lambda text, seed: text.replace("<", "＜").replace(">", "＞"),
    lambda text, seed: _inserted(text, seed, "\u200b"),
    lambda text, seed: _inserted(text, seed, "\u00ad"),
    lambda text, seed: _inserted(text, seed, "\u2060"),
    lambda text, seed: _in_hex(text, seed, " "),
    lambda text, seed: _in_hex(text, seed, "\n  "),
    lambda text, seed: _in_hex(text, seed, "-"),
    lambda text, seed: text.replace("_", "_ "),
]


def _inserted(text: str, seed: int, what: str) -> str:
    place = 2 + seed % (len(text) - 3)
    return text[:place] + what + text[place:]


def _in_hex(text: str, seed: int, what: str) -> str:
    start = text.rindex("_") + 2
    place = start + seed % 6
    return text[:place] + what + text[place:]


types = st.sampled_from(["EMAIL", "URL_CREDENTIALS", "UK_NHS", "PERSON", "EMPLOYEE_ID"])
hexes = st.sampled_from([8, 12, 16]).flatmap(lambda n: st.text("0123456789abcdef", min_size=n, max_size=n))
fit = hexes.filter(lambda text: not text.isdigit() and not text.isalpha())


@given(types, fit, st.sampled_from(["angle", "redacted"]), st.sampled_from(manglings), st.integers(0, 999))
def test_any_token_comes_back_from_any_mangling(
    kind: str, digits: str, style: str, mangle: Callable[[str, int], str], seed: int
) -> None:
    name = f"{kind}_{digits}"
    shape = mangle(tokens.render(name, style), seed)
    if kind not in tokens.KNOWN and "_" not in shape:
        return  # nothing is left that would tell it from a word
    text = f'see "{shape}", then go on'
    if kind not in tokens.KNOWN and shape[0].isalpha() and shape == shape.lower():
        return  # bare, of a type of one's own, and in lower case: reads like a variable
    assert name in names(text)


@given(st.text(alphabet=string.printable + "<>[]_ \u200b\u00adEMAILemail0123456789abcdef%&\\", max_size=120))
def test_places_are_in_order_and_within_the_text(text: str) -> None:
    end = 0
    for offer in candidates(text):
        assert end <= min(span.start for span in offer)
        end = max(span.end for span in offer)
        assert end <= len(text)
        assert all(span.start < span.end for span in offer)


@given(st.text(alphabet="<EMAIL_1f3a9c2e> \u200b-%&;\\n", max_size=60))
def test_the_quick_look_is_never_wrong_about_no(text: str) -> None:
    if candidates(text):
        assert tokens.suspect(text.encode())
        assert tokens.suspect(json.dumps(text, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "unit",
    ["a_1 ", "d ", "a_" + " " * 90, "<", "[EMAIL_", "EMAIL_1f3a9c2 ", "a-1%20", "\\u003c", "_1f3a9c2e", "a\u200b"],
)
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    candidates(text)
    tokens.suspect(text.encode())
