"""One database for several processes: they take turns, lose nothing, and say what is wrong in words of their own."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from databases import Server, connections, cut_off
from gateway_process import child_environment, wait_until

from agentflow.config import StoreConfig
from agentflow.errors import StoreUnavailable
from agentflow.store import database as module
from agentflow.store import migrate
from agentflow.store.database import Database
from agentflow.store.opened import Store
from agentflow.store.tables import RATE_LIMITS
from tests.store.conftest import Place

OPEN = """
    import sys, pathlib
    from agentflow.store import migrate
    from agentflow.store.database import Database
    database = Database(pathlib.Path(sys.argv[1]), sys.argv[2] or None)
    print(migrate.current(database), len(migrate.differences(database)))
"""
WRITE = """
    import sys, pathlib, itertools
    import sqlalchemy as sa
    from agentflow.store.database import Database
    from agentflow.store.tables import RATE_LIMITS
    database = Database(pathlib.Path(sys.argv[1]), sys.argv[2] or None)
    for n in itertools.count():
        with database.begin() as connection:
            pair = [{"bucket": f"{n}-{side}", "tokens": 1.0, "updated": float(n)} for side in ("left", "right")]
            for row in pair:
                connection.execute(sa.insert(RATE_LIMITS), row)
        print(n, flush=True)
