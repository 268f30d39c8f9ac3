"""Calls counted together: never more than the limit over all gateways, cheap while there are plenty, shut when lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from databases import cut_off
from pydantic import SecretStr

from agentflow.config import StoreConfig
from agentflow.errors import StoreUnavailable
from agentflow.pipeline import rates as module
from agentflow.pipeline.rates import SharedRates, Taken
from agentflow.store.limits import Buckets
from agentflow.store.opened import Store


async def taken(rates: SharedRates, key: str = "ada", rate: int = 6) -> Taken:
    found = rates.take(key, rate)
    return found if isinstance(found, Taken) else await found


@pytest.fixture
async def gateways(database: str, tmp_path: Path) -> AsyncIterator[list[SharedRates]]:
    stores = [Store(tmp_path, StoreConfig(url=SecretStr(database))) for _ in range(2)]
    made = [SharedRates(store) for store in stores]
    yield made
    for rates in made:
        rates.close()
    for store in stores:
        store.close()


class Counted:
    """How often the database is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        original = Buckets.draw

        def draw(*arguments: Any) -> Any:
            self.times += 1
            return original(*arguments)

        monkeypatch.setattr(Buckets, "draw", draw)


async def test_a_small_limit_is_exact_over_two_gateways(gateways: list[SharedRates]) -> None:
    found = [await taken(gateways[n % 2]) for n in range(12)]
    assert [each.wait > 0 for each in found] == [False] * 6 + [True] * 6
    assert [each.left for each in found[:6]] == [5, 4, 3, 2, 1, 0]
    assert 0 < found[-1].wait <= 10


async def test_concurrent_callers_of_two_gateways_get_no_more_than_the_limit(gateways: list[SharedRates]) -> None:
    async def caller(number: int) -> int:
        return sum([not (await taken(gateways[number % 2], rate=40)).wait for _ in range(10)])

    admitted = sum(await asyncio.gather(*(caller(n) for n in range(20))))
    assert 40 <= admitted <= 45, "200 were asked for; a few come back while it runs"


async def test_callers_do_not_draw_from_each_other(gateways: list[SharedRates]) -> None:
    for key in ("ada", "bob", "ada\0heavy"):
        assert not any([(await taken(gateways[0], key)).wait for _ in range(6)])
        assert (await taken(gateways[1], key)).wait


async def test_of_a_large_limit_some_are_taken_ahead(
    gateways: list[SharedRates], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Counted(monkeypatch)
    one = gateways[0]
    for _ in range(1000):
        assert not (await taken(one, rate=60_000)).wait
    assert asked.times <= 10


async def test_what_was_taken_ahead_and_not_used_in_time_is_dropped(database: str, tmp_path: Path) -> None:
    now = 0.0
    store = Store(tmp_path, StoreConfig(url=SecretStr(database)))
    rates = SharedRates(store, lambda: now)
    await taken(rates, rate=1200)
    assert isinstance(rates.take("ada", 1200), Taken)
    now = 0.6
    found = rates.take("ada", 1200)
    assert not isinstance(found, Taken)
    await found
    rates.close()
    store.close()


async def test_callers_that_wait_at_once_are_served_by_one_look(
    gateways: list[SharedRates], monkeypatch: pytest.MonkeyPatch
) -> None:
    await taken(gateways[0], "warm")
    asked = Counted(monkeypatch)
    found = await asyncio.gather(*(taken(gateways[0], key, 50) for key in ("ada", "bob") for _ in range(60)))
    assert sum(not each.wait for each in found) == 100
    assert asked.times <= 3


async def test_an_empty_bucket_is_not_asked_until_it_can_have_something(
    gateways: list[SharedRates], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        await taken(gateways[0])
    asked = Counted(monkeypatch)
    for _ in range(100):
        found = gateways[0].take("ada", 6)
        assert isinstance(found, Taken) and found.wait
    assert asked.times == 0


async def test_a_caller_who_leaves_costs_nobody_else_a_call(gateways: list[SharedRates]) -> None:
    await taken(gateways[0], "warm")
    leaving = [asyncio.ensure_future(taken(gateways[0], rate=1200)) for _ in range(5)]
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    staying = await asyncio.gather(*leaving, taken(gateways[0], rate=1200), return_exceptions=True)
    assert isinstance(staying[-1], Taken) and not staying[-1].wait


async def test_a_changed_limit_counts_at_once(gateways: list[SharedRates]) -> None:
    for _ in range(6):
        await taken(gateways[0])
    assert (await taken(gateways[0])).wait
    assert (await taken(gateways[0], rate=60)).wait, "its bucket stays as empty as it was"


async def test_what_was_taken_ahead_goes_on_without_a_database_and_then_calls_are_refused(
    gateways: list[SharedRates], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = gateways[0]
    await taken(one, rate=60_000)

    def lost(*_: object) -> None:
        raise StoreUnavailable("The database is gone", fix="start it")

    monkeypatch.setattr(Buckets, "draw", lost)
    admitted = 0
    while isinstance(found := one.take("ada", 60_000), Taken):
        admitted += not found.wait
    assert 0 < admitted <= 500
    with pytest.raises(StoreUnavailable, match="cannot be counted: The database is gone") as refused:
        await found
    assert refused.value.fix == "start it" and refused.value.data["retry_after"]
    with pytest.raises(StoreUnavailable):
        await taken(one, "somebody else")


async def test_a_store_that_failed_is_left_alone_for_a_moment_and_then_asked_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, tries = 0.0, 0
    store = Store(tmp_path, StoreConfig(url=SecretStr(database)))
    rates = SharedRates(store, lambda: now)
    original = Buckets.draw

    def lost(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise ZeroDivisionError

    monkeypatch.setattr(Buckets, "draw", lost)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await taken(rates)
    assert tries == 1
    monkeypatch.setattr(Buckets, "draw", original)
    now = 1.1
    assert not (await taken(rates)).wait
    rates.close()
    store.close()


async def test_connections_that_were_cut_are_no_lost_call(gateways: list[SharedRates], database: str) -> None:
    await taken(gateways[0])
    cut_off(database)
    assert not (await taken(gateways[0])).wait


async def test_a_database_that_does_not_answer_refuses(
    gateways: list[SharedRates], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    await taken(gateways[0])
    monkeypatch.setattr(module, "_SLOW", 0.2)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE agentflow.rate_limit")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await taken(gateways[0])
        gateways[0].close()
    await asyncio.get_running_loop().shutdown_default_executor()  # the thread that was there has let go of all
