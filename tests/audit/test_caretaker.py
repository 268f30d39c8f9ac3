"""The caretaker: heads are signed, the index is filled and old records go, and none of it ever stops a call."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentflow.audit import caretaker, chain, index
from agentflow.audit.caretaker import Caretaker
from agentflow.audit.log import AuditLog
from agentflow.audit.query import Filter
from agentflow.audit.read import entries
from agentflow.audit.verify import verify
from agentflow.config import AuditConfig


def tended(data_dir: Path, **config: object) -> tuple[AuditLog, Caretaker]:
    settings = AuditConfig.model_validate({"sign_after": 0.000001, **config})
    log = AuditLog(data_dir, settings)
    return log, Caretaker(data_dir, lambda: (log, settings))


def test_a_round_signs_and_indexes(tmp_path: Path) -> None:
    log, care = tended(tmp_path)
    for number in range(5):
        log.append({"id": f"r{number}", "kind": "call", "time": float(number)})
    care.round()
    assert verify(tmp_path).signed == 5
    with sqlite3.connect(tmp_path / index.FILE) as db:
        assert db.execute("SELECT count(*) FROM record").fetchone() == (5,)
    db.close()
    log.close()


def test_without_news_the_index_is_left_alone_and_switched_off_it_is_not_made(tmp_path: Path) -> None:
    log, care = tended(tmp_path)
    log.append({"id": "a", "time": 1.0})
    care.round()
    (tmp_path / index.FILE).unlink()
    care.round()
    assert not (tmp_path / index.FILE).exists()
    log.append({"id": "b", "time": 2.0})
    care.round()
    store = index.SqliteIndex(tmp_path / index.FILE)
    assert len(index._by_index(tmp_path, Filter(), None, store)) == 2
    store.close()
    log.close()
    log, care = tended(tmp_path / "off", index=False)
    log.append({"id": "a", "time": 1.0})
    care.round()
    assert not (tmp_path / "off" / index.FILE).exists()
    log.close()


@pytest.mark.parametrize("trouble", ["a folder", "no server"])
def test_an_index_that_cannot_be_used_is_told_once_and_records_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    more = {"index_url": SecretStr("postgresql://nobody@127.0.0.1:9/none")} if trouble == "no server" else {}
    log, care = tended(tmp_path, **more)
    if trouble == "a folder":
        (tmp_path / index.FILE).mkdir()
    with caplog.at_level(logging.WARNING, caretaker.__name__):
        for number in range(3):
            log.append({"id": f"r{number}"})
            care.round()
    assert len([line for line in caplog.messages if "index" in line]) == 1
    assert verify(tmp_path).signed == 3
    log.close()


def test_what_retention_lets_go_is_retired_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caretaker, "_RETIRING", 0.0)
    log, care = tended(tmp_path, segment_bytes=1000, keep_days=1)
    for number in range(30):
        log.append({"id": f"r{number}", "kind": "call", "time": float(number)})
    for segment in chain.segments(log.chain)[:2]:
        os.utime(segment, (1000, 1000))
    care.round()
    told = [entry.record for entry in entries(tmp_path) if entry.record.get("event") == "retired"]
    assert len(told) == 1
    assert told[0]["subject"] == "chain-0001"
    assert told[0]["details"]["segments"] == 2
    assert told[0]["details"]["upto"] == chain.first_of(chain.segments(log.chain)[0]) - 1
    care.round()
    assert verify(tmp_path).ok
    store = index.SqliteIndex(tmp_path / index.FILE)
    assert index._by_index(tmp_path, Filter(), None, store) == index.search(tmp_path, Filter(), None, None)
    store.close()
    log.close()


def test_it_runs_in_a_thread_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(caretaker, "_ROUND", 0.005)
    rounds = threading.Semaphore(0)
    log = AuditLog(tmp_path)
    care = Caretaker(tmp_path, lambda: (log, AuditConfig()), lambda: rounds.release())
    care.start()
    log.append({"id": "a", "time": 1.0})
    for _ in range(3):
        assert rounds.acquire(timeout=20)
    care.close()
    assert (tmp_path / index.FILE).exists()
    log.close()
