"""Keys can be told from other text, from mistyped ones, and by our own secret detector."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.secrets.matcher import SecretMatcher
from agentflow.identity import key_format


def test_a_key_is_whole_and_names_its_id() -> None:
    identity, key = key_format.generate()
    assert len(key) == key_format.LENGTH and key.encode()[key_format.ID] == identity.encode()
    assert key_format.is_whole(key.encode()) and not key_format.is_mistyped(key.encode())
    assert key.replace("_", "").isalnum()


def test_no_two_keys_are_alike() -> None:
    made = [key_format.generate() for _ in range(200)]
    assert len({identity for identity, _ in made}) == len({key for _, key in made}) == 200


@given(at=st.integers(0, key_format.LENGTH - 1), other=st.sampled_from("0aAzZ9_-%é"))
def test_one_wrong_character_is_noticed_without_a_look_up(at: int, other: str) -> None:
    key = "af_0123456789ab_" + "Q" * 43
    key += key_format._checksum(key.encode())
    wrong = (key[:at] + other + key[at + 1 :]).encode()
    assert key_format.is_whole(wrong) is (wrong == key.encode())
    if at >= 16 and wrong != key.encode():
        assert key_format.is_mistyped(wrong)


@pytest.mark.parametrize("change", [lambda k: k[:-1], lambda k: k + "x", lambda k: k[:40], lambda k: k + k])
def test_a_key_cut_off_or_doubled_is_mistyped(change: object) -> None:
    _, key = key_format.generate()
    assert key_format.is_mistyped(change(key).encode())  # type: ignore[operator]


@given(st.binary(max_size=200))
def test_other_text_is_neither_whole_nor_mistyped(text: bytes) -> None:
    assert not key_format.is_whole(text) and not key_format.is_mistyped(text)


def test_our_own_detector_takes_a_leaked_key_for_a_secret() -> None:
    matcher = SecretMatcher()
    for _ in range(50):
        _, key = key_format.generate()
        for text in (key, f"use {key}, please", f'{{"k": "{key}"}}', f"x={key}\n", f"`{key}`", f"https://h/?key={key}"):
            found = matcher.find(text)
            assert [text[m.start : m.end] for m in found] == [key], text
            assert matcher.suspect(text.encode()) and key not in matcher.mask(text)
