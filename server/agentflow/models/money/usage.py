"""What models were used for, and what it cost: sums over the requests, by whatever is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from agentflow.store.opened import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

By = Literal[
    "provider", "model", "principal", "tool", "tenant", "project", "run", "purpose", "tier", "day", "outcome"
]  # fmt: skip
_KEYS: Final[dict[str, tuple[str, ...]]] = {"model": ("provider", "model"), "principal": ("tenant", "principal")}
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests; all that is given must fit. `since` (inclusive) and `until` (exclusive) are epoch seconds."""

    since: float | None = None
    until: float | None = None
    tenant: str | None = None
    project: str | None = None
    principal: str | None = None
    provider: str | None = None
    model: str | None = None
    tool: str | None = None
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """Requests that have something in common.

    Attributes:
        key: what it is: `provider:model` of models, `tenant/principal` of principals, a day as `2026-11-20`.
        errors: requests that failed; from_cache: that our own cache answered, which would have cost `saved`.
        prompt, completion: tokens; cached: those of the prompt that the provider had cached.
        nano, saved: nano-dollars.
        latency, p95: seconds, the mean and what 95 % stayed within, of requests that a provider answered.
    """

    key: str
    requests: int
    errors: int
    from_cache: int
    prompt: int
    completion: int
    cached: int
    nano: int
    saved: int
    latency: float | None
    p95: float | None


def report(store: Store, by: By | None, which: Filter, limit: int = 1000) -> list[Used]:
    """Sums of the requests that fit, the dearest first (days in their order); without `by` one of all of them.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    if not store.holds("model_usage"):
        return []
    import sqlalchemy as sa

    from agentflow.store.tables import MODEL_USAGE

    columns, database = MODEL_USAGE.c, store.database()
    fits = conditions(which)
    keys: list[Any] = [columns[name] for name in _KEYS.get(by or "", (by,)) if name is not None and by != "day"]
    if by == "day":
        days = columns.time / _DAY
        keys = [sa.func.floor(days) if database.shared else sa.cast(days, sa.Integer)]
    with database.read() as connection:
        sums = sa.select(*(key.label(f"k{n}") for n, key in enumerate(keys)), *_sums(columns)).where(*fits)
        rows = connection.execute(sums.group_by(*keys) if keys else sums).all()
        slow = _slow(connection, columns, keys, fits)
    found = [_used(by, tuple(row), slow, len(keys)) for row in rows]
    found = [used for used in found if used.requests]
    if by == "day":
        return sorted(found, key=lambda used: used.key)[-limit:]
    return sorted(found, key=lambda used: (-used.nano, -used.requests, used.key))[:limit]


def conditions(which: Filter) -> list[Any]:
    """The same, as the database has it."""
    from agentflow.store.tables import MODEL_USAGE

    columns = MODEL_USAGE.c
    fits: list[Any] = []
    if which.since is not None:
        fits.append(columns.time >= which.since)
    if which.until is not None:
        fits.append(columns.time < which.until)
    names = [each.name for each in fields(which) if each.name not in ("since", "until")]
    return [*fits, *(columns[name] == value for name in names if (value := getattr(which, name)) is not None)]


def _sums(columns: Any) -> list[Any]:
    import sqlalchemy as sa

    def total(what: Any) -> Any:
        return sa.func.coalesce(sa.func.sum(what), 0)

    answered = sa.case((_answered(columns), columns.latency))
    return [
        sa.func.count(), total(sa.case((columns.outcome != "ok", 1), else_=0)),
        total(sa.case((columns.from_cache, 1), else_=0)), total(columns.prompt), total(columns.completion),
        total(columns.cached), total(columns.nano), total(columns.saved), sa.func.avg(answered),
    ]  # fmt: skip


def _answered(columns: Any) -> Any:
    import sqlalchemy as sa

    return sa.and_(columns.outcome == "ok", sa.not_(columns.from_cache))


def _slow(
    connection: sa.Connection, columns: Any, keys: Sequence[Any], fits: list[Any]
) -> dict[tuple[Any, ...], float]:
    """The latency that 95 % of the answers stayed within, by key."""
    import sqlalchemy as sa

    named = [key.label(f"k{number}") for number, key in enumerate(keys)]
    place = sa.func.row_number().over(partition_by=list(keys), order_by=columns.latency).label("place")
    many = sa.func.count().over(partition_by=list(keys)).label("many")
    inner = sa.select(*named, columns.latency, place, many).where(_answered(columns), *fits).subquery()
    names = [inner.c[f"k{number}"] for number in range(len(keys))]
    asked = sa.select(*names, inner.c.latency).where(inner.c.place == (inner.c.many * 95 + 99) // 100)
    return {tuple(row[:-1]): float(row[-1]) for row in connection.execute(asked)}


def _used(by: By | None, row: tuple[Any, ...], slow: dict[tuple[Any, ...], float], width: int) -> Used:
    key, numbers = row[:width], row[width:]
    told = ":".join(key) if by == "model" else "/".join(key) if by == "principal" else "".join(map(str, key))
    if by == "day":
        told = datetime.fromtimestamp(int(key[0]) * _DAY, UTC).date().isoformat()
    names = ("requests", "errors", "from_cache", "prompt", "completion", "cached", "nano", "saved")
    counts = {name: int(number) for name, number in zip(names, numbers[:8], strict=True)}
    mean = None if numbers[8] is None else float(numbers[8])
    return Used(key=told, **counts, latency=mean, p95=slow.get(key))
