"""The gateway's side of the model worker, with a real worker process: started, asked, killed, ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from agentflow.config import Config
from agentflow.errors import (
    BudgetExceeded,
    ConfigError,
    InvalidArguments,
    ModelUnavailable,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from agentflow.models.client import ModelWorker, RequestContext
from tests.gateway_process import REPOSITORY, wait_until
from tests.model_servers import Hang, OpenAIServer, Refuse, Say

JSON = dict[str, Any]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
ANN = RequestContext(principal="ann", tenant="acme")
KEY = "sk-very-secret-key"


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with OpenAIServer("m-1") as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.reset()
    return running


def config(server: OpenAIServer, folder: Path, **more: Any) -> Config:
    one = {
        "kind": "openai_compatible",
        "base_url": server.base_url,
        "api_key": KEY,
        "retries": 0,
        "max_concurrent": 200,
    }
    one |= {"models": [{"model": "m-1", "price": {"input": 1, "output": 2}}]}
    return Config.model_validate({"data_dir": folder, "models": {"providers": {"a": one}, **more}})


@asynccontextmanager
async def worker(server: OpenAIServer, folder: Path, **more: Any) -> AsyncIterator[ModelWorker]:
    made = ModelWorker(config(server, folder, **more))
    try:
        yield made
    finally:
        await made.close()


async def test_a_worker_is_asked_in_every_way_and_keeps_itself_private(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMETHING_SECRET", "of the gateway")
    async with worker(server, tmp_path) as models:
        assert models.pid is None  # nothing is started before it is needed
        answer = await models.complete({**HELLO, "model": "auto"}, ANN)
        assert answer["choices"][0]["message"]["content"] == "hello"
        assert answer["agentflow"]["cost_nano"] == 25_000
        chunks = [chunk async for chunk in models.stream(HELLO, ANN)]
        assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]) == "hello"
        assert chunks[-1]["agentflow"]["provider"] == "a"
        assert [each["id"] for each in await models.models()] == ["m-1"]
        assert (await models.ask("route", HELLO))["chosen"]["deployment"]["model"] == "m-1"
        with pytest.raises(InvalidArguments, match="api_base"):
            await models.complete({**HELLO, "api_base": "http://evil.example"}, ANN)
        with pytest.raises(InvalidArguments, match="nothing"):
            await models.ask("nothing")
        with pytest.raises(BudgetExceeded) as refused:
            await models.complete(HELLO, RequestContext(tenant="acme", run="r", run_cost=5))
        assert refused.value.data["left"] == 5
        server.script(Refuse("unauthorized"))
        with pytest.raises(ModelUnavailable, match=r"a:m-1: it refused the key \(401\)") as failed:
            await models.complete(HELLO, ANN)
        assert failed.value.data["attempts"] == ["a:m-1: it refused the key (401)"]
        await _private(models)


async def _private(models: ModelWorker) -> None:
    """Nobody finds its key, or its socket, or reads the gateway's environment off it."""
    assert models.pid is not None
    process = psutil.Process(models.pid)
    assert KEY not in " ".join(process.cmdline())
    assert "SOMETHING_SECRET" not in process.environ()
    assert KEY not in str(process.environ())
    found = models._process
    assert found is not None
    folder = found.socket.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(found.socket))) as stranger:
        answer = await stranger.post("http://models/v1/chat/completions", json=HELLO)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "unauthenticated"
    await models.close()
    assert not folder.exists()
    assert not process.is_running()
    with pytest.raises(ModelUnavailable, match="shutting down"):
        await models.complete(HELLO, ANN)


async def test_a_worker_that_is_killed_fails_what_it_was_doing_and_the_next_question_starts_another(
    server: OpenAIServer, tmp_path: Path
) -> None:
    server.script(Hang(after=1), Hang())
    async with worker(server, tmp_path) as models:
        async with aclosing(models.stream(HELLO, ANN)) as chunks:
            await anext(chunks)
            whole = asyncio.create_task(models.complete(HELLO, ANN))
            await asyncio.to_thread(server.wait_for_requests, 2)
            first = models.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            with pytest.raises(ModelUnavailable, match="ended while it was answering"):
                await whole
            with pytest.raises(UpstreamProtocolError, match="broke off"):
                async for _ in chunks:
                    pass
        answer = await models.complete(HELLO, ANN)
        assert answer["choices"][0]["message"]["content"] == "hello"
        assert models.pid not in (None, first)


async def test_many_first_questions_start_one_worker(server: OpenAIServer, tmp_path: Path) -> None:
    async with worker(server, tmp_path) as models:
        models.prewarm()
        models.prewarm()
        answers = await asyncio.gather(*(models.complete(HELLO, ANN) for _ in range(20)))
        assert len(answers) == 20
        children = psutil.Process().children()
        assert sum("agentflow.models.worker" in " ".join(child.cmdline()) for child in children) == 1


