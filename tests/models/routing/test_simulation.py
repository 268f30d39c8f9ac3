"""The simulation of `benchmarks.routing`, a short one: its judge is fair, and the learning strategies learn."""

from __future__ import annotations

import statistics

import pytest

from agentflow.config_models import RoutingConfig
from benchmarks.routing import DRIFTS, LEARNING, PROVIDERS, Run, World, choices, judged, parts, table, verdict

REQUESTS = 8_000


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [World(seed, REQUESTS, DRIFTS["fast"]) for seed in (0, 1)]


def test_a_world_is_the_same_for_the_same_seed() -> None:
    one, same, other = (World(seed, 200, DRIFTS["fast"]) for seed in (5, 5, 6))
    assert one.fates == same.fates and one.fates != other.fates


def test_what_the_oracle_expects_is_what_is_drawn_on_average(worlds: list[World]) -> None:
    for number in range(len(PROVIDERS)):
        fates = [fates[number] for world in worlds for fates in world.fates]
        drawn, expected = ([getattr(f, name) for f in fates] for name in ("reward", "expected"))
        error = statistics.stdev(drawn) / len(drawn) ** 0.5
        assert abs(statistics.mean(drawn) - statistics.mean(expected)) < 4 * error + 0.01


def test_learning_beats_every_static_choice_and_nobody_the_oracle(worlds: list[World]) -> None:
    runs: dict[str, list[Run]] = {}
    for seed, world in enumerate(worlds):
        for name, chosen in choices(world, seed, LEARNING, RoutingConfig()).items():
            runs.setdefault(name, []).append(judged(world, chosen))
    expected = {name: sum(sum(run.expected) for run in of) for name, of in runs.items()}
    assert max(expected, key=lambda name: expected[name]) == "oracle"
    statics = max(value for name, value in expected.items() if name.startswith("always "))
    for name in LEARNING:
        assert expected[name] > statics and expected[name] > expected["chance"]
        assert expected[name] > 0.9 * expected["oracle"]
    assert statistics.mean(parts(runs, "oracle")) == 1.0
    assert len(table(runs, REQUESTS)) == len(runs)
    assert [line.split(":")[0] for line in verdict(runs, REQUESTS)] == list(LEARNING)
