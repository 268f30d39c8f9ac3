"""Embedding requests that go out together: everybody gets their own, and all shares add up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.config_models import BatchingConfig
from agentflow.errors import UpstreamProtocolError
from agentflow.models.cache.batching import EmbeddingBatcher, divided, split


class Model:
    """Answers each text's length, a little later; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails = False

    async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        self.asked.append(texts)
        await asyncio.sleep(0)
        if self.fails:
            raise UpstreamProtocolError("no vectors today")
        data = [{"index": place, "embedding": [float(len(text))]} for place, text in enumerate(texts)]
        return {"object": "list", "model": "e", "data": data[::-1], "usage": {"prompt_tokens": 7 * len(texts)}}


def own(answer: dict[str, Any]) -> list[float]:
    return [item["embedding"][0] for item in sorted(answer["data"], key=lambda item: item["index"])]


async def test_requests_that_come_together_go_out_as_one_and_each_gets_its_own_back() -> None:
    model, batcher = Model(), EmbeddingBatcher(BatchingConfig(max_wait=0.02))
    bodies: list[dict[str, Any]] = [{"input": "a"}, {"input": ["bb", "ccc"]}, {"input": ["dddd"], "user": "x"}]
    answers = await asyncio.gather(*(batcher.embed("p:e", body, model) for body in bodies))
    assert [own(answer) for answer in answers] == [[1.0], [2.0, 3.0], [4.0]]
    assert model.asked == [["a", "bb", "ccc", "dddd"]]
    assert sum(answer["usage"]["prompt_tokens"] for answer in answers) == 28
    stats = batcher.stats()
    assert (stats.requests, stats.texts, stats.sent, stats.saved_requests) == (3, 4, 1, 2)


async def test_only_requests_that_agree_in_everything_but_their_texts_share_one() -> None:
    model, batcher = Model(), EmbeddingBatcher(BatchingConfig(max_wait=0.02))
    await asyncio.gather(
        batcher.embed("p:e", {"input": "a"}, model),
        batcher.embed("p:f", {"input": "b"}, model),
        batcher.embed("p:e", {"input": "c", "dimensions": 8}, model),
    )
    assert sorted(model.asked) == [["a"], ["b"], ["c"]]


async def test_a_full_window_leaves_at_once_and_no_request_is_larger_than_allowed() -> None:
    model, batcher = Model(), EmbeddingBatcher(BatchingConfig(max_wait=10, max_batch_size=3))
    texts = [["a"], ["b"], ["c"], ["d", "e"], ["f"], ["g", "h", "i", "j"]]
    answers = await asyncio.gather(*(batcher.embed("p:e", {"input": each}, model) for each in texts))
    assert [len(answer["data"]) for answer in answers] == [1, 1, 1, 2, 1, 4]
    assert sorted(map(len, model.asked)) == [3, 3, 4]  # who asks for more than a window's worth goes alone


async def test_without_a_window_nothing_waits() -> None:
    model, batcher = Model(), EmbeddingBatcher(BatchingConfig(max_wait=0))
    await asyncio.gather(*(batcher.embed("p:e", {"input": "a"}, model) for _ in range(3)))
    assert len(model.asked) == 3


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    model, batcher = Model(), EmbeddingBatcher(BatchingConfig(max_wait=0.02))
    leaver, stayer = (asyncio.ensure_future(batcher.embed("p:e", {"input": text}, model)) for text in ("aa", "b"))
    await asyncio.sleep(0)
    leaver.cancel()
    assert own(await stayer) == [1.0] and model.asked == [["b"]]
    assert leaver.cancelled()


async def test_a_failure_is_everybodys_and_the_next_request_is_asked_anew() -> None:
    model, batcher = Model(), EmbeddingBatcher(BatchingConfig(max_wait=0.01))
    model.fails = True
    found = await asyncio.gather(
        *(batcher.embed("p:e", {"input": "a"}, model) for _ in range(2)), return_exceptions=True
    )
    assert [type(each) for each in found] == [UpstreamProtocolError] * 2
    model.fails = False
    assert own(await batcher.embed("p:e", {"input": "a"}, model)) == [1.0]


async def test_closing_ends_who_waits() -> None:
    batcher = EmbeddingBatcher(BatchingConfig(max_wait=10))
    waiting = asyncio.ensure_future(batcher.embed("p:e", {"input": "a"}, Model()))
    await asyncio.sleep(0)
    await batcher.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_texts_that_are_token_numbers_go_alone() -> None:
    class Numbers(Model):
        async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
            return {"data": [{"index": 0, "embedding": [1.0]}], "seen": body["input"]}

    batcher = EmbeddingBatcher(BatchingConfig(max_wait=10))
    assert (await batcher.embed("p:e", {"input": [1, 2, 3]}, Numbers()))["seen"] == [1, 2, 3]


@pytest.mark.parametrize(
    "data",
    [[], [{"index": 0}], [{"index": 0}, {"index": 0}], [{"index": 0}, {"index": 5}], "no list", [1, 2]],
    ids=["none", "few", "twice", "beyond", "text", "numbers"],
)
def test_vectors_that_belong_to_nobody_are_refused(data: object) -> None:
    with pytest.raises(UpstreamProtocolError, match="2 texts"):
        divided({"data": data}, [["a"], ["b"]])


@given(st.integers(0, 10**9), st.lists(st.integers(1, 10**6), min_size=1, max_size=20))
def test_shares_add_up_and_are_fair_to_one(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1 + 1e-6
