"""An answer's text out of JSON that comes in pieces."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentflow.flow.streaming import AnswerText


async def told(text: str, cuts: list[int]) -> list[str]:
    pieces: list[str] = []

    async def tell(piece: str) -> None:
        pieces.append(piece)

    feed = AnswerText(tell)
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in pairwise(places):
        await feed.feed(text[start:end])
    await feed.close()
    return pieces


@given(
    answer=st.text(st.characters(exclude_categories=["Cs"])),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    ascii=st.booleans(),
)
async def test_the_pieces_are_the_answer_however_it_is_cut(answer: str, cuts: list[int], ascii: bool) -> None:
    text = json.dumps({"answer": answer, "confidence": 0.5, "evidence": []}, ensure_ascii=ascii)
    assert "".join(await told(text, cuts)) == answer


@given(cuts=st.lists(st.integers(0, 10_000), max_size=20))
async def test_a_token_is_never_told_in_halves(cuts: list[int]) -> None:
    answer = "Write to <EMAIL_1f3a9c2e> or call <PHONE_77aa01bc>, not before noon; 3 < 4 as ever, said <he>."
    pieces = await told(json.dumps({"answer": answer}), cuts)
    assert "".join(pieces) == answer
    assert all("<EMAIL" not in piece or "<EMAIL_1f3a9c2e>" in piece for piece in pieces)
    assert all("<PHONE" not in piece or "<PHONE_77aa01bc>" in piece for piece in pieces)


async def test_nothing_but_the_answer_is_told() -> None:
    assert await told('{"confidence": 1, "answer": "later"}', [3, 9]) == []
    assert await told("I cannot say.", [2]) == []
    assert await told('```json\n{"answer": "fenced", "evidence": [{"value": "secret"}]}\n```', [12]) == ["fenced"]
    assert await told('{"answer": "bro', [5]) == ["bro"]
    assert await told('{"answer": "half \\ud800 pair"}', []) == []
