"""Answers given again: whose, for how long, to what, and never to anybody else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.config_models import CacheTtl, ModelCacheConfig, Privacy
from agentflow.models.cache.answers import MAX_BYTES, AnswerCache, CacheKey
from tests.models.routing.fleets import Clock

LEVELS: tuple[Privacy, ...] = ("public", "tenant", "project", "principal")


def chat(text: str = "What is 2+2?", **more: Any) -> dict[str, Any]:
    return {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": text}], **more}


def answer(text: str = "4", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


def key(
    cache: AnswerCache, body: dict[str, Any], who: tuple[str, str, str] = ("t", "pr", "al"), **more: Any
) -> CacheKey:
    found = cache.key(body, *who, **more)
    assert found is not None
    return found


@dataclass(frozen=True)
class Words:
    """A text's words, as a vector of their counts."""

    counts: Counter[str]

    def cosine(self, other: Words, /) -> float:
        both = sum(self.counts[word] * other.counts[word] for word in self.counts)
        sizes = [sum(n * n for n in each.counts.values()) ** 0.5 for each in (self, other)]
        return both / (sizes[0] * sizes[1]) if all(sizes) else 0.0


@dataclass
class WordEncoder:
    encoded: list[str] = field(default_factory=list)

    def encode(self, text: str, /) -> Words:
        self.encoded.append(text)
        return Words(Counter(text.lower().strip("?!. ").split()))


def semantic(threshold: float = 0.8, **more: Any) -> AnswerCache:
    encoder = WordEncoder()
    return AnswerCache(ModelCacheConfig(semantic=True, threshold=threshold, **more), lambda: encoder, clock=Clock())


async def test_the_same_request_gets_its_answer_again_and_what_that_saved_is_told() -> None:
    cache = AnswerCache(ModelCacheConfig())
    assert await cache.get(key(cache, chat())) is None
    assert await cache.put(key(cache, chat()), {**answer(), "agentflow": {"id": "1"}}, "gold", 1_234)
    # how it is delivered, and in what order members come, changes nothing
    again = {
        "messages": [{"content": "What is 2+2?", "role": "user"}],
        "stream": True,
        "temperature": 0.0,
        "model": "m",
    }
    found = await cache.get(key(cache, {**again, "user": "someone", "agentflow": {"run": "r"}}))
    assert found is not None and found.answer == answer() and (found.cost, found.match) == (1_234, "exact")
    stats = cache.stats()
    assert (stats.exact_hits, stats.misses, stats.saved, stats.entries) == (1, 1, 1_234, 1)
    assert stats.hit_rate == 0.5 and cache.stats("other").entries == 0


async def test_an_answer_is_a_copy_that_may_be_changed() -> None:
    cache = AnswerCache(ModelCacheConfig())
    await cache.put(key(cache, chat()), answer(), "gold", 1)
    for _ in range(2):
        found = await cache.get(key(cache, chat()))
        assert found is not None and found.answer == answer()
        found.answer["choices"].clear()


@pytest.mark.parametrize("level", LEVELS)
async def test_an_answer_is_shared_as_far_as_the_privacy_level_goes_and_never_with_another_tenant(
    level: Privacy,
) -> None:
    cache = AnswerCache(ModelCacheConfig(privacy=level))
    await cache.put(key(cache, chat(), ("t", "p", "a")), answer(), "gold", 1)
    shared = {
        who: await cache.get(key(cache, chat(), who)) is not None
        for who in [("t", "p", "a"), ("t", "p", "b"), ("t", "q", "b"), ("u", "p", "a")]
    }
    reach = LEVELS.index(level)
    assert list(shared.values()) == [True, reach <= 2, reach <= 1, False]


async def test_a_request_may_narrow_who_shares_its_answer_and_never_widen_it() -> None:
    cache = AnswerCache(ModelCacheConfig(privacy="project"))
    await cache.put(key(cache, chat(), ("t", "p", "a"), privacy="principal"), answer(), "gold", 1)
    assert await cache.get(key(cache, chat(), ("t", "p", "b"))) is None
    await cache.put(key(cache, chat(), ("t", "p", "a"), privacy="public"), answer(), "gold", 1)
    assert await cache.get(key(cache, chat(), ("t", "p", "b"))) is not None
    assert await cache.get(key(cache, chat(), ("t", "q", "b"), privacy="public")) is None


names = st.text(st.sampled_from('ab/\x1f"\\,[]é'), max_size=4)


