"""`agentflow import` and `agentflow restore`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from agentflow.clients import importing
from agentflow.clients.files import CLIENTS, places
from agentflow.clients.importing import Import, Surroundings
from agentflow.commands.output import UsageError, document
from agentflow.paths import default_data_dir
from agentflow.settings import file as config_file
from agentflow.settings.reading import data_dir_named_by


def import_servers(args: Namespace) -> int:
    """Show, or with --apply write, what moves a client's servers behind the gateway; 1 when there are none."""
    _known(args.client)
    world = _world(args.config)
    plan = importing.plan(args.client, world)
    applied = args.apply and plan.moved > 0
    backups = importing.apply(plan, world) if applied else []
    if args.json:
        document(_as_json(plan, world, applied, backups))
    else:
        print(importing.diff(plan), end="")
        _tell(plan, world, args.client, applied)
    if args.client is not None and plan.skipped:
        return 1
    return 0 if plan.moved or any(change.left for change in plan.files) or not args.client else 1


def restore(args: Namespace) -> int:
    """Put files back; 1 when one was left alone, or there is nothing to put back."""
    _known(args.client)
    done = importing.restore(args.client, _world(args.config).data_dir, force=args.force)
    if args.json:
        files = [{"client": r.client, "path": str(r.path), "done": r.done, "reason": r.reason} for r in done]
        document({"ok": bool(done) and all(r.done for r in done), "files": files})
    for result in [] if args.json else done:
        print(f"{result.path}: " + ("as it was before the import" if result.done else f"left alone: {result.reason}"))
    if not done:
        print("agentflow: there is no import to take back", file=sys.stderr)
    elif not all(result.done for result in done):
        print("agentflow: --force restores these too, and keeps their present bytes", file=sys.stderr)
    return 0 if done and all(result.done for result in done) else 1


def _known(client: str | None) -> None:
    if client is not None and client not in CLIENTS:
        raise UsageError(f"{client!r} is no client AgentFlow knows", fix=f"use one of {', '.join(CLIENTS)}")


def _world(config: Path | None) -> Surroundings:
    data_dir = data_dir_named_by(os.environ) or default_data_dir()
    if config is None:
        found = config_file.find(os.environ)
        config = found if found and found.name != "mcp.json" else data_dir / "agentflow.yaml"
    if config.exists():
        data_dir = config_file.glance(config, os.environ).data_dir
    return Surroundings(Path.cwd(), os.environ, data_dir, config.absolute())


def _tell(plan: Import, world: Surroundings, client: str | None, applied: bool) -> None:
    if plan.moved:
        print()
    for change in plan.files:
        for name, why in change.left:
            print(f"stays in {change.path}: {name}: {why}")
        for name, key in change.dropped:
            print(f"not carried over: {name}: `{key}` means nothing to AgentFlow")
    for path, why in plan.skipped:
        print(f"skipped {path}: {why}")
    if plan.secrets:
        print(f"{len(plan.secrets)} secrets go to {world.data_dir / 'secrets.env'}: {', '.join(plan.secrets)}")
    if applied:
        print(
            f"Done: {plan.moved} servers are in {plan.config.path}. Restart the client; `agentflow restore` undoes it."
        )
    elif plan.moved:
        print(f"{plan.moved} servers would move to {plan.config.path}. Nothing is written without --apply.")
    else:
        print(f"Nothing to import{f' from {client}' if client else ''}. Looked at:")
        for place in dict.fromkeys(p.path for p in places(client, world.cwd, world.environ, world.platform)):
            print(f"  {place}{'' if place.is_file() else ' (not there)'}")


def _as_json(plan: Import, world: Surroundings, applied: bool, backups: list[Path]) -> dict[str, Any]:
    return {
        "ok": True,
        "applied": applied,
        "config": str(plan.config.path),
        "diff": importing.diff(plan),
        "files": [
            {
                "client": change.client,
                "path": str(change.path),
                "moved": change.moved,
                "left": [{"server": name, "reason": why} for name, why in change.left],
                "dropped": [{"server": name, "key": key} for name, key in change.dropped],
            }
            for change in plan.files
        ],
        "secrets": sorted(plan.secrets),
        "secrets_file": str(world.data_dir / "secrets.env"),
        "skipped": [{"path": path, "reason": why} for path, why in plan.skipped],
        "backups": [str(path) for path in backups],
    }
