"""`${VAR}` in configuration values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.settings.expansion import escape, expand, literal_part

VARIABLES = {"A": "one", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${A:-two}", "one"),
        ("${B:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${B:-}", ""),
        ("${env:A}", "one"),
        ("$A and $5", "$A and $5"),
        ("$${A}", "${A}"),
        ("$$", "$"),
    ],
)
def test_references_are_replaced_as_a_shell_would(text: str, expected: str) -> None:
    expanded = expand(text, VARIABLES)
    assert (expanded.text, expanded.problems) == (expected, [])


@pytest.mark.parametrize("text", ["${B}", "${input:key}", "${1x}", "${A", "${}"])
def test_what_cannot_be_replaced_is_reported_and_stays(text: str) -> None:
    expanded = expand(f"a {text}", VARIABLES)
    assert expanded.text == f"a {text}"
    assert len(expanded.problems) == 1
    assert all(expanded.problems[0])


@given(st.text(alphabet="${}:-AB \n"), st.dictionaries(st.sampled_from(["A", "B"]), st.text(max_size=3)))
def test_escaped_text_comes_out_as_it_went_in(text: str, variables: dict[str, str]) -> None:
    expanded = expand(escape(text), variables)
    assert expanded.text == text
    assert not expanded.problems


def test_the_literal_part_of_a_value_is_what_the_file_itself_holds() -> None:
    assert literal_part("Bearer ${A}") == ""
    assert literal_part("${A:-secret}") == "secret"
    assert literal_part("secret") == "secret"
    assert literal_part("$${A}") == "$${A}"
