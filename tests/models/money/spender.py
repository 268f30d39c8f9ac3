"""A process that spends from a budget as fast as it is let; `test_two_processes` runs several.

    spender.py FOLDER COUNT NANO [URL]

It asks for COUNT requests of up to NANO at once when a line comes on standard input, settles each for what it really
cost (a part of it), and prints what it spent, was let, was refused and met otherwise. `hold` keeps what it was let.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from pydantic import SecretStr

from agentflow.config import StoreConfig
from agentflow.errors import BudgetExceeded
from agentflow.models.money.entries import Charge, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.store.opened import Store

CHARGE = Charge("acme", "apollo", "ada", provider="openai", model="gpt-4o")


async def main(folder: str, count: str, nano: str, url: str = "") -> None:
    store = Store(Path(folder), StoreConfig(url=SecretStr(url) if url else None))
    ledger = Ledger(store, Path(folder) / "models")
    await asyncio.to_thread(store.database)
    print("ready", flush=True)
    told = (await asyncio.to_thread(sys.stdin.readline)).strip()
    spent, most = 0, int(nano)

    async def one(number: int) -> str:
        nonlocal spent
        try:
            made = await ledger.reserve(CHARGE, most, 100)
        except BudgetExceeded:
            return "refused"
        if told != "hold":
            await asyncio.sleep(0)
            cost = most - number % 3
            await ledger.settle(made, Usage(50, 50, 0, cost, 0.1))
            spent += cost
        return "let"

    found = await asyncio.gather(*(one(number) for number in range(int(count))), return_exceptions=True)
    others = [repr(each) for each in found if not isinstance(each, str)]
    print(json.dumps({"spent": spent, "let": found.count("let"), "others": others}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await ledger.close()
    store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