"""


def process(code: str, place: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(place.data_dir), place.url or ""],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(place.data_dir),
    )


def add(database: Database, bucket: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(RATE_LIMITS), {"bucket": bucket, "tokens": 1.0, "updated": 0.0})


def run(database: Database, *statements: sa.Executable) -> None:
    with database.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def buckets(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(sa.select(RATE_LIMITS.c.bucket)))


def test_processes_that_open_a_new_database_at_once_make_it_once(place: Place) -> None:
    both = [process(OPEN, place) for _ in range(3)]
    said = [each.communicate(timeout=60) for each in both]
    assert [out.strip() for out, _ in said] == [f"{migrate.revisions()[-1]} 0"] * 3, said


def test_what_was_committed_survives_a_kill_whole(place: Place) -> None:
    place.open()
    writer = process(WRITE, place)
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.communicate()[0].split()]
    there = buckets(place.open())
    assert {f"{n}-{side}" for n in told for side in ("left", "right")} <= there, "nothing acknowledged is missing"
    assert {name.split("-")[0] for name in there if name.endswith("left")} == {
        name.split("-")[0] for name in there if name.endswith("right")
    }, "no transaction is there by half"


def test_writers_of_one_row_take_turns(place: Place) -> None:
    store, other = place.open(), place.open()
    add(store, "shared")

    def bump(database: Database) -> None:
        for _ in range(25):
            with database.begin() as connection:
                row = sa.select(RATE_LIMITS.c.tokens).where(RATE_LIMITS.c.bucket == "shared").with_for_update()
                tokens = connection.scalar(row)
                change = sa.update(RATE_LIMITS).where(RATE_LIMITS.c.bucket == "shared")
                connection.execute(change.values(tokens=tokens + 1))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(bump, each) for each in (store, other, store, other)]:
            done.result()
    with store.read() as connection:
        assert connection.scalar(sa.select(RATE_LIMITS.c.tokens)) == 101


def test_what_raises_has_written_nothing(store: Database) -> None:
    def half() -> None:
        with store.begin() as connection:
            connection.execute(sa.insert(RATE_LIMITS), {"bucket": "half", "tokens": 1.0, "updated": 0.0})
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert buckets(store) == set()


def test_an_error_quotes_no_value(store: Database) -> None:
    add(store, "very-secret")
    with pytest.raises(StoreUnavailable) as refused:
        add(store, "very-secret")
    assert "very-secret" not in refused.value.message


@pytest.mark.parametrize("waits", [True, False])
def test_a_writer_waits_for_another_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr(module, "_BUSY", 30.0 if waits else 0.2)
    store = Database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "agentflow.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(add, store, "late")
            if waits:
                assert not waiting.done()
                other.execute("ROLLBACK")
                waiting.result()
            else:
                with pytest.raises(StoreUnavailable, match="locked"):
                    waiting.result()
        assert buckets(store) == ({"late"} if waits else set()), "reading goes on meanwhile"
    store.close()


def test_a_writer_in_postgresql_waits_for_a_row_and_not_for_ever(database: str, tmp_path: Path) -> None:
    store, other = Database(tmp_path, database), Database(tmp_path, database)
    add(store, "held")
    with store.begin() as connection:
        connection.execute(sa.select(RATE_LIMITS).with_for_update())
        with pytest.raises(StoreUnavailable, match="55P03"):
            run(other, sa.text("SET LOCAL lock_timeout = 100"), sa.update(RATE_LIMITS).values(tokens=0))
    store.close()
    other.close()


def test_a_full_disk_is_a_typed_error(tmp_path: Path) -> None:
    store = Database(tmp_path)
    rows = [{"bucket": "x" * 1000 + str(n), "tokens": 1.0, "updated": 0.0} for n in range(500)]
    with pytest.raises(StoreUnavailable, match="full"):
        run(store, sa.text("PRAGMA max_page_count = 1"), sa.insert(RATE_LIMITS).values(rows))
    assert buckets(store) == set()
    store.close()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    (tmp_path / "agentflow.db").touch(mode=0o644)
    (tmp_path / "agentflow.db").chmod(0o644)
    store = Database(tmp_path)
    add(store, "one")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("agentflow.db*")}
    assert modes["agentflow.db"] == 0o600 and set(modes.values()) == {0o600}, modes
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="permission"):
        Database(tmp_path)


def test_connections_that_were_cut_are_made_anew(database: str, tmp_path: Path) -> None:
    store = Database(tmp_path, database)
    add(store, "before")
    cut_off(database)
    add(store, "after")
    assert buckets(store) == {"before", "after"} and connections(database) <= 3
    store.close()


def test_what_was_under_way_when_the_connection_was_cut_is_not_there(database: str, tmp_path: Path) -> None:
    store = Database(tmp_path, database)

    def broken_off() -> None:
        with store.begin() as connection:
            connection.execute(sa.insert(RATE_LIMITS), {"bucket": "lost", "tokens": 1.0, "updated": 0.0})
            cut_off(database)

    with pytest.raises(StoreUnavailable):
        broken_off()
    assert buckets(store) == set()
    store.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def test_a_server_that_stops_and_starts_again_is_used_again(server: Server, tmp_path: Path) -> None:
    store = Database(tmp_path, server.url)
    add(store, "before")
    server.stop()
    with pytest.raises(StoreUnavailable):
        add(store, "meanwhile")
    server.start()
    add(store, "after")
    assert buckets(store) == {"before", "after"}
    store.close()


def test_no_more_connections_than_a_few_whoever_asks(database: str, tmp_path: Path) -> None:
    store = Database(tmp_path, database)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: add(store, str(n)), range(64)))
    assert len(buckets(store)) == 64
    wait_until(lambda: connections(database) <= 2, "idle connections beyond the pool to be let go")
    store.close()


def test_a_file_that_was_put_in_the_place_of_another_is_the_one_that_is_used(tmp_path: Path) -> None:
    store = Database(tmp_path / "here")
    add(store, "ours")
    copy = Database(tmp_path / "there")
    add(copy, "restored")
    copy.close()
    for written in ("-wal", "-shm"):
        Path(f"{Database.file(tmp_path / 'here')}{written}").unlink()
    Database.file(tmp_path / "there").replace(Database.file(tmp_path / "here"))
    assert buckets(store) == {"restored"}
    add(store, "after")
    assert buckets(Database(tmp_path / "here")) == {"restored", "after"}


def test_a_file_that_is_gone_is_missed_and_not_begun_anew(tmp_path: Path) -> None:
    store = Database(tmp_path)
    add(store, "ours")
    Database.file(tmp_path).unlink()
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        buckets(store)
    assert not Database.file(tmp_path).exists()
    add(Database(tmp_path), "new")
    assert buckets(store) == {"new"}


def test_a_silent_server_costs_those_who_wait_for_each_other_one_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, came = [], itertools.count(1)
    given_up = threading.Event()

    def silent(*_: object) -> None:
        tried.append(1)
        given_up.wait(20)
        raise StoreUnavailable("The database is silent", fix="check its server")

    def ask() -> str:
        with pytest.raises(StoreUnavailable) as refused:
            store.database()
        return refused.value.fix

    def clock() -> float:
        now = float(next(came))
        if now == 8:
            given_up.set()
        return now

    monkeypatch.setattr(Database, "__init__", silent)
    monkeypatch.setattr("agentflow.store.opened.time", SimpleNamespace(monotonic=clock))
    store = Store(tmp_path, StoreConfig())
    with ThreadPoolExecutor(8) as pool:
        assert {each.result() for each in [pool.submit(ask) for _ in range(8)]} == {"check its server"}
    assert len(tried) == 1
    assert ask() and len(tried) == 2, "whoever comes later tries again"


@pytest.mark.parametrize(("missing", "extra"), [("sqlalchemy", "store"), ("psycopg", "postgres")])
def test_a_missing_package_is_one_clear_line(tmp_path: Path, missing: str, extra: str) -> None:
    config = tmp_path / "agentflow.yaml"
    config.write_text("store: {url: 'postgresql:///nowhere'}\n")
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom agentflow.cli import main\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "db", "upgrade", "--config", str(config)],
        capture_output=True,
        text=True,
        env=child_environment(tmp_path / "data"),
        check=False,
    )
    assert done.returncode == 1 and f"agentflow-gateway[{extra}]" in done.stderr.strip()
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