@given(st.tuples(names, names, names), st.tuples(names, names, names), st.sampled_from(LEVELS))
def test_no_two_tenants_have_a_key_in_common_whatever_they_are_called(
    one: tuple[str, str, str], other: tuple[str, str, str], level: Privacy
) -> None:
    cache = AnswerCache(ModelCacheConfig(privacy=level))
    same = key(cache, chat(), one).exact == key(cache, chat(), other).exact
    shared = {"public": 1, "tenant": 1, "project": 2, "principal": 3}[level]
    assert same == (one[:shared] == other[:shared])


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"}, {"max_tokens": 5}, {"seed": 1}, {"tools": [{"type": "function"}]}, {"top_p": 0.5},
        {"response_format": {"type": "json_object"}}, {"messages": [{"role": "system", "content": "What is 2+2?"}]},
        {"messages": [{"role": "user", "content": "What is 2+2? "}]}, {"stop": ["x"]},
    ],
    ids=["model", "max_tokens", "seed", "tools", "top_p", "format", "role", "text", "stop"],
)  # fmt: skip
async def test_another_request_gets_no_answer_of_this_one(change: dict[str, Any]) -> None:
    cache = AnswerCache(ModelCacheConfig())
    await cache.put(key(cache, chat()), answer(), "gold", 1)
    assert await cache.get(key(cache, {**chat(), **change})) is None
    assert await cache.get(key(cache, chat(), within="gold")) is None


@pytest.mark.parametrize(
    "body",
    [
        {**chat(), "temperature": 0.7}, {k: v for k, v in chat().items() if k != "temperature"}, chat(n=2),
        chat(temperature=None), chat(temperature=False), chat(web_search_options={"a": 1}), chat(top_p=float("nan")),
        chat(stop={1, 2}),
    ],
    ids=["warm", "default", "two", "none", "bool", "search", "nan", "set"],
)  # fmt: skip
def test_what_another_time_would_be_answered_otherwise_has_no_key(body: dict[str, Any]) -> None:
    assert AnswerCache(ModelCacheConfig()).key(body, "t", "p", "a") is None


def test_switched_off_it_has_no_keys_at_all() -> None:
    assert AnswerCache(ModelCacheConfig(enabled=False)).key(chat(), "t", "p", "a") is None


