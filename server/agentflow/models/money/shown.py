"""Budgets, usage and forecasts as documents, one shape for the command line and the REST interface.

Amounts are there twice: `…_usd` is a decimal of all digits, as text, `…_nano` whole nano-dollars. Times are epoch
seconds.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agentflow.models.money.amounts import exact
from agentflow.models.money.budgets import Alert, State
from agentflow.models.money.forecast import Forecast
from agentflow.models.money.rules import Budget
from agentflow.models.money.suggestions import Suggestion
from agentflow.models.money.usage import Used

JSON = dict[str, Any]


def amount(name: str, nano: int | None) -> JSON:
    """The two members of an amount."""
    return {f"{name}_usd": None if nano is None else exact(nano), f"{name}_nano": nano}


def budget(found: Budget) -> JSON:
    """A budget as it was made."""
    return _with(asdict(found), limit="nano")


def state(found: State) -> JSON:
    """How it is."""
    whose = {"budget": found.budget.name, "id": found.budget.id, "tenant": found.tenant, "scope": found.budget.scope}
    when = {"period": found.budget.period, "begun": found.period, "starts": found.starts, "resets": found.ends}
    limit = found.budget.nano
    return {
        **whose, "subject": found.subject, **when, "status": found.status,
        **amount("limit", limit), **amount("spent", found.spent), **amount("reserved", found.reserved),
        **amount("left", found.left), "used": round(found.spent / limit, 6) if limit else None,
        "requests": found.requests, "running": found.running,
    }  # fmt: skip


def alert(found: Alert) -> JSON:
    """A share that was reached."""
    return _with(asdict(found), spent="spent", limit="limit")


def forecast(found: Forecast) -> JSON:
    """What is expected."""
    amounts: JSON = {}
    for name in ("expected", "low", "high", "a_day"):
        amounts |= amount(name, getattr(found, name))
    share = None if found.share is None else round(found.share, 6)
    told = {"share": share, "runs_out": found.runs_out, "confidence": found.confidence}
    return {**state(found.state), **amounts, **told}


def used(found: Used) -> JSON:
    """What has something in common."""
    return _with(asdict(found), cost="nano", saved="saved")


def suggestion(found: Suggestion) -> JSON:
    """What could be done."""
    return _with({**asdict(found), "share": round(found.share, 6)}, saving="saving")


def _with(told: JSON, **amounts: str) -> JSON:
    """Members that are amounts, in place of the nano-dollars under the name that follows each."""
    found = {name: told.pop(member) for name, member in amounts.items()}
    for name, nano in found.items():
        told |= amount(name, nano)
    return told
