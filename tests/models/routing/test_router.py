"""Which model is chosen, what may never be, and what is learnt from how calls went."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.config_models import Strategy
from agentflow.errors import ModelUnavailable
from agentflow.models.routing.router import Outcome, Router, RouteRequest
from tests.models.routing.fleets import FLEET, Clock, asked, model, router, served

BANDITS: tuple[Strategy, ...] = ("ucb1", "thompson")
EVERY: tuple[Strategy, ...] = (*BANDITS, "cheapest", "fastest", "least-busy", "simple-complex")


@pytest.mark.parametrize("strategy", EVERY)
@pytest.mark.parametrize(
    ("tier", "may"),
    [("gold", {"big"}), ("silver", {"big", "mid"}), ("bronze", {"big", "mid", "small"})],
    ids=["gold", "silver", "bronze"],
)
def test_a_model_below_the_tiers_quality_floor_never_serves_it(strategy: Strategy, tier: Any, may: set[str]) -> None:
    routes = router(strategy=strategy)
    for _ in range(30):
        route = routes.route(asked(tier=tier))
        assert route.deployment.provider in may
        served(routes, route)


def test_a_named_model_serves_whatever_the_tier_and_only_it() -> None:
    routes = router((*FLEET, model("twin", "silver", 3.0), replace(model("other"), name="twin")))
    assert routes.route(asked(model="small", tier="gold")).deployment.provider == "small"
    assert routes.route(asked(model="small:m")).deployment.provider == "small"
    for tried, left in (("other:m", "twin"), ("twin:m", "other")):
        assert routes.route(asked(model="twin"), [tried]).deployment.provider == left
    with pytest.raises(ModelUnavailable, match="was tried"):
        routes.route(asked(model="twin"), ["twin:m", "other:m"])


@pytest.mark.parametrize(
    ("request_", "reason", "said"),
    [
        (asked(model="nobody"), "unknown_model", "nobody"),
        (asked(kind="embedding"), "none_configured", "No embedding model"),
        (asked(tier="gold", prompt_tokens=10**9, max_cost=5), "not_eligible", "could cost"),
        (asked(tier="bronze", allowed=("else",)), "not_eligible", "policy"),
        (asked(tier="gold", most="silver"), "not_eligible", "policy allows silver at most"),
    ],
    ids=["unknown", "kind", "cost", "allowed", "most"],
)
def test_what_no_model_may_serve_is_refused_with_the_reason(request_: RouteRequest, reason: str, said: str) -> None:
    with pytest.raises(ModelUnavailable, match=said) as refused:
        router().route(request_)
    assert refused.value.data["reason"] == reason and refused.value.fix


def test_prompts_go_only_where_they_fit_and_schemas_where_they_hold() -> None:
    routes = router((model("tiny", context_window=500), model("wide", context_window=10_000, json_schema=True)))
    assert routes.route(asked()).deployment.provider == "wide"
    assert routes.route(asked(prompt_tokens=10, needs_schema=True)).deployment.provider == "wide"
    with pytest.raises(ModelUnavailable, match="do not fit"):
        routes.route(asked(prompt_tokens=20_000))


def test_without_a_price_a_model_serves_only_where_no_cost_limit_is_kept() -> None:
    routes = router((model("free", dollars=None), model("paid", dollars=5.0)))
    assert {routes.route(asked(), e).deployment.provider for e in ((), ("free:m",), ("paid:m",))} == {"free", "paid"}
    route = routes.route(asked(max_cost=10**9))
    assert route.deployment.provider == "paid" and route.bound is not None and route.bound <= 10**9


@given(st.integers(0, 10**8), st.integers(0, 50_000), st.integers(0, 50_000), st.integers(1, 10_000), st.integers(1, 3))
def test_no_route_can_cost_more_than_was_allowed(most: int, prompt: int, beyond: int, answer: int, n: int) -> None:
    limits = {"prompt_bound": prompt + beyond, "max_tokens": answer, "choices": n, "max_cost": most}
    try:
        route = router().route(asked(prompt_tokens=prompt, tier="bronze", **limits))
    except ModelUnavailable:
        return
    assert route.deployment.price is not None
    assert route.deployment.price.cost(prompt + beyond, answer * n) == route.bound and route.bound <= most


def test_rules_choose_as_they_are_named() -> None:
    fleet = (model("gold", "gold", 10.0), model("cheap", "bronze", 0.5), model("quick", "silver", 2.0))
    routes = router(fleet)
    for each, latency in (("gold", 4.0), ("cheap", 3.0), ("quick", 0.2)):
        served(routes, routes.route(asked(model=each)), latency=latency)
    base = {"tier": "bronze"}
    assert routes.route(asked(**base, strategy="cheapest")).deployment.provider == "cheap"
    assert routes.route(asked(**base, strategy="fastest")).deployment.provider == "quick"
    simple = routes.route(asked(**base, strategy="simple-complex", complexity=0.1))
    hard = routes.route(asked(**base, strategy="simple-complex", complexity=0.9))
    assert (simple.deployment.provider, hard.deployment.provider) == ("cheap", "gold")
    for _ in range(3):
        routes.started(routes.route(asked(**base, strategy="least-busy")))
    assert routes.busy() == {"cheap:m": 1, "gold:m": 1, "quick:m": 1}


@pytest.mark.parametrize("strategy", BANDITS)
def test_every_model_is_tried_before_any_is_tried_again(strategy: Strategy) -> None:
    routes = router(strategy=strategy)
    first = []
    for _ in FLEET:
        route = routes.route(asked(tier="bronze"))
        first.append(route.deployment.provider)
        served(routes, route)
    assert sorted(first) == ["big", "mid", "small"]


@pytest.mark.parametrize("strategy", BANDITS)
def test_many_at_once_do_not_all_try_the_same_model(strategy: Strategy) -> None:
    routes = router(strategy=strategy)
    for _ in range(3):
        routes.started(routes.route(asked(tier="bronze")))
    assert set(routes.busy().values()) == {1} and len(routes.busy()) == 3


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=3, max_size=3),
    st.floats(0, 3),
)
def test_ucb1_ranks_by_mean_plus_exploration_plus_weighted_score(
    seen: list[tuple[int, bool]], exploration: float
) -> None:
    routes = router(exploration=exploration, half_life=1e12, failures=10**6)
    for each, (count, good) in zip(FLEET, seen, strict=True):
        for number in range(count):
            served(routes, routes.route(asked(model=each.name)), good or number % 2 == 0)
    found = routes.explain(asked(tier="bronze"))
    total = sum(count for count, _ in seen)
    arms = {arm.key: arm for arm in routes.arms()}
    bonuses = {}
    for row in found.rows:
        bonus = row.value - arms[row.deployment.key].mean_reward - 0.3 * row.score
        bonuses[row.deployment.key] = bonus * math.sqrt(row.pulls)
        assert -1e-9 <= bonus <= exploration * math.sqrt(math.log(total) / row.pulls) + 1e-9
    assert max(bonuses.values()) == pytest.approx(min(bonuses.values()), abs=1e-6)  # c · s · sqrt(ln N) for each


def test_before_rewards_have_shown_their_spread_exploration_is_that_of_ucb1() -> None:
    routes = router(failures=100)
    for each in FLEET:
        served(routes, routes.route(asked(model=each.name)))
    arms = {arm.key: arm for arm in routes.arms()}
    for row in routes.explain(asked(tier="bronze")).rows:
        bonus = row.value - arms[row.deployment.key].mean_reward - 0.3 * row.score
        assert bonus == pytest.approx(1.414 * math.sqrt(math.log(3)), abs=0.05)


def test_one_call_is_one_pull_however_often_it_is_reported() -> None:
    routes = router()
    route = routes.route(asked(model="mid"))
    for _ in range(3):
        served(routes, route)
        routes.finished(route, Outcome(False, 1.0, error="server"))
    (arm,) = [arm for arm in routes.arms() if arm.key == "mid:m"]
    assert arm.pulls == pytest.approx(1.0) and arm.mean_reward > 0 and arm.busy == 0 and routes.busy() == {}


@pytest.mark.parametrize("error", ["content_filter", "context_window", "bad_request", "cancelled", "budget"])
def test_a_fault_of_the_requests_own_counts_against_no_model(error: Any) -> None:
    routes = router()
    for _ in range(5):
        served(routes, routes.route(asked(model="mid")), False, error=error)
    assert [arm.pulls for arm in routes.arms()] == [0, 0, 0] and routes.cooldowns() == {} and routes.busy() == {}


@pytest.mark.parametrize("strategy", BANDITS)
def test_the_model_that_serves_best_gets_most_of_the_requests(strategy: Strategy) -> None:
    routes = router(strategy=strategy, failures=10**6)
    count = dict.fromkeys(("big", "mid", "small"), 0)
    for number in range(600):
        route = routes.route(asked(tier="bronze"))
        name = route.deployment.provider
        count[name] += 1
        served(routes, route, name == "mid" or number % 3 == 0)
    assert count["mid"] > 450


@pytest.mark.parametrize("strategy", BANDITS)
def test_a_change_for_the_worse_is_noticed(strategy: Strategy) -> None:
    routes = router(strategy=strategy, failures=10**6)

    def chosen(good: str, calls: int) -> list[str]:
        names = []
        for number in range(calls):
            route = routes.route(asked(tier="bronze"))
            names.append(route.deployment.provider)
            served(routes, route, names[-1] == good or number % 4 == 0)
        return names

    chosen("big", 1_000)
    assert chosen("small", 400)[-100:].count("small") > 70


def test_kinds_of_requests_are_learnt_apart() -> None:
    routes = router(failures=10**6)
    for number in range(800):
        hard = number % 2 == 0
        route = routes.route(asked(tier="bronze", complexity=0.9 if hard else 0.1))
        served(routes, route, route.deployment.provider == ("big" if hard else "small"))
    names = [
        [routes.route(asked(tier="bronze", complexity=hard)).deployment.provider for _ in range(5)]
        for hard in (0.9, 0.1)
    ]
    assert names == [["big"] * 5, ["small"] * 5]


@pytest.mark.parametrize("strategy", BANDITS)
def test_feedback_decides_between_models_that_all_answer(strategy: Strategy) -> None:
    routes = router(strategy=strategy)
    count = dict.fromkeys(("big", "mid", "small"), 0)
    for _ in range(500):
        route = routes.route(asked(tier="bronze"))
        count[route.deployment.provider] += 1
        served(routes, route)
        routes.reward([route.id, "unknown"], 1.0 if route.deployment.provider == "small" else -1.0)
    assert count["small"] > 400
    arms = {arm.key: arm for arm in routes.arms()}
    assert arms["small:m"].quality == pytest.approx(1.0) and arms["big:m"].quality == pytest.approx(0.0)
    assert sum(arm.pulls for arm in arms.values()) == pytest.approx(sum(0.5 ** (n / 800) for n in range(500)), rel=0.5)


def test_feedback_may_come_before_the_call_is_finished_and_may_be_changed() -> None:
    routes = router()
    route = routes.route(asked(model="mid"))
    routes.reward([route.id], -1.0)
    served(routes, route)
    assert routes.arms()[1].mean_reward == pytest.approx(-1.0)
    routes.reward([route.id], 1.0)
    routes.reward([route.id], float("nan"))
    assert routes.arms()[1].mean_reward > 0.5 and routes.arms()[1].pulls == pytest.approx(1.0)


def test_a_model_that_fails_three_times_rests_and_one_more_failure_is_enough_then() -> None:
    clock = Clock()
    routes = router(clock=clock)
    for _ in range(3):
        served(routes, routes.route(asked(model="mid")), False)
    assert routes.cooldowns() == {"mid:m": 30.0}
    assert all(routes.route(asked(tier="bronze")).deployment.provider != "mid" for _ in range(20))
    clock.now = 31.0
    assert routes.cooldowns() == {}
    served(routes, routes.route(asked(model="mid")), False)
    assert routes.cooldowns() == {"mid:m": 30.0}
    clock.now = 62.0
    served(routes, routes.route(asked(model="mid")))
    served(routes, routes.route(asked(model="mid")), False)
    assert routes.cooldowns() == {}


def test_a_provider_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    clock = Clock()
    routes = router(clock=clock)
    served(routes, routes.route(asked(model="mid")), False, error="rate_limit", retry_after=5.0)
    with pytest.raises(ModelUnavailable) as refused:
        routes.route(asked(model="mid"))
    assert refused.value.data == {"reason": "resting", "retry_after": 5.0}
    clock.now = 5.1
    assert routes.route(asked(model="mid")).deployment.provider == "mid"


def test_a_refused_key_is_not_asked_three_times() -> None:
    routes = router()
    served(routes, routes.route(asked(model="mid")), False, error="auth")
    assert set(routes.cooldowns()) == {"mid:m"}


def test_where_everything_rests_one_request_at_a_time_may_try() -> None:
    clock = Clock()
    routes = router((model("only"),), clock=clock)
    for _ in range(3):
        served(routes, routes.route(asked()), False)
    route = routes.route(asked())
    assert route.resting and "rests" in route.reason
    routes.started(route)
    with pytest.raises(ModelUnavailable, match="rests after failures") as refused:
        routes.route(asked())
    assert refused.value.data["retry_after"] == 30.0
    routes.abandoned(route)
    assert routes.route(asked()).resting


def test_models_that_are_too_slow_are_used_only_where_there_is_no_other() -> None:
    routes = router(strategy="cheapest")
    for each, latency in (("big", 2.0), ("mid", 1.0), ("small", 9.0)):
        served(routes, routes.route(asked(model=each)), latency=latency)
    assert routes.route(asked(tier="bronze")).deployment.provider == "small"
    assert routes.route(asked(tier="bronze", max_latency=3.0)).deployment.provider == "mid"
    late = routes.route(asked(tier="bronze", max_latency=0.5))
    assert late.deployment.provider == "mid" and "none is expected within 0.5 s" in late.reason


def test_a_route_tells_what_it_will_cost_and_take_and_two_alternatives() -> None:
    routes = router()
    for each in FLEET:
        for _ in range(4):
            route = routes.route(asked(model=each.name))
            served(routes, route, latency=2.0, cost=(route.bound or 0) // 4)
    route = routes.route(asked(tier="bronze"))
    assert route.bound is not None and route.expected_cost == pytest.approx(route.bound / 4, rel=0.01)
    assert route.expected_latency == pytest.approx(2.0)
    assert 0.0 <= route.confidence <= 1.0 and 0.0 <= route.score <= 1.0
    assert [each.deployment.provider for each in route.alternatives] != [] and len(route.alternatives) == 2
    assert route.deployment not in [each.deployment for each in route.alternatives]
    assert route.reason.startswith("ucb1: mean") and "of 3 that may serve" in route.reason


@pytest.mark.parametrize("strategy", EVERY)
def test_explaining_changes_nothing_and_says_what_would_be_chosen(strategy: Strategy) -> None:
    routes, twin = router(strategy=strategy), router(strategy=strategy)
    for number in range(40):
        found = routes.explain(asked(tier="silver"))
        one, other = routes.route(asked(tier="silver")), twin.route(asked(tier="silver"))
        assert found.chosen is not None and found.rows[0].deployment == found.chosen.deployment == one.deployment
        assert one.deployment == other.deployment
        for each, route in ((routes, one), (twin, other)):
            served(each, route, number % 3 > 0)
    assert [row.why_not for row in found.rows if row.deployment.provider == "small"] == [
        "quality 0.5 is below silver's floor of 0.6"
    ]


def test_an_explanation_is_plain_json_also_of_models_that_nobody_tried() -> None:
    for strategy in EVERY:
        found = router((*FLEET, model("free", dollars=None)), strategy=strategy).explain(asked())
        assert found.chosen is not None
        json.dumps([asdict(each, dict_factory=_shown) for each in (found.chosen, *found.rows)], allow_nan=False)


def _shown(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in members if name not in ("price", "deployment")}


def test_what_cannot_be_served_is_explained_as_well() -> None:
    found = router().explain(asked(tier="gold", allowed=("mid",)))
    assert found.chosen is None and "No model may serve this gold request" in found.error
    assert len(found.rows) == 3 and all(row.why_not for row in found.rows)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["route", "start", "good", "bad", "leave", "reward"]), st.integers(0, 5))))
def test_whatever_is_reported_in_whatever_order_counts_stay_right(events: list[tuple[str, int]]) -> None:
    routes = router(failures=10**6, half_life=1e12)
    known: list[Any] = [routes.route(asked(tier="bronze"))]
    ended: dict[str, bool] = {}
    begun: set[str] = set()
    for what, number in events:
        route = known[number % len(known)]
        if what == "route":
            known.append(routes.route(asked(tier="bronze")))
        elif what == "start":
            routes.started(route)
            if route.id not in ended:
                begun.add(route.id)
        elif what == "leave":
            routes.abandoned(route)
            ended.setdefault(route.id, False)
        elif what == "reward":
            routes.reward([route.id], number / 2 - 1)
        else:
            routes.finished(route, Outcome(what == "good", 1.0, cost=5, error=None if what == "good" else "server"))
            ended.setdefault(route.id, True)
    assert sum(routes.busy().values()) == len(begun - ended.keys())
    assert sum(arm.pulls for arm in routes.arms()) == pytest.approx(sum(ended.values()))


def test_decisions_long_past_are_forgotten_with_what_was_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentflow.models.routing.router._REMEMBERED", 2)
    routes: Router = router()
    first = routes.route(asked(model="mid"))
    routes.started(first)
    for _ in range(2):
        routes.route(asked(model="mid"))
    assert routes.busy() == {}
    routes.finished(first, Outcome(True, 1.0))
    routes.reward([first.id], 1.0)
    assert routes.busy() == {} and routes.arms()[1].pulls == 0


def test_latencies_that_cannot_be_ones_teach_nothing() -> None:
    routes = router()
    for latency in (float("nan"), float("inf"), -1.0):
        served(routes, routes.route(asked(model="mid")), latency=latency)
    assert routes.arms()[1].latency is None and math.isfinite(routes.arms()[1].mean_reward)
