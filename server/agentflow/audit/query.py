"""Searching the audit log: what can be asked for, and what a record has of it.

`Filter.matches` is the only judge of what fits: the index merely says where to look, so that an answer is the same
with it and without it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentflow.audit.chain import JSON
from agentflow.audit.read import Entry, entries

Decided = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Facets:
    """What can be asked about a record; "" and empty where it says nothing of the kind.

    Attributes:
        names: of the tool, prompt or resource: as callers know it, and as its server does.
        reasons: codes of the policy's reasons, or of an event's.
        pii: types of personal data found in the call, or taken out of its result.
        score: of the injection screen, 0 to 1.
    """

    time: float
    id: str
    kind: str
    event: str
    tenant: str
    principal: str
    surface: str
    server: str
    names: tuple[str, ...]
    outcome: str
    decision: str
    reasons: tuple[str, ...]
    pii: tuple[str, ...]
    score: float


def facets(record: JSON) -> Facets:
    """Read a record of any kind; a record that is not as it should be has less to say, and is no error."""
    principal = _object(record.get("principal"))
    by = _text(record.get("by"))
    tenant, slash, who = by.partition("/")  # a tenant's name has none
    if not slash:
        tenant, who = "", by
    item = record.get("item")
    decision = record.get("decision")
    reasons = _object(decision).get("reasons") if decision else record.get("reasons")
    names = (record.get("name"), record.get("target"), _object(item).get("name"))
    return Facets(
        time=_number(record.get("time")),
        id=_text(record.get("id")),
        kind=_text(record.get("kind")),
        event=_text(record.get("event")),
        tenant=_text(principal.get("tenant")) or _text(record.get("tenant")) or tenant,
        principal=_text(principal.get("id")) or who,
        surface=_text(record.get("surface")),
        server=_text(record.get("server")),
        names=tuple(name for name in names if isinstance(name, str) and name),
        outcome=_text(record.get("outcome")),
        decision=_decided(_object(decision)) if decision else "",
        reasons=_codes(reasons),
        pii=tuple(sorted({*_object(_object(record.get("pii")).get("counts")), *_object(record.get("redacted"))})),
        score=_number(record.get("injection")),
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked for; None asks nothing. All that is given must fit.

    Attributes:
        since, until: epoch seconds; from, and before.
        injection: the lowest score of the injection screen.
        refused: whether a call ended otherwise than well.
        tenants: whose records; "" stands for those that are no tenant's.
    """

    since: float | None = None
    until: float | None = None
    id: str | None = None
    kind: str | None = None
    event: str | None = None
    tenant: str | None = None
    principal: str | None = None
    surface: str | None = None
    server: str | None = None
    tool: str | None = None
    outcome: str | None = None
    decision: Decided | None = None
    reason: str | None = None
    pii: str | None = None
    injection: float | None = None
    refused: bool | None = None
    tenants: frozenset[str] | None = None

    def matches(self, record: JSON) -> bool:
        """Whether a record fits."""
        has = facets(record)
        if (self.since is not None and has.time < self.since) or (self.until is not None and has.time >= self.until):
            return False
        for name in ("id", "kind", "event", "tenant", "principal", "surface", "server", "outcome", "decision"):
            wanted = getattr(self, name)
            if wanted is not None and getattr(has, name) != wanted:
                return False
        if self.tenants is not None and has.tenant not in self.tenants:
            return False
        if self.tool is not None and self.tool not in has.names:
            return False
        if self.reason is not None and self.reason not in has.reasons:
            return False
        if self.pii is not None and self.pii not in has.pii:
            return False
        if self.injection is not None and has.score < self.injection:
            return False
        return self.refused is None or self.refused == (has.outcome not in ("", "ok"))


def scan(data_dir: Path, wanted: Filter, damaged: Callable[[Path], None] = lambda segment: None) -> Iterator[Entry]:
    """Everything that fits, from the segments, chain after chain in the order written; `damaged` as in `entries`."""
    return (entry for entry in entries(data_dir, damaged) if wanted.matches(entry.record))


def newest(found: Iterable[Entry], limit: int | None) -> list[Entry]:
    """The `limit` newest, or all, in order of time."""
    if limit is None:
        return sorted(found, key=order)
    return heapq.nlargest(limit, found, key=order)[::-1]


def order(entry: Entry) -> tuple[float, str, int]:
    """By time; what came at the same one, by place."""
    return _number(entry.record.get("time")), entry.chain, entry.seq


def _decided(decision: JSON) -> str:
    if not decision.get("allow"):
        return "deny"
    return "ask" if "approval" in _object(decision.get("obligations")) else "allow"


def _codes(reasons: Any) -> tuple[str, ...]:
    if not isinstance(reasons, list | tuple):
        return ()
    return tuple(
        reason[0] for reason in reasons if isinstance(reason, list | tuple) and reason and isinstance(reason[0], str)
    )


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
