"""The embedded encoder: what its vectors say, what its file promises, what it costs nobody."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.errors import ConfigError
from agentflow.models.encoder import Nearest, encoder, vector
from agentflow.models.encoder.encoder import FILE, Encoder
from agentflow.models.encoder.layout import pack


@pytest.mark.parametrize(
    ("question", "near", "far"),
    [
        ("cancel my flight", "Revoke an airline booking", "Resize an image"),
        ("what is the weather in Oslo", "Forecast of temperature and rain for a city", "List invoices of a customer"),
        ("how much money is on my account", "Returns the balance of a bank account", "Translate a text into German"),
        ("send a mail to the team", "Deliver an email message to recipients", "Count rows of a table"),
    ],
    ids=["flight", "weather", "balance", "mail"],
)
def test_what_means_the_same_is_nearer_than_what_does_not(question: str, near: str, far: str) -> None:
    asked = encoder().encode(question)
    assert asked.cosine(encoder().encode(near)) > asked.cosine(encoder().encode(far)) + 0.1


def test_a_name_is_read_as_its_words() -> None:
    one, other = encoder().encode("getCustomerOrders"), encoder().encode("get customer orders")
    assert one.cosine(other) == pytest.approx(1.0)
    assert encoder().encode("Köln").members == encoder().encode("koln").members


def test_a_text_without_a_known_word_is_like_nothing() -> None:
    nothing = encoder().encode("日本語 ひらがな")
    assert nothing.length == 0
    assert nothing.cosine(encoder().encode("hello")) == 0
    assert encoder().encode("").length == 0


def test_no_text_is_too_long() -> None:
    assert encoder().encode("word " * 1_000_000).length > 0
    assert encoder().encode("x" * 1_000_000).length >= 0


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_every_text_has_a_vector_like_itself(text: str) -> None:
    found = encoder().encode(text)
    assert len(found.members) == encoder().dimensions
    assert found.length == 0 or found.cosine(found) == pytest.approx(1.0)
    assert vector(found.members) == found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=5, max_size=5), min_size=1, max_size=40), st.binary(min_size=5, max_size=5))
def test_the_scores_of_many_are_the_cosines_of_each(rows: list[bytes], query: bytes) -> None:
    vectors = [vector(row.replace(b"\x80", b"\x81")) for row in rows]
    asked = vector(query.replace(b"\x80", b"\x81"))
    exact = [v.cosine(asked) for v in vectors]
    assert Nearest(vectors).scores(asked) == pytest.approx(exact)
    assert [i for i, _ in Nearest(vectors).search(asked, 3)] == sorted(range(len(exact)), key=lambda i: (-exact[i], i))[
        :3
    ]


def test_nothing_is_near_among_none() -> None:
    assert Nearest([]).search(encoder().encode("hello"), 5) == []


def test_vectors_of_different_encoders_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different encoders"):
        vector(b"\x01\x02").cosine(vector(b"\x01\x02\x03"))


def test_a_word_is_read_by_its_longest_pieces() -> None:
    small = Encoder(pack(["play", "##ing", "##i", "p"], [255] * 4, [bytes([128 + n, 128]) for n in (1, 2, 3, 4)]))
    assert small.rows("playing") == [0, 1]
    assert small.rows("PLAY pi") == [0, 3, 2]
    assert small.rows("zzz") == []


@pytest.mark.parametrize("damage", ["cut", "other", "longer", "empty"])
def test_a_damaged_file_is_refused(damage: str) -> None:
    sound = pack(["a", "b"], [1, 2], [b"\x80\x80", b"\x81\x81"])
    body = {"cut": sound[:-1], "other": b"X" + sound[1:], "longer": sound + b"x", "empty": b""}[damage]
    with pytest.raises(ConfigError, match="damaged"):
        Encoder(body)


def test_the_file_is_small_and_described() -> None:
    from pathlib import Path

    import agentflow.models.encoder as package

    folder = Path(package.__file__).parent
    assert (folder / FILE).stat().st_size <= 2_500_000
    assert encoder().name in (folder / "MODEL_CARD.md").read_text()
    assert math.isclose(encoder().encode("hello").cosine(encoder().encode("hello")), 1.0, abs_tol=1e-6)


def test_it_needs_no_other_package() -> None:
    code = (
        "import sys; from agentflow.models.encoder import encoder; encoder().encode('hello'); "
        "print(sorted({'numpy', 'torch', 'onnxruntime', 'tokenizers', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
