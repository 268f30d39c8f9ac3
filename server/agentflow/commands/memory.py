"""`agentflow memory`: what is remembered of principals' runs, and forgetting it.

Works on the store alone, beside running gateways: what is forgotten is not found by them from then on. Each forgetting
leaves an event in the audit log. What is printed holds personal data as tokens only.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from agentflow.audit.events import Event
from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, table, user
from agentflow.config import Config
from agentflow.errors import NotFound
from agentflow.flow.long_term.memories import Memories
from agentflow.flow.long_term.port import Recalled
from agentflow.models.encoder import encoder
from agentflow.settings import file as config_file
from agentflow.store.opened import Store


def show(args: Namespace) -> int:
    """List memories, the last used first, or the nearest to a text."""
    config = config_file.glance(args.config, os.environ)
    with _memories(config) as memories:
        found = _chosen(memories, args) if memories is not None else []
        whose = memories.owners([m.id for m in found]) if memories is not None else {}
    if args.json:
        document({"memories": [{**asdict(m), "principal": whose.get(m.id, "")} for m in found]})
        return 0
    if not found:
        print("agentflow: nothing is remembered that fits", file=sys.stderr)
        return 0
    rows: list[tuple[str, ...]] = [("ID", "USED", "TIMES", "PRINCIPAL", "STEPS", "TASK")]
    for m in found:
        steps = " > ".join(step.tool for step in m.steps)
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(m.used))
        rows.append((m.id, used, str(m.times), whose.get(m.id, ""), steps[:60], m.task[:100]))
    table(rows)
    return 0


def forget(args: Namespace) -> int:
    """Forget the memories named, or all of a principal or tenant."""
    if bool(args.ids) == args.all:
        raise UsageError("say which: ID …, or --all", fix="`agentflow memory list` names them")
    config = config_file.glance(args.config, os.environ)
    with _memories(config) as memories:
        count = memories.forget(args.tenant, args.principal, args.ids or None) if memories is not None else 0
    if args.ids and not count:
        raise NotFound("no such memory of this tenant", fix="`agentflow memory list` names what there is")
    if count:
        details = {"what": "memories", "count": count, "all": args.all}
        log = AuditLog(config.data_dir, config.audit)
        try:
            subject = args.principal or ""
            log.append(Event("admin", "memory_forgotten", user(), args.tenant, subject, "ok", details=details).record())
        finally:
            log.close()
    if args.json:
        document({"forgotten": count})
    else:
        print(f"{count} forgotten")
    return 0


def _chosen(memories: Memories, args: Namespace) -> list[Recalled]:
    if not args.about:
        return memories.kept(args.tenant, args.principal, args.limit)
    if not args.principal:
        raise UsageError("--about needs --principal", fix="memories are searched one principal at a time")
    return memories.recall(args.tenant, args.principal, args.about, args.limit, near=-1.0)


@contextmanager
def _memories(config: Config) -> Iterator[Memories | None]:
    store = Store(config.data_dir, config.store)
    try:
        kept = config.flow.memory
        yield Memories(store.database(), encoder(), kept.max_entries, kept.days) if store.begun else None
    finally:
        store.close()
