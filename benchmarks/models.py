"""What the model worker costs, against a local server that speaks OpenAI's format (no model, no network).

    python benchmarks/models.py                # every figure, for both ways a provider is asked
    python benchmarks/models.py --calls 100    # fewer calls

The worker is a real one, in its own process, asked over its socket as the gateway asks it; the provider is an HTTP
server of this process on loopback. CPU is the worker's, as the kernel counts it; "bare" is a process that does nothing
but send the same requests with httpx2, and "over bare" is the difference: parsing, cache, routing, ledger, the
worker's own HTTP, and litellm where it is asked through that.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "server")]

from agentflow.config import Config  # noqa: E402
from agentflow.models.client import ModelWorker, RequestContext  # noqa: E402
from tests.model_servers import OpenAIServer, Say  # noqa: E402

JSON = dict[str, Any]
ANN = RequestContext(principal="ann", tenant="bench", cache=False)
HELLO: JSON = {"messages": [{"role": "user", "content": "Which of the two is larger, and by how much?"}]}
KINDS = {"openai": "own wire", "mistral": "litellm's Router"}
STREAMS, PARTS, GAP = 100, 50, 0.05
SETTLED = 4.0  # seconds until the first usage is written, which sets up the store once: no call's cost


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    value: str
    bound: str


def config(server: OpenAIServer, kind: str, folder: Path) -> Config:
    """Six models of one provider, all priced, so that there is something to choose from."""
    models = [{"model": f"m-{n}", "price": {"input": 1 + n, "output": 2 + n}} for n in range(6)]
    one = {"kind": kind, "base_url": server.base_url, "api_key": "sk-bench", "max_concurrent": 512, "models": models}
    return Config.model_validate({"data_dir": folder, "models": {"providers": {"a": one}}})


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


async def timed(ask: Callable[[], Awaitable[Any]], calls: int) -> list[float]:
    """Milliseconds of each of so many calls, one after the other."""
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        await ask()
        found.append(1000 * (time.perf_counter() - began))
    return found


def bare(url: str, calls: int) -> tuple[float, float]:
    """CPU and median milliseconds of a process that only sends the requests."""
    done = subprocess.run(
        [sys.executable, __file__, "--bare", url, "--calls", str(calls)], capture_output=True, text=True, check=True
    )
    used, median = done.stdout.split()
    return float(used), float(median)


async def be_bare(url: str, calls: int) -> None:
    """The process that `bare` starts."""
    import httpx2

    async with httpx2.AsyncClient(
        base_url=url, headers={"authorization": "Bearer sk-bench"}, trust_env=False
    ) as client:

        async def ask() -> None:
            answer = await client.post("/chat/completions", json={**HELLO, "model": "m-0", "max_tokens": 100})
            answer.json()

        await timed(ask, 20)
        before = time.process_time()
        found = await timed(ask, calls)
        print(1000 * (time.process_time() - before) / calls, statistics.median(found))


async def streams(models: ModelWorker, server: OpenAIServer) -> tuple[float, float, float]:
    """Seconds until all streams were through, 95th percentile of their first parts, CPU ms of the worker for a part."""
    server.otherwise = Say("word " * PARTS, pieces=["word "] * PARTS, gap=GAP)
    firsts: list[float] = []

    async def one() -> None:
        began, parts = time.perf_counter(), 0
        async with aclosing(models.stream(HELLO, ANN)) as chunks:
            async for chunk in chunks:
                if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                    parts += 1
                    if parts == 1:
                        firsts.append(time.perf_counter() - began)
        assert parts == PARTS, parts

    assert models.pid is not None
    before, began = cpu(models.pid), time.perf_counter()
    await asyncio.gather(*(one() for _ in range(STREAMS)))
    took = time.perf_counter() - began
    server.otherwise = Say()
    return took, sorted(firsts)[int(0.95 * STREAMS)], 1000 * (cpu(models.pid) - before) / (STREAMS * PARTS)


async def measured(kind: str, calls: int, folder: Path) -> list[Figure]:
    """Every figure of one way to ask a provider."""
    name = KINDS[kind]
    with OpenAIServer(*(f"m-{n}" for n in range(6))) as server:
        server.otherwise = Say(delay=0.0)
        base_cpu, base_wall = bare(server.base_url, calls)
        models = ModelWorker(config(server, kind, folder))
        try:
            began = time.perf_counter()
            await models.complete(HELLO, ANN)
            cold = time.perf_counter() - began
            assert models.pid is not None
            started = cpu(models.pid)
            await timed(lambda: models.complete(HELLO, ANN), 30)
            await asyncio.sleep(SETTLED)
            before = cpu(models.pid)
            found = await timed(lambda: models.complete(HELLO, ANN), calls)
            used = 1000 * (cpu(models.pid) - before) / calls
            took, first, part = await streams(models, server)
            rss = psutil.Process(models.pid).memory_info().rss / 2**20
        finally:
            await models.close()
    return [
        Figure(f"{name}: first answer after a cold start, s", f"{cold:.1f} ({started:.1f} CPU)", "8"),
        Figure(f"{name}: CPU ms per call, over bare", f"{used - base_cpu:.2f} ({used:.2f} - {base_cpu:.2f})", "3"),
        Figure(f"{name}: median ms over the provider, warm", f"{statistics.median(found) - base_wall:.1f}", "50"),
        Figure(
            f"{name}: {STREAMS} streams of {PARTS} parts, s", f"{took:.1f} (alone {PARTS * GAP:.1f})", "all come whole"
        ),
        Figure(f"{name}: first part of those, p95 s", f"{first:.2f} (alone {GAP:.2f})", "-"),
        Figure(f"{name}: CPU ms for a streamed part", f"{part:.2f}", "-"),
        Figure(f"{name}: RSS after all that, MB", f"{rss:.0f}", "350"),
    ]


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.bare:
        asyncio.run(be_bare(options.bare, options.calls))
        return
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            for figure in asyncio.run(measured(kind, options.calls, Path(folder))):
                print(f"{figure.what:<62} {figure.value:>24}   bound {figure.bound}")


if __name__ == "__main__":
    main()
