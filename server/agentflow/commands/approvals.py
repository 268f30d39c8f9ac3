"""`agentflow approvals`: what waits for people, and the operator's own word on it.

Works on the store alone, beside running gateways, which go on with what was approved within a second. Whoever may run
it on this machine speaks as `local/USER`, a gateway-wide administrator. What it prints holds labelled arguments only,
and shows characters that cannot be seen.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, printable, table, user
from agentflow.config import Config
from agentflow.guard.pins.diff import visible
from agentflow.guard.vault import open_vault
from agentflow.identity.principal import Principal
from agentflow.policy.approvals import LIVE, Approval, State, UnknownApproval
from agentflow.policy.approvals_rules import ADMIN, COMMENT
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.settings import file as config_file
from agentflow.store.opened import Store

_SHORTEST = 6  # characters of an id that may stand for it


def show_all(args: Namespace) -> int:
    """List what waits for approval, newest first; with --all or --state others, too."""
    state = None if args.all else State(args.state)
    with _opened(_config(args)) as approvals:
        found = approvals.pending(args.tenant, state, args.limit)
    if args.json:
        document({"approvals": [_told(each) for each in found]})
        return 0
    head = ("ID", "STATE", "WHO CALLS", "TOOL", "ASKED", "VOTES", "LEFT")
    table([head, *map(_row, found)] if found else [])
    if not found:
        nothing = "there are no approvals" if state is None else f"no approval is {state}"
        print(f"agentflow: {nothing}", file=sys.stderr)
    return 0


def show(args: Namespace) -> int:
    """Say everything about one approval."""
    with _opened(_config(args)) as approvals:
        found = _named(approvals, args.id)
    if args.json:
        document(_told(found))
    else:
        print("\n".join(_lines(found)))
    return 0


def approve(args: Namespace) -> int:
    """Say yes to a call; it goes on once enough people have."""
    return _voted(args, True)


def deny(args: Namespace) -> int:
    """Say no to a call; one is enough."""
    return _voted(args, False)


def _voted(args: Namespace, yes: bool) -> int:
    comment = args.comment or ""
    if len(comment) > COMMENT:
        raise UsageError(f"--comment is longer than {COMMENT} characters", fix="say it shorter")
    config = _config(args)
    with _opened(config) as approvals:
        found = approvals.vote(_named(approvals, args.id).id, _operator(config), yes, comment)
    if args.json:
        document(_told(found))
        return 0
    left = found.wanted.needed - sum(vote.approve for vote in found.votes)
    more = f"; it takes {left} more" if found.state is State.OPEN else ""
    print(f"{found.id}: {found.state}{more}")
    return 0


@contextmanager
def _opened(config: Config) -> Iterator[StoredApprovals]:
    """The approvals of an installation, every step recorded in its audit log.

    Raises:
        UnknownApproval: nothing has ever been kept in its store.
    """
    store, audit = Store(config.data_dir, config.store), AuditLog(config.data_dir, config.audit)
    try:
        yield StoredApprovals(store, config.auth.home_tenant, lambda: _key(config), audit.event, config.approvals)
    finally:
        audit.close()
        store.close()


def _key(config: Config) -> bytes:
    """The one that gateways seal approvals with."""
    with closing(open_vault(config)) as vault:
        return vault.derived_key("agentflow", b"approvals")


def _operator(config: Config) -> Principal:
    return Principal(f"local/{user()}", roles=(ADMIN,), tenant=config.auth.home_tenant)


def _named(approvals: StoredApprovals, id: str) -> Approval:
    """The approval of this id, or the only one whose id begins so."""
    if (found := approvals.find(id)) is not None:
        return found
    matching = approvals.beginning(id.lower()) if len(id) >= _SHORTEST else ()
    if len(matching) == 1:
        return matching[0]
    what = f"Several approvals begin with {id!r}" if matching else f"There is no approval {id!r}"
    raise UnknownApproval(what, fix="look at `agentflow approvals list --all`")


def _row(each: Approval) -> tuple[str, ...]:
    given = sum(vote.approve for vote in each.votes)
    return (
        each.id,
        str(each.state),
        visible(each.requester),
        _tool(each),
        ", ".join(each.wanted.who),
        f"{given}/{each.wanted.needed}",
        _time_left(each),
    )


def _lines(each: Approval) -> Iterator[str]:
    """For a terminal: one fact a line, whatever a name or an argument holds."""
    facts = [
        ("approval", f"{each.id} ({each.state})"),
        ("who calls", each.requester),
        ("tool", _tool(each)),
        ("arguments", each.wanted.shown),
        ("why", each.wanted.prompt),
        *(("reason", reason) for reason in each.wanted.reasons),
        ("asked", f"{', '.join(each.wanted.who)}; {each.wanted.needed} of them"),
        ("since", _moment(each.created)),
        ("expires", f"{_moment(each.expires)}{f' (in {left})' if (left := _time_left(each)) else ''}"),
        ("policy", each.binding.revision),
        ("used by", each.call),
    ]
    for name, text in facts:
        if text:
            yield f"{name:10} {printable(visible(text))}"
    for vote in each.votes:
        said = f"{'approved' if vote.approve else 'denied'} by {vote.voter} at {_moment(vote.time)}"
        yield f"{'vote':10} {printable(visible(f'{said}: {vote.comment}' if vote.comment else said))}"


def _told(each: Approval) -> dict[str, Any]:
    bound, wanted = each.binding, each.wanted
    return {
        "id": each.id,
        "state": str(each.state),
        "principal": {"id": bound.principal, "tenant": bound.tenant},
        "surface": bound.surface,
        "server": bound.server,
        "tool": bound.tool,
        "arguments": wanted.shown,
        "prompt": wanted.prompt,
        "reasons": list(wanted.reasons),
        "who": list(wanted.who),
        "needed": wanted.needed,
        "votes": [
            {"voter": vote.voter, "approve": vote.approve, "time": vote.time, "comment": vote.comment}
            for vote in each.votes
        ],
        "revision": bound.revision,
        "created": each.created,
        "expires": each.expires,
        "settled": each.settled,
        "call": each.call,
    }


def _tool(each: Approval) -> str:
    bound = each.binding
    return visible(f"{bound.server}/{bound.tool or bound.surface}" if bound.server else bound.tool or bound.surface)


def _time_left(each: Approval) -> str:
    if each.state not in LIVE:
        return ""
    seconds = max(0, int(each.expires - time.time()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def _config(args: Namespace) -> Config:
    return config_file.load(args.config, os.environ)
