"""`agentflow policy replay`: what another bundle would have decided."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from agentflow.commands.output import document, moment, table
from agentflow.commands.policy import configured
from agentflow.settings import file as config_file

if TYPE_CHECKING:
    from agentflow.policy.replay import Kind

_TITLES: dict[Kind, str] = {
    "newly_denied": "newly denied",
    "newly_allowed": "newly allowed",
    "obligations_changed": "obligations changed",
}


def replay(args: Namespace) -> int:
    """Decide recorded calls again and print what comes out otherwise; 1 when something does."""
    from agentflow.policy import engine
    from agentflow.policy.bundle import refused
    from agentflow.policy.replay import Period
    from agentflow.policy.replay import replay as replayed

    settings = config_file.load(args.config, os.environ)
    config = configured(args, settings)
    report = engine.check(config)
    if not report.ok:
        raise refused(report.path, list(report.problems))
    period = Period(moment(args.since), moment(args.until) if args.until else float("inf"))
    bar = _Bar()
    found = replayed(config, settings.data_dir, period, progress=bar)
    bar.end()
    changed = sum(group.count for group in found.changes.values())
    ordered = sorted(found.changes.items(), key=lambda item: (item[0].kind, -item[1].count, item[0]))
    if args.json:
        document(
            {
                "ok": not changed,
                "revision": report.revision,
                "records": found.records,
                "replayed": found.replayed,
                "skipped": dict(found.skipped),
                **{kind: found.total(kind) for kind in _TITLES},
                "changes": [{**asdict(change), **asdict(group)} for change, group in ordered],
            }
        )
        return 1 if changed else 0
    rows = [
        (_TITLES[change.kind], str(group.count), change.server, change.name, change.why, " ".join(group.examples))
        for change, group in ordered[: args.n]
    ]
    if rows:
        table([("change", "calls", "server", "name", "why", "examples"), *rows])
    if len(ordered) > len(rows):
        print(f"… and {len(ordered) - len(rows)} more kinds of change (-n, --json)")
    print(
        f"{found.replayed} of {found.records} records decided again by revision {report.revision[:12]}: "
        + ", ".join(f"{found.total(kind)} {title}" for kind, title in _TITLES.items())
    )
    for reason, count in found.skipped.most_common():
        print(f"not decided again: {count}: {reason}")
    return 1 if changed else 0


class _Bar:
    """A progress bar on stderr, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._began = time.monotonic()

    def __call__(self, done: int, whole: int) -> None:
        if self._shown and whole:
            share = done / whole
            left = (time.monotonic() - self._began) * (1 - share) / share if share else 0.0
            print(f"\r[{'#' * int(40 * share):40}] {share:4.0%}  {left:4.0f} s left ", end="", file=sys.stderr)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
