"""What decisions cost: cached, uncached, over an OPA's REST API, and listings of 10,000 tools.

    python -m benchmarks.policy

CPU microseconds of this process (`process_time`) per decision, and milliseconds of wall clock for listings and for
OPA, which here is the stand-in of the tests (its own evaluation included).
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from agentflow.config import OpaConfig, PolicyConfig
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import UpstreamFacts
from agentflow.policy.archive import pack
from agentflow.policy.bundle import read_bundle
from agentflow.policy.engine import Engine
from agentflow.policy.listing import Item, Listings
from agentflow.policy.opa import OpaEngine
from tests.policy.opa_server import serving
from tests.policy.recorded_calls import question

USERS = {"users": {f"user{number}": {"team": number % 7, "manager": f"user{number // 9}"} for number in range(10_000)}}
RULES = {
    f"r{number}": {"servers": [f"s{number}*"], "tools": ["delete_*", "drop_*"], "effect": "deny"}
    for number in range(20)
}


def cpu(work: Callable[[int], object], count: int) -> float:
    """Microseconds of CPU per round."""
    before = time.process_time()
    for number in range(count):
        work(number)
    return (time.process_time() - before) / count * 1e6


def decisions() -> None:
    for what, data in (("10,000 users", USERS), ("and 20 rules", {**USERS, "settings": {"rules": RULES}})):
        with closing(Engine(PolicyConfig(data=data))) as engine:
            fixed = question()
            engine.decide(fixed)
            print(f"cached, {what}    {cpu(lambda _, e=engine, q=fixed: e.known(q), 20_000):8.1f} us CPU")
            goes = []
            for turn in range(5):  # the least of five: other work on the machine only ever adds
                questions = [question(tool=f"t{turn}_{number}") for number in range(300)]
                goes.append(cpu(lambda number, e=engine, qs=questions: e.decide(qs[number]), 300))
            print(f"uncached, {what}  {min(goes):8.1f} us CPU")


async def listings() -> None:
    caller = Principal(id="p", kind="agent", roles=("agent",), tenant="default", scopes=(), auth="local")
    items: list[Item] = [
        (UpstreamFacts(f"s{number % 40}", "http"), f"tool_{number}", {"annotations": {"readOnlyHint": number % 3 == 0}})
        for number in range(10_000)
    ]
    with closing(Engine(PolicyConfig(data={"settings": {"rules": RULES}}))) as engine:
        known = Listings(engine)
        for turn in ("first ", "cached"):
            before, worked = time.perf_counter(), time.process_time()
            view = known.view(caller, "tool")
            if missing := view.missing(items):
                assert await known.fill(view, missing) is None
            shown = sum(view.shows(item) for item in items)
            took, worked = (time.perf_counter() - before) * 1e3, (time.process_time() - worked) * 1e3
            print(f"listing {turn}    {took:8.1f} ms, {worked:.1f} ms of it CPU, {shown} of 10,000 tools")


async def remote() -> None:
    bundle = read_bundle(PolicyConfig())
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as opa:
        archive = Path(folder) / "bundle.tar.gz"
        archive.write_bytes(pack(bundle.texts, bundle.data, bundle.revision))
        opa.load(archive)
        opa.write('package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true}\n', {}, bundle.revision)
        with closing(OpaEngine(PolicyConfig(engine="opa", opa=OpaConfig(url=opa.url, cache=0)))) as engine:
            took = []
            for number in range(500):
                before = time.perf_counter()
                (decision,) = await engine.decide_soon(question(tool=f"t{number}"))
                took.append((time.perf_counter() - before) * 1e3)
                assert decision.allow
            print(f"OPA over loopback {statistics.median(took):8.2f} ms p50, {sorted(took)[-25]:.2f} ms p95")


if __name__ == "__main__":
    decisions()
    asyncio.run(listings())
    asyncio.run(remote())
