"""A SIMULATION of routing over providers whose quality, price and speed drift: no model is asked.

    python -m benchmarks.routing [--requests 20000] [--seeds 10] [--drift usual|fast] [--plot FILE.png] [--json FILE]

Five providers serve requests of two kinds (easy and hard). In each world, made from a seed before anyone chooses, every
provider's chance of a good answer, price and speed wander slowly and jump now and then, independently; a provider is
told nothing of it, and the price list is the only thing that is known. The fate of every request at every provider is
drawn beforehand, so that all who choose are judged by the same draws, with the reward of FEATURES.md computed from the
true expectations of that moment. Drift `usual` has a sudden change of some provider about every 900 requests on top of
the slow ones; `fast` is a stress: the best provider of a kind changes every 150 to 500 requests, less than the
half-life of what is learnt.

Judged are `agentflow.models.routing.Router` with each strategy, as the worker uses it (`route`, `started`, `finished`);
every static choice; the best static choice of each kind of request in hindsight; chance; and the oracle, which knows
every true expectation (not the draws) at every moment. Regret is what is missing to the oracle. Figures are means over
the seeds, with the lowest and highest in brackets; the last quarter is by itself, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from agentflow.config_models import ModelTier, RoutingConfig, Strategy
from agentflow.models.fleet import Deployment, Price
from agentflow.models.routing.arm_store import ArmStore
from agentflow.models.routing.reward import accuracy, reward, saved
from agentflow.models.routing.router import Outcome, Router, RouteRequest

KINDS: Final = ("easy", "hard")
LEARNING: Final[tuple[Strategy, ...]] = ("ucb1", "thompson")
RULES: Final[tuple[Strategy, ...]] = ("cheapest", "fastest", "simple-complex", "least-busy")
MOST: Final = 2_000  # tokens that an answer may have
WORDS, PACE = 0.35, 0.3  # spread of an answer's length and of its seconds, in logarithms
# tier, chance of a good answer to easy and to hard requests, dollars for a million tokens in and out, seconds
PROVIDERS: Final[tuple[tuple[str, ModelTier, float, float, float, float, float], ...]] = (
    ("aster", "gold", 0.95, 0.88, 3.0, 15.0, 4.0),
    ("cedar", "silver", 0.91, 0.74, 0.8, 4.0, 1.5),
    ("dogwood", "silver", 0.90, 0.70, 0.6, 2.4, 2.2),
    ("elm", "bronze", 0.84, 0.52, 0.15, 0.6, 0.8),
    ("fir", "bronze", 0.80, 0.48, 0.1, 0.4, 1.1),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A provider at one moment: chances by kind, price of a token in nano-dollars, mean seconds and tokens written."""

    chances: tuple[float, float]
    input: float
    output: float
    seconds: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Fate:
    """What would become of a request at a provider: what is drawn, and what the draw is worth."""

    good: bool
    seconds: float
    cost: int
    reward: float
    expected: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How providers change, in steps of 50 requests: the slow walk's pull back to 0 and its size by step (for quality
    in logits, for the others in logarithms), the chance of a jump by step, and how much of one is left a step later."""

    pull: float
    quality: float
    price: float
    speed: float
    jumps: float
    left: float


DRIFTS: Final = {
    "usual": Drift(pull=0.01, quality=0.05, price=0.015, speed=0.03, jumps=0.004, left=0.995),
    "fast": Drift(pull=0.03, quality=0.12, price=0.02, speed=0.05, jumps=0.008, left=0.985),
}


def wander(rng: random.Random, steps: int, drift: Drift, size: float, leap: float) -> list[float]:
    """Offsets over time: a slow walk that is pulled back to 0, and jumps that fade away."""
    value, jump, out = 0.0, 0.0, []
    for _ in range(steps):
        value += rng.gauss(0, size) - drift.pull * value
        jump *= drift.left
        if leap and rng.random() < drift.jumps:
            jump = rng.choice((-1, 1)) * leap * rng.uniform(0.5, 1)
        out.append(value + jump)
    return out


def course(rng: random.Random, number: int, requests: int, drift: Drift) -> list[Moment]:
    """A provider over time, one moment for every 50 requests."""
    _, _, easy, hard, price_in, price_out, seconds = PROVIDERS[number]
    steps = requests // 50 + 1
    quality = wander(rng, steps, drift, drift.quality, 2.5)
    prices = wander(rng, steps, drift, drift.price, 0.9)
    speeds = wander(rng, steps, drift, drift.speed, 1.0)
    words = wander(rng, steps, drift, 0.02, 0.0)

    def chance(base: float, offset: float) -> float:
        return 1 / (1 + math.exp(-(math.log(base / (1 - base)) + offset)))

    found = []
    for q, p, s, w in zip(quality, prices, speeds, words, strict=True):
        price = math.exp(p) * 1_000  # dollars for a million tokens are 1,000 nano-dollars for one
        found.append(
            Moment(
                (chance(easy, q), chance(hard, q)),
                price_in * price,
                price_out * price,
                seconds * math.exp(s),
                350 * math.exp(w),
            )
        )
    return found


class World:
    """Everything that happens, whoever chooses."""

    def __init__(self, seed: int, requests: int, drift: Drift) -> None:
        rng = random.Random(seed)
        self.requests = requests
        self.courses = [course(rng, number, requests, drift) for number in range(len(PROVIDERS))]
        self.kinds = [int(rng.random() < 0.4) for _ in range(requests)]
        self.prompts = [round(rng.lognormvariate(6.0, 0.6)) for _ in range(requests)]
        self.fates = [self._drawn(rng, at) for at in range(requests)]

    def moments(self, at: int) -> list[Moment]:
        return [each[at // 50] for each in self.courses]

    def _drawn(self, rng: random.Random, at: int) -> list[Fate]:
        moments, kind, prompt = self.moments(at), self.kinds[at], self.prompts[at]
        sent = [prompt * m.input for m in moments]
        written = [m.tokens * (1.5 if kind else 0.75) * m.output for m in moments]
        dearest = max(map(sum, zip(sent, written, strict=True)))
        slowest = max(m.seconds for m in moments)
        fates = []
        for moment, fixed, varied in zip(moments, sent, written, strict=True):
            words, pace = (rng.lognormvariate(-s * s / 2, s) for s in (WORDS, PACE))
            cost, seconds = math.ceil(fixed + varied * words), moment.seconds * pace
            good = rng.random() < moment.chances[kind]
            served = reward(
                True,
                accuracy(cost, fixed + varied),
                accuracy(seconds, moment.seconds),
                saved(cost, dearest),
                saved(seconds, slowest),
            )
            usual = reward(
                True,
                1 - varied / (fixed + varied) * off(WORDS),
                1 - off(PACE),
                under(dearest - fixed, varied, WORDS) / dearest,
                under(slowest, moment.seconds, PACE) / slowest,
            )
            expected = moment.chances[kind] * (usual + 1) - 1
            fates.append(Fate(good, seconds, cost, served if good else -1.0, expected))
        return fates


def normal(x: float) -> float:
    """The standard normal distribution."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def off(spread: float) -> float:
    """Mean of |X - 1|, for X lognormal with mean 1."""
    return 2 * (2 * normal(spread / 2) - 1)


