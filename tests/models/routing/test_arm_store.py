"""What was learnt outlives the process and is shared, on SQLite and PostgreSQL; while a store is away none is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentflow.config import StoreConfig
from agentflow.models.routing.arm_store import ArmStore
from agentflow.models.routing.arms import Sums
from agentflow.store.opened import Store
from tests.databases import cut_off


def one(reward: float) -> Sums:
    return Sums(pulls=1.0, reward=reward, square=reward * reward, successes=1.0, latency=2.0, timed=1.0)


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Store]]:
    """Two openings of one database, as two gateways have it."""
    url = SecretStr(request.getfixturevalue("database")) if request.param == "postgres" else None
    opened = [Store(tmp_path, StoreConfig(url=url)) for _ in range(2)]
    yield opened
    for store in opened:
        store.close()


def test_what_was_learnt_is_there_after_a_restart(stores: list[Store]) -> None:
    with ArmStore(50.0, stores[0], interval=60) as first:
        for _ in range(20):
            first.pull("chat/planner", "p:m", one(1.25))
        before = first.belief("chat/planner", "p:m")
    again = ArmStore(50.0, stores[1])
    assert again.save()
    after = again.belief("chat/planner", "p:m")
    assert after.pulls == pytest.approx(before.pulls) and after.mean == pytest.approx(1.25)
    assert after.latency == pytest.approx(2.0)


def test_two_gateways_learn_from_each_other_and_each_outcome_counts_once(stores: list[Store]) -> None:
    one_gateway, other = (ArmStore(1e9, store) for store in stores)
    for _ in range(3):
        for _ in range(10):
            one_gateway.pull("s", "a:m", one(1.0))
            other.pull("s", "b:m", one(-1.0))
        assert one_gateway.save() and other.save()
    assert one_gateway.save()
    for arms in (one_gateway, other):
        assert arms.belief("s", "a:m").pulls == pytest.approx(30)
        assert arms.belief("s", "b:m").pulls == pytest.approx(30)


def test_many_saving_at_once_lose_and_double_nothing(stores: list[Store]) -> None:
    gateways = [ArmStore(1e9, store) for store in stores]
    assert all(arms.save() for arms in gateways)  # the tables are there

    def work(arms: ArmStore) -> None:
        for _ in range(5):
            for _ in range(4):
                arms.pull("s", "a:m", one(1.0))
            while not arms.save():
                pass

    threads = [threading.Thread(target=work, args=(arms,)) for arms in gateways for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gateways[0].save()
    assert gateways[0].belief("s", "a:m").pulls == pytest.approx(80)


def test_feedback_that_comes_after_saving_is_kept_too(stores: list[Store]) -> None:
    arms = ArmStore(1e9, stores[0])
    pull = arms.pull("s", "a:m", one(1.0))
    assert arms.save()
    arms.correct(pull, one(-1.0))
    assert arms.save()
    again = ArmStore(1e9, stores[1])
    assert again.save() and again.belief("s", "a:m").mean == pytest.approx(-1.0)


def test_what_is_forgotten_is_forgotten_in_the_store(stores: list[Store]) -> None:
    arms = ArmStore(1e9, stores[0])
    for name in ("a:m", "b:m"):
        arms.pull("s", name, one(1.0))
    assert arms.save()
    arms.forget("a:m")
    assert arms.save()
    again = ArmStore(1e9, stores[1])
    assert again.save()
    assert again.belief("s", "a:m").pulls == 0 and again.belief("s", "b:m").pulls == pytest.approx(1)


def test_while_the_store_is_away_everything_goes_on_and_is_added_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("no folder")
    store = Store(blocked, StoreConfig())
    arms = ArmStore(1e9, store)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            arms.pull("s", "a:m", one(1.0))
            assert not arms.save()
    assert arms.belief("s", "a:m").pulls == pytest.approx(3)
    assert len([r for r in caplog.records if "in memory only" in r.getMessage()]) == 1
    blocked.unlink()
    assert arms.save()
    again = ArmStore(1e9, store)
    assert again.save() and again.belief("s", "a:m").pulls == pytest.approx(3)
    store.close()


def test_a_database_whose_connections_were_cut_is_used_again(database: str, tmp_path: Path) -> None:
    store = Store(tmp_path, StoreConfig(url=SecretStr(database)))
    arms = ArmStore(1e9, store)
    assert arms.save()
    cut_off(database)
    arms.pull("s", "a:m", one(1.0))
    assert arms.save() or arms.save()
    assert arms.belief("s", "a:m").pulls == pytest.approx(1)
    store.close()


def test_without_a_store_nothing_is_started() -> None:
    before = threading.active_count()
    with ArmStore() as arms:
        arms.pull("s", "a:m", one(1.0))
        assert threading.active_count() == before and arms.save()


def test_rows_that_somebody_spoilt_are_learnt_anew(tmp_path: Path) -> None:
    store = Store(tmp_path, StoreConfig())
    arms = ArmStore(1e9, store)
    arms.pull("s", "a:m", one(1.0))
    arms.pull("s", "b:m", one(1.0))
    assert arms.save()
    with store.database().begin() as connection:
        connection.exec_driver_sql("UPDATE model_arm SET reward = 9e999 WHERE arm = 'a:m'")
    again = ArmStore(1e9, store)
    assert again.save()
    assert again.belief("s", "a:m").pulls == 0 and again.belief("s", "b:m").pulls == pytest.approx(1)
    store.close()
