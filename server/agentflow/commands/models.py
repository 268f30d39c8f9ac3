"""`agentflow models list|test|route`: the models of a configuration, asked through a model worker of the command's own.

The worker is the gateway's, with the same budgets, prices and learned choices; it ends with the command.
"""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agentflow.commands.output import document, table
from agentflow.errors import ConfigError, ModelUnavailable
from agentflow.settings import file as config_file

if TYPE_CHECKING:
    from agentflow.audit.events import Event
    from agentflow.models.client import ModelWorker

JSON = dict[str, Any]
T = TypeVar("T")
_NANO = 1_000_000_000


def show(args: Namespace) -> int:
    """List every model at every provider."""

    async def work(worker: ModelWorker) -> tuple[list[JSON], JSON]:
        listed = await worker.models()
        return listed, await worker.ask("stats", {})

    listed, stats = _with_worker(args.config, work)
    failed: JSON = stats.get("failed") or {}
    if args.json:
        document({"models": [each["agentflow"] for each in listed], "failed": failed})
        return 1 if failed else 0
    rows = [("NAME", "PROVIDER", "MODEL", "KIND", "TIER", "QUALITY", "IN $/M", "OUT $/M", "CONTEXT", "")]
    resting = stats.get("cooldowns") or {}
    for each in sorted((entry["agentflow"] for entry in listed), key=_order):
        price = each.get("price") or {}
        rest = resting.get(f"{each['provider']}:{each['model']}")
        rows.append(
            (
                each["name"],
                each["provider"],
                each["model"],
                each["kind"],
                each["tier"],
                f"{each['quality']:.2f}",
                _dollars(price.get("input")),
                _dollars(price.get("output")),
                str(each.get("context_window") or "?"),
                f"rests for {rest:.0f} s" if rest else "",
            )
        )
    table(rows)
    for provider, why in failed.items():
        print(f"{provider}: {why}")
    return 1 if failed else 0


def _order(each: JSON) -> tuple[Any, ...]:
    return each["kind"], {"gold": 0, "silver": 1, "bronze": 2}[each["tier"]], each["name"], each["provider"]


def test(args: Namespace) -> int:
    """Ask each model for a word; 1 when one does not answer."""

    async def work(worker: ModelWorker) -> JSON:
        return await worker.ask("test", {"model": args.model, "agentflow": {"tenant": "default", "principal": "cli"}})

    results: Sequence[JSON] = _with_worker(args.config, work)["results"]
    if args.model is not None and not results:
        raise ModelUnavailable(f"there is no model {args.model!r}", fix="`agentflow models list` shows those there are")
    good = all(each["ok"] for each in results)
    if args.json:
        document({"ok": good, "results": results})
        return 0 if good else 1
    rows = [("NAME", "PROVIDER", "MODEL", "", "SECONDS", "$", "")]
    for each in results:
        said = each.get("error") or ""
        if each.get("fix"):
            said += f"; {each['fix']}"
        rows.append(
            (
                each.get("name") or "",
                each["provider"],
                each.get("model") or "",
                "ok" if each["ok"] else "failed",
                f"{each['latency']:.2f}" if "latency" in each else "",
                _spent(each.get("cost_nano")),
                said,
            )
        )
    table(rows)
    return 0 if good else 1


def route(args: Namespace) -> int:
    """Say where a request would go now, and with --explain why; nothing is asked. 1 when nothing may serve it."""
    asked: JSON = {"kind": args.kind, "model": args.model or "auto"}
    if args.kind == "embedding":
        asked["input"] = [args.question]
    else:
        asked["messages"] = [{"role": "user", "content": args.question}]
        asked |= {"max_tokens": args.max_tokens} if args.max_tokens else {}
    limits = {"tier": args.tier, "strategy": args.strategy, "max_latency": args.max_latency, "purpose": args.purpose}
    if args.max_cost is not None:
        limits["max_cost"] = int(args.max_cost * _NANO)
    asked["agentflow"] = {name: value for name, value in limits.items() if value is not None}
    told = _with_worker(args.config, lambda worker: worker.ask("route", asked))
    if args.json:
        document(told)
    else:
        _print_route(told, args.explain)
    return 0 if told.get("chosen") else 1


def _print_route(told: JSON, explain: bool) -> None:
    chosen: JSON | None = told.get("chosen")
    if chosen is None:
        print(f"nowhere: {told['error']}")
    else:
        deployment = chosen["deployment"]
        cost, latency = _spent(chosen["expected_cost"]), chosen["expected_latency"]
        print(f"{deployment['name']} ({deployment['provider']}:{deployment['model']}, {deployment['tier']})")
        print(f"  expected ${cost}, {latency:.2f} s; confidence {chosen['confidence']:.2f}")
        print(f"  {chosen['reason']}")
    if not explain:
        return
    request = told["request"]
    print(
        f"\n{request['kind']} of about {request['prompt_tokens']} tokens, complexity {request['complexity']:.2f}; "
        f"tier {told['tier']}, strategy {told['strategy']}"
    )
    rows = [("", "MODEL", "TIER", "QUALITY", "SCORE", "EXPECTED $", "SECONDS", "PULLS", "SUCCESS", "WHY")]
    for each in told["rows"]:
        of = each["deployment"]
        rows.append(
            (
                str(each["rank"]) if not each["why_not"] else "-",
                f"{of['provider']}:{of['model']}",
                of["tier"],
                f"{each['quality']:.2f}",
                f"{each['score']:.2f}",
                _spent(each["expected_cost"]),
                f"{each['expected_latency']:.2f}",
                f"{each['pulls']:.0f}",
                f"{each['success_rate']:.0%}",
                each["why_not"] or each["why"],
            )
        )
    table(rows)


def _dollars(amount: float | None) -> str:
    return "?" if amount is None else f"{amount:g}"


def _spent(nano: int | None) -> str:
    return "?" if nano is None else f"{nano / _NANO:.6f}"


def _with_worker(path: Path | None, work: Callable[[ModelWorker], Awaitable[T]]) -> T:
    """Run `work` with a worker of the configured models.

    Raises:
        ConfigError: no model is configured, or the extra that asks them is not installed.
    """
    from agentflow.audit.log import AuditLog
    from agentflow.gateway.models_worker import check_installed, recording
    from agentflow.models.shorthand import with_shorthand

    config = with_shorthand(config_file.load(path, os.environ))
    if not config.models.configured:
        raise ConfigError("no language model is configured", fix="add one under models.providers, see docs/models.md")
    check_installed(config)

    warnings: list[Event] = []

    async def run() -> T:
        worker = recording(warnings.append)(config)
        try:
            return await work(worker)
        finally:
            await worker.close()

    try:
        return asyncio.run(run())
    finally:
        if warnings:
            with closing(AuditLog(config.data_dir, config.audit)) as log:
                for event in warnings:
                    log.event(event)
