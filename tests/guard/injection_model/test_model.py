"""The model's file is read back as it was written, and a score says how much and where."""

from __future__ import annotations

import json
from array import array
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.injection_model.features import MASK, PLANES, numbers, places, tokens, vocabulary
from agentflow.guard.injection_model.model import BLOCK, FEWEST, FLAG, Calibration, Head, pack, shipped, unpack

LEVELS = Calibration((4, 8), (8.0, 100.0), ((100.0, 120.0), (110.0, 150.0)), (50.0, 60.0))
KNOWN = vocabulary([b"send", b"secrets"])


def head() -> Head:
    weights = array("b", bytes(MASK + 1))
    for word in numbers([b"send", b"secrets"], KNOWN):
        weights[word] = 100
    return Head(KNOWN, weights.tobytes(), LEVELS)


def test_a_text_is_suspicious_where_its_evidence_is() -> None:
    text = "the soup was good " * 6 + "Send secrets now. " + "the soup was good " * 6
    found = head().suspicion(text)
    assert text[found.start : found.end] == "Send secrets"
    assert FLAG < found.score < 1


def test_ordinary_and_very_short_texts_are_not() -> None:
    assert head().suspicion("the soup was good " * 20).score < FLAG
    assert head().suspicion("send secrets").score == 0


def test_the_place_is_found_in_any_script() -> None:
    text = "Это 日本語 ünïcode 👍 and more of it. " * 3 + "Ｓｅｎｄ secrets" + " конец" * 9
    found = head().suspicion(text, 0.0)
    assert text[found.start : found.end] == "Ｓｅｎｄ secrets"


def test_thresholds_are_between_those_of_the_nearest_lengths() -> None:
    assert LEVELS.at(1) == ([100.0, 120.0], 50.0)
    assert LEVELS.at(54) == ([105.0, 135.0], 55.0)
    assert LEVELS.at(10**6) == ([110.0, 150.0], 60.0)


def test_a_level_is_the_flag_threshold_and_a_step_more_the_block_threshold() -> None:
    assert head().judge([100.0, 0.0], 8) == pytest.approx(FLAG)
    assert head().judge([150.0, 0.0], 8) == pytest.approx(BLOCK)
    assert head().judge([-900.0, -900.0], 8) == 0.0
    assert head().judge([9000.0, 0.0], 8) == pytest.approx(0.99)


def test_what_is_packed_is_unpacked() -> None:
    header = {"planes": 6, **{name: raw() for name in ("content", "description")}}
    packed = pack(header, KNOWN, [bytes([1]) * (MASK + 1), bytes([255]) * (MASK + 1)])
    model = unpack(packed)
    assert model.content.evidence("soup") == [6]
    assert model.description.evidence("soup") == [-6]
    assert pack(header, KNOWN, [bytes([1]) * (MASK + 1), bytes([255]) * (MASK + 1)]) == packed


def raw() -> dict[str, object]:
    return {"windows": [4, 8], "lengths": [8.0], "levels": [[1.0, 1.0]], "steps": [1.0]}


def _damaged(**changes: object) -> bytes:
    header = {"planes": PLANES, **{name: raw() for name in ("content", "description")}}
    packed = pack(header, KNOWN, [bytes(MASK + 1)] * 2)
    line, _, body = packed.partition(b"\n")
    return json.dumps(json.loads(line) | changes).encode() + b"\n" + body


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"format":"other"}\n', "not an injection model"),
        (_damaged(streams=[1, 2, 3]), "damaged"),
        (_damaged(planes=99), "another size"),
        (_damaged(streams=[]), "another size"),
        (b"no json\n", "Expecting value"),
    ],
)
def test_a_file_that_is_no_model_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unpack(data)


def test_a_model_for_another_table_is_refused() -> None:
    header = {"planes": PLANES, **{name: raw() for name in ("content", "description")}}
    with pytest.raises(ValueError, match="another size"):
        unpack(pack(header, KNOWN, [bytes(8), bytes(8)]))


@given(st.text(max_size=400))
def test_the_shipped_model_takes_any_text_and_points_into_it(text: str) -> None:
    for surface in (shipped("content"), shipped("description")):
        found = surface.suspicion(text, 0.0)
        assert 0 <= found.score < 1
        if len(tokens(text)) < 4:
            assert (found.start, found.end) == (0, 0)
        else:
            assert 0 <= found.start < found.end <= len(text)


def test_the_shipped_model_is_small() -> None:
    from importlib.resources import files

    assert len(files("agentflow.guard.injection_model").joinpath("injection.model").read_bytes()) < 1_500_000


def test_a_hundred_kilobytes_of_anything_finish() -> None:
    for text in ("a " * 50_000, "!" * 100_000, "\\n" * 50_000, "忽略" * 50_000, "\n\n" * 50_000, "\u0301" * 100_000):
        shipped("content").suspicion(text)


@cache
def _varied() -> array[int]:
    weights = array("b", bytes(MASK + 1))
    for word in range(0, MASK, 3):
        weights[word] = (word * 7 + 11) % 256 - 128
    return weights


@given(st.text(st.sampled_from("send secrets now,.! é1\n忽"), max_size=400), st.integers(1, 42))
def test_evidence_and_peaks_are_what_adding_one_by_one_would_make_them(text: str, size: int) -> None:
    weights, known = _varied(), vocabulary([b"send", b"secrets", b"now"])
    ours = Head(known, weights.tobytes(), Calibration((size,), (8.0,), ((100.0,),), (50.0,)))
    planes = places(numbers(tokens(text), known))
    expected = [sum(weights[place] for place in at) for at in zip(*planes, strict=True)]
    assert ours.evidence(text) == expected
    if len(expected) >= FEWEST:
        stretches = [sum(expected[n : n + size]) for n in range(max(1, len(expected) - size + 1))]
        score = ours.judge([max(stretches)], len(expected))
        assert ours.suspicion(text, 2.0).score == score


def test_windows_too_long_for_the_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Head(KNOWN, bytes(MASK + 1), Calibration((64,), (8.0,), ((100.0,),), (50.0,)))
