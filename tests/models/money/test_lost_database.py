"""The database goes away: nothing new is let through, what was bought is counted later, nothing stays held."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from databases import Server, cut_off

from agentflow.errors import StoreUnavailable
from agentflow.models.money import ledger as ledgers
from agentflow.models.money.booking import Book
from agentflow.models.money.entries import Usage
from agentflow.models.money.spool import FILE
from agentflow.store.database import Database
from tests.models.money.conftest import ADA, CENT, Till, eventually, refused, spend, used


@pytest.fixture
def gone(till: Till, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Makes every transaction fail, or work again, as a server does that was stopped."""
    begin, read = Database.begin, Database.read
    lost = False

    @contextmanager
    def failing(self: Database, which: Callable[[Database], Iterator[sa.Connection]]) -> Iterator[sa.Connection]:
        if lost:
            raise StoreUnavailable("The database is gone")
        with which(self) as connection:  # type: ignore[attr-defined]
            yield connection

    monkeypatch.setattr(Database, "begin", lambda self: failing(self, begin))
    monkeypatch.setattr(Database, "read", lambda self: failing(self, read))

    def switch(to: bool) -> None:
        nonlocal lost
        lost = to

    yield switch
    lost = False


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Server, Till]]:
    with Server() as server:
        till = Till(tmp_path, server.url)
        yield server, till
        for ledger in till.ledgers:
            await ledger.close()
        for store in till.stores:
            store.close()


async def test_a_server_that_stops_and_comes_back(server: tuple[Server, Till]) -> None:
    machine, till = server
    ledger = till.open(beat=0.5)
    till.budget(10)
    await spend(ledger, 1)
    bought = [await ledger.reserve(ADA, CENT, 30) for _ in range(3)]
    machine.stop()
    error = await refused(ledger.reserve(ADA, CENT, 30))
    assert isinstance(error, StoreUnavailable) and error.fix
    for made in bought[:2]:
        await ledger.settle(made, used(CENT))
    assert (till.folder / "models" / FILE).stat().st_size
    machine.start()
    await ledger.settle(bought[2], used(CENT))
    await eventually(lambda: till.spent == 4 * CENT, "what was bought meanwhile")
    till.quiet()
    assert len(till.used) == 4 and (till.folder / "models" / FILE).stat().st_size == 0
    await spend(ledger, 6)
    assert await refused(ledger.reserve(ADA, CENT, 30))


async def test_connections_that_are_cut_cost_nobody_anything(database: str, tmp_path: Path) -> None:
    till = Till(tmp_path, database)
    ledger = till.open()
    till.budget(10)
    await spend(ledger, 1)
    made = await ledger.reserve(ADA, CENT, 30)
    cut_off(database)
    await ledger.settle(made, used(CENT))
    cut_off(database)
    await spend(ledger, 1)
    assert till.spent == 3 * CENT
    till.quiet()
    await ledger.close()
    for store in till.stores:
        store.close()


async def test_what_was_bought_while_it_was_gone_is_counted_by_whoever_comes_next(
    till: Till, gone: Callable[[bool], None]
) -> None:
    ledger = till.open()
    till.budget(10)
    made = await ledger.reserve(ADA, 4 * CENT, 30)
    loose = await ledger.reserve(ADA.__class__("other"), CENT, 30)
    gone(True)
    await ledger.settle(made, used(3 * CENT))
    await ledger.settle(loose, used(CENT))
    await ledger.close()
    assert (till.folder / "models" / FILE).stat().st_mode & 0o077 == 0
    gone(False)
    assert till.reserved == 4 * CENT and till.spent == 0
    await spend(till.open(), 1)
    assert till.spent == 4 * CENT and len(till.used) == 3
    till.quiet()


