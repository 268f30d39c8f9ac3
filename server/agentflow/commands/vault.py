"""`agentflow vault status`, `forget` and `rotate`: what is in the vault, getting rid of it, changing its keys.

Each works beside running gateways, which notice within a second. `forget` and `rotate` leave an event in the audit log
that says what was done and by whom, never a value.
"""

from __future__ import annotations

import getpass
import os
import secrets
import sys
import time
from argparse import Namespace
from dataclasses import asdict

from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, table
from agentflow.config import Config
from agentflow.errors import ConfigError
from agentflow.guard import tokens
from agentflow.guard.entities import canonical
from agentflow.guard.vault import Vault, open_vault, upkeep
from agentflow.guard.vault.master import KEY_FILE, key_file, write_key_file
from agentflow.settings import file as config_file


def status(args: Namespace) -> int:
    """Print where the vault is, which master key is in force, and what each tenant has in it."""
    vault = open_vault(_config(args))
    try:
        found = upkeep.status(vault)
    finally:
        vault.close()
    if args.json:
        document(asdict(found))
        return 0
    print(f"{found.place}: master key {found.master}")
    for master, count in found.wrapped.items():
        print(f"  {count} keys wrapped by {master}")
    rows = [(each.tenant, str(each.entries), ",".join(map(str, each.data_keys))) for each in found.tenants]
    table([("TENANT", "ENTRIES", "DATA KEYS"), *rows] if rows else [])
    return 0


def forget(args: Namespace) -> int:
    """Remove a person's values, or destroy a tenant; 1 when nothing was there."""
    if sum(given is not None and given is not False for given in (args.value, args.token, args.all or None)) != 1:
        raise UsageError("say what to forget", fix="give one of --value, --token and --all")
    config = _config(args)
    vault = open_vault(config)
    try:
        done = _forget(vault, args)
    finally:
        vault.close()
    what = "tenant" if args.all else "value"
    _record(config, {"event": "forgotten", "what": what, "tenant": args.tenant, "entries": done.entries,
                     "types": done.types})  # fmt: skip
    if args.json:
        document({"ok": True, **asdict(done)})
    else:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(done.types.items()))
        print(f"{args.tenant}: {done.entries} entries forgotten{f' ({kinds})' if kinds else ''}")
        if not done.scrubbed:
            print("note: the files are in use; what was removed is overwritten when a gateway next tidies them up")
    return 0 if done.entries or args.all else 1


def rotate(args: Namespace) -> int:
    """Wrap every key by the master key that the configuration names, or by a new one; with --data-keys those too."""
    config = _config(args)
    made = _new_file_key(config) if _by_file(config) and not args.data_keys else False
    vault = open_vault(config)
    try:
        wrapped = upkeep.rotate_master(vault) if not args.data_keys else 0
        sealed = upkeep.rotate_data_keys(vault, args.tenant) if args.data_keys else 0
        master = upkeep.status(vault).master
    finally:
        vault.close()
    if made:
        write_key_file(config.data_dir, key_file(config.data_dir)[:1])
    _record(config, {"event": "rotated", "what": "data keys" if args.data_keys else "master key", "master": master,
                     "wrapped": wrapped, "sealed": sealed})  # fmt: skip
    if args.json:
        document({"ok": True, "master": master, "wrapped": wrapped, "sealed": sealed})
    elif args.data_keys:
        print(f"{sealed} entries sealed anew")
    elif wrapped:
        print(f"{wrapped} keys wrapped by {master}")
    else:
        print(f"every key is wrapped by {master} already", file=sys.stderr)
        print(
            "to change it, set guard.master_key (or guard.vault.kms_key) to the new one, list the old one in "
            "guard.vault.previous_keys, restart the gateways and run this again",
            file=sys.stderr,
        )
    return 0


def _forget(vault: Vault, args: Namespace) -> upkeep.Forgotten:
    if args.all:
        return upkeep.shred(vault, args.tenant)
    if args.token is not None:
        spans = tokens.find(args.token)
        if len(spans) != 1:
            raise UsageError("--token is not one token", fix="give it as it is shown, in quotes: '<EMAIL_1f3a9c2e>'")
        return upkeep.forget_token(vault, args.tenant, spans[0].name)
    try:
        kind = canonical(args.type) if args.type else None
    except ValueError as error:
        raise UsageError(str(error), fix="name a type such as EMAIL") from error
    value = sys.stdin.read().rstrip("\r\n") if args.value == "-" else args.value
    if not value:
        raise UsageError("--value is empty", fix="give the value to forget")
    return upkeep.forget(vault, args.tenant, value, kind)


def _by_file(config: Config) -> bool:
    return config.guard.master_key is None and config.guard.vault.kms_key is None


def _new_file_key(config: Config) -> bool:
    """Put a new key before the old one in the key file, unless a broken-off rotation has already done so."""
    keys = key_file(config.data_dir)
    if len(keys) == 1:
        try:
            write_key_file(config.data_dir, [secrets.token_bytes(32), *keys])
        except OSError as error:
            raise ConfigError(f"{config.data_dir / KEY_FILE} cannot be written: {error}") from error
    return True


def _record(config: Config, event: dict[str, object]) -> None:
    log = AuditLog(config.data_dir, config.audit)
    try:
        log.append({"kind": "vault", "time": round(time.time(), 6), "by": _user(), **event})
    finally:
        log.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _config(args: Namespace) -> Config:
    return config_file.load(args.config, os.environ)
