"""Names that can be taken for one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.pins.names import disguises, near, oddity, plain, skeleton


@pytest.mark.parametrize(
    "name",
    [
        "sеnd_email",
        "send_emaiI",
        "send_ernail",
        "ｓend_email",
        "send_\u200bemail",
        "𝗌end_email",
        "send_emaі1"[:-1] + "l",
    ],
)
def test_what_looks_like_a_name_has_its_skeleton(name: str) -> None:
    assert name != "send_email"
    assert skeleton(name) == skeleton("send_email")


@pytest.mark.parametrize("name", ["send_mail", "send_emails", "Send_email", "sendemail", "send-email", "fetch"])
def test_names_that_can_be_told_apart_have_skeletons_of_their_own(name: str) -> None:
    assert skeleton(name) != skeleton("send_email")


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("send_email", ""),
        ("files.read-all/2", ""),
        ("a b", ""),
        ("поиск", ""),
        ("検索", ""),
        ("查询_weather", ""),
        ("naïve", ""),
        ("recherche_élève", ""),
        ("sеnd", "lookalike"),
        ("сору", "lookalike"),
        ("ｓend", "lookalike"),
        ("𝗌end", "lookalike"),
        ("send_поиск", "mixed_scripts"),
        ("getΩ", "mixed_scripts"),
        ("send\u200b", "invisible"),
        ("send\u202e", "invisible"),
        ("send\U000e0041", "invisible"),
        ("send\u00a0x", "invisible"),
        ("se\x07nd", "invisible"),
    ],
)
def test_what_is_odd_about_a_name(name: str, odd: str) -> None:
    assert oddity(name) == odd


def test_spelling_differs_where_case_separators_and_plural_do_not() -> None:
    assert plain("List-Files") == plain("list_file") == plain("listFiles") == "listfile"
    assert plain("class") == "class"


@pytest.mark.parametrize("other", ["send_emial", "send_emaill", "sendemai", "send_enail"])
def test_names_of_one_letter_more_less_or_other_meet(other: str) -> None:
    assert set(near(plain("send_email"))) & set(near(plain(other)))


def test_short_names_and_other_words_do_not_meet() -> None:
    assert not set(near("read")) & set(near("real"))
    assert not set(near(plain("create_issue"))) & set(near(plain("update_issue")))


def test_the_real_one_of_two_names_has_fewer_disguises() -> None:
    assert disguises("send_email") == disguises("ISSUE_LIST") == 0
    assert all(disguises(name) == 1 for name in ("send_emaiI", "sеnd_email", "p1anner"))


@given(st.text())
def test_any_name_can_be_judged(name: str) -> None:
    assert isinstance(skeleton(name), str)
    assert oddity(name) in ("", "invisible", "lookalike", "mixed_scripts")
    assert plain(name) is not None