def under(limit: float, scale: float, spread: float) -> float:
    """Mean of max(0, limit - scale · X), for X lognormal with mean 1 (Black and Scholes 1973, a put)."""
    d = math.log(limit / scale) / spread + spread / 2
    return limit * normal(d) - scale * normal(d - spread)


def fleet(moments: Sequence[Moment]) -> list[Deployment]:
    """The providers as the worker knows them: the price list of the moment, and what tiers promise."""
    found = []
    for (name, tier, *_), moment in zip(PROVIDERS, moments, strict=True):
        price = Price(Fraction(round(moment.input)), Fraction(round(moment.output)), Fraction(round(moment.input)))
        quality = {"gold": 0.9, "silver": 0.7, "bronze": 0.5}[tier]
        found.append(Deployment(name, "m", name, "chat", tier, quality, price, 128_000, MOST))
    return found


def routed(world: World, strategy: Strategy, seed: int, config: RoutingConfig) -> list[int]:
    """The provider of each request, as the router has it, which learns from what it chose and from nothing else."""
    now = 0.0
    listed = fleet(world.moments(0))
    router = Router(config, lambda: listed, ArmStore(config.half_life), rng=random.Random(seed), clock=lambda: now)
    names, chosen = {f"{p[0]}:m": n for n, p in enumerate(PROVIDERS)}, []
    for at in range(world.requests):
        now += 1.0
        if at % 50 == 0:
            listed = fleet(world.moments(at))
        hard = 0.9 if world.kinds[at] else 0.1
        route = router.route(RouteRequest(tier="bronze", prompt_tokens=world.prompts[at], max_tokens=MOST,
                                          strategy=strategy, complexity=hard))  # fmt: skip
        router.started(route)
        choice = names[route.deployment.key]
        fate = world.fates[at][choice]
        # An answer that is not good comes back like any other; the verifier says so.
        error = None if fate.good else "protocol"
        router.finished(route, Outcome(fate.good, fate.seconds, cost=fate.cost, error=error))  # type: ignore[arg-type]
        chosen.append(choice)
    return chosen


