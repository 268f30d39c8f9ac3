"""The index: the same answers with it and without it, filled after the fact, and never missed when it is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from agentflow.audit import chain, index, query, retire, signing
from agentflow.audit.events import Event
from agentflow.audit.index import IndexStore, IndexUnusable, SqliteIndex
from agentflow.audit.log import AuditLog
from agentflow.audit.query import Filter
from agentflow.config import AuditConfig

CONFIG = AuditConfig(segment_bytes=4000, sign_every=8)
NAMES = ("crm__find", "mail__send", "it's 100%", 'quo"te', "naïve\\name", "nul\0")


def fill(data_dir: Path, count: int = 60, start: int = 0) -> None:
    log, other = AuditLog(data_dir, CONFIG), AuditLog(data_dir, CONFIG)
    for n in range(start, start + count):
        denied = n % 7 == 0
        made: dict[str, Any] = {
            "kind": "call",
            "id": f"id-{n}",
            "time": 1000.0 + n // 2,
            "principal": {"id": f"p{n % 3}", "kind": "agent", "roles": [], "tenant": f"t{n % 2}", "auth": "local"},
            "surface": "tools/call" if n % 5 else "tools/list",
            "server": f"s{n % 4}",
            "name": NAMES[n % len(NAMES)],
            "target": "find" if n % 6 == 0 else "other",
            "outcome": "policy_denied" if denied else "ok",
            "decision": {"allow": not denied, "reasons": [["forbidden" if denied else "role", "why"]], "revision": "r"},
        }
        if n % 4 == 0:
            made["pii"] = {"counts": {"EMAIL": 1, "IBAN": n % 8}, "tokens": 0}
        if n % 9 == 0:
            made["injection"] = n / 60
        (log if n % 3 else other).append(made)
        if n % 10 == 0:
            log.event(Event("policy", "activated", by="t0/p1", reasons=[("reload", "file changed")]))
    log.close()
    other.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexStore]:
    config = CONFIG
    if request.param == "postgres":
        config = AuditConfig(index_url=SecretStr(request.getfixturevalue("database")))
    chain.audit_dir(tmp_path).mkdir(parents=True)
    opened = index.open_index(tmp_path, config)
    yield opened
    opened.close()


QUESTIONS = [
    Filter(),
    Filter(principal="p1"),
    Filter(tenant="t1", server="s3"),
    Filter(tool="find"),
    *(Filter(tool=name) for name in NAMES),
    Filter(decision="deny"),
    Filter(decision="allow", outcome="ok"),
    Filter(reason="forbidden"),
    Filter(reason="reload"),
    Filter(reason="%"),
    Filter(reason="forbidde_"),
    Filter(pii="EMAIL"),
    Filter(pii="email"),
    Filter(injection=0.5),
    Filter(since=1010.0, until=1020.0),
    Filter(id="id-33"),
    Filter(kind="policy", event="activated"),
    Filter(surface="tools/list", refused=True),
    Filter(refused=False, principal="p2"),
    Filter(principal="nobody"),
]


@pytest.mark.parametrize("limit", [None, 5])
def test_answers_are_the_same_with_the_index_and_without(tmp_path: Path, store: IndexStore, limit: int | None) -> None:
    fill(tmp_path)
    for wanted in QUESTIONS:
        plain = index.search(tmp_path, wanted, limit, None)
        assert index._by_index(tmp_path, wanted, limit, store) == plain, wanted
        assert plain or wanted in (Filter(reason="%"), Filter(reason="forbidde_"), Filter(pii="email"), QUESTIONS[-1])


values = st.sampled_from(
    ["p0", "t1", "s2", "crm__find", "find", "forbidden", "EMAIL", "ok", "call", "deny", "%", "", "\\"]
)
FILTERS = st.builds(
    Filter,
    since=st.none() | st.floats(990, 1040),
    until=st.none() | st.floats(990, 1040),
    injection=st.none() | st.floats(0, 1),
    refused=st.none() | st.booleans(),
    **{
        field.name: st.none() | values
        for field in fields(Filter)
        if field.name not in ("since", "until", "injection", "refused")
    },
)


@given(wanted=FILTERS, limit=st.none() | st.integers(1, 10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_question_is_answered_alike(asked: Path, wanted: Filter, limit: int | None) -> None:
    store = SqliteIndex(asked / index.FILE)
    assert index._by_index(asked, wanted, limit, store) == index.search(asked, wanted, limit, None)
    store.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    fill(folder)
    return folder


def test_it_goes_on_where_it_stopped(tmp_path: Path, store: IndexStore) -> None:
    fill(tmp_path, 30)
    first = index.catch_up(tmp_path, store)
    assert index.catch_up(tmp_path, store) == 0
    fill(tmp_path, 30, 30)
    second = index.catch_up(tmp_path, store)
    assert first + second == len(list(query.scan(tmp_path, Filter())))
    assert index.rebuild(tmp_path, store) == first + second
    assert index.catch_up(tmp_path, store) == 0


def test_a_line_that_is_only_half_written_is_taken_when_it_is_whole(tmp_path: Path, store: IndexStore) -> None:
    log = AuditLog(tmp_path)
    log.append({"id": "a", "time": 1.0})
    log.append({"id": "b", "time": 2.0})
    (segment,) = chain.segments(log.chain)
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-30])
    assert index.catch_up(tmp_path, store) == 1
    segment.write_bytes(whole)
    assert index.catch_up(tmp_path, store) == 1
    log.close()
    assert [entry.record["id"] for entry in index._by_index(tmp_path, Filter(), None, store)] == ["a", "b"]


def test_what_was_retired_is_forgotten(tmp_path: Path, store: IndexStore) -> None:
    fill(tmp_path)
    index.catch_up(tmp_path, store)
    retire.retire(tmp_path, signing.signer(tmp_path, CONFIG), keep_bytes=9000)
    found = index._by_index(tmp_path, Filter(), None, store)
    assert found == index.search(tmp_path, Filter(), None, None)
    assert 0 < len(found) < 60
    fill(tmp_path, 10, 60)
    assert index._by_index(tmp_path, Filter(), None, store) == index.search(tmp_path, Filter(), None, None)


def test_where_nothing_was_retired_nothing_is_written(tmp_path: Path) -> None:
    fill(tmp_path)
    store = SqliteIndex(tmp_path / index.FILE)
    index.catch_up(tmp_path, store)
    said: list[str] = []
    store._open().set_trace_callback(said.append)
    index.catch_up(tmp_path, store)
    assert said
    assert all(each.startswith("SELECT") for each in said)
    (plan,) = store._open().execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM record WHERE chain = 'chain-0001' AND segment <= 0 LIMIT 1"
    )
    assert "PRIMARY KEY (chain=? AND segment<?)" in plan[-1]
    store.close()


def test_a_log_that_was_begun_anew_is_indexed_anew(tmp_path: Path, store: IndexStore) -> None:
    fill(tmp_path)
    index.catch_up(tmp_path, store)
    for folder in chain.chains(tmp_path):
        for path in folder.iterdir():
            path.unlink()
    (tmp_path / "audit.key").unlink()
    fill(tmp_path, 4, 100)
    found = index.search(tmp_path, Filter(kind="call"), None, store)
    assert {entry.record["id"] for entry in found} == {"id-100", "id-101", "id-102", "id-103"}


def drop_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE record")
    db.close()


def another_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def wrong_places(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE record SET start = start + 3, seq = seq + 1")
    db.close()


BREAKAGE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "noise": lambda path: path.write_bytes(b"this is no database" * 1000),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "empty": lambda path: path.write_bytes(b""),
    "a table gone": drop_table,
    "another version": another_version,
    "wrong places": wrong_places,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", BREAKAGE)
def test_a_broken_index_changes_no_answer(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    path = tmp_path / index.FILE
    first = SqliteIndex(path)
    index.catch_up(tmp_path, first)
    first.close()
    BREAKAGE[name](path)
    plain = index.search(tmp_path, Filter(principal="p1"), 5, None)
    for _ in range(2):
        store = SqliteIndex(path)
        assert index.search(tmp_path, Filter(principal="p1"), 5, store) == plain
        store.close()
    if name == "a folder":
        return
    store = SqliteIndex(path)
    assert index.rebuild(tmp_path, store) > 60
    assert index._by_index(tmp_path, Filter(principal="p1"), 5, store) == plain
    store.close()


def test_a_locked_index_is_gone_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 20)
    path = tmp_path / index.FILE
    SqliteIndex(path).marks()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, _real=sqlite3.connect, **more: _real(*args, **{**more, "timeout": 0.01})
    )
    store = SqliteIndex(path)
    with pytest.raises(IndexUnusable, match="locked"):
        index.catch_up(tmp_path, store)
    assert index.search(tmp_path, Filter(), 3, store) == index.search(tmp_path, Filter(), 3, None)
    holder.execute("ROLLBACK")
    holder.close()
    assert index.catch_up(tmp_path, store) == 22
    store.close()


def test_a_database_that_is_not_there_is_said_to_be_unusable(tmp_path: Path) -> None:
    AuditLog(tmp_path).close()
    url = SecretStr("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(IndexUnusable):
        index.open_index(tmp_path, AuditConfig(index_url=url))


def test_an_address_with_a_password_that_could_be_misread_is_refused_without_quoting_it() -> None:
    url = SecretStr("postgresql://nobody:hunter/2@127.0.0.1:9/none")  # the driver would take "hunter" for a port
    with pytest.raises(ValidationError, match="%2F") as caught:
        AuditConfig(index_url=url)
    assert "hunter" not in str(caught.value)


def test_two_gateways_share_one_database(tmp_path: Path, database: str) -> None:
    config = AuditConfig(index_url=SecretStr(database))
    stores = []
    for name in ("a", "b"):
        fill(tmp_path / name, 10, ord(name))
        stores.append(index.open_index(tmp_path / name, config))
        index.catch_up(tmp_path / name, stores[-1])
    for name, store in zip(("a", "b"), stores, strict=True):
        assert index._by_index(tmp_path / name, Filter(), None, store) == index.search(
            tmp_path / name, Filter(), None, None
        )
    index.rebuild(tmp_path / "a", stores[0])
    assert index.catch_up(tmp_path / "b", stores[1]) == 0
    for store in stores:
        store.close()
