"""Small memories of much text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.sketches import Values

HASHES = st.integers(min_value=1, max_value=2**32 - 1)
BITS = st.integers(min_value=1, max_value=4095)


@given(st.dictionaries(HASHES, BITS, max_size=300))
def test_what_is_put_is_there_and_nothing_else(found: dict[int, int]) -> None:
    values = Values()
    for key, number in found.items():
        values.put(key, number)
    assert dict(values) == found
    assert len(values) == len(found)
    assert all(values.get(key) == number and key in values for key, number in found.items())
    assert values.get(2**32 - 1 if 2**32 - 1 not in found else 0) in (0, found.get(1, 0))


@given(st.dictionaries(HASHES, BITS, max_size=200), st.dictionaries(HASHES, BITS, max_size=200))
def test_merging_adds_bits_and_tells_what_was_new(first: dict[int, int], second: dict[int, int]) -> None:
    values, fresh = Values(), dict(second)
    assert values.merge(dict(first), 0, 1000)
    assert values.merge(fresh, 0, 1000)
    assert dict(values) == {key: first.get(key, 0) | second.get(key, 0) for key in first | second}
    assert set(fresh) == {key for key, bits in second.items() if first.get(key, 0) & bits != bits}


def test_a_full_table_says_so_and_keeps_what_it_has() -> None:
    values, more = Values(), dict.fromkeys(range(1, 201), 1)
    assert not values.merge(more, 0, 100)
    assert len(values) == len(more) == 100


def test_hashes_that_end_alike_do_not_meet() -> None:
    values = Values()
    for key in range(1, 1001):
        values.put(key << 20, key)
    assert all(values.get(key << 20) == key for key in range(1, 1001))
