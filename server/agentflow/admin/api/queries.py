"""What can be asked for in the query of a request."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from agentflow.admin.models import Wish
from agentflow.audit.export import Format
from agentflow.audit.query import Decided, Filter
from agentflow.models.money.usage import By
from agentflow.models.money.usage import Filter as Used

_CURSOR = Field(default=None, max_length=1024, description="`next` of the part before.")


class Part(Wish):
    """Which part of a list."""

    limit: int = Field(default=100, ge=1, le=1000, description="Most items in the answer.")
    cursor: str | None = _CURSOR


class Keys(Part):
    """Which keys."""

    over: bool = Field(default=True, description="Also those that count no more.")


class Asking(Part):
    """Which approvals."""

    state: Literal["open", "approved", "denied", "expired", "used", "void", "all"] = "open"


class OfServer(Part):
    """Of which server."""

    server: str | None = Field(default=None, max_length=200)


class Against(Wish):
    """Compared with what."""

    against: str = Field(default="current", max_length=128, description="A revision, `current` or `file`.")


class Note(Wish):
    """What goes with an upload."""

    note: str = Field(default="", max_length=500)


class Newest(Wish):
    """How many."""

    limit: int = Field(default=50, ge=1, le=100, description="Most records in the answer.")


class Fitting(Wish):
    """Which records; all that is given must fit."""

    since: datetime | None = Field(default=None, description="From; epoch seconds or RFC 3339.")
    until: datetime | None = Field(default=None, description="Before; epoch seconds or RFC 3339.")
    id: str | None = None
    kind: str | None = Field(default=None, description="`call`, `admin`, `policy`, `key`, `approval`, …")
    event: str | None = None
    tenant: str | None = None
    principal: str | None = None
    surface: str | None = Field(default=None, description="The method, e.g. `tools/call`.")
    server: str | None = None
    tool: str | None = Field(default=None, description="Name as callers know it, or as its server does.")
    outcome: str | None = None
    decision: Decided | None = None
    reason: str | None = Field(default=None, description="Code of a reason of policy, or of an event's.")
    pii: str | None = Field(default=None, description="Type of personal data found.")
    injection: float | None = Field(default=None, ge=0, le=1, description="Lowest score of the injection screen.")
    refused: bool | None = None

    def filter(self) -> Filter:
        """The same, as the audit log understands it."""
        told = self.model_dump(include=set(Fitting.model_fields), exclude={"since", "until"})
        return Filter(**told, since=_seconds(self.since), until=_seconds(self.until))


class Search(Fitting):
    """Which records, and how many of them."""

    limit: int = Field(default=50, ge=1, le=500, description="Most records in the answer.")
    cursor: str | None = _CURSOR


class Exported(Fitting):
    """Which records, and in whose words."""

    format: Format = Field(default="jsonl", description="`jsonl`, `ocsf` or `cef`.")


class Eyes(Part):
    """With whose eyes: without any of these the caller's own."""

    principal: str | None = Field(default=None, max_length=200)
    tenant: str | None = Field(default=None, max_length=200)
    kind: Literal["user", "agent", "service"] | None = None
    roles: list[str] = Field(default=[], max_length=50, description="Repeated; of a principal that need not exist.")


class OfUsage(Wish):
    """Which requests to models; all that is given must fit."""

    since: datetime | None = Field(default=None, description="From; epoch seconds or RFC 3339; default 30 days ago.")
    until: datetime | None = Field(default=None, description="Before; epoch seconds or RFC 3339.")
    tenant: str | None = Field(default=None, max_length=200)
    project: str | None = Field(default=None, max_length=200)
    principal: str | None = Field(default=None, max_length=200)
    provider: str | None = Field(default=None, max_length=200)
    model: str | None = Field(default=None, max_length=500, description="The provider's own name of it.")
    tool: str | None = Field(default=None, max_length=200, description="On whose behalf a model was asked.")
    run: str | None = Field(default=None, max_length=500)

    def filter(self) -> Used:
        """The same, as the ledger understands it."""
        told = self.model_dump(include=set(OfUsage.model_fields), exclude={"since", "until"})
        since = _seconds(self.since)
        return Used(**told, since=time.time() - 30 * 86_400 if since is None else since, until=_seconds(self.until))


class UsageBy(OfUsage):
    """Which requests to models, and by what they are summed up."""

    by: By = "model"
    limit: int = Field(default=100, ge=1, le=1000, description="Most rows in the answer.")


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
