"""`agentflow policy upload|activate|rollback|list`: bundles kept in the store, and which of them is in force.

Works beside running gateways, which follow within about a second. Each action is in the audit log, a refused one too.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import cache

from agentflow.audit.log import AuditLog
from agentflow.commands.output import document, table, user
from agentflow.config import Config, PolicyConfig
from agentflow.errors import ConfigError
from agentflow.guard.vault import open_vault
from agentflow.policy import live_seal
from agentflow.policy.bundle import read_bundle
from agentflow.policy.checks import world_of
from agentflow.policy.live import Choice, LiveBundles, altered, files_of
from agentflow.settings import file as config_file
from agentflow.store.opened import Store


def upload(args: Namespace) -> int:
    """Compile a bundle, run its tests and keep it; 1 where it is refused."""
    config = config_file.load(args.config, os.environ)
    with _bundles(config) as bundles:
        if args.bundle is not None and args.bundle.is_file() and not args.layer:
            body: bytes | dict[str, str] = args.bundle.read_bytes()
        elif args.bundle is not None:
            body = files_of(read_bundle(PolicyConfig(bundle=args.bundle, layers=tuple(args.layer or ()))))
        else:
            layers = (*config.policy.layers, *(args.layer or ()))
            body = files_of(read_bundle(config.policy.model_copy(update={"layers": layers})))
        try:
            done = bundles.upload(body, user(), args.note or "", world_of(config))
        except ConfigError as error:
            return _refused(args, error)
        choice = bundles.activate(done.revision, user()) if args.activate else None
    if args.json:
        document({"ok": True, **asdict(done), "activated": choice is not None})
        return 0
    for warning in done.warnings:
        print(f"warning: {warning}")
    ran = f"{len(done.tests)} tests passed" if done.tests else "no tests of its own"
    print(f"{done.revision}: {'kept' if done.new else 'was kept before'}, {ran}")
    print(
        "in force: running gateways follow within a second"
        if choice
        else f"next: agentflow policy activate {done.revision[:12]}"
    )
    return 0


def activate(args: Namespace) -> int:
    """Put a kept bundle in force."""
    with _bundles(config_file.load(args.config, os.environ)) as bundles:
        return _said(args, bundles.activate(args.revision, user()))


def rollback(args: Namespace) -> int:
    """Put in force what was before, or what the configuration file says."""
    with _bundles(config_file.load(args.config, os.environ)) as bundles:
        return _said(args, bundles.roll_back(user(), to_file=args.to_file))


def show(args: Namespace) -> int:
    """List what is kept and say what is in force."""
    config = config_file.load(args.config, os.environ)
    with closing(Store(config.data_dir, config.store)) as store:
        bundles = LiveBundles(store, sealing(config), policy=lambda: config.policy)
        kept, newest, history = bundles.list(), bundles.newest(), bundles.history(args.n)
    if newest is not None and not newest.ours and not args.json:
        print(f"agentflow: warning: {altered(newest).message}", file=sys.stderr)
    chosen = newest.revision if newest is not None and newest.ours and config.policy.engine == "embedded" else ""
    if args.json:
        document(
            {
                "in_force": chosen or None,
                "altered": newest is not None and not newest.ours,
                "decides": "opa" if config.policy.engine == "opa" else "store" if chosen else "file",
                "bundles": [asdict(each) for each in kept],
                "choices": [asdict(each) for each in history],
            }
        )
        return 0
    if chosen and newest is not None:
        print(f"in force: {chosen[:12]}, chosen {_when(newest.time)} by {newest.by}")
    elif config.policy.engine == "opa":
        print(f"in force: what the OPA at {config.policy.opa.url} has loaded")
    elif newest is not None and not newest.ours:
        print("in force: what was before that choice, in gateways that ran then; no other starts")
    else:
        print(f"in force: what the configuration says: {config.policy.bundle or 'the bundle that ships'}")
    rows = [
        ("*" if each.revision == chosen else "", each.revision[:12], _when(each.uploaded), each.uploaded_by,
         str(each.bytes), _when(each.chosen) if each.chosen else "never", each.note)
        for each in kept
    ]  # fmt: skip
    table([("", "REVISION", "UPLOADED", "BY", "BYTES", "LAST CHOSEN", "NOTE"), *rows] if rows else [])
    return 0


def sealing(config: Config) -> Callable[[], bytes]:
    """The key that seals bundles and choices, from a vault that is opened when it is first asked for."""

    @cache
    def key() -> bytes:
        with closing(open_vault(config)) as vault:
            return vault.derived_key("agentflow", live_seal.PURPOSE)

    return key


@contextmanager
def _bundles(config: Config) -> Iterator[LiveBundles]:
    with (
        closing(Store(config.data_dir, config.store)) as store,
        closing(AuditLog(config.data_dir, config.audit)) as log,
    ):
        yield LiveBundles(store, sealing(config), log.event, lambda: config.policy)


def _refused(args: Namespace, error: ConfigError) -> int:
    problems = error.data.get("problems")
    if problems is None:
        raise error
    if args.json:
        document({"ok": False, "problems": list(problems)})
    else:
        for problem in problems:
            print(problem)
        print("refused: nothing was kept")
    return 1


def _said(args: Namespace, choice: Choice) -> int:
    if args.json:
        document({"ok": True, **asdict(choice)})
    else:
        print(f"in force: {choice.revision or 'what the configuration file says'}")
        print("running gateways follow within a second")
    return 0


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
