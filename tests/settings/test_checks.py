"""What `agentflow config check` says of the guard's settings, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow.settings.reading import read

HEAD = "mcpServers: {}\nguard:\n"


def said(tmp_path: Path, guard: str) -> list[str]:
    """`line: where: what` of each problem."""
    path = tmp_path / "agentflow.yaml"
    path.write_text(HEAD + guard)
    return [f"{each.line}: {each.message}; {each.fix}" for each in read(path, {}).problems]


def test_a_slip_in_the_type_of_a_strategy_is_told_with_its_line(tmp_path: Path) -> None:
    (one,) = said(tmp_path, "  strategies:\n    PHONE: mask\n    EMIAL: drop\n")
    assert one.startswith("5: ") and "did you mean `EMAIL`?" in one


def test_what_is_no_name_and_what_is_there_twice_are_told(tmp_path: Path) -> None:
    one, two = said(tmp_path, '  strategies:\n    "??": drop\n    EMAIL: drop\n    EMAIL_ADDRESS: mask\n')
    assert one.startswith("4: ") and "no name of a type" in one
    assert two.startswith("6: ") and "`EMAIL`" in two


def test_every_kind_of_type_that_something_finds_is_good(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "recognizers:\n- name: B\n  supported_entity: BADGE\n  patterns: [{name: b, regex: 'B-[0-9]{6}', score: 0.9}]\n"
    )
    text = (
        "  recognisers:\n    files: [own.yaml]\n    deny: {PROJECT: [apollo]}\n"
        "  deep: {types: [PERSON, DISH]}\n"
        "  strategies: {BADGE: mask, PROJECT: drop, DISH: mask, PERSON: pass, US_SSN: hash, JWT: drop, '*': token}\n"
    )
    assert said(tmp_path, text.replace("own.yaml", str(tmp_path / "own.yaml"))) == []


@pytest.mark.parametrize("style", ["{type}-{hex}", "{hex}", "{nothing}", "{type}_{hex}!"])
def test_a_token_format_that_does_not_read_back_is_told(style: str, tmp_path: Path) -> None:
    (one,) = said(tmp_path, f"  token_format: '{style}'\n")
    assert one.startswith("3: ") and "token format" in one


@pytest.mark.parametrize("style", ["angle", "redacted", "«{type}_{hex}»", "{{{{{type}:{hex}}}}}"])
def test_one_that_does_is_good(style: str, tmp_path: Path) -> None:
    assert said(tmp_path, f"  token_format: '{style}'\n") == []
