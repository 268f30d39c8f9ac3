"""What was withheld opens for its owner, for a while."""

from __future__ import annotations

import gc
import json

from agentflow.guard.quarantine import SCHEME, Quarantine
from agentflow.pipeline.call import JSON, Origin, UpstreamFacts

WEB = UpstreamFacts("web", "http")
LOOK = Origin("tools/call", "look")


def put(kept: Quarantine, owner: str = "a", result: JSON | None = None) -> str | None:
    return kept.keep(owner, result or {}, WEB, LOOK, 60)


def test_what_was_kept_is_read_by_its_owner_only() -> None:
    kept = Quarantine()
    uri = put(kept, "1:a:ada", {"content": [{"type": "text", "text": "é"}]})
    assert uri is not None
    assert uri.startswith(SCHEME)
    held = kept.find(uri, "1:a:ada")
    assert held is not None
    assert held.upstream is WEB
    assert held.origin is LOOK
    (content,) = held.body["contents"]
    assert json.loads(content["text"]) == {"content": [{"type": "text", "text": "é"}]}
    assert kept.find(uri, "1:a:bob") is None
    assert kept.find(SCHEME + "guess", "1:a:ada") is None


def test_ids_differ() -> None:
    kept = Quarantine()
    assert len({put(kept) for _ in range(50)}) == 50


def test_it_is_forgotten_when_its_time_is_over() -> None:
    now = [0.0]
    kept = Quarantine(clock=lambda: now[0])
    uri = put(kept)
    assert uri is not None
    now[0] = 59
    assert kept.find(uri, "a")
    now[0] = 60
    assert kept.find(uri, "a") is None


def test_the_oldest_goes_when_there_are_too_many_or_too_much() -> None:
    few = Quarantine(most=8)
    first, second, third = (put(few) for _ in range(3))
    assert [few.find(str(uri), "a") is not None for uri in (first, second, third)] == [False, True, True]
    small = Quarantine(largest=400)
    assert put(small, result={"x": "y" * 200}) is None
    first = put(small, result={"x": "y" * 60})
    second = put(small, result={"x": "y" * 60})
    assert small.find(str(first), "a") is None
    assert small.find(str(second), "a") is not None


def test_all_owners_together_are_bounded_too() -> None:
    kept = Quarantine(most=4)
    uris = [put(kept, str(owner)) for owner in range(6)]
    there = [kept.find(str(uri), str(owner)) is not None for owner, uri in enumerate(uris)]
    assert there == [False, False, True, True, True, True]


def test_an_owner_with_many_or_large_results_loses_its_own_only() -> None:
    kept = Quarantine(most=256, largest=1 << 20)
    first = put(kept, "bob", {"a": 1})
    for number in range(300):
        put(kept, "ada", {"a": number})
    assert kept.find(str(first), "bob")
    for _ in range(20):
        put(kept, "ada", {"a": "x" * 200_000})
    assert kept.find(str(first), "bob")


def test_size_is_counted_in_bytes() -> None:
    small = Quarantine(largest=400)
    assert put(small, result={"x": "y" * 60})
    assert put(small, result={"x": "é" * 60}) is None


def test_nothing_lies_clear_in_memory() -> None:
    kept = Quarantine()
    secret = "contract-4711 of Ada"
    uri = put(kept, result={"content": [{"type": "text", "text": secret}]})

    def held(part: object, seen: set[int]) -> bool:
        if id(part) in seen:
            return False
        seen.add(id(part))
        if isinstance(part, str | bytes):
            return secret in part if isinstance(part, str) else secret.encode() in part
        return any(held(inner, seen) for inner in gc.get_referents(part) if not isinstance(inner, type))

    assert not held(vars(kept)["_kept"], set())
    assert kept.find(str(uri), "a")
