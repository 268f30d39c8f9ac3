"""`agentflow budget`: what models may cost, by tenant, project, principal or run, and how it stands.

Works beside running gateways: a change counts for their next request. Amounts are US dollars. Making, changing and
deleting is in the audit log.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from agentflow.audit.events import Event
from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, table, user
from agentflow.config import Config
from agentflow.errors import InvalidArguments
from agentflow.models.money import forecast as forecasts
from agentflow.models.money import shown
from agentflow.models.money.amounts import dollars, nano_of
from agentflow.models.money.budgets import Budgets, NewBudget, State
from agentflow.models.money.periods import written
from agentflow.models.money.rules import EACH, Budget, Scope
from agentflow.settings import file as config_file
from agentflow.store.opened import Store

_QUOTAS = ("requests_per_minute", "tokens_per_minute", "max_concurrent")


def create(args: Namespace) -> int:
    """Make a budget."""
    scope, subject = _whose(args)
    limit = None if args.limit is None else _nano(args.limit)
    quotas = {name: _quota(args, name) for name in _QUOTAS}
    wish = NewBudget(args.tenant, scope, subject, args.period, limit, **quotas, name=args.name or "")
    with _budgets(args) as (config, _, budgets), _recording(config) as log:
        made = _checked(lambda: budgets.create(wish, user()))
        _record(log, "budget_created", made)
    if args.json:
        document(shown.budget(made))
    else:
        print(f"{made.name} ({made.id}): {made.limits} for {made.whose}")
    return 0


def show_all(args: Namespace) -> int:
    """List the budgets as they were made."""
    with _budgets(args) as (_, _, budgets):
        found = budgets.all(args.tenant)
    if args.json:
        document({"budgets": [shown.budget(each) for each in found]})
        return 0
    rows = [
        (each.name, each.tenant, each.scope, each.subject or "-", each.period,
         "-" if each.nano is None else dollars(each.nano), *(_count(getattr(each, name)) for name in _QUOTAS), each.id)
        for each in found
    ]  # fmt: skip
    head = ("NAME", "TENANT", "SCOPE", "OF", "PERIOD", "LIMIT", "REQUESTS/MIN", "TOKENS/MIN", "AT ONCE", "ID")
    table([head, *rows] if rows else [])
    return _none(rows)


def status(args: Namespace) -> int:
    """Say how budgets stand in their present periods."""
    with _budgets(args) as (_, _, budgets):
        chosen = _chosen(args, budgets)
        found = budgets.states(chosen)
        past = budgets.history(chosen[0], args.history) if args.history and args.name else []
        alerts = budgets.alerts(chosen, 20)
    if args.json:
        told = {"budgets": [shown.state(each) for each in found], "alerts": [shown.alert(each) for each in alerts]}
        document({**told, "history": [shown.state(each) for each in past]} if args.history else told)
        return 0
    _states(found)
    if past:
        print("\nEarlier periods")
        _states(past)
    if alerts:
        print("\nReached")
        table([
            (_moment(each.time), each.budget, each.subject or each.tenant, each.period, f"{each.level} %",
             f"{dollars(each.spent)} of {dollars(each.limit)}")
            for each in alerts
        ])  # fmt: skip
    return _none(chosen)


def update(args: Namespace) -> int:
    """Change a budget's name, limit or quotas."""
    changes: dict[str, Any] = {name: _quota(args, name) for name in _QUOTAS if getattr(args, name) is not None}
    if args.limit is not None:
        changes["nano"] = None if args.limit == "none" else _nano(args.limit)
    if args.rename is not None:
        changes["name"] = args.rename
    if not changes:
        raise UsageError("nothing is to be changed", fix="give --limit, a quota or --rename")
    with _budgets(args) as (config, _, budgets), _recording(config) as log:
        before = budgets.find(args.name, args.tenant)
        after = _checked(lambda: budgets.update(before, changes, user()))
        _record(log, "budget_updated", after, before=before.limits)
    if args.json:
        document(shown.budget(after))
    else:
        print(f"{after.name} ({after.id}): {before.limits} → {after.limits} for {after.whose}")
    return 0


