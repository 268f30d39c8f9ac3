"""A message is known again if it is the very same one, and nothing of it is kept."""

from __future__ import annotations

import gc
import subprocess
import sys

from agentflow.guard.digests import Known, digest


def test_a_message_is_known_once_it_was_added() -> None:
    known = Known(10)
    assert not known.has("t", digest(b'{"a":1}'))
    known.add("t", digest(b'{"a":1}'))
    assert known.has("t", digest(b'{"a":1}'))


def test_another_message_or_another_tenants_is_not() -> None:
    known = Known(10)
    known.add("t", digest(b'{"a":1}'))
    assert not known.has("t", digest(b'{"a":2}'))
    assert not known.has("u", digest(b'{"a":1}'))


def test_another_process_calls_the_same_message_by_another_digest() -> None:
    told = subprocess.check_output(
        [sys.executable, "-c", "from agentflow.guard.digests import digest; print(digest(b'{}').hex())"], text=True
    )
    ours = digest(b"{}")
    assert ours is not None
    assert told.strip() != ours.hex()


def test_what_cannot_be_serialised_and_what_is_very_long_is_never_known() -> None:
    known = Known(10)
    for data in (None, b"x" * 1_000_001):
        known.add("t", digest(data))
        assert not known.has("t", digest(data))


def test_the_least_recently_seen_is_forgotten_first() -> None:
    known = Known(2)
    first, second, third = (digest(bytes([65 + n])) for n in range(3))
    known.add("t", first)
    known.add("t", second)
    assert known.has("t", first)
    known.add("t", third)
    assert known.has("t", first)
    assert not known.has("t", second)


def test_nothing_of_a_message_is_kept() -> None:
    known = Known(10)
    known.add("t", digest(b"alice@example.com " * 20))
    held = [item for key in gc.get_referents(known._known) if isinstance(key, tuple) for item in key]
    assert {len(item) for item in held} == {1, 16}