async def test_an_answer_of_the_database_that_is_lost_leaves_nothing_reserved(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = till.open()
    till.budget(10)
    await spend(ledger, 1)
    apply, cut = Book.apply, True

    def lost(self: Book, *args: object, **more: object) -> object:
        nonlocal cut
        found = apply(self, *args, **more)  # type: ignore[arg-type]
        if cut:
            cut = False
            raise StoreUnavailable("The connection was lost")
        return found

    monkeypatch.setattr(Book, "apply", lost)
    assert isinstance(await refused(ledger.reserve(ADA, 5 * CENT, 30)), StoreUnavailable)
    assert till.reserved == 5 * CENT, "it was written, and nobody knows"
    await eventually(lambda: till.reserved == 0, "what nobody knows of to be given back")
    await spend(ledger, 9)
    cut = True
    assert isinstance(await refused(ledger.reserve(ADA, CENT, 30)), StoreUnavailable)


async def test_a_cost_whose_writing_is_in_doubt_is_counted_once(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = till.open()
    till.budget(10)
    made = await ledger.reserve(ADA, CENT, 30)
    apply, cut = Book.apply, True

    def lost(self: Book, *args: object, **more: object) -> object:
        nonlocal cut
        found = apply(self, *args, **more)  # type: ignore[arg-type]
        if cut:
            cut = False
            raise StoreUnavailable("The connection was lost")
        return found

    monkeypatch.setattr(Book, "apply", lost)
    await ledger.settle(made, used(CENT))
    await spend(ledger, 1)
    assert till.spent == 2 * CENT and len(till.used) == 2
    till.quiet()


async def test_a_mistake_of_ours_keeps_nobody_waiting_and_loses_no_cost(
    till: Till, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = till.open()
    till.budget(10)
    made = await ledger.reserve(ADA, CENT, 30)
    with monkeypatch.context() as patch:
        patch.setattr(Book, "apply", lambda *_, **__: 1 / 0)
        await ledger.settle(made, used(CENT))
        assert isinstance(await refused(ledger.reserve(ADA, CENT, 30)), StoreUnavailable)
    assert "ZeroDivisionError" in caplog.text
    await spend(ledger, 1)
    assert till.spent == 2 * CENT


async def test_a_torn_line_of_what_waits_costs_no_other(till: Till, gone: Callable[[bool], None]) -> None:
    ledger = till.open()
    till.budget(10)
    held = [await ledger.reserve(ADA, CENT, 30) for _ in range(2)]
    gone(True)
    await ledger.settle(held[0], used(CENT))
    file = till.folder / "models" / FILE
    with file.open("a") as spool:
        spool.write('{"id": "torn", "cha')
    await ledger.settle(held[1], used(CENT))
    gone(False)
    await spend(ledger, 1)
    assert till.spent == 3 * CENT


async def test_a_folder_that_cannot_be_written_is_no_end_of_the_worker(
    till: Till, gone: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    (till.folder / "models").write_text("in the way")
    ledger = till.open()
    till.budget(10)
    made = await ledger.reserve(ADA, CENT, 30)
    gone(True)
    await ledger.settle(made, used(CENT))
    assert "($0.01) are lost" in caplog.text
    gone(False)
    assert await refused(ledger.reserve(ADA, 10 * CENT, 30))


async def test_a_file_that_somebody_else_writes_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    till = Till(tmp_path, None)
    ledger = till.open()
    till.budget(10)
    await spend(ledger, 1)
    with closing(sqlite3.connect(tmp_path / "agentflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        error = await refused(ledger.reserve(ADA, CENT, 30))
        other.execute("ROLLBACK")
    assert isinstance(error, StoreUnavailable) and "another process is writing" in error.fix
    await spend(ledger, 1)
    await ledger.close()
    for store in till.stores:
        store.close()


async def test_a_lock_that_is_held_in_the_server_ends_in_a_refusal(database: str, tmp_path: Path) -> None:
    till = Till(tmp_path, database)
    ledger = till.open()
    till.budget(10)
    await spend(ledger, 1)
    with psycopg.connect(database) as other:
        other.execute("SELECT * FROM agentflow.budget_spend FOR UPDATE")
        error = await refused(ledger.reserve(ADA, CENT, 30))
    assert isinstance(error, StoreUnavailable)
    await spend(ledger, 1)
    await eventually(lambda: till.reserved == 0, "nothing to stay reserved")
    await ledger.close()
    for store in till.stores:
        store.close()


async def test_much_usage_that_nobody_waits_for_is_all_written(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_BATCH", 16)
    ledger = till.open()
    for _ in range(100):
        ledger.record(ADA, Usage(1, 1, from_cache=True, saved=5))
    await eventually(lambda: len(till.used) == 100, "all of it, while the worker goes on")
