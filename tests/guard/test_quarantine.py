"""What was withheld opens for its owner, for a while."""

from __future__ import annotations

import json

from agentflow.guard.quarantine import SCHEME, Quarantine
from agentflow.pipeline.call import UpstreamFacts

WEB = UpstreamFacts("web", "http")


def test_what_was_kept_is_read_by_its_owner_only() -> None:
    kept = Quarantine()
    uri = kept.keep("1:a:ada", {"content": [{"type": "text", "text": "é"}]}, WEB, 60)
    assert uri is not None
    assert uri.startswith(SCHEME)
    held = kept.find(uri, "1:a:ada")
    assert held is not None
    assert held.upstream is WEB
    (content,) = held.body["contents"]
    assert json.loads(content["text"]) == {"content": [{"type": "text", "text": "é"}]}
    assert kept.find(uri, "1:a:bob") is None
    assert kept.find(SCHEME + "guess", "1:a:ada") is None


def test_ids_differ() -> None:
    kept = Quarantine()
    assert len({kept.keep("a", {}, WEB, 60) for _ in range(50)}) == 50


def test_it_is_forgotten_when_its_time_is_over() -> None:
    now = [0.0]
    kept = Quarantine(clock=lambda: now[0])
    uri = kept.keep("a", {}, WEB, 60)
    assert uri is not None
    now[0] = 59
    assert kept.find(uri, "a")
    now[0] = 60
    assert kept.find(uri, "a") is None


def test_the_oldest_goes_when_there_are_too_many_or_too_much() -> None:
    few = Quarantine(most=2)
    first, second, third = (few.keep("a", {}, WEB, 60) for _ in range(3))
    assert [few.find(str(uri), "a") is not None for uri in (first, second, third)] == [False, True, True]
    small = Quarantine(largest=100)
    assert small.keep("a", {"x": "y" * 200}, WEB, 60) is None
    first = small.keep("a", {"x": "y" * 60}, WEB, 60)
    second = small.keep("a", {"x": "y" * 60}, WEB, 60)
    assert small.find(str(first), "a") is None
    assert small.find(str(second), "a") is not None
