"""What is remembered of arms: forgetting, adding up, borrowing from other scopes, and noticing a fall."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.models.routing.arm_store import ArmStore
from agentflow.models.routing.arms import EVERYTHING, SUMMED, Sums, Table, believe

outcomes = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(-1, 2)), max_size=40)


def one(reward: float) -> Sums:
    return Sums(pulls=1.0, reward=reward, square=reward * reward, successes=float(reward > 0))


def seen(what: list[tuple[str, float]], half_life: float = 10.0) -> Table:
    table = Table(half_life)
    for arm, reward in what:
        table.add("s", arm, one(reward))
    return table


def same(one: Sums, other: Sums) -> bool:
    return all(getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9) for name in SUMMED)


@given(outcomes)
def test_an_outcome_counts_half_once_half_life_others_came_after_it(what: list[tuple[str, float]]) -> None:
    table = seen(what)
    for arm in "abc":
        plain = sum(0.5 ** ((len(what) - 1 - at) / 10.0) for at, (name, _) in enumerate(what) if name == arm)
        assert table.sums("s", arm).pulls == pytest.approx(plain)
    assert table.clock("s") == len(what)


@given(outcomes, outcomes)
def test_what_two_processes_saw_one_after_the_other_is_what_one_would_have_seen(
    first: list[tuple[str, float]], second: list[tuple[str, float]]
) -> None:
    both, whole = seen(first).then(seen(second)), seen(first + second)
    assert both.clock("s") == whole.clock("s")
    for arm in "abc":
        assert same(both.sums("s", arm), whole.sums("s", arm))


@given(outcomes, outcomes, outcomes)
def test_the_order_of_merging_does_not_matter(
    first: list[tuple[str, float]], second: list[tuple[str, float]], third: list[tuple[str, float]]
) -> None:
    left = seen(first).then(seen(second)).then(seen(third))
    right = seen(first).then(seen(second).then(seen(third)))
    for arm in "abc":
        assert same(left.sums("s", arm), right.sums("s", arm))


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=30), st.floats(-1, 2))
def test_a_corrected_outcome_leaves_what_it_would_have_left_at_once(rewards: list[float], right: float) -> None:
    corrected, plain = ArmStore(10.0), ArmStore(10.0)
    pulls = [corrected.pull("s", "a", one(reward)) for reward in rewards]
    corrected.correct(pulls[0], one(right))
    for reward in [right, *rewards[1:]]:
        plain.pull("s", "a", one(reward))
    assert corrected.belief("s", "a").mean == pytest.approx(plain.belief("s", "a").mean, abs=1e-6)
    assert corrected.belief("s", "a").pulls == pytest.approx(plain.belief("s", "a").pulls)


@given(outcomes)
def test_beliefs_stay_within_what_was_seen(what: list[tuple[str, float]]) -> None:
    table = seen(what)
    for arm in "abc":
        belief = believe(table.sums("s", arm), table.sums("s", arm))
        rewards = [reward for name, reward in what if name == arm]
        if rewards:
            assert min(rewards) - 1e-9 <= belief.mean <= max(rewards) + 1e-9
        assert 0.0 < belief.success < 1.0 and belief.variance >= 0.0


def test_a_new_scope_borrows_at_most_eight_pulls_from_the_others() -> None:
    arms = ArmStore(1e9)
    for _ in range(100):
        arms.pull("old", "a", one(1.5))
    assert arms.belief("new", "a").pulls == pytest.approx(8.0)
    assert arms.belief("new", "a").mean == pytest.approx(1.5)
    for _ in range(100):
        arms.pull("new", "a", one(-1.0))
    assert arms.belief("new", "a").mean < -0.8 and arms.belief("old", "a").mean > 1.3


def test_an_arm_that_falls_is_believed_soon_and_one_that_is_only_unlucky_is_not() -> None:
    arms, unlucky = ArmStore(1500.0), ArmStore(1500.0)
    for _ in range(1_000):
        arms.pull("s", "a", one(1.3))
        unlucky.pull("s", "a", one(1.3))
    for _ in range(24):
        arms.pull("s", "a", one(-1.0))
    for _ in range(2):
        unlucky.pull("s", "a", one(-1.0))
    assert arms.belief("s", "a").mean < 0.3 and arms.belief("s", "a").pulls < 60
    assert unlucky.belief("s", "a").mean > 1.2 and unlucky.belief("s", "a").pulls > 500


def test_what_calls_cost_and_took_is_still_known_after_a_fall() -> None:
    arms = ArmStore(1500.0)
    for _ in range(200):
        arms.pull(
            "s", "a", Sums(pulls=1, reward=1.3, square=1.69, successes=1, ratio=0.2, costed=1, latency=3, timed=1)
        )
    for _ in range(30):
        arms.pull("s", "a", one(-1.0))
    belief = arms.belief("s", "a")
    assert belief.mean < 0 and belief.ratio == pytest.approx(0.2) and belief.latency == pytest.approx(3.0)


def test_forgetting_one_arm_leaves_the_others() -> None:
    arms = ArmStore()
    for arm in "ab":
        arms.pull("s", arm, one(1.0))
    arms.forget("a")
    assert arms.belief("s", "a").pulls == 0 and arms.belief("s", "b").pulls > 0
    arms.forget()
    assert arms.scopes().get(EVERYTHING, ()) == ()


def test_outcomes_that_two_processes_dropped_at_once_leave_an_arm_that_is_unknown() -> None:
    belief = believe(Sums(pulls=-5.0, reward=-6.0), Sums(pulls=-5.0, reward=-6.0))
    assert belief.pulls == 0 and belief.mean == 0 and 0 < belief.success < 1
