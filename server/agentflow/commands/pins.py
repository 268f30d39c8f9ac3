"""`agentflow pins`: what is remembered of the servers' definitions, what is held, and what is to become of it.

Works on the file or database alone, beside running gateways, which follow within a second. What it prints holds no
clear personal data, for what is kept does not, and shows characters that cannot be seen.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from getpass import getuser
from typing import Any

from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, table
from agentflow.errors import AgentFlowError
from agentflow.guard.pins.diff import Change, changes, visible
from agentflow.guard.pins.offers import Event, What
from agentflow.guard.pins.sqlite_store import FILE
from agentflow.guard.pins.store import PinStore, Row, approved, open_pins, rejected
from agentflow.settings import file as config_file

_COLOURS = {"added": "\x1b[32m", "removed": "\x1b[31m", "same": ""}
_MARKS = {"added": ("{+", "+}"), "removed": ("[-", "-]"), "same": ("", "")}
_CONTEXT = 60  # characters of unchanged text on each side of a change


def show(args: Namespace) -> int:
    """List what is remembered, what is held first."""
    with _Opened(args) as store:
        rows = [row for row in _chosen(store, args.names) if row.pin.held or not args.held]
    rows.sort(key=lambda row: (not row.pin.held, row.server, row.key))
    if args.json:
        document({"pins": [_brief(row) for row in rows]})
        return 0
    table([(_place(row), row.key.kind, _state(row), _day(row), _why(row)) for row in rows])
    if not rows:
        print("agentflow: nothing is held" if args.held else "agentflow: no server has been seen yet", file=sys.stderr)
    return 0


def diff(args: Namespace) -> int:
    """Show what changed, word by word, in everything that is held or in what is named."""
    with _Opened(args) as store:
        rows = [row for row in _chosen(store, args.names) if row.pin.held]
    if args.json:
        document({"held": [_whole(row) for row in rows]})
        return 0
    for number, row in enumerate(rows):
        print("\n" * bool(number) + _told(row, _colourful()))
    if not rows:
        print("agentflow: nothing is held", file=sys.stderr)
    return 0


def approve(args: Namespace) -> int:
    """Put what is held in force; running gateways offer it within a second."""
    return _decided(args, "approved", approved)


def reject(args: Namespace) -> int:
    """Keep what is held out for good; a server that offers something else is asked about anew."""
    return _decided(args, "rejected", rejected)


def forget(args: Namespace) -> int:
    """Remember nothing of what is named: it is seen as if for the first time."""
    with _Opened(args) as store, store.transaction():
        rows = _named(store, args)
        store.forget(rows)
        _recorded(args, "forgotten", rows)
    return _report(args, "forgotten", rows)


def _decided(args: Namespace, what: What, change: Callable[[Row], Row]) -> int:
    with _Opened(args) as store, store.transaction():  # what is decided about is what is there now
        rows = [row for row in _named(store, args) if row.pin.held]
        if args.digest:
            rows = [row for row in rows if row.pin.held.hex().startswith(args.digest.lower())]
        elif args.all and what == "approved":
            rows = [row for row in rows if row.pin.rejected != row.pin.held]
        store.write(change(row) for row in rows)
        _recorded(args, what, rows)
    return _report(args, what, rows)


def _recorded(args: Namespace, what: What, rows: Sequence[Row]) -> None:
    """Put the decision into the audit log; where that fails, it is not taken.

    Raises:
        AuditUnavailable: it could not be written.
    """
    if not rows:
        return
    config = config_file.glance(args.config, os.environ)
    audit = AuditLog(config.data_dir, config.audit)
    try:
        for row in rows:
            digest, was = row.pin.held or row.pin.pinned, row.pin.pinned if row.pin.held else b""
            audit.append(Event(what, row.server, row.key, digest.hex(), was.hex(), row.pin.reasons, by=_who()).record())
    finally:
        audit.close()


def _who() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # nobody of that number is known
        return f"uid {os.getuid()}"


def _report(args: Namespace, what: What, rows: Sequence[Row]) -> int:
    if args.json:
        document({what: [_brief(row) for row in rows]})
    else:
        for row in rows:
            print(f"{what}: {_place(row)} ({row.key.kind}) {(row.pin.held or row.pin.pinned).hex()[:16]}")
        if not rows:
            print(
                "agentflow: nothing of that name is held" if what != "forgotten" else "agentflow: nothing of that name"
            )
    return 0 if rows or args.all else 1


class _Opened:
    """What the configuration names; a file is refused where there is none."""

    def __init__(self, args: Namespace) -> None:
        config = config_file.glance(args.config, os.environ)
        path = config.data_dir / FILE
        if config.guard.pins.url is None and not path.is_file():
            raise AgentFlowError(f"no definitions are pinned in {path.parent}", fix="name the gateway's --config")
        self._store = open_pins(config.data_dir, config.guard.pins)

    def __enter__(self) -> PinStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _named(store: PinStore, args: Namespace) -> list[Row]:
    if bool(args.names) == args.all:
        raise UsageError("say which: SERVER, SERVER/NAME, or --all", fix="`agentflow pins list --held` names them")
    return _chosen(store, args.names)


def _chosen(store: PinStore, names: Sequence[str]) -> list[Row]:
    """The rows of `SERVER` and `SERVER/NAME` (NAME as shown by `list`, or as the server has it); all without names."""
    rows = store.rows()
    if not names:
        return rows
    found = []
    for name in names:
        wanted = [row for row in rows if name in (row.server, f"{row.server}/{row.key.name}", _place(row))]
        if not wanted:
            raise AgentFlowError(f"nothing is remembered of {name}", fix="`agentflow pins list` names what is")
        found += [row for row in wanted if row not in found]
    return found


def _place(row: Row) -> str:
    return f"{row.server}/{visible(row.key.name)}"


def _state(row: Row) -> str:
    if row.pin.held:
        return "rejected" if row.pin.rejected == row.pin.held else "held"
    return "approved" if row.pin.how == "approved" else "pinned"


def _day(row: Row) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(row.pin.held_since if row.pin.held else row.pin.since))


def _why(row: Row) -> str:
    reasons = row.pin.reasons if row.pin.held else row.pin.flags
    return "; ".join(visible(reason.text) for reason in reasons)


def _brief(row: Row) -> dict[str, Any]:
    pin = row.pin
    return {
        "server": row.server,
        "kind": row.key.kind,
        "name": row.key.name,
        "state": _state(row),
        "since": pin.held_since if pin.held else pin.since,
        "pinned": pin.pinned.hex() or None,
        "held": pin.held.hex() or None,
        "reasons": [reason._asdict() for reason in pin.reasons],
        "flags": [reason._asdict() for reason in pin.flags],
    }


def _whole(row: Row) -> dict[str, Any]:
    return {**_brief(row), "changes": [change.json() for change in changes(row.definition, row.proposed)]}


# --- for a person -------------------------------------------------------------------------------------------


def _colourful() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _told(row: Row, colours: bool) -> str:
    digest = row.pin.held.hex()
    lines = [f"{_place(row)} ({row.key.kind}), {_state(row)} since {_day(row)}: {_why(row)}"]
    if row.label:
        lines.append(f"  it was pinned when the server was {row.label}")
    found = changes(row.definition, row.proposed)
    if not found:
        lines.append("  its definition has not changed")
    elif not row.definition:
        lines.append("  nothing was pinned before; all of it is new:")
    for change in found:
        lines.append(f"  {visible(change.pointer) or '/'}: {_words(change, colours)}")
    if _state(row) == "held":
        place = row.server if " " in _place(row) else _place(row)
        lines.append(f"  agentflow pins approve {place} --digest {digest[:16]}")
    return "\n".join(lines)


def _words(change: Change, colours: bool) -> str:
    parts = []
    for number, (op, text) in enumerate(change.words):
        text = visible(text)
        if op == "same" and len(text) > 2 * _CONTEXT:
            head, tail = text[:_CONTEXT] * bool(number), text[-_CONTEXT:] * (number < len(change.words) - 1)
            text = f"{head} … {tail}"
        before, after = _MARKS[op]
        colour = _COLOURS[op] if colours else ""
        parts.append(f"{colour}{before}{text}{after}{chr(27) + '[0m' if colour else ''}")
    return "".join(parts).replace("\n", "\n    ")
