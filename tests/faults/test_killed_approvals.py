"""A gateway killed again and again while people approve calls: no approval counts twice, no answer is unrecorded."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest
from faults.speakers import HttpLegacy
from gateway_process import Gateway, free_port, running_gateway, wait_until

from agentflow import cli
from agentflow.audit.log import AuditLog
from agentflow.audit.read import entries
from agentflow.config import AuditConfig, Config, StoreConfig
from agentflow.errors import AgentFlowError, StoreUnavailable
from agentflow.policy.approvals import Approval, State
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.store.opened import Store
from tests.gateway.approvals_world import BOB, ENV, KEYS, back, call, calls, config, key, ran
from tests.gateway.service_world import told_over_http

JSON = dict[str, Any]
KILLS: Final = 8
WORKERS: Final = 4  # two of each era
GONE: Final = (OSError, http.client.HTTPException, LookupError, ValueError, StopIteration, AssertionError)


@dataclass
class Load:
    """Clients that call without pause, whatever becomes of the gateway; a call that got no answer is made again."""

    gateway: Gateway
    ended: threading.Event = field(default_factory=threading.Event)
    answered: set[str] = field(default_factory=set)
    workers: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.workers = [threading.Thread(target=self.work, args=(number,)) for number in range(WORKERS)]
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Let them finish what they are at."""
        self.ended.set()
        for worker in self.workers:
            worker.join(30)
            assert not worker.is_alive()

    def work(self, number: int) -> None:
        modern = number % 2 == 0
        for turn in itertools.count():
            text = f"worker {number} turn {turn}"
            while text not in self.answered:
                try:
                    done = self.modern(text, turn) if modern else self.legacy(text)
                except GONE:
                    done = False
                    self.ended.wait(0.02)
                if done:
                    self.answered.add(text)
                elif self.ended.is_set():
                    return
            if self.ended.is_set():
                return

    def modern(self, text: str, turn: int) -> bool:
        """Now the caller is asked, now others are; it comes back from either with what it was given."""
        tool = "own" if turn % 2 else "team"
        answer = call(self.gateway, tool, text)
        while "requestState" in (result := answer.get("result", {})):
            own = "inputRequests" in result
            answer = call(self.gateway, tool, text, **(back(answer) if own else back(answer, None)))
        return "content" in result

    def legacy(self, text: str) -> bool:
        speaker = HttpLegacy(self.gateway, {"authorization": f"Bearer {KEYS['eve']}"})
        return "content" in speaker.call("team", {"text": text}).get("result", {})


@contextmanager
def approver(data_dir: Path) -> Iterator[StoredApprovals]:
    """Bob, who says yes to whatever waits, through the store and the audit log as the command line does."""
    store, audit, ended = Store(data_dir, StoreConfig()), AuditLog(data_dir, AuditConfig()), threading.Event()
    approvals = StoredApprovals(store, "default", lambda: key(Config(data_dir=data_dir)), audit.event)

    def work() -> None:
        waiting: Sequence[Approval] = ()
        while not ended.wait(0.02):
            with contextlib.suppress(StoreUnavailable):  # a gateway has just died in the middle of something
                waiting = approvals.pending()
            for each in waiting:
                with contextlib.suppress(AgentFlowError):  # its caller is asked, or it is settled
                    approvals.vote(each.id, BOB, True)

    bob = threading.Thread(target=work)
    bob.start()
    try:
        yield approvals
    finally:
        ended.set()
        bob.join(30)
        audit.close()
        store.close()


def test_killed_at_random_under_load_no_approval_is_used_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record, data_dir, port, dice = tmp_path / "record.jsonl", tmp_path / "data", free_port(), random.Random(4)
    base = f"http://127.0.0.1:{port}"
    load = Load(Gateway(f"{base}/mcp", base, cast(Any, None), tmp_path, tmp_path, data_dir))
    with (
        told_over_http(record, tools={"own": {}, "team": {}, "free": {}}) as server,
        approver(data_dir) as approvals,
    ):
        settings = {**config(tmp_path, record, hold=3.0), "mcpServers": {"s": server}}
        load.start()
        try:
            for _ in range(KILLS):
                with running_gateway(settings, tmp_path, env=ENV, port=port) as gateway:
                    answers(load, dice.randint(3, 12), gateway)
                    time.sleep(dice.uniform(0, 0.03))  # so that it dies anywhere
                    gateway.kill()
            with running_gateway(settings, tmp_path, env=ENV, port=port) as gateway:
                answers(load, 4, gateway)
                load.stop()
        finally:
            load.ended.set()
        kept = approvals.pending(state=None, limit=100_000)
    no_approval_counted_twice(data_dir, ran(record), load.answered, kept)
    for name, value in {"AGENTFLOW_DATA_DIR": str(data_dir), **ENV}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["audit", "verify", "--config", str(tmp_path / "agentflow.yaml")]) == 0
    assert "all as they were written" in capsys.readouterr().out


def answers(load: Load, count: int, gateway: Gateway) -> None:
    """Wait for so many more."""
    enough = len(load.answered) + count
    wait_until(lambda: len(load.answered) >= enough, "some answers", 30, gateway.log_text)


def no_approval_counted_twice(data_dir: Path, run: list[str], answered: set[str], kept: Sequence[Approval]) -> None:
    """Compare what the tool saw, what clients were answered, what is in the store and what is in the log."""
    used = {each.id: each for each in kept if each.state is State.USED}
    noted = Counter(e.record["subject"] for e in entries(data_dir) if e.record.get("event") == "used")
    assert set(noted) <= set(used) and set(noted.values()) == {1}

    runs, consents = Counter(run), Counter(json.loads(each.wanted.shown)["text"] for each in used.values())
    assert not runs - consents, "the tool ran without an approval of its own"
    assert (consents - runs).total() <= WORKERS * KILLS, "no more are lost than calls were under way"

    finished = [each for each in calls(data_dir) if each["outcome"] == "ok"]
    ids = Counter(each["approval"]["id"] for each in finished)
    assert set(ids) <= set(used) and set(ids.values()) == {1}
    assert all(used[each["approval"]["id"]].call == each["id"] for each in finished)
    recorded = {each["arguments"]["arguments"]["text"] for each in finished}
    assert answered <= recorded, "an answer left without its record"
    assert len(answered) >= KILLS * 3 and len(runs) >= len(answered)
