"""The arithmetic of rewards and scores: the formulas of FEATURES.md, and what holds of them for every input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.models.routing.reward import accuracy, judged, reward, saved, score, served, to_best

part = st.floats(0, 1)
amount = st.floats(0, 1e12)
feedback = st.floats(-1, 2)


@given(part, part, part, part)
def test_a_success_is_worth_what_the_formula_says(cost: float, latency: float, savings: float, speedup: float) -> None:
    plain = 1 + 0.6 * (cost - 0.5) + 0.6 * (latency - 0.5) + 0.2 * savings + 0.2 * speedup
    assert reward(True, cost, latency, savings, speedup) == pytest.approx(min(2.0, max(-1.0, plain)))


@given(part, part, part, part, st.none() | part)
def test_a_failure_is_worth_minus_one_whatever_else(
    cost: float, latency: float, savings: float, speedup: float, quality: float | None
) -> None:
    assert reward(False, cost, latency, savings, speedup, quality) == -1.0


@given(part, part, part, part, part, part)
def test_a_better_answer_is_never_worth_less(
    cost: float, latency: float, savings: float, speedup: float, one: float, two: float
) -> None:
    worse, better = sorted((one, two))
    less, more = (reward(True, cost, latency, savings, speedup, quality) for quality in (worse, better))
    assert -1.0 <= less <= more <= 2.0
    assert reward(True, cost, latency, savings, speedup, 0.0) == -1.0
    assert reward(True, cost, latency, savings, speedup, 1.0) == pytest.approx(
        reward(True, cost, latency, savings, speedup)
    )


@given(amount, amount)
def test_accuracy_is_a_part_and_whole_only_where_it_came_as_expected(actual: float, expected: float) -> None:
    assert 0.0 <= accuracy(actual, expected) <= 1.0
    assert accuracy(expected, expected) == 1.0


@given(amount, amount, amount)
def test_who_pays_less_has_saved_no_less(one: float, two: float, reference: float) -> None:
    less, more = sorted((one, two))
    assert 0.0 <= saved(more, reference) <= saved(less, reference) <= 1.0
    assert saved(reference, reference) == 0.0


@given(st.floats(-1, 2), feedback, feedback)
def test_feedback_moves_a_reward_in_its_own_direction_and_never_out_of_bounds(
    outcome: float, one: float, two: float
) -> None:
    worse, better = sorted((one, two))
    assert -1.0 <= judged(outcome, worse) <= judged(outcome, better) + 1e-12 <= 2.0 + 1e-12
    assert judged(outcome, 1.0) == pytest.approx(outcome)
    assert judged(outcome, -1.0) == -1.0
    assert 0.0 <= served(worse) <= served(better) <= 1.0


@given(part, part, part, part)
def test_the_routing_score_weighs_cost_quality_latency_and_reliability(
    cost: float, quality: float, latency: float, reliability: float
) -> None:
    found = score(cost, quality, latency, reliability)
    assert found == pytest.approx(0.4 * cost + 0.3 * quality + 0.2 * latency + 0.1 * reliability)
    assert 0.0 <= found <= 1.0 + 1e-12


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_the_best_cost_or_latency_scores_one_and_a_worse_one_less(one: float, two: float) -> None:
    best, worse = sorted((one, two))
    assert to_best(best, best) == 1.0
    assert 0.0 <= to_best(worse, best) <= 1.0


def test_twice_the_best_scores_a_half() -> None:
    assert to_best(2.0, 1.0) == 0.5
