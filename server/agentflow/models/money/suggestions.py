"""What would make the same work cheaper, by what models were used for: with the saving, how sure it is, and what to do.

Every suggestion is computed from requests that were made; none of them looks at what was said in them. The saving is
that of the time looked at, had it been done then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from agentflow.models.money.amounts import dollars
from agentflow.models.money.usage import Filter, conditions
from agentflow.store.opened import Store

Kind = Literal["provider_switch", "model_downgrade", "caching", "batching", "scheduling"]
_LEAST: Final = 20  # requests that say something of a model
_RELIABLE: Final = 0.95  # answers of 100 requests from which a model is taken for as good
_SHORT: Final = 200  # tokens of an answer that a smaller model would write as well
_SIMPLE: Final = ("verifier", "summary", "judge")  # purposes whose answers are chosen from a few, or short
_PATIENT: Final = ("judge", "summary")  # purposes that nobody waits for in a conversation
_BURST: Final = 1.0  # seconds within which requests for embeddings could have gone out together
_HALF: Final = 0.5  # what providers that have batches ask for them
_WORTH: Final = 1_000_000  # nano-dollars; less than a tenth of a cent is not worth a word
_RANK: Final = ("bronze", "silver", "gold")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing that could be done.

    Attributes:
        what: one sentence for a person; do: how.
        saving: nano-dollars, in the time looked at; share: of all that was spent in it, 0 to 1.
        confidence: 0 to 1, by how many requests it rests on and how alike they are.
        impact: by `share`: `high` from a fifth, `medium` from a twentieth.
    """

    kind: Kind
    what: str
    do: str
    saving: int
    share: float
    confidence: float
    impact: Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests to one model for one purpose."""

    provider: str
    model: str
    name: str
    tier: str
    purpose: str
    requests: int
    answered: int
    tokens: int
    completion: int
    nano: int

    @property
    def reliable(self) -> bool:
        return self.requests >= _LEAST and self.answered >= _RELIABLE * self.requests

    @property
    def a_token(self) -> float:
        return self.nano / max(self.tokens, 1)


def suggestions(store: Store, which: Filter) -> list[Suggestion]:
    """What could be done, the largest saving first.

    Raises:
        StoreUnavailable: what was used cannot be read.
    """
    if not store.holds("model_usage"):
        return []
    groups, again, bursts = _read(store, which)
    whole = sum(group.nano for group in groups)
    found = [*_switches(groups), *_downgrades(groups), *_caching(again), *_batching(bursts), *_scheduling(groups)]
    told = [
        Suggestion(kind, what, do, saving, saving / whole, round(sure, 2), _impact(saving / whole))
        for kind, what, do, saving, sure in found
        if saving >= _WORTH
    ]
    return sorted(told, key=lambda each: -each.saving)


_Found = tuple[Kind, str, str, int, float]


def _read(store: Store, which: Filter) -> tuple[list[_Group], tuple[int, int], tuple[int, int]]:
    """The groups; how many requests repeated an earlier one, and their cost; likewise those that came in a burst."""
    import sqlalchemy as sa

    from agentflow.store.tables import MODEL_USAGE

    columns, fits = MODEL_USAGE.c, conditions(which)
    asked = [*fits, sa.not_(columns.from_cache)]
    names = (columns.provider, columns.model, columns.name, columns.tier, columns.purpose)
    sums: list[Any] = [
        sa.func.count(), sa.func.sum(sa.case((columns.outcome == "ok", 1), else_=0)),
        sa.func.sum(columns.prompt + columns.completion), sa.func.sum(columns.completion), sa.func.sum(columns.nano),
    ]  # fmt: skip
    same = (columns.tenant, columns.fingerprint)
    number = sa.func.row_number().over(partition_by=same, order_by=columns.time).label("number")
    repeated = sa.select(columns.nano, number).where(columns.fingerprint != "", columns.outcome == "ok", *asked)
    numbered = repeated.subquery()
    before = sa.func.lag(columns.time).over(partition_by=(columns.tenant, columns.model), order_by=columns.time)
    embedded = sa.select(columns.nano, (columns.time - before).label("gap"))
    gaps = embedded.where(columns.completion == 0, columns.outcome == "ok", *asked).subquery()
    with store.database().read() as connection:
        rows = connection.execute(sa.select(*names, *sums).where(*asked).group_by(*names)).all()
        again = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(numbered.c.nano), 0)).where(numbered.c.number > 1)
        ).one()
        bursts = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(gaps.c.nano), 0)).where(gaps.c.gap <= _BURST)
        ).one()
    groups = [_Group(*row[:5], *(int(number or 0) for number in row[5:])) for row in rows]
    return groups, (int(again[0]), int(again[1])), (int(bursts[0]), int(bursts[1]))


def _switches(groups: list[_Group]) -> list[_Found]:
    """The same model is cheaper at another provider that answers as reliably."""
    found: list[_Found] = []
    for group in groups:
        others = [
            other for other in groups
            if other.name == group.name and other.provider != group.provider and other.reliable
            and other.purpose == group.purpose
        ]  # fmt: skip
        best = min(others, key=lambda other: other.a_token, default=None)
        if best is None or not group.nano or best.a_token >= group.a_token:
            continue
        saving = round((group.a_token - best.a_token) * group.tokens)
        what = f"{group.name} costs less at {best.provider} than at {group.provider} (as {group.purpose})"
        do = f"leave {group.model} out of models.providers.{group.provider}, or route by `cheapest`"
        found.append(("provider_switch", what, do, saving, _sure(min(group.requests, best.requests), 0.9)))
    return found


def _downgrades(groups: list[_Group]) -> list[_Found]:
    """Short, simple answers come from a model of a higher tier than one that gives such answers reliably."""
    found: list[_Found] = []
    for group in groups:
        if group.tier not in _RANK[1:] or not group.answered:
            continue
        if group.purpose not in _SIMPLE and group.completion > _SHORT * group.answered:
            continue
        others = [
            other for other in groups
            if other.reliable and other.tier in _RANK and _RANK.index(other.tier) < _RANK.index(group.tier)
        ]  # fmt: skip
        best = min(others, key=lambda other: other.a_token, default=None)
        if best is None or best.a_token >= group.a_token:
            continue
        saving = round((group.a_token - best.a_token) * group.tokens)
        what = f"{group.requests} short answers as {group.purpose} came from {group.name} ({group.tier})"
        do = f"ask for the tier {best.tier} there: {best.name} answers as reliably"
        like = 0.7 if best.purpose == group.purpose else 0.4
        found.append(("model_downgrade", what, do, saving, _sure(min(group.requests, best.requests), like)))
    return found


def _caching(again: tuple[int, int]) -> list[_Found]:
    count, nano = again
    what = f"{count} requests were the same as an earlier one, and were paid for again ({dollars(nano)})"
    do = "set models.cache.enabled, a longer models.cache.ttl, or a wider models.cache.privacy; ask with temperature 0"
    return [("caching", what, do, nano, _sure(count, 0.9))] if count else []


def _batching(bursts: tuple[int, int]) -> list[_Found]:
    count, nano = bursts
    what = f"{count} requests for embeddings followed another within a second"
    do = "raise models.batching.max_wait, or send them to the provider's batches"
    return [("batching", what, do, round(nano * _HALF), _sure(count, 0.5))] if count else []


def _scheduling(groups: list[_Group]) -> list[_Found]:
    patient = [group for group in groups if group.purpose in _PATIENT and group.nano]
    if not patient:
        return []
    nano, count = sum(group.nano for group in patient), sum(group.requests for group in patient)
    what = f"{count} requests ({', '.join(sorted({group.purpose for group in patient}))}) wait for nobody"
    do = "collect them for the provider's batches, at half the price within a day"
    return [("scheduling", what, do, round(nano * _HALF), _sure(count, 0.4))]


def _sure(requests: int, most: float) -> float:
    return most * requests / (requests + _LEAST)


def _impact(share: float) -> Literal["low", "medium", "high"]:
    return "high" if share >= 0.2 else "medium" if share >= 0.05 else "low"