def delete(args: Namespace) -> int:
    """Delete a budget, with its periods; what was used stays known."""
    with _budgets(args) as (config, _, budgets), _recording(config) as log:
        gone = budgets.find(args.name, args.tenant)
        budgets.delete(gone)
        _record(log, "budget_deleted", gone)
    if args.json:
        document({"deleted": shown.budget(gone)})
    else:
        print(f"{gone.name} ({gone.id}) deleted: {gone.whose} had {gone.limits}")
    return 0


def forecast(args: Namespace) -> int:
    """Say what budgets will have cost at the end of their periods."""
    with _budgets(args) as (_, store, budgets):
        chosen = _chosen(args, budgets)
        found = forecasts.forecast(store, budgets.states(chosen), time.time())
    if args.json:
        document({"forecasts": [shown.forecast(each) for each in found]})
        return 0
    rows = [
        (each.state.budget.name, each.state.subject or each.state.tenant, dollars(each.state.spent),
         dollars(each.a_day), dollars(each.expected), f"{dollars(each.low)} to {dollars(each.high)}",
         "-" if each.state.budget.nano is None else dollars(each.state.budget.nano), _percent(each.share),
         _moment(each.runs_out) or "-", _moment(each.state.ends), each.confidence)
        for each in found
    ]  # fmt: skip
    head = ("BUDGET", "OF", "SPENT", "A DAY", "EXPECTED", "RANGE (80 %)", "LIMIT", "OF LIMIT", "RUNS OUT", "RESETS",
            "CONFIDENCE")  # fmt: skip
    table([head, *rows] if rows else [])
    return _none(chosen)


def _states(found: Sequence[State]) -> None:
    rows = [
        (each.budget.name, each.subject or each.tenant, each.period, dollars(each.spent), dollars(each.reserved),
         "-" if each.budget.nano is None else dollars(each.budget.nano),
         _percent(each.spent / each.budget.nano if each.budget.nano else None), each.status, str(each.requests),
         _moment(each.ends) or "-")
        for each in found
    ]  # fmt: skip
    head = ("BUDGET", "OF", "PERIOD", "SPENT", "RESERVED", "LIMIT", "USED", "STATUS", "REQUESTS", "RESETS")
    table([head, *rows] if rows else [])


def _whose(args: Namespace) -> tuple[Scope, str]:
    if args.period == "run":
        if args.project or args.principal:
            raise UsageError("a budget for each run is of a tenant", fix="leave out --project and --principal")
        return "run", ""
    if args.project:
        return "project", args.project
    if args.principal:
        return "principal", args.principal
    return "tenant", ""


def _chosen(args: Namespace, budgets: Budgets) -> list[Budget]:
    return [budgets.find(args.name, args.tenant)] if args.name else budgets.all(args.tenant)


def _nano(text: str) -> int:
    try:
        return nano_of(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _quota(args: Namespace, name: str) -> int | None:
    text = getattr(args, name)
    if text is None or text == "none":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"--{name.replace('_', '-')}: {text!r} is no whole number from 1")
    return int(text)


def _checked(work: Any) -> Budget:
    try:
        found: Budget = work()
    except InvalidArguments as error:
        raise UsageError(error.message, fix=error.fix) from None
    return found


@contextmanager
def _budgets(args: Namespace) -> Iterator[tuple[Config, Store, Budgets]]:
    config = config_file.load(args.config, os.environ)
    with closing(Store(config.data_dir, config.store)) as store:
        yield config, store, Budgets(store)


@contextmanager
def _recording(config: Config) -> Iterator[AuditLog]:
    """The log, open before anything is done that has to be recorded."""
    with closing(AuditLog(config.data_dir, config.audit)) as log:
        log.ready()
        yield log


def _record(log: AuditLog, event: str, budget: Budget, before: str | None = None) -> None:
    tenant = "" if budget.tenant == EACH else budget.tenant
    details = {"name": budget.name, "whose": budget.whose, "limits": budget.limits, "before": before}
    log.event(Event("admin", event, user(), tenant, budget.id, "ok", (), details))


def _none(rows: Sequence[Any]) -> int:
    if not rows:
        print("agentflow: there is no budget; `agentflow budget create` makes one", file=sys.stderr)
    return 0


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f} %"


def _moment(when: float | None) -> str:
    return written(when).replace("T", " ").replace("Z", " UTC")
