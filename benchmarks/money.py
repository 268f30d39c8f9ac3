"""What the ledger costs a request: reserve and settle, one after the other and a hundred at once. Real databases.

    python -m benchmarks.money [--url postgresql://…] [--json FILE]

Without `--url` a SQLite file in a temporary folder. CPU is this process's, so PostgreSQL's own is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agentflow.config import StoreConfig
from agentflow.models.money.budgets import Budgets, NewBudget
from agentflow.models.money.entries import Charge, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.models.port import NANO
from agentflow.store.opened import Store

ADA = Charge("bench", "apollo", "ada", provider="p", model="m", tier="silver")
USED = Usage(500, 200, 0, 1_000_000, 0.5)


async def one(ledger: Ledger) -> None:
    await ledger.settle(await ledger.reserve(ADA, 5_000_000, 1_000), USED)


async def measured(ledger: Ledger, requests: int, at_once: int) -> dict[str, float]:
    """Milliseconds of a request: CPU of this process, and elapsed divided by how many ran at once."""
    await one(ledger)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(requests // at_once):
        await asyncio.gather(*(one(ledger) for _ in range(at_once)))
    many = requests // at_once * at_once
    return {
        "cpu_ms": round((time.process_time() - cpu) * 1000 / many, 3),
        "elapsed_ms": round((time.perf_counter() - wall) * 1000 / many, 3),
    }


async def run(folder: Path, url: str | None, requests: int) -> dict[str, Any]:
    store = Store(folder, StoreConfig(url=SecretStr(url) if url else None))
    store.database()
    ledger, budgets, found = Ledger(store, folder / "models"), Budgets(store), {}
    for name, limits in (("no budget", 0), ("one budget", 1), ("three budgets", 3)):
        while len(budgets.all("bench")) < limits:
            scope = ("tenant", "project", "principal")[len(budgets.all("bench"))]
            subject = "" if scope == "tenant" else "*"
            wish = NewBudget("bench", scope, subject, "monthly", 10**6 * NANO, 10**9)  # type: ignore[arg-type]
            budgets.create(wish, "benchmark")
        for at_once in (1, 100):
            found[f"{name}, {at_once} at once"] = await measured(ledger, requests, at_once)
    await ledger.close()
    for budget in budgets.all("bench"):
        budgets.delete(budget)
    store.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a PostgreSQL database whose contents do not matter")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(Path(folder), args.url, args.requests))
    for name, figures in found.items():
        print(f"{name:28} {figures['cpu_ms']:8.3f} ms CPU {figures['elapsed_ms']:8.3f} ms elapsed")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
