"""Requests that are refused before they become calls are recorded, bounded, and without a word of who sent them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from agentflow.audit.events import Event
from agentflow.errors import AuditUnavailable
from agentflow.gateway.front import PRINCIPAL
from agentflow.gateway.recorded import recorded
from agentflow.gateway.refusals import Recorded, Refusals, network
from agentflow.identity.principal import Principal

KNOWN = Principal("agent-7", tenant="acme")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(events: list[Event]) -> list[dict[str, Any]]:
    return [event.record() for event in events]


def scope(**more: Any) -> Scope:
    return {"type": "http", "method": "POST", "path": "/mcp", "headers": [], "client": ("203.0.113.77", 5000), **more}


async def answer(status: int, marks: dict[str, Any], asked: Scope) -> list[Event]:
    """What is recorded of a request that the front answers so."""

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if marks.get("call"):
            recorded()
        scope.update(marks)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    events: list[Event] = []
    sent: list[tuple[str, int]] = []

    async def send(message: Message) -> None:
        sent.append((message["type"], len(events)))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await Recorded(front, Refusals(events.append), "/mcp/")(asked, receive, send)
    assert [kind for kind, _ in sent] == ["http.response.start", "http.response.body"]
    assert all(count == len(events) for _, count in sent), "recorded before it is answered"
    return events


@pytest.mark.parametrize(
    ("status", "marks", "asked", "reason"),
    [
        (401, {}, scope(), "unauthenticated"),
        (401, {}, scope(path="/api/v1/keys", method="GET"), "unauthenticated"),
        (421, {}, scope(method="GET"), "foreign_host"),
        (403, {}, scope(), "forbidden"),
        (413, {PRINCIPAL: KNOWN}, scope(), "too_large"),
        (400, {PRINCIPAL: KNOWN}, scope(), "malformed"),
        (503, {PRINCIPAL: KNOWN}, scope(), "busy"),
        (404, {PRINCIPAL: KNOWN}, scope(headers=[(b"mcp-session-id", b"x")], method="GET"), "unknown_session"),
        (404, {PRINCIPAL: KNOWN}, scope(), "unknown_method"),
        (200, {PRINCIPAL: KNOWN}, scope(), None),
        (400, {PRINCIPAL: KNOWN, "call": True}, scope(), None),  # became a call, which has its record
        (404, {}, scope(path="/favicon.ico", method="GET"), None),
        (405, {PRINCIPAL: KNOWN}, scope(method="GET"), None),  # how a client asks whether there is a stream
    ],
)
async def test_what_was_refused_is_recorded_once(
    status: int, marks: dict[str, Any], asked: Scope, reason: str | None
) -> None:
    events = told(await answer(status, marks, asked))
    assert [event.get("outcome") for event in events] == ([reason] if reason else [])
    if reason:
        assert events[0]["details"]["status"] == status
        assert events[0].get("by") == ("acme/agent-7" if PRINCIPAL in marks else None)


async def test_nothing_a_stranger_wrote_is_in_the_record() -> None:
    asked = scope(
        method="ADA@EXAMPLE.ORG", path="/ada@example.org", headers=[(b"host", b"ada.example"), (b"x", b"ada")]
    )
    events = told(await answer(421, {}, asked))
    assert events[0]["details"] == {"status": 421, "method": "other", "network": "203.0.113.0/24"}
    assert "ada" not in str(events).lower()


def test_a_flood_of_strangers_is_counted_and_callers_still_have_records() -> None:
    clock, events = Clock(), list[Event]()
    refusals = Refusals(events.append, clock)
    for number in range(10_000):
        refusals.note(401 if number % 2 else 421, scope())
    assert len(events) == 60
    for number in range(2):
        for _ in range(1000 if number == 0 else 1):
            refusals.note(413, scope(**{PRINCIPAL: Principal(f"agent-{number}", tenant="acme")}))
        assert told(events)[-1]["by"] == f"acme/agent-{number}", "one caller's flood hides no other caller"
    assert len(events) == 60 + 120 + 1
    del events[60:-1]
    refusals.flush()
    assert len(events) == 61, "not before a minute is over"
    clock.now += 61
    refusals.flush()
    summary = told(events)[-1]
    assert (summary["event"], summary["details"]) == (
        "left_out",
        {"requests": 9940 + 880, "foreign_host": 4970, "unauthenticated": 4970, "too_large": 880},
    )
    refusals.flush()
    assert len(events) == 62
    for _ in range(100):
        refusals.note(401, scope())
    assert len(events) == 62 + 10, "ten a minute in the long run"
    refusals.flush(late=True)
    assert told(events)[-1]["details"]["requests"] == 90


def test_a_log_that_cannot_be_written_changes_no_refusal() -> None:
    def full(event: Event) -> None:
        raise AuditUnavailable("full")

    Refusals(full).note(401, scope())


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("127.0.0.1", 1), "loopback"),
        (("::1", 1), "loopback"),
        (("198.51.100.9", 1), "198.51.100.0/24"),
        (("2001:db8:1:2::3", 1), "2001:db8:1::/48"),
        (("a name", 1), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_sender_is_known_by_network_only(client: tuple[str, int] | None, expected: str) -> None:
    assert network(client) == expected