async def test_a_caller_that_leaves_stops_the_provider(server: OpenAIServer, tmp_path: Path) -> None:
    server.script(Hang(), Hang(after=1))
    async with worker(server, tmp_path) as models:
        task = asyncio.create_task(models.complete(HELLO, ANN))
        await asyncio.to_thread(server.wait_for_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_gone, 1)
        async with aclosing(models.stream(HELLO, ANN)) as chunks:
            await anext(chunks)
        await asyncio.to_thread(server.wait_for_gone, 2)
        assert (await models.ask("stats"))["providers"]["a"]["under_way"] == 0


async def test_a_question_with_a_time_is_answered_in_time_or_refused(server: OpenAIServer, tmp_path: Path) -> None:
    server.script(Hang())
    async with worker(server, tmp_path) as models:
        with pytest.raises((UpstreamTimeout, ModelUnavailable), match="within"):
            await models.complete(HELLO, RequestContext(tenant="acme", timeout=0.2))


async def test_a_hundred_streams_at_once_all_come_whole(server: OpenAIServer, tmp_path: Path) -> None:
    server.otherwise = Say("one two three four five", gap=0.3)

    async def one(models: ModelWorker) -> str:
        chunks = [chunk async for chunk in models.stream(HELLO, ANN)]
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])

    async with worker(server, tmp_path) as models:
        texts = await asyncio.gather(*(one(models) for _ in range(100)))
    assert set(texts) == {"one two three four five"}
    assert server.most_at_once > 10


async def test_what_cannot_be_used_is_said_once_the_worker_starts(server: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("m-1: free")
    async with worker(server, tmp_path, prices=str(tmp_path / "prices.yaml")) as models:
        with pytest.raises(ConfigError, match=r"prices\.yaml"):
            await models.complete(HELLO, ANN)


async def test_without_a_model_nothing_is_started(tmp_path: Path) -> None:
    models = ModelWorker(Config.model_validate({"data_dir": tmp_path}))
    models.prewarm()
    with pytest.raises(ModelUnavailable, match="no model is configured"):
        await models.complete(HELLO, ANN)
    assert models.pid is None
    await models.close()


def test_the_gateways_side_imports_nothing_heavy() -> None:
    looked = (
        "import sys; sys.path.insert(0, 'server'); import agentflow.models.client, agentflow.models.spawn; heavy = "
        "('litellm', 'openai', 'boto3', 'sqlalchemy', 'httpx2', 'numpy', 'torch'); print([m for m in heavy if m in "
        "sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "[]"


def test_a_worker_ends_with_its_gateway_however_that_ends(server: OpenAIServer, tmp_path: Path) -> None:
    gateway = (
        "import asyncio, sys; sys.path.insert(0, 'server')\n"
        "from agentflow.config import Config\n"
        "from agentflow.models.client import ModelWorker, RequestContext\n"
        "async def main():\n"
        "    models = ModelWorker(Config.model_validate_json(sys.argv[1]))\n"
        "    await models.ask('stats')\n"
        "    print(models.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    told = config(server, tmp_path).model_dump_json(include={"data_dir", "models"}, exclude_unset=True)
    child = subprocess.Popen([sys.executable, "-c", gateway, told], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert child.stdout is not None
    with child.stdout as lines:
        pid = int(lines.readline())
        child.kill()
        child.wait()
    wait_until(lambda: not psutil.pid_exists(pid), "the worker to end")


async def test_litellm_serves_in_the_worker_and_says_nothing(
    server: OpenAIServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    one = {"kind": "mistral", "base_url": server.base_url, "api_key": KEY, "retries": 0, "models": [{"model": "m-1"}]}
    told = Config.model_validate({"data_dir": tmp_path, "models": {"providers": {"a": one}}})
    caplog.set_level(logging.DEBUG)
    models = ModelWorker(told)
    try:
        answer = await models.complete(HELLO, ANN)
        assert answer["choices"][0]["message"]["content"] == "hello"
        assert "cost" not in answer["usage"]
        server.script(Refuse("unauthorized"))
        with pytest.raises(ModelUnavailable, match="refused the key") as refused:
            await models.complete(HELLO, ANN)
        chunks = [chunk async for chunk in models.stream(HELLO, ANN)]
        assert chunks[-1]["usage"]["total_tokens"] > 0
    finally:
        await models.close()
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    written = capfd.readouterr()
    for said in (caplog.text, written.out, written.err, str(refused.value)):
        assert KEY[:8] not in said
        assert "litellm" not in said.lower()
