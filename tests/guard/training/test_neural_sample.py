"""How many passages the neural stage learns from is bounded, and which ones is always the same."""

from __future__ import annotations

from agentflow.guard.training.neural import Passage, sample

ATTACKS = [Passage(f"attack {number}", ((0, 6),)) for number in range(100)]
BENIGN = [Passage(f"benign {number}", ()) for number in range(100)]


def attacks_in(passages: list[Passage]) -> int:
    return sum(1 for passage in passages if passage.spans)


def test_the_sample_is_balanced_and_repeatable() -> None:
    drawn = sample([*ATTACKS, *BENIGN], 100)
    assert len(drawn) == len({passage.text for passage in drawn}) == 100
    assert attacks_in(drawn) == 45
    assert drawn == sample([*ATTACKS, *BENIGN], 100)


def test_where_there_are_too_few_of_one_kind_the_other_fills_up() -> None:
    assert attacks_in(sample([*ATTACKS[:5], *BENIGN], 60)) == 5
    assert attacks_in(sample([*ATTACKS, *BENIGN[:5]], 60)) == 55
    assert sample(BENIGN, 500) == BENIGN
