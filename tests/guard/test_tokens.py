"""Tokens are found in whatever shape a model leaves them, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard import tokens

NAME = "EMAIL_1f3a9c2e"


@pytest.mark.parametrize(
    "shape",
    [
        "<EMAIL_1f3a9c2e>", "[REDACTED_EMAIL_1f3a9c2e]", "<REDACTED_EMAIL_1f3a9c2e>", "[EMAIL_1f3a9c2e]",
        "<email_1F3A9C2E>", "EMAIL_1f3a9c2e", "email_1f3a9c2e", "\\u003cEMAIL_1f3a9c2e\\u003e",
        "\\\\u003cEMAIL_1f3a9c2e\\\\u003e", "&lt;EMAIL_1f3a9c2e&gt;", "&#60;EMAIL_1f3a9c2e&#62;",
        "%3CEMAIL_1f3a9c2e%3E", "%3cEMAIL_1f3a9c2e%3e", "%5BREDACTED_EMAIL_1f3a9c2e%5D", "<EMAIL\\_1f3a9c2e>",
        "EMAIL_1f3a9c2e@redacted.invalid", "EMAIL_1f3a9c2e%40redacted.invalid",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", '"{}"', "to '{}', please", "`{}`", "**{}**", "({})", "a={}&b=1", "x {}."])
def test_a_token_is_found_whole_however_it_is_spelled(shape: str, around: str) -> None:
    text = around.format(shape)
    (span,) = tokens.find(text)
    assert span.name == NAME
    assert text[: span.start].rstrip("\\") + text[span.end :].lstrip("\\") == around.format("")
    assert tokens.suspect(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "9EMAIL_1f3a9c2e",
        "myemail_1f3a9c2e",
        "EMAIL_1f3a9c2eff",
        "EMAIL_1f3a",
        "EMAIL_xyzxyzxy",
        "EMAIL 1f3a9c2e",
        "shoe_1f3a9c2e",
        "SHOE_1F3A9C2E",
        "X_1f3a9c2e",
        "[1] [SHOE](EMAIL)",
        "",
        "_",
    ],
)
def test_other_text_is_no_token(text: str) -> None:
    assert tokens.find(text) == []


def test_longer_names_are_read_whole() -> None:
    text = "<URL_CREDENTIALS_0123456789abcdef> <CARD_0123456789ab>"
    assert [span.name for span in tokens.find(text)] == ["URL_CREDENTIALS_0123456789abcdef", "CARD_0123456789ab"]


def test_number_tokens_are_found_in_text_but_not_inside_other_numbers() -> None:
    number = str(tokens.NUMBER_FIRST + 12345)
    assert [span.name for span in tokens.find(f"pay with {number}, and <{NAME}>")] == [number, NAME]
    assert tokens.find(f"1{number} {number}1 0.{number} {number}.5 x{number}") == []


@pytest.mark.parametrize(
    ("escape", "expected"), [("", 'a"<b&'), ("json", 'a\\"<b&'), ("html", "a&quot;&lt;b&amp;"), ("url", "a%22%3Cb%26")]
)
def test_a_value_is_spelled_like_its_token_was(escape: tokens.Escape, expected: str) -> None:
    assert tokens.escaped('a"<b&', escape) == expected


@given(st.text(alphabet="EMAILemail_0123456789abcdef<>[]\\&;%3C u", max_size=80))
def test_spans_are_in_order_and_within_the_text(text: str) -> None:
    end = 0
    for span in tokens.find(text):
        assert end <= span.start < span.end <= len(text)
        end = span.end


@given(st.sampled_from(["angle", "redacted"]), st.text(max_size=20), st.text(max_size=20))
def test_what_is_rendered_is_found_again(style: tokens.TokenFormat, before: str, after: str) -> None:
    text = f"{before} {tokens.render(NAME, style)} {after}"
    assert NAME in [span.name for span in tokens.find(text)]
