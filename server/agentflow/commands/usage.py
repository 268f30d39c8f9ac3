"""`agentflow usage`: what models were used for, what it cost, and what would make it cheaper. It only reads."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from contextlib import closing

from agentflow.commands.output import document, moment, table
from agentflow.models.money import shown
from agentflow.models.money.amounts import dollars
from agentflow.models.money.suggestions import suggestions
from agentflow.models.money.usage import Filter, Used, report
from agentflow.settings import file as config_file
from agentflow.store.opened import Store

_HEADS = {"model": "PROVIDER:MODEL", "principal": "TENANT/PRINCIPAL", "day": "DAY (UTC)"}


def show(args: Namespace) -> int:
    """Sums of the requests that fit, by what is asked for."""
    config = config_file.load(args.config, os.environ)
    which = Filter(
        moment(args.since), time.time() if args.until is None else moment(args.until), args.tenant, args.project,
        args.principal, args.provider, args.model, args.tool, args.run_id,
    )  # fmt: skip
    with closing(Store(config.data_dir, config.store)) as store:
        if args.suggest:
            return _suggest(args, store, which)
        found = report(store, args.by, which, args.limit)
        whole = report(store, None, which)
    if args.json:
        total = shown.used(whole[0]) if whole else None
        document({"by": args.by, "since": which.since, "until": which.until,
                  "usage": [shown.used(each) for each in found], "total": total})  # fmt: skip
        return 0
    if not found:
        print("agentflow: no model was used in that time; --since reaches further back", file=sys.stderr)
        return 0
    head = (_HEADS.get(args.by, args.by.upper()), "REQUESTS", "FAILED", "FROM CACHE", "TOKENS IN", "TOKENS OUT", "COST",
            "SAVED", "MEAN", "95 %")  # fmt: skip
    table([head, *(_row(each.key or "-", each) for each in found), *(_row("total", each) for each in whole)])
    return 0


def _row(key: str, used: Used) -> tuple[str, ...]:
    counts = (used.requests, used.errors, used.from_cache, used.prompt, used.completion)
    return (key, *(f"{count:,}" for count in counts), dollars(used.nano), dollars(used.saved), _seconds(used.latency),
            _seconds(used.p95))  # fmt: skip


def _suggest(args: Namespace, store: Store, which: Filter) -> int:
    found = suggestions(store, which)
    if args.json:
        document({"suggestions": [shown.suggestion(each) for each in found]})
        return 0
    rows = [
        (each.kind, dollars(each.saving), f"{each.share * 100:.0f} %", each.impact, f"{each.confidence * 100:.0f} %",
         f"{each.what}: {each.do}")
        for each in found
    ]  # fmt: skip
    table([("KIND", "SAVING", "OF COST", "IMPACT", "CONFIDENCE", "WHAT"), *rows] if rows else [])
    if not rows:
        print("agentflow: nothing to suggest from what was used in that time", file=sys.stderr)
    return 0


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