def worth_of(world: World, provider: int, kind: int) -> float:
    """What a provider's answers to all requests of a kind are worth."""
    return sum(fates[provider].expected for fates, of in zip(world.fates, world.kinds, strict=True) if of == kind)


def choices(world: World, seed: int, strategies: Sequence[Strategy], config: RoutingConfig) -> dict[str, list[int]]:
    """What everybody would choose, by name."""
    providers = range(len(PROVIDERS))
    found: dict[str, list[int]] = {
        "oracle": [max(providers, key=lambda n, at=at: world.fates[at][n].expected) for at in range(world.requests)]
    }
    for strategy in strategies:
        found[strategy] = routed(world, strategy, seed, config)
    for number in providers:
        found[f"always {PROVIDERS[number][0]}"] = [number] * world.requests
    best = [max(providers, key=lambda n, of=kind: worth_of(world, n, of)) for kind in range(2)]
    found["best static by kind"] = [best[kind] for kind in world.kinds]
    rng = random.Random(seed)
    found["chance"] = [rng.randrange(len(PROVIDERS)) for _ in range(world.requests)]
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """What one way of choosing came to in one world: drawn rewards by request, and the expected ones."""

    drawn: list[float]
    expected: list[float]


def judged(world: World, chosen: Sequence[int]) -> Run:
    """The rewards of choices."""
    fates = [world.fates[at][choice] for at, choice in enumerate(chosen)]
    return Run([fate.reward for fate in fates], [fate.expected for fate in fates])


def simulated(requests: int, seeds: Sequence[int], drift: Drift) -> dict[str, list[Run]]:
    """Every way of choosing in every world."""
    runs: dict[str, list[Run]] = {}
    for seed in seeds:
        world = World(seed, requests, drift)
        for name, chosen in choices(world, seed, (*LEARNING, *RULES), RoutingConfig()).items():
            runs.setdefault(name, []).append(judged(world, chosen))
    return runs


def parts(runs: dict[str, list[Run]], name: str, start: int = 0) -> list[float]:
    """The oracle's part that a way of choosing reached in each world, of drawn rewards from request `start` on."""
    return [
        sum(run.drawn[start:]) / sum(oracle.drawn[start:])
        for run, oracle in zip(runs[name], runs["oracle"], strict=True)
    ]


