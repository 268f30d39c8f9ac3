"""What another bundle would have decided about recorded calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from policy.recorded_calls import question, record_of, write

from agentflow.config import PolicyConfig
from agentflow.pipeline.call import JSON
from agentflow.policy import replay as replay_module
from agentflow.policy.engine import Engine
from agentflow.policy.replay import Judge, Outcome, Period, replay

STRICTER = {
    "rules": {
        "no-refunds": {"servers": ["pay"], "tools": ["refund"], "effect": "deny"},
        "ask": {"servers": ["mail"], "effect": "approve", "ttl": 60},
    },
    "roles": {"viewer": {"tools": "all"}},
}
NEW = PolicyConfig(data={"settings": STRICTER})
CALLS = [
    question("agent", "pay", "refund"),
    question("agent", "pay", "list"),
    question("agent", "mail", "send"),
    question("viewer", "web", "post"),
]


@pytest.fixture(scope="module")
def before() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def records(engine: Engine, rounds: int) -> Iterator[JSON]:
    for number in range(rounds * len(CALLS)):
        document = CALLS[number % len(CALLS)]
        yield record_of(document, engine.decide(document), number, 1000.0 + number)


def test_what_changes_is_counted_with_examples(before: Engine, tmp_path: Path) -> None:
    write(tmp_path, [*records(before, 5), {"kind": "log", "time": 1000.0}, {"kind": "call", "time": 1001.0}])
    seen: list[tuple[int, int]] = []
    found = replay(NEW, tmp_path, progress=lambda done, whole: seen.append((done, whole)))
    assert (found.records, found.replayed) == (22, 20)
    assert sum(found.skipped.values()) == 2
    assert {(change.kind, change.server, change.name): group.count for change, group in found.changes.items()} == {
        ("newly_denied", "pay", "refund"): 5,
        ("obligations_changed", "mail", "send"): 5,
        ("newly_allowed", "web", "post"): 5,
    }
    why = {change.kind: change.why for change in found.changes}
    assert why["newly_denied"] == "no-refunds"
    assert why["newly_allowed"] == "was: not_allowed"
    assert why["obligations_changed"] == "approval: none → asks caller (60 s)"
    assert all(len(group.examples) == 3 for group in found.changes.values())
    assert found.total("newly_denied") == 5
    assert seen[-1][0] == seen[-1][1] > 0


def test_the_same_policy_changes_nothing_and_equal_questions_are_decided_once(before: Engine, tmp_path: Path) -> None:
    write(tmp_path, records(before, 30))
    found = replay(PolicyConfig(), tmp_path, processes=1)
    assert (found.replayed, found.changes) == (120, {})
    assert found.distinct == len(CALLS)


def test_only_the_period_asked_for_is_decided(before: Engine, tmp_path: Path) -> None:
    write(tmp_path, records(before, 5))
    assert replay(PolicyConfig(), tmp_path, Period(1004.0, 1008.0), processes=1).records == 4


def test_every_record_is_decided_once_wherever_the_log_is_cut(
    before: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, records(before, 10))
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.jsonl"))
    for stretch in (997, size // 40 + 1, size):
        monkeypatch.setattr(replay_module, "_STRETCH", stretch)
        found = replay(PolicyConfig(), tmp_path, processes=2)
        assert (found.records, found.replayed) == (40, 40)


def test_a_log_without_records_is_no_fault(tmp_path: Path) -> None:
    assert replay(PolicyConfig(), tmp_path).records == 0


def test_a_segment_retired_meanwhile_is_left_out_and_said(
    before: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(replay_module._here, "judge", (before, Judge(before.decide, Period())))
    found = replay_module._stretch(tmp_path / "gone.jsonl", 0, 10)
    assert dict(found.skipped) == {"a stretch of the log that was retired meanwhile": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"principal": ["p"]},
        {"arguments": None},
        {"time": "yesterday"},
        {"decision": {}},
        {"decision": {"allow": True, "obligations": 5}},
        {"decision": {"allow": False, "reasons": [5]}},
        {"server": 5},
    ],
)
def test_a_record_of_another_shape_is_counted_and_nothing_more(before: Engine, change: JSON) -> None:
    judge, outcome = Judge(before.decide, Period()), Outcome()
    judge.take({**record_of(CALLS[0], before.decide(CALLS[0])), **change}, outcome)
    assert outcome.records == 1
    assert outcome.replayed == (1 if "time" in change else 0)


def test_whoever_follows_a_replay_can_end_it(before: Engine, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def enough(done: int, whole: int) -> None:
        raise Enough

    write(tmp_path, records(before, 5))
    with pytest.raises(Enough):
        replay(PolicyConfig(), tmp_path, progress=enough)
