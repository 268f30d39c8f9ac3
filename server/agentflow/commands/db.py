"""`agentflow db check`, `upgrade` and `downgrade`: the databases that a gateway keeps its state in.

`check` only reads, and makes nothing that is missing. `upgrade` makes what is missing and brings the store's tables up
to date; in PostgreSQL also those of vault, taint, pins and audit index, so that the gateways' own role need not be
allowed to make any. `downgrade` goes back only when told to, and says first what is lost. Both are recorded.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import agentflow.store.database as stores  # first: where SQLAlchemy is missing, it says so
from agentflow.audit.events import Event
from agentflow.audit.log import AuditLog
from agentflow.commands.databases import Kept, State, grant, kept, look, prepare
from agentflow.commands.output import UsageError, document, table, user
from agentflow.config import Config
from agentflow.errors import AgentFlowError, ConfigError
from agentflow.settings import file as config_file
from agentflow.store import migrate


def check(args: Namespace) -> int:
    """Say which database each kind of state is in and of which version; 1 if one is not as this AgentFlow expects."""
    config = config_file.load(args.config, os.environ)
    states = [_store_state(config), *(look(each) for each in kept(config))]
    fine = all(state.ok for state in states)
    if args.json:
        document({"ok": fine, "databases": [asdict(state) for state in states]})
        return 0 if fine else 1
    rows = [(state.name, state.place, state.found or "-", state.expected, state.said) for state in states]
    table([("STATE", "DATABASE", "VERSION", "EXPECTED", ""), *rows])
    return 0 if fine else 1


def upgrade(args: Namespace) -> int:
    """Make what is missing, and bring the store's tables up to date."""
    config = config_file.load(args.config, os.environ)
    others = [each for each in kept(config) if each.url is not None]
    if args.grant and config.store.url is None and not others:
        raise UsageError("--grant is for PostgreSQL", fix="name a database in store.url")
    with _recording(config) as log, _opened(config) as database:
        before = migrate.current(database)
        _refuse_newer(database, before)
        migrate.upgrade(database)
        after = migrate.current(database)
        made = [each.name for each in others if prepare(each)]
        if args.grant:
            _grant(config, others, args.grant)
        details = {"before": before or "", "made": made, "grant": args.grant or ""}
        log.event(Event("admin", "database_upgraded", by=user(), subject=after or "", outcome="ok", details=details))
        place = database.place
    if args.json:
        document({"ok": True, "database": place, "before": before, "revision": after, "made": made})
        return 0
    print(f"{place}: {after}, nothing to do" if before == after else f"{place}: {before or 'base'} → {after}")
    for name in made:
        print(f"{name}: tables made")
    if args.grant:
        print(f"{args.grant}: may read and write the rows")
    return 0


def downgrade(args: Namespace) -> int:
    """Take the store's tables back to an earlier revision; 1 and nothing done without --yes."""
    config = config_file.load(args.config, os.environ)
    with _opened(config, must_exist=True) as database:
        before = migrate.current(database)
        to = _revision(args.revision, before)
        lost = migrate.losses(database, to)
        if args.yes:
            with _recording(config) as log:
                migrate.downgrade(database, to)
                details = {"before": before or "", "lost": [str(each) for each in lost]}
                log.event(Event("admin", "database_downgraded", by=user(), subject=to, outcome="ok", details=details))
        place = database.place
    if args.json:
        document({"ok": args.yes, "database": place, "before": before, "revision": to if args.yes else before,
                  "lost": [each._asdict() for each in lost]})  # fmt: skip
        return 0 if args.yes else 1
    print(f"{place}: {before} → {to}" if args.yes else f"{place}: from {before} to {to}")
    for each in lost:
        print(f"  {'lost' if args.yes else 'would be lost'}: {each}")
    if not args.yes:
        print("agentflow: nothing was changed; repeat it with --yes", file=sys.stderr)
    return 0 if args.yes else 1


@contextmanager
def _recording(config: Config) -> Iterator[AuditLog]:
    """The log, open before anything is done that has to be recorded."""
    log = AuditLog(config.data_dir, config.audit)
    try:
        log.ready()
        yield log
    finally:
        log.close()


@contextmanager
def _opened(config: Config, *, must_exist: bool = False) -> Iterator[stores.Database]:
    """The store as it is, of whatever revision."""
    url = config.store.url.get_secret_value() if config.store.url else None
    if must_exist and url is None and not stores.Database.file(config.data_dir).is_file():
        raise AgentFlowError(f"There is no database in {config.data_dir}", fix="name the gateway's --config")
    database = stores.Database(config.data_dir, url, prepared=False)
    try:
        yield database
    finally:
        database.close()


def _store_state(config: Config) -> State:
    head, path = migrate.revisions()[-1], stores.Database.file(config.data_dir)
    if config.store.url is None and not path.exists():
        return State("store", str(path), "", head, True, "made when it is first needed")
    try:
        with _opened(config) as database:
            found = migrate.current(database)
            if found is None:
                return State("store", database.place, "", head, False, "has no tables: run `agentflow db upgrade`")
            if found != head:
                which = "older: run `agentflow db upgrade`" if found in migrate.revisions() else "of a newer AgentFlow"
                return State("store", database.place, found, head, False, which)
            wrong = migrate.differences(database)
            said = "; ".join(wrong) if wrong else "fine"
            return State("store", database.place, found, head, not wrong, said)
    except AgentFlowError as error:
        return State("store", "", "", head, False, error.message)


def _refuse_newer(database: stores.Database, found: str | None) -> None:
    if found is not None and found not in migrate.revisions():
        raise ConfigError(
            f"The database {database.place} is of a newer AgentFlow (revision {found})", fix="upgrade this installation"
        )


def _revision(text: str, now: str | None) -> str:
    """The revision that is meant: one of ours, `base`, or `-1` for the one before.

    Raises:
        UsageError: it is none, or not an earlier one.
    """
    known = ("base", *migrate.revisions())
    at = known.index(now or "base") if (now or "base") in known else None
    if at is None:
        raise UsageError(f"the database is of a newer AgentFlow (revision {now})", fix="use that one to go back")
    if text.startswith("-") and text[1:].isdigit():
        text = known[max(0, at - int(text[1:]))]
    if text not in known:
        raise UsageError(f"{text!r} is no revision", fix=f"name one of {', '.join(known)}, or -1")
    if known.index(text) >= at:
        raise UsageError(f"the database is at {known[at]}, and {text} is no earlier revision")
    return text


def _grant(config: Config, others: list[Kept], role: str) -> None:
    schemas = [(each.url.get_secret_value(), each.schema) for each in others if each.url is not None]
    if config.store.url is not None:
        schemas.append((config.store.url.get_secret_value(), "agentflow"))
    for url, schema in schemas:
        grant(url, schema, role)
