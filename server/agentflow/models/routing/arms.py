"""What was seen of each model, in sums that forget: an outcome counts half once `half_life` others came after it.

An arm is a model at a provider (`provider:model`); a scope is what requests are told apart by
(`RouteRequest.context`), and `EVERYTHING` holds all of them. Each scope has a clock that counts its outcomes, whoever
served them, so that an arm nobody pulls is forgotten too and gets another chance. Tables add up: what two processes
saw is one table `then` another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

EVERYTHING: Final = ""
_BORROWED: Final = 8.0  # pulls in other scopes that count in a scope, at most


@dataclass(slots=True)
class Sums:
    """Discounted sums over an arm's outcomes, as of `at` on its scope's clock.

    `successes` sums how well calls served: 0 for a failure, 1 for an answer that nobody judged. `ratio` sums what was
    paid as a part of the most that it could have cost, `latency` seconds, `quality` what judges said; `costed`, `timed`
    and `judged` are the weights these three were seen with. The others go with `pulls`.
    """

    at: float = 0.0
    pulls: float = 0.0
    reward: float = 0.0
    square: float = 0.0
    successes: float = 0.0
    ratio: float = 0.0
    costed: float = 0.0
    latency: float = 0.0
    timed: float = 0.0
    quality: float = 0.0
    judged: float = 0.0

    def aged(self, clock: float, half_life: float) -> Sums:
        """The same sums as of a later `clock`."""
        if clock <= self.at:
            return self
        left = 0.5 ** ((clock - self.at) / half_life)
        return Sums(
            clock,
            self.pulls * left,
            self.reward * left,
            self.square * left,
            self.successes * left,
            self.ratio * left,
            self.costed * left,
            self.latency * left,
            self.timed * left,
            self.quality * left,
            self.judged * left,
        )

    def scaled(self, factor: float) -> Sums:
        """So many times the same, of no time."""
        return Sums(0.0, *(getattr(self, name) * factor for name in SUMMED))

    def less(self, other: Sums) -> Sums:
        """What has to be added to `other` for it to become this, of no time."""
        return Sums(0.0, *(getattr(self, name) - getattr(other, name) for name in SUMMED))

    def plus(self, other: Sums) -> Sums:
        """Both together, of the same time."""
        return Sums(max(self.at, other.at), *(getattr(self, name) + getattr(other, name) for name in SUMMED))


SUMMED: Final = tuple(each.name for each in fields(Sums))[1:]


@dataclass(slots=True)
class Scope:
    """The arms of one kind of request, and how many outcomes it has had."""

    clock: float = 0.0
    arms: dict[str, Sums] = field(default_factory=dict)


class Table:
    """Scopes by name. Not locked: `ArmStore` does that.

    Args:
        half_life: outcomes after which an old one counts half.
    """

    def __init__(self, half_life: float, scopes: Mapping[str, Scope] | None = None) -> None:
        self.half_life = half_life
        self.scopes = dict(scopes or {})

    def add(self, scope: str, arm: str, outcome: Sums) -> None:
        """One outcome: the scope's clock moves on by one."""
        there = self.scopes.setdefault(scope, Scope())
        there.clock += 1
        self.correct(scope, arm, outcome)

    def correct(self, scope: str, arm: str, change: Sums) -> None:
        """Add to an arm's sums without counting an outcome."""
        there = self.scopes.setdefault(scope, Scope())
        known = there.arms.get(arm, Sums()).aged(there.clock, self.half_life)
        there.arms[arm] = known.plus(change)
        there.arms[arm].at = there.clock

    def sums(self, scope: str, arm: str) -> Sums:
        """The arm's sums as of now; zeros where it was never seen."""
        there = self.scopes.get(scope)
        if there is None or arm not in there.arms:
            return Sums()
        return there.arms[arm].aged(there.clock, self.half_life)

    def clock(self, scope: str) -> float:
        """How many outcomes the scope has had."""
        there = self.scopes.get(scope)
        return there.clock if there is not None else 0.0

    def then(self, newer: Table) -> Table:
        """This table's outcomes followed by those of `newer`."""
        both = Table(self.half_life)
        for name in self.scopes.keys() | newer.scopes.keys():
            old, new = self.scopes.get(name, Scope()), newer.scopes.get(name, Scope())
            clock = old.clock + new.clock
            arms = {arm: sums.aged(clock, self.half_life) for arm, sums in old.arms.items()}
            for arm, sums in new.arms.items():
                late = sums.aged(new.clock, self.half_life)
                arms[arm] = arms.get(arm, Sums()).plus(late)
                arms[arm].at = clock
            both.scopes[name] = Scope(clock, arms)
        return both

    def forget(self, arm: str | None) -> None:
        """Drop what is known of one arm, or of all."""
        if arm is None:
            self.scopes.clear()
        for scope in self.scopes.values():
            scope.arms.pop(str(arm), None)

    def __iter__(self) -> Iterator[tuple[str, Scope]]:
        return iter(self.scopes.items())


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of an arm in a scope.

    Attributes:
        pulls: discounted; those in other scopes count too, up to 8, where the arm was pulled less in this one.
        mean, variance: of its reward.
        successes: pulls that served; success: their rate, with one success in two assumed before the first.
        ratio: paid, of the most it could have cost; latency: seconds; quality: as judged. None where nothing was seen.
        judged: weight of `quality`.
    """

    pulls: float
    mean: float
    variance: float
    successes: float
    success: float
    ratio: float | None
    latency: float | None
    quality: float | None
    judged: float


def believe(here: Sums, everywhere: Sums) -> Belief:
    """What an arm's outcomes in a scope, and in all scopes, come to."""
    share = 0.0
    if here.pulls < 0:  # two processes dropped the same outcomes
        here = Sums()
    if everywhere.pulls > 0:
        share = min(_BORROWED, max(0.0, everywhere.pulls - here.pulls)) / everywhere.pulls
    pulls = here.pulls + share * everywhere.pulls
    mean = variance = 0.0
    if pulls > 0:
        mean = (here.reward + share * everywhere.reward) / pulls
        variance = max(0.0, (here.square + share * everywhere.square) / pulls - mean * mean)
    successes = here.successes + share * everywhere.successes
    return Belief(
        pulls=pulls,
        mean=mean,
        variance=variance,
        successes=successes,
        success=(successes + 1) / (pulls + 2),
        ratio=_mean(here.ratio, here.costed, everywhere.ratio, everywhere.costed),
        latency=_mean(here.latency, here.timed, everywhere.latency, everywhere.timed),
        quality=everywhere.quality / everywhere.judged if everywhere.judged > 0 else None,
        judged=everywhere.judged,
    )


def _mean(here: float, weight: float, everywhere: float, total: float) -> float | None:
    if total <= 0:
        return here / weight if weight > 0 else None
    share = min(_BORROWED, max(0.0, total - weight)) / total
    known = weight + share * total
    return (here + share * everywhere) / known if known > 0 else everywhere / total
