"""The rows of learnt arms, in the store: `learnt` by several processes, merged one after the other.

Importing this module needs SQLAlchemy; `ArmStore` does so in its thread. A scope's clock is the row of the arm "".
"""

from __future__ import annotations

import math
import time
from typing import Final

import sqlalchemy as sa

from agentflow.models.routing.arms import SUMMED, Scope, Sums, Table
from agentflow.store.database import Database
from agentflow.store.tables import MODEL_ARMS as ARMS

_CLOCK: Final = ""  # in place of an arm
_LOCK: Final = 0x6166_6D6F_6465_6C73  # of the advisory lock under which processes merge


def merged(database: Database, fresh: Table, *, forgotten: frozenset[str | None] = frozenset()) -> Table:
    """Add what this process saw to what is kept, and return all of it.

    Args:
        forgotten: arms to drop first; None in it: all.

    Raises:
        StoreUnavailable: nothing was added.
    """
    with database.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
        if None in forgotten:
            connection.execute(sa.delete(ARMS))
        elif forgotten:
            connection.execute(sa.delete(ARMS).where(ARMS.c.arm.in_(sorted(filter(None, forgotten)))))
        kept = _read(connection, fresh.half_life)
        whole = kept.then(fresh)
        for name, scope in fresh:
            changed = [_row(name, _CLOCK, Sums(at=whole.clock(name)))]
            changed += [_row(name, arm, whole.sums(name, arm)) for arm in scope.arms]
            for row in changed:
                same = (ARMS.c.scope == row["scope"]) & (ARMS.c.arm == row["arm"])
                if not connection.execute(sa.update(ARMS).where(same).values(row)).rowcount:
                    connection.execute(sa.insert(ARMS).values(row))
    return whole


def _read(connection: sa.Connection, half_life: float) -> Table:
    table = Table(half_life)
    for row in connection.execute(sa.select(ARMS)).mappings():
        if not all(math.isfinite(row[name]) for name in ("at", *SUMMED)):
            continue  # written by somebody else: an arm that is learnt anew does less harm than one that is nonsense
        scope = table.scopes.setdefault(row["scope"], Scope())
        if row["arm"] == _CLOCK:
            scope.clock = row["at"]
        else:
            scope.arms[row["arm"]] = Sums(row["at"], *(row[name] for name in SUMMED))
    return table


def _row(scope: str, arm: str, sums: Sums) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(sums, name) for name in SUMMED}
    return {"scope": scope, "arm": arm, "at": sums.at, "updated": time.time(), **values}