@pytest.mark.parametrize(
    "bad",
    [
        answer(""), answer(finish_reason="content_filter"), answer(finish_reason=None), {"choices": []}, {},
        {"choices": [answer()["choices"][0]] * 2}, {"error": {"message": "no"}}, {"data": []},
        answer("x" * (MAX_BYTES // 8)),
    ],
    ids=["empty", "filtered", "open", "none", "nothing", "two", "error", "no-vectors", "huge"],
)  # fmt: skip
async def test_only_whole_answers_are_kept(bad: dict[str, Any]) -> None:
    cache = AnswerCache(ModelCacheConfig())
    assert not await cache.put(key(cache, chat()), bad, "gold", 1)
    assert await cache.get(key(cache, chat())) is None


async def test_an_answer_lasts_as_long_as_its_tier_says() -> None:
    clock = Clock()
    cache = AnswerCache(ModelCacheConfig(ttl=CacheTtl(gold=100, silver=10, bronze=0)), clock=clock)
    assert await cache.put(key(cache, chat("g")), answer(), "gold", 1)
    assert await cache.put(key(cache, chat("s")), answer(), "silver", 1)
    assert not await cache.put(key(cache, chat("b")), answer(), "bronze", 1)
    clock.now = 9.9
    assert await cache.get(key(cache, chat("s"))) is not None
    clock.now = 10.0
    assert await cache.get(key(cache, chat("s"))) is None and await cache.get(key(cache, chat("g"))) is not None
    assert cache.stats().expired == 1 and cache.stats().entries == 1


async def test_what_was_not_used_longest_goes_first_and_bounds_are_kept() -> None:
    cache = AnswerCache(ModelCacheConfig(max_entries=2))
    for text in ("a", "b"):
        await cache.put(key(cache, chat(text)), answer(), "gold", 1)
    assert await cache.get(key(cache, chat("a"))) is not None
    await cache.put(key(cache, chat("c")), answer(), "gold", 1)
    assert await cache.get(key(cache, chat("b"))) is None and await cache.get(key(cache, chat("a"))) is not None
    large = AnswerCache(ModelCacheConfig())
    for number in range(40):
        assert await large.put(key(large, chat(str(number))), answer("y" * (MAX_BYTES // 17)), "gold", 1)
    assert large.stats().bytes <= MAX_BYTES and large.stats().evicted > 0


async def test_one_tenants_answers_can_be_cleared() -> None:
    cache = semantic()
    for tenant in ("t", "u"):
        await cache.put(key(cache, chat("how tall is it"), (tenant, "p", "a")), answer(), "gold", 1)
    assert cache.clear("t") == 1 and cache.stats("t").entries == 0 and cache.stats("u").entries == 1
    assert cache.clear() == 1 and cache.stats().bytes == 0


async def test_embeddings_are_kept_whatever_the_temperature() -> None:
    cache = AnswerCache(ModelCacheConfig())
    body = {"model": "e", "input": ["a", "b"]}
    vectors = {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}]}
    assert await cache.put(key(cache, body), vectors, "bronze", 1)
    assert (await cache.get(key(cache, body))) is not None
    assert await cache.get(key(cache, {**body, "input": ["b", "a"]})) is None


def test_a_key_shows_nothing_of_the_question() -> None:
    cache = semantic()
    found = key(cache, chat("my secret question"))
    assert "secret" not in repr(found) and b"secret" not in found.exact
    other = semantic()
    assert key(other, chat("my secret question")).exact != found.exact  # under a secret of each process


async def test_a_question_that_means_the_same_gets_the_answer_where_that_is_asked_for() -> None:
    cache, plain = semantic(), AnswerCache(ModelCacheConfig())
    for each in (cache, plain):
        await each.put(key(each, chat("please tell me the height of that tower")), answer(), "gold", 7)
    near = chat("tell me the height of that tower please")
    found = await cache.get(key(cache, near))
    assert found is not None and found.match == "semantic" and found.similarity >= 0.8
    assert cache.stats().semantic_hits == 1 and cache.stats().saved == 7
    assert await plain.get(key(plain, near)) is None
    assert await cache.get(key(cache, chat("something else entirely here"))) is None


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        ("is it open on 3 May for all visitors", "is it open on 4 May for all visitors"),
        ("how high is the tower in Paris these days", "how high is the tower in Rome these days"),
        ("which of the many orders were not paid", "which of the many orders were paid"),
        ("sort the long list of orders by price ascending", "sort the long list of orders by price descending"),
        ("write a long mail to <EMAIL_1f3a55aa> for me", "write a long mail to <EMAIL_2b4c66bb> for me"),
        ("list the things that came before the war", "list the things that came after the war"),
        ('what does the old word "set" mean', 'what does the old word "get" mean'),
    ],
    ids=["number", "name", "negation", "order", "token", "before", "quotation"],
)
async def test_questions_that_differ_in_a_fact_share_no_answer_however_alike_they_are(kept: str, asked: str) -> None:
    cache = semantic(threshold=0.5)
    await cache.put(key(cache, chat(kept)), answer(), "gold", 1)
    assert await cache.get(key(cache, chat(asked))) is None


async def test_by_meaning_everything_but_the_last_question_has_to_be_the_same() -> None:
    cache = semantic(threshold=0.5)
    await cache.put(key(cache, chat("tell me the height of that tower")), answer(), "gold", 1)
    near = "please tell me the height of that tower"
    assert await cache.get(key(cache, chat(near))) is not None
    assert await cache.get(key(cache, chat(near, max_tokens=3))) is None
    assert await cache.get(key(cache, chat(near), ("u", "pr", "al"))) is None
    before = {"role": "system", "content": "Answer in German."}
    body = chat(near)
    assert await cache.get(key(cache, {**body, "messages": [before, *body["messages"]]})) is None


async def test_an_answer_by_meaning_ends_with_its_time_too() -> None:
    clock, encoder = Clock(), WordEncoder()
    config = ModelCacheConfig(semantic=True, threshold=0.5, ttl=CacheTtl(gold=10))
    cache = AnswerCache(config, lambda: encoder, clock=clock)
    await cache.put(key(cache, chat("tell me the height of that tower")), answer(), "gold", 1)
    clock.now = 11.0
    assert await cache.get(key(cache, chat("please tell me the height of that tower"))) is None
    assert cache.stats().entries == 0


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_equal_requests_have_equal_keys_and_others_not(more: dict[str, Any]) -> None:
    cache = AnswerCache(ModelCacheConfig())
    body = {**more, **chat()}
    shuffled = json.loads(json.dumps(dict(reversed(list(body.items())))))
    assert key(cache, body).exact == key(cache, shuffled).exact
    assert key(cache, {**body, "extra": 1}).exact != key(cache, body).exact
