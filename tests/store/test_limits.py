"""Buckets in the database: a token goes to one gateway only, and none appears from nowhere.

In PostgreSQL only: gateways that share no database count for themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from databases import cut_off
from gateway_process import wait_until

from agentflow.errors import StoreUnavailable
from agentflow.store import limits
from agentflow.store.database import Database
from agentflow.store.limits import Ask, Buckets, Grant


@pytest.fixture
def url(database: str, tmp_path: Path) -> str:
    Database(tmp_path, database).close()
    return database


@pytest.fixture
def buckets(url: str) -> Iterator[Buckets]:
    opened = Buckets(url)
    yield opened
    opened.close()


def one(buckets: Buckets, ask: Ask, bucket: str = "ada") -> Grant:
    return buckets.draw({bucket: ask})[bucket]


def pass_time(url: str, seconds: float) -> None:
    with psycopg.connect(url) as db:
        db.execute("UPDATE agentflow.rate_limit SET updated = updated - %s", (seconds,))


def test_a_new_bucket_is_full_and_gives_what_it_has(buckets: Buckets) -> None:
    assert one(buckets, Ask(6, 4)) == Grant(4, 2, 0.0)
    grant = one(buckets, Ask(6, 4))
    assert (grant.tokens, grant.left) == (2, 0) and 9 < grant.wait <= 10
    assert one(buckets, Ask(6, 1)).tokens == 0
    assert one(buckets, Ask(6, 1), "bob").tokens == 1


def test_it_refills_evenly_and_not_beyond_its_rate(buckets: Buckets, url: str) -> None:
    one(buckets, Ask(60, 60))
    pass_time(url, 2.0)
    assert one(buckets, Ask(60, 5)).tokens == 2
    pass_time(url, 10_000.0)
    assert one(buckets, Ask(60, 100)).tokens == 60


def test_a_clock_that_goes_back_gives_nothing(buckets: Buckets, url: str) -> None:
    one(buckets, Ask(60, 60))
    pass_time(url, -3600.0)
    assert one(buckets, Ask(60, 1)).tokens == 0


def test_a_clock_that_went_back_does_not_stop_the_refilling(buckets: Buckets, url: str) -> None:
    one(buckets, Ask(6000, 6000))
    pass_time(url, -3600.0)
    wait_until(lambda: one(buckets, Ask(6000, 1)).tokens, "calls to come back before the hour is over")


def test_what_is_given_ahead_is_kept_out_of_the_bucket_and_only_given_while_there_is_plenty(
    buckets: Buckets, url: str
) -> None:
    began = time.monotonic()
    assert one(buckets, Ask(1200, 1, 10)).tokens == 11
    admitted = 11
    while grant := one(buckets, Ask(1200, 1, 10)).tokens:
        admitted += grant
    assert 1190 <= admitted <= 1191 + (time.monotonic() - began) * 20
    assert one(buckets, Ask(1200, 1, 10)).tokens <= 1, "the last ones go to those who ask for them now"


def test_several_buckets_are_drawn_from_at_once(buckets: Buckets, url: str) -> None:
    first = buckets.draw({"a": Ask(6, 1), "b": Ask(12, 20)})
    assert first["a"] == Grant(1, 5, 0.0) and first["b"].tokens == 12
    again = buckets.draw({"c": Ask(6, 6), "b": Ask(12, 1), "a": Ask(6, 1)})
    assert [again[name].tokens for name in "abc"] == [1, 0, 6]


def test_concurrent_gateways_get_no_token_twice(url: str) -> None:
    names = ["x", "y", "z"]

    def gateway(number: int) -> dict[str, int]:
        got, opened = dict.fromkeys(names, 0), Buckets(url)
        for turn in range(15):
            order = names[turn % 3 :] + names[: turn % 3]
            for name, grant in opened.draw({name: Ask(30, 1) for name in order}).items():
                got[name] += grant.tokens
        opened.close()
        return got

    with ThreadPoolExecutor(6) as pool:
        found = [each.result() for each in [pool.submit(gateway, n) for n in range(6)]]
    for name in names:
        # 90 were asked for of 30; a few come back while it runs.
        assert 30 <= sum(got[name] for got in found) <= 40


def test_buckets_that_are_full_again_are_forgotten(buckets: Buckets, url: str) -> None:
    one(buckets, Ask(6, 1))
    pass_time(url, 3600.0)
    one(buckets, Ask(6, 6), "bob")
    buckets.forget()
    with psycopg.connect(url) as db:
        assert db.execute("SELECT bucket FROM agentflow.rate_limit").fetchall() == [("bob",)]
    assert one(buckets, Ask(6, 7)).tokens == 6


def test_rows_that_vanish_are_an_error_and_no_free_call(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_BEGIN", "SELECT %s, %s")
    with pytest.raises(StoreUnavailable, match="vanish"):
        one(buckets, Ask(6, 1))


def test_a_connection_that_was_cut_is_made_anew(buckets: Buckets, url: str) -> None:
    one(buckets, Ask(6, 1))
    cut_off(url)
    assert one(buckets, Ask(6, 1)).tokens == 1


def test_a_database_without_the_tables_or_none_at_all_is_a_typed_error(buckets: Buckets, url: str) -> None:
    with psycopg.connect(url) as db:
        db.execute("DROP TABLE agentflow.rate_limit")
    with pytest.raises(StoreUnavailable, match="42P01"):
        one(buckets, Ask(6, 1))
    with pytest.raises(StoreUnavailable) as refused:
        one(Buckets("postgresql://user:hunter2@127.0.0.1:1/none"), Ask(6, 1))
    assert "127.0.0.1/none" in refused.value.message and "hunter2" not in refused.value.message