def told(values: Sequence[float]) -> str:
    """Mean, standard deviation over worlds, lowest and highest."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):6.1%} ± {spread:5.1%} ({min(values):6.1%} to {max(values):6.1%})"


def table(runs: dict[str, list[Run]], requests: int) -> list[tuple[str, str, str]]:
    """Rows of name, whole run and last quarter, best first."""
    order = sorted(runs, key=lambda name: -statistics.mean(parts(runs, name)))
    return [(name, told(parts(runs, name)), told(parts(runs, name, requests * 3 // 4))) for name in order]


def verdict(runs: dict[str, list[Run]], requests: int) -> list[str]:
    """Whether the learning strategies do what they have to, in words."""
    lines = []
    statics = [name for name in runs if name.startswith("always ")]
    for name in LEARNING:
        own = [sum(run.drawn) for run in runs[name]]
        best = max(sum(sum(run.drawn) for run in runs[other]) for other in statics)
        beaten = [min(mine - sum(runs[other][world].drawn) for other in statics) > 0 for world, mine in enumerate(own)]
        whole, end = (statistics.mean(parts(runs, name, start)) for start in (0, requests * 3 // 4))
        lines.append(
            f"{name}: {whole:.1%} of the oracle's reward at the end, {end:.1%} in the last quarter; over "
            f"all worlds {'more' if sum(own) > best else 'less'} than every static choice, and in "
            f"{sum(beaten)} of {len(beaten)} worlds more than the one that turned out best there"
        )
    return lines


def plotted(runs: dict[str, list[Run]], requests: int, path: Path, title: str) -> None:
    """The part of the oracle's reward over time, and what is missing to it, as a small picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = {"ucb1": "#0b6e4f", "thompson": "#1f5fa8", "best static by kind": "#8a5a00", "chance": "#999999"}
    statics = [name for name in runs if name.startswith("always ")]
    every = max(1, requests // 200)
    marks = list(range(every, requests + 1, every))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), dpi=80)
    for name in (*shown, *statics):
        colour = shown.get(name, "#c9a0a0")
        label = name if name in shown else ("always one provider (each)" if name == statics[0] else None)
        width = 2.0 if name in LEARNING else 1.0
        windows, regrets = curves(runs, name, marks, max(every, requests // 20))
        middle = [statistics.mean(at) for at in windows]
        left.plot(marks, middle, color=colour, label=label, lw=width)
        right.plot(marks, [statistics.mean(at) for at in regrets], color=colour, lw=width, label=label)
        if name in LEARNING:
            left.fill_between(marks, [min(at) for at in windows], [max(at) for at in windows], color=colour, alpha=0.12)
            right.fill_between(
                marks, [min(at) for at in regrets], [max(at) for at in regrets], color=colour, alpha=0.12
            )
    left.axhline(0.95, color="black", lw=0.8, ls="--", label="95 % of the oracle")
    left.set(ylim=(0.0, 1.02), xlabel="requests", ylabel="part of the oracle's reward (moving window)")
    right.set(xlabel="requests", ylabel="regret: expected reward missing to the oracle", ylim=(0, None))
    left.legend(fontsize=8, loc="lower center", ncols=2)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def curves(
    runs: dict[str, list[Run]], name: str, marks: Sequence[int], window: int
) -> tuple[list[list[float]], list[list[float]]]:
    """At each mark, by world: part of the oracle in the window before it, and regret since the start."""
    windows: list[list[float]] = [[] for _ in marks]
    regrets: list[list[float]] = [[] for _ in marks]
    for run, oracle in zip(runs[name], runs["oracle"], strict=True):
        mine, best = (list(itertools.accumulate(each.expected, initial=0.0)) for each in (run, oracle))
        for place, mark in enumerate(marks):
            start = max(0, mark - window)
            windows[place].append((mine[mark] - mine[start]) / (best[mark] - best[start]))
            regrets[place].append(best[mark] - mine[mark])
    return windows, regrets


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print, and draw."""
    parser = argparse.ArgumentParser(description="Simulation of routing over drifting providers.")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1_000)
    parser.add_argument("--drift", choices=sorted(DRIFTS), default="usual")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    began = time.process_time()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    runs = simulated(asked.requests, seeds, DRIFTS[asked.drift])
    where = f"{asked.seeds} worlds of {len(PROVIDERS)} providers, {asked.drift} drift"
    title = f"Simulation: {asked.requests:,} requests, {where}"
    rows = table(runs, asked.requests)
    print(f"{title}\nreward as part of the oracle's: mean ± deviation (lowest to highest)\n")
    print(f"{'':22}{'whole run':40}last quarter")
    for name, whole, end in rows:
        print(f"{name:22}{whole:40}{end}")
    print()
    print("\n".join(verdict(runs, asked.requests)))
    print(f"{time.process_time() - began:.0f} s of CPU")
    if asked.json:
        found: dict[str, Any] = {"what": title, "rows": rows, "verdict": verdict(runs, asked.requests)}
        asked.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if asked.plot:
        plotted(runs, asked.requests, asked.plot, f"{title}. Lines: means; bands: lowest to highest world.")


if __name__ == "__main__":
    main()
