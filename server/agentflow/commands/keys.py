"""`agentflow keys`: make, list, replace and revoke the keys that callers present.

A key is printed once, by `create` and `rotate`, alone on the first line of standard output (`KEY=$(agentflow keys
create ci)`); what there is to say about it goes to standard error. Works beside running gateways, which follow within
about a second. Each action is in the audit log.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, table, user
from agentflow.commands.policy_bundles import sealing
from agentflow.config import Config
from agentflow.errors import AgentFlowError
from agentflow.guard.vault import open_vault
from agentflow.identity.keys import PURPOSE, KeyInfo, KeyRing, Made, NewKey
from agentflow.policy.live import LiveBundles
from agentflow.settings import file as config_file
from agentflow.store.opened import Store

_WHOLE = re.compile(r"af_([0-9a-z]{12})_\S*")
_LASTING = re.compile(r"(\d{1,9})([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def create(args: Namespace) -> int:
    """Make a key and print it."""
    wanted = NewKey(
        args.principal, args.kind, _words(args.roles), args.tenant, _words(args.scopes), args.label or "",
        _until(args.expires),
    )  # fmt: skip
    config = _config(args)
    with _ring(config) as ring:
        first = not ring.list()
        made = ring.create(wanted, user())
    _give(args, made)
    for role in _unknown(config, wanted.roles):
        print(f"agentflow: warning: policy knows no role {role!r}, so it may do nothing", file=sys.stderr)
    if first:
        print("agentflow: note: from now on every HTTP caller of this gateway needs a key", file=sys.stderr)
    return 0


def show_all(args: Namespace) -> int:
    """List the keys, newest first; those that count, unless all are asked for."""
    with _ring(_config(args)) as ring:
        found = ring.list(args.tenant, over=args.all)
    if args.principal:
        found = [info for info in found if info.principal == args.principal]
    if args.json:
        document({"keys": [_shown(info) for info in found]})
        return 0
    rows = [
        (info.id, info.tenant, info.principal, ",".join(info.roles), _state(info), _day(info.expires) or "never",
         _day(info.used) or "never", info.label)
        for info in found
    ]  # fmt: skip
    head = ("ID", "TENANT", "PRINCIPAL", "ROLES", "STATE", "EXPIRES", "LAST USED", "LABEL")
    table([head, *rows] if rows else [])
    if not rows:
        print("agentflow: there is no key that fits; --all shows ended ones, too", file=sys.stderr)
    return 0


def show(args: Namespace) -> int:
    """Say everything about one key but the key."""
    with _ring(_config(args)) as ring:
        info = ring.show(_id(args.key))
    if args.json:
        document(_shown(info))
        return 0
    lines = [
        ("id", info.id), ("state", _state(info)), ("principal", f"{info.tenant}/{info.principal}"), ("kind", info.kind),
        ("roles", ", ".join(info.roles)), ("scopes", " ".join(info.scopes)), ("label", info.label),
        ("created", f"{_moment(info.created)} by {info.created_by}"), ("expires", _moment(info.expires) or "never"),
        ("last used", _moment(info.used) or "never"),
        ("revoked", f"{_moment(info.revoked)} by {info.revoked_by}" if info.revoked else ""),
        ("replaces", info.replaces or ""), ("replaced by", info.replaced_by or ""),
    ]  # fmt: skip
    table([(name, text) for name, text in lines if text])
    return 0


def rotate(args: Namespace) -> int:
    """Make a new key in the place of one, and print it; the old one goes on for a while."""
    with _ring(_config(args)) as ring:
        expires = None if args.expires is None else math.inf if args.expires == "never" else _until(args.expires)
        made = ring.rotate(_id(args.key), user(), grace=_seconds(args.grace), expires=expires)
        old = ring.show(made.info.replaces or "")
    _give(args, made, f"; {old.id} counts until {_moment(old.expires)}")
    return 0


def revoke(args: Namespace) -> int:
    """End keys for good."""
    with _ring(_config(args)) as ring:
        names = [_id(name) for name in args.keys]
        before = {name: ring.show(name) for name in names}  # a name that is wrong ends none of them
        done = [ring.revoke(name, user()) for name in names]
    if args.json:
        document({"revoked": [_shown(info) for info in done]})
        return 0
    for info in done:
        was = before[info.id].revoked is not None
        print(f"{info.id} ({info.tenant}/{info.principal}) {'was revoked already' if was else 'revoked'}")
    return 0


@contextmanager
def _ring(config: Config) -> Iterator[KeyRing]:
    vault = open_vault(config)
    store = Store(config.data_dir, config.store)
    log: list[AuditLog] = []

    def record(event: Any) -> None:
        if not log:
            log.append(AuditLog(config.data_dir, config.audit))
        log[0].event(event)

    try:
        yield KeyRing(store, lambda: vault.derived_key("agentflow", PURPOSE), record)
    finally:
        store.close()
        for each in log:
            each.close()
        vault.close()


def _give(args: Namespace, made: Made, more: str = "") -> None:
    """Print the key: nobody can ever again."""
    info = made.info
    if args.json:
        document({"key": made.key, **_shown(info)})
        return
    print(made.key, flush=True)
    until = f"until {_moment(info.expires)}" if info.expires is not None else "for ever"
    roles = ", ".join(info.roles) or "no roles"
    print(f"agentflow: key {info.id} of {info.tenant}/{info.principal} ({roles}) counts {until}{more}", file=sys.stderr)
    print("agentflow: keep it now, it is not shown again; send it as Authorization: Bearer <key>", file=sys.stderr)


def _shown(info: KeyInfo) -> dict[str, Any]:
    return {**asdict(info), "state": info.state()}


def _state(info: KeyInfo) -> str:
    return info.state() if info.ours else f"{info.state()}, but of another vault or altered"


def _id(text: str) -> str:
    """The id of a key given by its id, or by the whole key: who has found one has nothing else."""
    whole = _WHOLE.fullmatch(text)
    if whole:
        return whole[1]
    if text.startswith("af_"):
        raise UsageError("this is neither an id nor a key", fix="`agentflow keys list` shows ids")
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))


def _seconds(text: str) -> float:
    lasting = _LASTING.fullmatch(text)
    if not lasting and text != "0":
        raise UsageError(f"{text!r} is no length of time", fix="write 0, 30m, 24h or 7d")
    return int(lasting[1]) * _SECONDS[lasting[2]] if lasting else 0


def _until(text: str) -> float | None:
    """`90d` from now, `2027-01-31`, `2027-01-31T12:00`, or `never`; epoch seconds."""
    if text == "never":
        return None
    if _LASTING.fullmatch(text):
        return time.time() + _seconds(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no time to come", fix="write 90d, 2027-01-31 or never") from None


def _unknown(config: Config, roles: Sequence[str]) -> list[str]:
    """Roles that the policy in force does not name, as far as its own data says."""
    try:
        with closing(Store(config.data_dir, config.store)) as store:
            settings = LiveBundles(store, sealing(config), policy=lambda: config.policy).in_force().data.get("settings")
    except AgentFlowError:
        return []
    known = settings.get("roles") if isinstance(settings, dict) else None
    return [role for role in roles if role not in known] if isinstance(known, dict) else []


def _day(when: float | None) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when)) if when is not None else ""


def _moment(when: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) if when is not None else ""


def _config(args: Namespace) -> Config:
    return config_file.load(args.config, os.environ)
