"""Memories in the store: searched by meaning, apart by tenant and principal, gone when they are forgotten.

Promises: no query crosses a tenant or a principal; what was forgotten, here or by another process, is not found from
then on (hits are looked up by id before they are given back); each principal has at most `most` memories, those that
were not used longest go first, and none is older than `days` without use. Everything here waits for a disk or a
network: from the event loop, in a thread.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from agentflow.flow.long_term.port import LONGEST_TASK, MOST_STEPS, Experience, Recalled, Step
from agentflow.models.encoder import Encoder, Nearest, vector
from agentflow.store.database import Database
from agentflow.store.tables import FLOW_MEMORIES as ROWS

NEAR: Final = 0.55  # cosine from which a memory is about the same kind of task
SAME: Final = 0.97  # cosine from which, by the same steps, it is the same one
_FRESH: Final = 15.0  # seconds that vectors read earlier are searched again
_TOKEN: Final = re.compile(r"<([A-Z][A-Z_]*)_[0-9a-f]{6,}>")
_READERS: Final = 64  # principals whose vectors are kept


@dataclass(frozen=True, slots=True)
class _Known:
    """A principal's vectors as they were read."""

    at: float
    ids: tuple[str, ...]
    nearest: Nearest


class Memories:
    """The memories in a database.

    Args:
        most: of one principal; days: without use, after which one goes.
    """

    def __init__(self, database: Database, encoder: Encoder, most: int = 1_000, days: int = 90) -> None:
        self._database, self._encoder = database, encoder
        self._most, self._days = most, days
        self._mutex = threading.Lock()
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def recall(self, tenant: str, principal: str, task: str, k: int = 3, near: float = NEAR) -> list[Recalled]:
        """Up to `k` memories at least `near` to a task, nearest first.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        known = self._vectors(tenant, principal)
        hits = known.nearest.search(self._encoder.encode(_neutral(task)), 2 * k) if known.ids else []
        scores = {known.ids[place]: score for place, score in hits if score >= near}
        if not scores:
            return []
        found = [replace(m, score=scores[m.id]) for m in self._rows(ROWS.c.id.in_(scores), tenant, principal)]
        return sorted(found, key=lambda m: (-m.score, -m.times, m.id))[:k]

    def remember(self, tenant: str, principal: str, experience: Experience, now: float | None = None) -> str:
        """Keep an experience, or count it once more where it is known; its id.

        Raises:
            StoreUnavailable: it was not kept.
        """
        moment = time.time() if now is None else now
        task, steps = experience.task[:LONGEST_TASK], experience.steps[:MOST_STEPS]
        direction = self._encoder.encode(_neutral(task))
        same = self._same(tenant, principal, task, steps)
        with self._database.begin() as db:
            if same is not None:
                again = {"used": moment, "times": ROWS.c.times + 1, "run": experience.run}
                if db.execute(sa.update(ROWS).where(ROWS.c.id == same).values(again)).rowcount:
                    return same
            number = secrets.token_hex(8)
            db.execute(
                sa.insert(ROWS).values(
                    id=number,
                    tenant=tenant,
                    principal=principal,
                    task=task,
                    steps=[[step.tool, *step.arguments] for step in steps],
                    run=experience.run,
                    planner=experience.planner,
                    confidence=experience.confidence,
                    encoder=self._encoder.name,
                    vector=direction.members,
                    created=moment,
                    used=moment,
                    times=1,
                )
            )
            self._bound(db, tenant, principal, moment)
        self._forget_vectors(tenant, principal)
        return number

    def kept(self, tenant: str, principal: str | None = None, limit: int = 50) -> list[Recalled]:
        """A tenant's memories, or a principal's, the last used first.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        return self._rows(sa.true(), tenant, principal, limit)

    def owners(self, ids: Sequence[str]) -> dict[str, str]:
        """Whose the memories of these ids are."""
        with self._database.read() as db:
            rows = db.execute(sa.select(ROWS.c.id, ROWS.c.principal).where(ROWS.c.id.in_(ids)))
            return {row.id: row.principal for row in rows}

    def forget(self, tenant: str, principal: str | None = None, ids: Sequence[str] | None = None) -> int:
        """Forget memories of a tenant, or of one principal; all of them without `ids`. How many there were.

        Raises:
            StoreUnavailable: nothing was forgotten.
        """
        which = [ROWS.c.tenant == tenant]
        if principal is not None:
            which.append(ROWS.c.principal == principal)
        if ids is not None:
            which.append(ROWS.c.id.in_(ids))
        with self._database.begin() as db:
            count = int(db.execute(sa.delete(ROWS).where(*which)).rowcount)
        with self._mutex:
            self._known.clear()
        return count

    def expire(self, now: float | None = None) -> int:
        """Delete, of everybody, what was not used for too long; how many went.

        Raises:
            StoreUnavailable: nothing was deleted.
        """
        with self._database.begin() as db:
            return self._expire(db, time.time() if now is None else now)

    def _expire(self, db: sa.Connection, now: float) -> int:
        return int(db.execute(sa.delete(ROWS).where(ROWS.c.used < now - self._days * 86_400.0)).rowcount)

    def _bound(self, db: sa.Connection, tenant: str, principal: str, now: float) -> None:
        self._expire(db, now)
        mine = (ROWS.c.tenant == tenant, ROWS.c.principal == principal)
        kept = sa.select(ROWS.c.id).where(*mine).order_by(ROWS.c.used.desc(), ROWS.c.id).limit(self._most)
        db.execute(sa.delete(ROWS).where(*mine, ROWS.c.id.not_in(kept)))

    def _same(self, tenant: str, principal: str, task: str, steps: tuple[Step, ...]) -> str | None:
        near = self.recall(tenant, principal, task, 5, SAME)
        return next((m.id for m in near if m.steps == steps and _figures(m.task) == _figures(task)), None)

    def _vectors(self, tenant: str, principal: str) -> _Known:
        key = (tenant, principal)
        with self._mutex:
            known = self._known.get(key)
            if known is not None and time.monotonic() - known.at < _FRESH:
                self._known.move_to_end(key)
                return known
        at = time.monotonic()
        chosen = sa.select(ROWS.c.id, ROWS.c.vector).where(
            ROWS.c.tenant == tenant,
            ROWS.c.principal == principal,
            ROWS.c.encoder == self._encoder.name,
            ROWS.c.used >= time.time() - self._days * 86_400.0,
        )
        with self._database.read() as db:
            rows = [(row.id, bytes(row.vector)) for row in db.execute(chosen.order_by(ROWS.c.id))]
        known = _Known(at, tuple(i for i, _ in rows), Nearest([vector(members) for _, members in rows]))
        with self._mutex:
            self._known[key] = known
            while len(self._known) > _READERS:
                self._known.popitem(last=False)
        return known

    def _forget_vectors(self, tenant: str, principal: str) -> None:
        with self._mutex:
            self._known.pop((tenant, principal), None)

    def _rows(self, which: Any, tenant: str, principal: str | None, limit: int | None = None) -> list[Recalled]:
        chosen = sa.select(ROWS).where(which, ROWS.c.tenant == tenant)
        if principal is not None:
            chosen = chosen.where(ROWS.c.principal == principal)
        with self._database.read() as db:
            return [_recalled(row) for row in db.execute(chosen.order_by(ROWS.c.used.desc(), ROWS.c.id).limit(limit))]


def _recalled(row: Any) -> Recalled:
    steps = tuple(Step(str(step[0]), tuple(map(str, step[1:]))) for step in row.steps if step)
    return Recalled(
        row.id, row.task, steps, row.run, row.planner, row.confidence, row.created, row.used, row.times
    )  # fmt: skip


def _neutral(task: str) -> str:
    """A task with its tokens as the kind of thing they stand for: whose address it was is not what it was about."""
    return _TOKEN.sub(lambda found: found[1].lower(), task)


def _figures(text: str) -> tuple[str, ...]:
    """The words with digits or tokens in them: two tasks that differ in these are not the same one."""
    return tuple(word for word in text.split() if any(c.isdigit() for c in word))
