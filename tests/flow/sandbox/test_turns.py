"""Whose turn it is where many wait for a few places."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.errors import LimitExceeded
from agentflow.flow.sandbox.turns import Turns


async def _waiting(turns: Turns, owners: str, served: list[str]) -> list[asyncio.Task[None]]:
    async def one(owner: str) -> None:
        await turns.take(owner)
        served.append(owner)

    tasks = [asyncio.create_task(one(owner)) for owner in owners]
    await asyncio.sleep(0)
    return tasks


async def test_principals_take_turns_however_many_one_has() -> None:
    turns, served = Turns(1, 10, 20), list[str]()
    await turns.take("a")
    tasks = await _waiting(turns, "aaaabc", served)
    for _ in tasks:
        turns.give()
    await asyncio.gather(*tasks)
    assert "".join(served) == "abcaaa"


async def test_nobody_takes_all_the_room_to_wait() -> None:
    turns, served = Turns(1, 2, 3), list[str]()
    await turns.take("a")
    tasks = await _waiting(turns, "aab", served)
    for owner in ("a", "b"):
        with pytest.raises(LimitExceeded):
            await turns.take(owner)
    for _ in range(4):
        turns.give()
    await asyncio.gather(*tasks)
    await turns.take("c")


async def test_who_goes_away_keeps_no_place() -> None:
    turns, served = Turns(1, 5, 5), list[str]()
    await turns.take("a")
    gone, told, last = await _waiting(turns, "abc", served)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    turns.give()  # b's turn, but b goes away at that very moment
    told.cancel()
    await asyncio.gather(told, return_exceptions=True)
    await asyncio.wait_for(last, 30)
    assert served == ["c"]
    turns.give()
    await asyncio.wait_for(turns.take("d"), 30)
