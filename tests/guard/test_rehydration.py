"""Tokens become values again at any depth and in any writing, and the rest of the text stays as it was."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.rehydration import rehydrate
from agentflow.guard.vault import Vault

VALUE = 'Al "x" <a&b>\\'
VAULT: Vault
NAME: str


@pytest.fixture(autouse=True, scope="module")
def _vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global VAULT, NAME
    VAULT = Vault(tmp_path_factory.mktemp("vault") / "vault.db", bytes(range(32)))
    (NAME,) = VAULT.tokens("t", [("EMAIL", VALUE)])
    yield
    VAULT.close()


def back(value: object, **more: Any) -> object:
    return rehydrate(VAULT, "t", {"arguments": {"v": value}}, ("*",), **more).body["arguments"]["v"]


def test_in_json_in_json_it_is_escaped_as_often_as_it_must_be() -> None:
    text = json.dumps({"a": json.dumps({"b": [json.dumps({"c": f"<{NAME}>"})]})})
    restored = json.loads(str(back(text)))
    assert json.loads(json.loads(restored["a"])["b"][0])["c"] == VALUE


def test_in_base64_and_data_uris_it_is_found_and_packed_again() -> None:
    packed = base64.b64encode(f"to: <{NAME}>\n".encode()).decode()
    assert base64.b64decode(str(back(packed))).decode() == f"to: {VALUE}\n"
    uri = str(back(f"data:text/plain;base64,{packed}"))
    assert base64.b64decode(uri.partition(",")[2]).decode() == f"to: {VALUE}\n"
    bare = base64.urlsafe_b64encode(json.dumps({"to": NAME}).encode()).decode().rstrip("=")
    again = str(back(f"x {bare} y")).split()[1]
    assert json.loads(base64.urlsafe_b64decode(again + "=" * (-len(again) % 4))) == {"to": VALUE}


def test_a_split_token_comes_back_and_one_that_nobody_knows_stays() -> None:
    broken = f"<{NAME[:-4]} {NAME[-4:]}>"
    assert back(f"a {broken} b <EMAIL_ 0000 0001> <{NAME}>'s") == f"a {VALUE} b <EMAIL_ 0000 0001> {VALUE}'s"


def test_two_tokens_beside_each_other_both_come_back() -> None:
    assert back(f"<{NAME}><{NAME}> {NAME} {NAME}") == f"{VALUE}{VALUE} {VALUE} {VALUE}"


def test_a_stand_in_that_looks_like_a_number_token_comes_back() -> None:
    def eight(key: bytes, kind: str, value: str | int, turn: int) -> int:
        return 8_627_511_359_795_459

    (shown,) = VAULT.stand_ins("t", [("CARD", 5555555555554444)], eight)
    for value in (shown, float(shown or 0), str(shown), f"pay by {shown}", f'{{"card": {shown}}}'):
        body = {"arguments": {"v": value}}
        restored = rehydrate(VAULT, "t", body, ("*",), stand_ins=True).body["arguments"]["v"]
        assert str(restored).removesuffix(".0") == str(value).removesuffix(".0").replace(str(shown), "5555555555554444")


def test_another_scopes_token_stays() -> None:
    (narrow,) = VAULT.tokens("t", [("EMAIL", VALUE)], "session 1")
    assert back(f"<{narrow}>") == f"<{narrow}>"
    assert back(f"<{narrow}>", scope="session 1") == VALUE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.booleans())
def test_text_that_holds_no_token_is_never_touched(value: object, stand_ins: bool) -> None:
    body = {"arguments": {"v": value, "t": json.dumps(value)}}
    assert rehydrate(VAULT, "t", body, ("*",), stand_ins=stand_ins).body is body


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_stands_around_a_token_stays(before: str, after: str) -> None:
    before, after = before + " ", " " + after
    assert back(f"{before}<{NAME}>{after}") == f"{before}{VALUE}{after}" or before.strip()[:1] in ("{", "[")


HOSTILE = [
    "_1f3a9c2e", "a-1%20", "1\\n", "<EMAIL_1f3a9c2e> ", "EMAIL_1f3a9c2e ", "<<EMAIL_1f3a9c2e", "＜EMAIL_1f3a9c2e", "<",
    "&lt;EMAIL_1f3a9c2e", "&lt;", "%3CEMAIL_1f3a9c2e%3E", "%3C", "<EM\u00adAIL_1f3a9c2e>", "A_B_C_D_E_F_1f3a9c2e ",
    "{{EMAIL:1f3a9c2e}}", "8000", "8000000000000000 ", "8,000,000,000,000,000 ", "RU1BSUxfMWYzYTljMmUK ",
    "decade fed EMAIL be ", "1" + " " * 80, "[\"<EMAIL_1f3a9c2e", '{"a":', "Ab ", "+1 (", "a@",
]  # fmt: skip


@pytest.mark.parametrize("stand_ins", [False, True])
@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_is_read_to_its_end_and_left_alone(unit: str, stand_ins: bool) -> None:
    for text in (unit * (100_000 // len(unit)), json.dumps([unit] * (100_000 // (len(unit) + 4)))):
        assert back(text, stand_ins=stand_ins) == text


def test_a_whole_token_comes_back_however_much_stands_before_it() -> None:
    for unit in HOSTILE[:8]:
        text = unit * (50_000 // len(unit)) + f' x <{NAME}> [REDACTED_{NAME}] "{NAME}"'
        assert str(back(text)).endswith(f' x {VALUE} {VALUE} "{VALUE}"')


@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=5), st.integers(1, 400))
def test_the_vault_is_asked_once_and_about_a_bounded_number_of_readings(units: list[str], times: int) -> None:
    class Asked:
        def __init__(self) -> None:
            self.names: list[str] = []
            self.shown: list[str] = []

        def values(self, tenant: str, names: list[str], scope: str) -> dict[str, object]:
            assert not self.names
            self.names = names
            return {}

        def originals(self, tenant: str, shown: list[str], scope: str) -> dict[str, object]:
            self.shown = shown
            return {}

    asked = Asked()
    text = "".join(units) * times
    rehydrate(cast("Vault", asked), "t", {"arguments": {"v": text}}, ("*",), stand_ins=True)
    assert len(asked.names) <= len(text) / 16 + 3000  # every whole token, and what a bounded effort finds of others
    assert len(asked.shown) <= 1000


def test_thousands_of_tokens_in_one_message_all_come_back() -> None:
    values = [("EMAIL", f"user{index}@example.com") for index in range(3000)]
    text = ", ".join(f"<{name}>" for name in VAULT.tokens("t", values))
    assert back(text) == ", ".join(str(value) for _, value in values)
    assert back(json.dumps(text.split(", "))) == json.dumps([value for _, value in values])
