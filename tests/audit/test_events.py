"""Events and the schema of records: what is no call is recorded in one shape, and every record is as documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from audit.test_record import call
from jsonschema import Draft202012Validator

from agentflow.audit import events, record
from agentflow.audit.events import Event
from agentflow.audit.log import AuditLog
from agentflow.audit.read import entries
from agentflow.guard.pins.offers import Event as Offer
from agentflow.guard.pins.offers import Key, Reason
from agentflow.pipeline.call import Direction, Finding, StageRun, Verdict

SCHEMA = Path(record.__file__).with_name("record.schema.json")


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    document = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def test_an_event_is_a_record_with_an_id_and_a_time(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    made = log.event(
        Event(
            "policy", "activated", by="acme/ada", subject="rev2", details={"before": "rev1", "tests": 12, "none": None}
        )
    )
    log.close()
    (entry,) = entries(tmp_path)
    assert entry.record["id"] == made
    assert entry.record["time"] > 1.7e9
    assert {name: entry.record[name] for name in ("kind", "event", "by", "subject", "details")} == {
        "kind": "policy",
        "event": "activated",
        "by": "acme/ada",
        "subject": "rev2",
        "details": {"before": "rev1", "tests": 12},
    }
    assert "tenant" not in entry.record


def test_long_texts_of_an_event_are_cut() -> None:
    made = Event("policy", "refused", reasons=[("error", "x" * 10_000)], details={"names": ["y" * 10_000]}).record()
    assert len(json.dumps(made)) < 2000


@pytest.mark.parametrize("kind", [kind for kind in get_args(events.Kind) if kind not in ("definition", "vault", "log")])
def test_every_kind_of_event_is_in_the_schema(schema: Draft202012Validator, kind: events.Kind) -> None:
    made = Event(kind, "something", by="a/b", tenant="a", outcome="ok", reasons=[("c", "d")], details={"n": 1}).record()
    schema.validate(made)


def test_records_of_calls_are_as_the_schema_says(schema: Draft202012Validator) -> None:
    for made in (
        call(),
        call(decision=None, labelled=None, outcome="limit_exceeded", error_code=-32011),
        call(
            runs=[StageRun("screen", Direction.OUTBOUND, "tools/call", Verdict.FLAGGED, 30, {"score": 0.7})],
            findings=[Finding("override", 0.6, "/content/0", 0, 8, "ignore…")],
            injection_score=0.6,
            taint={"untrusted"},
            redacted={"EMAIL": 2},
            parent="p1",
            client={"name": "inspector", "version": "1"},
        ),
    ):
        schema.validate(json.loads(json.dumps(record.of(made, [{"event": "turn"}]))))


def test_what_the_log_says_of_itself_is_as_the_schema_says(schema: Draft202012Validator, tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(record.of(call()))
    log.close()
    (segment,) = log.chain.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes() + b'{"seq"')
    (log.chain / "head").unlink()
    AuditLog(tmp_path).close()
    found = [entry.record for entry in entries(tmp_path)]
    assert [each.get("event") for each in found] == [None, "head_missing"]
    for each in found:
        schema.validate(each)


def test_the_schema_refuses_what_it_does_not_know(schema: Draft202012Validator) -> None:
    good = Event("key", "created").record()
    for bad in ({**good, "secret": "x"}, {**good, "kind": "gossip"}, {"kind": "key"}, {**good, "details": {"a": {}}}):
        assert not schema.is_valid(bad)


def test_what_is_told_of_definitions_is_as_the_schema_says(schema: Draft202012Validator) -> None:
    key = Key("tool", "find")
    schema.validate(Offer("held", "crm", key, "a" * 64, "", (Reason("shadowing", "poses"),), by="ada").record())
    schema.validate(Offer("flagged", "crm", key, more=3).record())
