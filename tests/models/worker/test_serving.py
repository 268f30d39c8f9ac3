"""What surrounds an answer: the cache, budgets of runs, discovery, explanations, feedback, what cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.errors import BudgetExceeded, ConfigError, InvalidArguments, ModelUnavailable
from agentflow.models.worker.serving import Serving
from tests.model_servers import OpenAIServer, Refuse, Say, vector
from tests.models.worker.world import HELLO_COST, ONE, chat, models_config, provider, serving, text_of, written


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with OpenAIServer("m-1", "m-2") as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.reset()
    return running


async def test_the_same_request_is_answered_from_the_cache_whole_and_streamed(
    server: OpenAIServer, tmp_path: Path
) -> None:
    async with serving(tmp_path, {"a": provider(server, "m-1")}) as worker:
        await worker.complete(chat(temperature=0))
        again = await worker.complete(chat(temperature=0))
        chunks = [chunk async for chunk in worker.stream(chat(temperature=0, stream=True))]
        saved = (await worker.ask("stats", {"tenant": "acme"}))["cache"]["saved"]
    assert len(server.chats()) == 1
    told = again["agentflow"]
    assert (text_of(again), told["cached"], told["cost_nano"], told["provider"]) == ("hello", True, 0, "a")
    assert (written(chunks), chunks[-1]["agentflow"]["cached"]) == ("hello", True)
    assert chunks[-1]["usage"]["total_tokens"] == 18
    assert saved == 2 * HELLO_COST


async def test_a_streamed_answer_is_kept_for_whoever_asks_for_it_whole(server: OpenAIServer, tmp_path: Path) -> None:
    server.say("one two three")
    async with serving(tmp_path, {"a": provider(server, "m-1")}) as worker:
        async for _ in worker.stream(chat(temperature=0)):
            pass
        answer = await worker.complete(chat(temperature=0))
    assert (text_of(answer), answer["agentflow"]["cached"]) == ("one two three", True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"about": {"tenant": "globex"}}, id="tenant"),
        pytest.param({"about": {"principal": "bob"}}, id="principal"),
        pytest.param({"about": {"tier": "bronze"}}, id="tier"),
        pytest.param({"about": {"cache": False}}, id="unwanted"),
        pytest.param({"model": "a:m-2"}, id="model"),
        pytest.param({"temperature": 1}, id="temperature"),
        pytest.param({"text": "Hello"}, id="text"),
    ],
)
async def test_nobody_else_gets_a_cached_answer(other: dict[str, object], server: OpenAIServer, tmp_path: Path) -> None:
    async with serving(tmp_path, {"a": provider(server)}) as worker:
        await worker.complete(chat(temperature=0))
        answer = await worker.complete(chat(**({"temperature": 0} | other)))  # type: ignore[arg-type]
    assert not answer["agentflow"]["cached"]


async def test_a_run_is_refused_what_it_cannot_pay_and_gets_what_it_can(server: OpenAIServer, tmp_path: Path) -> None:
    dear = provider(server, "m-1")
    dear["models"] = [{"model": "m-1", "price": {"input": "1", "output": "900"}}]
    async with serving(tmp_path, {"a": dear, "b": provider(server, "m-2")}) as worker:
        run = {"run": "r1", "run_cost": 400_000, "run_tokens": 10_000}
        answer = await worker.complete(chat(about=run, max_tokens=100))
        assert answer["agentflow"]["provider"] == "b"
        with pytest.raises(BudgetExceeded, match="run"):
            await worker.complete(chat(about={"run": "r2", "run_cost": 1_000}, max_tokens=100))
        with pytest.raises(BudgetExceeded, match="tokens"):
            await worker.complete(chat(about={"run": "r3", "run_tokens": 50}, max_tokens=100))
    assert len(server.chats()) == 1


async def test_a_model_without_a_price_serves_only_where_no_budget_has_to_be_kept(
    server: OpenAIServer, tmp_path: Path
) -> None:
    entry = provider(server)
    entry["models"] = [{"model": "m-1"}]
    async with serving(tmp_path, {"a": entry}) as worker:
        assert (await worker.complete(chat()))["agentflow"]["cost_nano"] is None
        with pytest.raises(BudgetExceeded, match="price of a:m-1 is not known"):
            await worker.complete(chat(about={"run": "r", "run_cost": 10**12}))


async def test_models_that_a_provider_lists_can_be_asked_at_once(server: OpenAIServer, tmp_path: Path) -> None:
    entry = {"kind": "openai_compatible", "base_url": server.base_url, "discover": True}
    async with serving(tmp_path, {"a": entry}) as worker:
        assert text_of(await worker.complete(chat(model="m-2"))) == "hello"
        assert [each["id"] for each in worker.models()] == ["m-1", "m-2"]


async def test_models_are_listed_with_what_is_known_of_them(server: OpenAIServer, tmp_path: Path) -> None:
    async with serving(tmp_path, {"a": provider(server, "m-1")}) as worker:
        listed = worker.models()
    assert listed == [
        {
            "id": "m",
            "object": "model",
            "created": 0,
            "owned_by": "a",
            "agentflow": {
                "provider": "a",
                "model": "m-1",
                "name": "m",
                "tier": "silver",
                "kind": "chat",
                "quality": 0.7,
                "price": {"input": 1.0, "output": 2.0},
                "context_window": None,
                "max_output": None,
                "json_schema": True,
            },
        }
    ]


async def test_an_unknown_model_is_named_in_the_refusal(server: OpenAIServer, tmp_path: Path) -> None:
    async with serving(tmp_path, {"a": provider(server)}) as worker:
        with pytest.raises(ModelUnavailable, match="gpt-99"):
            await worker.complete(chat(model="gpt-99"))
    assert not server.requests


async def test_a_choice_is_explained_without_asking_anybody(server: OpenAIServer, tmp_path: Path) -> None:
    async with serving(tmp_path, {"a": provider(server)}) as worker:
        told = await worker.ask("route", chat("compare the two designs"))
        alone = await worker.ask("route", {})
    assert told["chosen"]["deployment"]["provider"] == "a"
    assert told["chosen"]["expected_cost"] > 0
    assert len(told["rows"]) == 2
    assert alone["chosen"]["reason"]
    assert not server.requests


async def test_feedback_reaches_the_router(server: OpenAIServer, tmp_path: Path) -> None:
    async with serving(tmp_path, {"a": provider(server, "m-1")}) as worker:
        answer = await worker.complete(chat())
        before = (await worker.ask("stats", {}))["arms"][0]["mean_reward"]
        await worker.ask("outcome", {"ids": [answer["agentflow"]["id"], "unknown"], "reward": -1})
        after = (await worker.ask("stats", {}))["arms"][0]
        with pytest.raises(InvalidArguments):
            await worker.ask("outcome", {"ids": "all", "reward": 1})
        with pytest.raises(InvalidArguments):
            await worker.ask("outcome", {"ids": [], "reward": float("nan")})
    assert after["mean_reward"] < before


async def test_every_model_can_be_tried(server: OpenAIServer, tmp_path: Path) -> None:
    server.script(Refuse("unauthorized"), model="m-2")
    async with serving(tmp_path, {"a": provider(server)}) as worker:
        every = (await worker.ask("test", {"agentflow": ONE}))["results"]
        one = (await worker.ask("test", {"model": "a:m-1"}))["results"]
    assert [(row["model"], row["ok"]) for row in every] == [("m-1", True), ("m-2", False)]
    assert "refused the key" in every[1]["error"]
    assert [row["model"] for row in one] == ["m-1"]


async def test_embeddings_that_come_together_go_out_as_one(server: OpenAIServer, tmp_path: Path) -> None:
    entry = provider(server, "m-1")
    entry["models"][0]["kind"] = "embedding"
    async with serving(tmp_path, {"a": entry}, batching={"max_wait": 10, "max_batch_size": 8}) as worker:
        answers = await asyncio.gather(*(worker.embed({"input": f"text {n}", "agentflow": ONE}) for n in range(8)))
        again = await worker.embed({"input": "text 3", "agentflow": ONE})
    assert len(server.requests) == 1
    assert [answer["data"][0]["embedding"] for answer in answers] == [vector(f"text {n}", 8) for n in range(8)]
    assert sum(answer["usage"]["prompt_tokens"] for answer in answers) == 16
    assert again["agentflow"]["cached"]


async def test_a_provider_that_cannot_be_used_takes_nothing_from_the_others(
    server: OpenAIServer, tmp_path: Path
) -> None:
    local = {"kind": "local", "models": [{"model": "smollm2"}]}
    async with serving(tmp_path, {"x": local, "a": provider(server, "m-1")}) as worker:
        assert text_of(await worker.complete(chat())) == "hello"
        assert "x" in (await worker.ask("stats", {}))["failed"]
    async with serving(tmp_path, {"x": local}) as worker:
        with pytest.raises(ModelUnavailable, match=r"models\.providers\.x"):
            await worker.complete(chat())


async def test_a_malformed_price_table_is_refused_with_its_line(server: OpenAIServer, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("m-1: {input: 1, output: 2}\nm-2: {input: cheap}\n")
    config = models_config({"a": provider(server)}, prices=prices)
    from agentflow.config import StoreConfig

    with pytest.raises(ConfigError, match=r"m-2\.input"):
        Serving(config, StoreConfig(), tmp_path)


async def test_an_answer_without_usage_is_paid_by_its_size(server: OpenAIServer, tmp_path: Path) -> None:
    server.script(Say("four letters each" * 10, usage=None))
    async with serving(tmp_path, {"a": provider(server, "m-1")}) as worker:
        answer = await worker.complete(chat())
    assert answer["usage"]["completion_tokens"] == 43
    assert answer["agentflow"]["cost_nano"] == answer["usage"]["prompt_tokens"] * 1_000 + 43 * 2_000


async def test_policy_bounds_whom_the_router_may_choose(server: OpenAIServer, tmp_path: Path) -> None:
    entry = provider(server)
    entry["models"] = [
        {"model": "m-1", "name": "cheap", "tier": "silver", "price": {"input": 1}},
        {"model": "m-2", "name": "strong", "tier": "gold", "price": {"input": 9}},
    ]
    async with serving(tmp_path, {"a": entry}) as worker:
        answer = await worker.complete(chat(about={"models": ["strong"]}))
        assert answer["agentflow"]["name"] == "strong"
        server.script(Refuse("server_error"))
        with pytest.raises(ModelUnavailable) as caught:  # fail-over keeps to it, too
            await worker.complete(chat(about={"models": ["strong"]}))
        assert len(caught.value.data["attempts"]) == 1
        with pytest.raises(ModelUnavailable, match="policy"):
            await worker.complete(chat(about={"most": "bronze"}))
        assert "policy" in str((await worker.ask("route", chat(about={"models": []})))["error"])
