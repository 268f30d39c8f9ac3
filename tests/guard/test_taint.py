"""Conversations: who shares one, who never does, and what is forgotten."""

from __future__ import annotations

import pytest

from agentflow.errors import InvalidArguments
from agentflow.guard.taint import Sessions, carries_text
from agentflow.identity.principal import Principal

ADA, BOB = Principal("ada"), Principal("bob")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_client_session_is_the_same_conversation() -> None:
    sessions = Sessions()
    first = sessions.session(ADA, "abc", "cursor")
    first.taint.add("untrusted")
    assert sessions.session(ADA, "abc", "cursor") is first
    assert sessions.session(ADA, "other", "cursor").taint == set()


def test_two_principals_never_share_a_session_whatever_their_clients_send() -> None:
    sessions = Sessions()
    assert sessions.session(ADA, "abc", "x") is not sessions.session(BOB, "abc", "x")
    assert sessions.session(ADA, None, "x") is not sessions.session(BOB, None, "x")


def test_stateless_clients_are_told_apart_by_name() -> None:
    sessions = Sessions()
    assert sessions.session(ADA, None, "cursor") is sessions.session(ADA, None, "cursor")
    assert sessions.session(ADA, None, "cursor") is not sessions.session(ADA, None, "vscode")


def test_a_session_id_cannot_be_chosen_to_be_a_clients_name() -> None:
    sessions = Sessions()
    assert sessions.session(ADA, "c:cursor", "") is not sessions.session(ADA, None, "cursor")
    assert sessions.session(ADA, "", "") is not sessions.session(ADA, None, "")


def test_a_handle_of_more_than_256_characters_is_refused() -> None:
    sessions = Sessions()
    assert sessions.session(ADA, None, "x", "h" * 256) is sessions.session(ADA, None, "x", "h" * 256)
    with pytest.raises(InvalidArguments, match="256"):
        sessions.session(ADA, None, "x", "h" * 257)
    assert len(sessions) == 1


def test_sessions_take_no_more_memory_for_long_names() -> None:
    sessions = Sessions()
    session = sessions.session(ADA, "i" * 10_000, "n" * 10_000)
    assert sessions.session(ADA, "i" * 10_000, "n" * 10_000) is session
    assert all(len(name) <= 32 for name in sessions._recent)


def test_ids_are_unguessable_and_not_the_clients() -> None:
    sessions = Sessions()
    ids = {sessions.session(ADA, str(i), "").id for i in range(50)}
    assert len(ids) == 50
    assert all(len(i) >= 20 for i in ids)


def test_an_idle_session_is_forgotten() -> None:
    clock = Clock()
    sessions = Sessions(ttl=10, clock=clock)
    first = sessions.session(ADA, "abc", "")
    clock.now = 9
    assert sessions.session(ADA, "abc", "") is first
    clock.now = 18
    assert sessions.session(ADA, "abc", "") is first
    clock.now = 29
    assert sessions.session(ADA, "abc", "") is not first


def test_one_principal_cannot_push_out_anothers_taint() -> None:
    sessions = Sessions(max_sessions=40)
    kept = sessions.session(BOB, "b", "")
    kept.taint.add("private")
    for i in range(1000):
        sessions.session(ADA, str(i), "")
    assert len(sessions) <= 40
    assert sessions.session(BOB, "b", "") is kept


def test_the_store_is_bounded_over_all_principals() -> None:
    sessions = Sessions(max_sessions=40)
    for i in range(500):
        sessions.session(Principal(f"p{i}"), "s", "")
    assert len(sessions) <= 40


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"content": [{"type": "text", "text": "hello"}]}, True),
        ({"content": [{"type": "text", "text": "42"}], "structuredContent": {"n": 42}}, True),  # a key is text
        ({"content": [{"type": "text", "text": "42"}]}, False),
        ({"content": [], "isError": False}, False),
        ({"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]}, True),
        ({"contents": [{"uri": "x:1", "blob": "AAAA"}]}, True),
        ({"resultType": "complete", "content": []}, False),
    ],
)
def test_what_counts_as_text(body: dict[str, object], expected: bool) -> None:
    assert carries_text(body) is expected
