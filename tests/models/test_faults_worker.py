"""What goes wrong around a model worker: it is killed, the database goes, prices are malformed; what it finds out."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from agentflow import errors
from agentflow.models.client import RequestContext
from tests.gateway_process import wait_until
from tests.model_servers import BedrockServer, Hang, OpenAIServer, Say
from tests.model_servers.bedrock import HAIKU, QWEN, SONNET
from tests.models.running_worker import HELLO, RunningWorker, heard, raised, running_worker, text_of

COST = 25_000  # nano-dollars for 11 tokens of prompt and 7 of answer
DOLLAR = 1_000_000_000


def models_at(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    model = {"model": "m-1", "name": "chat", "price": {"input": 1, "output": 2}}
    one = {"kind": "openai_compatible", "base_url": server.base_url, "models": [model], "retries": 0, "timeout": 60}
    return {"providers": {"one": one}, **more}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer("m-1") as running:
        yield running


@pytest.fixture
def worker(server: OpenAIServer, tmp_path: Path) -> Iterator[RunningWorker]:
    with running_worker(tmp_path, models_at(server)) as running:
        yield running


def test_a_worker_killed_in_the_middle_is_one_error_each_and_the_next_question_starts_another(
    server: OpenAIServer, worker: RunningWorker
) -> None:
    worker.budget("acme", DOLLAR)
    assert text_of(worker.complete(tenant="acme")) == "hello"
    first = worker.client.pid
    assert first is not None
    server.script(Hang(after=2), Hang())
    context = RequestContext(tenant="acme", cache=False)

    async def both() -> list[Any]:
        said: list[Any] = []
        half = asyncio.Event()

        async def streamed() -> None:
            async for chunk in worker.client.stream(HELLO, context):
                said.append(chunk)
                if heard(said) == "one two":
                    half.set()

        parts = asyncio.create_task(streamed())
        await half.wait()
        whole = asyncio.create_task(worker.client.complete(HELLO, context))
        await asyncio.to_thread(server.wait_for_requests, 3)
        os.kill(first, signal.SIGKILL)
        return [said, *await asyncio.gather(parts, whole, return_exceptions=True)]

    said, cut, lost = worker.run(both())
    assert heard(said) == "one two"
    assert isinstance(cut, errors.UpstreamProtocolError)
    assert "broke off" in cut.message
    assert isinstance(lost, errors.ModelUnavailable)
    assert lost.data["reason"] == "worker_died"
    server.wait_for_gone(2)
    assert text_of(worker.complete(tenant="acme")) == "hello"
    assert worker.client.pid not in (None, first)
    rows = worker.usage("acme", 2)
    assert [row["nano"] for row in rows] == [COST, COST]


def test_an_orderly_end_settles_what_is_under_way(server: OpenAIServer, tmp_path: Path) -> None:
    server.script(Hang(after=2))
    said: list[Any] = []
    with running_worker(tmp_path, models_at(server)) as worker:
        worker.budget("acme", DOLLAR)

        async def streamed() -> None:
            async for chunk in worker.client.stream(HELLO, RequestContext(tenant="acme", cache=False)):
                said.append(chunk)

        parts = asyncio.run_coroutine_threadsafe(streamed(), worker._loop)
        wait_until(lambda: heard(said) == "one two", "half an answer")
        worker.run(worker.client.close())
        assert isinstance(parts.exception(30), errors.AgentFlowError)
        (row,) = worker.usage("acme", 1)
        assert row["outcome"] != "ok"
        assert worker.spent("acme") == row["nano"]
        raised(worker.complete, errors.ModelUnavailable)


class Outage:
    """A PostgreSQL database that can be taken away and given back."""

    def __init__(self, postgres: str, database: str) -> None:
        self._server = postgres
        self._name = urlsplit(database).path.removeprefix("/")

    def begin(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as db:
            db.execute(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS false")
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self._name,))

    def end(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as db:
            db.execute(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS true")


def test_a_database_lost_before_and_after_the_answer_loses_no_money(
    server: OpenAIServer, tmp_path: Path, postgres: str, database: str
) -> None:
    outage = Outage(postgres, database)
    with running_worker(tmp_path, models_at(server), database) as worker:
        worker.budget("acme", DOLLAR)
        worker.complete(tenant="acme")
        assert worker.spent("acme") == COST
        outage.begin()
        error = raised(lambda: worker.complete(tenant="acme"), errors.StoreUnavailable)
        assert "\n" not in error.message
        assert len(server.requests) == 1, "what cannot be reserved is not asked"
        outage.end()
        answered: list[Any] = []
        server.script(Say("late", delay=2.0))
        waiting = threading.Thread(target=lambda: answered.append(worker.complete(tenant="acme")))
        waiting.start()
        server.wait_for_requests(2)
        outage.begin()
        waiting.join(60)
        assert text_of(answered[0]) == "late", "an answer that is there is given"
        outage.end()
        worker.complete(tenant="acme")
        assert [row["nano"] for row in worker.usage("acme", 3)] == [COST] * 3
        assert worker.spent("acme") == 3 * COST


def test_a_malformed_price_table_is_said_at_the_start(server: OpenAIServer, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("m-1: {input: cheap, output: 2}\n")
    with running_worker(tmp_path / "data", models_at(server, prices=str(prices))) as worker:
        error = raised(worker.complete, errors.AgentFlowError)
        assert "prices.yaml" in error.message
        assert "\n" not in error.message
    assert server.requests == []


def test_what_bedrock_and_a_compatible_endpoint_offer_is_found_out(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server.models = ["qwen3-8b", "bge-m3-embed"]
    with BedrockServer() as bedrock:
        aws = {"kind": "bedrock", "base_url": bedrock.base_url, "regions": ["us-east-1"], "discover": True}
        own = {"kind": "vllm", "base_url": server.base_url, "discover": True}
        with running_worker(tmp_path, {"providers": {"aws": aws, "own": own}}) as worker:
            assert text_of(worker.complete({**HELLO, "model": QWEN})) == "hello"
            listed = {each["id"]: each["agentflow"] for each in worker.run(worker.client.models())}
            assert {SONNET, HAIKU, QWEN, "qwen3-8b", "bge-m3-embed"} <= set(listed)
            assert listed[SONNET]["tier"] == "gold"
            assert listed["bge-m3-embed"]["kind"] == "embedding"
            assert {name: listed[name]["price"] is not None for name in (SONNET, HAIKU, QWEN)} == {
                SONNET: True, HAIKU: True, QWEN: True,
            }  # fmt: skip
            assert text_of(worker.complete({**HELLO, "model": "qwen3-8b"})) == "hello"
