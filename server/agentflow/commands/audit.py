"""`agentflow audit …`: read, search, export and verify the audit log, its key, its index, and what is kept of it.

All of it works offline, beside running gateways or without one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agentflow.audit import read
from agentflow.commands.output import UsageError, document, printable, table, user
from agentflow.config import Config
from agentflow.settings import file as config_file

if TYPE_CHECKING:
    from agentflow.audit.query import Filter
    from agentflow.audit.signing import Head, Signed, Trust

_DAY = 86_400


def tail(args: Namespace) -> int:
    """Print the newest records, one per line; with --json an array, or with -f one document per line."""
    data_dir = _config(args).data_dir
    damaged: list[Path] = []
    found = read.tail(data_dir, args.n, args.follow, damaged=damaged.append)
    if args.json and not args.follow:
        document([asdict(entry) for entry in found])
        _left_out(damaged)
        return 0
    nothing = True
    for entry in found:
        nothing = False
        print(json.dumps(asdict(entry), ensure_ascii=False) if args.json else line(entry), flush=args.follow)
    if nothing:
        print(f"agentflow: no records in {data_dir}", file=sys.stderr)
    _left_out(damaged)
    return 0


def _left_out(damaged: list[Path]) -> None:
    if damaged:
        where = f"{damaged[0].parent.name}/{damaged[0].name}"
        told = f"{len(damaged)} damaged records left out, the first in {where}; see `agentflow audit verify`"
        print(f"agentflow: {told}", file=sys.stderr)


def verify(args: Namespace) -> int:
    """Check every chain; 1 names the first record that is not as it was written."""
    from agentflow.audit.verify import verify as verified

    config = config_file.load(args.config, os.environ)
    found = verified(config.data_dir, _trust(args, config), _witnesses(args.witness))
    if args.json:
        document({"ok": found.ok, **asdict(found)})
        return 0 if found.ok else 1
    for note in found.notes:
        print(f"note: {note}")
    if found.bad is None:
        vouched = f", {found.signed} of them vouched for by a signature" if found.signed else ""
        print(f"{config.data_dir}: {found.records} records in {found.chains} chains, all as they were written{vouched}")
        return 0
    bad = found.bad
    place = "/".join(part for part in (bad.chain, bad.segment) if part) + (f":{bad.line}" if bad.line else "")
    print(f"{place}: {bad.damage} at record {bad.seq}: {bad.detail}")
    return 1


def key(args: Namespace) -> int:
    """Print the public key that signed heads are verified with; --out writes it to a file."""
    from agentflow.audit import signing

    config = _config(args)
    if config.audit.signing_key is None:
        _present(config)
    signer = signing.signer(config.data_dir, config.audit)
    pem = signing.public_pem(signer.public)
    if args.out:
        args.out.write_text(pem, "ascii")
    where = "audit.signing_key" if config.audit.signing_key else str(config.data_dir / signing.KEY_FILE)
    if args.json:
        raw = signing.public_raw(signer.public)
        document({"id": signer.id, "public_key": _base64(raw), "pem": pem, "private_key": where})
    elif args.out:
        print(f"{args.out}: public key {signer.id}")
    else:
        print(pem, end="")
        print(f"# id {signer.id}, private key: {where}", file=sys.stderr)
    return 0


def heads(args: Namespace) -> int:
    """Print the newest signed head of every chain, to be kept elsewhere as a witness."""
    from agentflow.audit import chain, signing

    data_dir = _config(args).data_dir
    lines = [found for folder in chain.chains(data_dir) if (found := signing.latest_line(folder))]
    if args.json:
        document([json.loads(each) for each in lines])
        return 0
    for each in lines:
        print(each.decode())
    return 0


def query(args: Namespace) -> int:
    """Print the newest records that fit, by the index where there is one."""
    from agentflow.audit import index

    config, wanted = _config(args), _filter(args)
    store = _store(config) if not args.no_index else None
    damaged: list[Path] = []
    try:
        found = index.search(config.data_dir, wanted, args.n or None, store, damaged.append)
    finally:
        if store is not None:
            store.close()
    if args.jsonl:
        for entry in found:
            print(json.dumps(asdict(entry), ensure_ascii=False))
    elif args.json:
        document([asdict(entry) for entry in found])
    elif found:
        table([("TIME", "CALLER", "WHAT", "SERVER", "OUTCOME", "µs", "RECORD", "WHY"), *map(_row, found)])
    else:
        print("agentflow: no record fits", file=sys.stderr)
    _left_out(damaged)
    return 0


def export(args: Namespace) -> int:
    """Write every record that fits, one per line, in the order written."""
    from agentflow.audit import export as forms
    from agentflow.audit import query as queries

    damaged: list[Path] = []
    found = queries.scan(_config(args).data_dir, _filter(args), damaged.append)
    lines = (forms.line(entry, args.format) for entry in found)
    if args.out is None:
        count = _written(lines, sys.stdout)
    else:
        with open(os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            count = _written(lines, file)
    print(f"{count} records", file=sys.stderr)
    _left_out(damaged)
    return 0


def _written(lines: Iterator[str], file: TextIO) -> int:
    count = 0
    for each in lines:
        file.write(each + "\n")
        count += 1
    return count


def retire(args: Namespace) -> int:
    """Remove old segments behind a signed checkpoint; 1 where something that should go must stay."""
    from agentflow.audit import retire as retiring
    from agentflow.audit import signing
    from agentflow.audit.caretaker import retired_event
    from agentflow.audit.log import AuditLog

    config = config_file.load(args.config, os.environ)
    days = args.keep_days if args.keep_days is not None else config.audit.keep_days
    size = args.keep_bytes if args.keep_bytes is not None else config.audit.keep_bytes
    if not days and not size:
        raise UsageError(
            "nothing says what is to be kept", fix="give --keep-days or --keep-bytes, or set audit.keep_days"
        )
    _present(config)
    before = time.time() - days * _DAY if days else None
    signer = signing.signer(config.data_dir, config.audit)
    done = retiring.retire(config.data_dir, signer, before=before, keep_bytes=size, trust=_trust(args, config) or None)
    if any(each.records for each in done):
        log = AuditLog(config.data_dir, config.audit)
        try:
            for each in done:
                log.event(retired_event(each, user()))
        finally:
            log.close()
    if args.json:
        document([asdict(each) for each in done])
    for each in done if not args.json else ():
        if each.records:
            print(f"{each.chain}: {each.records} records up to {each.upto} retired, {each.bytes} bytes")
        if each.refused:
            print(f"{each.chain}: kept: {each.refused}")
    if not done and not args.json:
        print("nothing to retire")
    return 1 if any(each.refused for each in done) else 0


def index(args: Namespace) -> int:
    """Bring the index up to date, or make it anew."""
    from agentflow.audit import index as indexes
    from agentflow.errors import AgentFlowError

    config = config_file.load(args.config, os.environ)
    _present(config)
    try:
        store = indexes.open_index(config.data_dir, config.audit)
        try:
            made = indexes.rebuild if args.rebuild else indexes.catch_up
            count = made(config.data_dir, store)
        finally:
            store.close()
    except indexes.IndexUnusable as error:
        raise AgentFlowError(f"The index cannot be used: {error}", fix="try again, or with --rebuild") from error
    if args.json:
        document({"ok": True, "added": count})
    else:
        print(f"{count} records added to the index")
    return 0


def _present(config: Config) -> None:
    if not config.data_dir.is_dir():
        raise UsageError(f"there is no {config.data_dir} yet", fix="start the gateway once, or name its --config")


def line(entry: read.Entry) -> str:
    """One record for a person, on one line and `printable`: when, who, what, how it went."""
    return printable(_told(entry.record))


def _told(record: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(record.get("time") or 0)))
    if record.get("kind") != "call":
        return f"{moment}  {record.get('kind')}  {json.dumps(record, ensure_ascii=False)}"
    principal = record.get("principal") or {}
    who = f"{principal.get('tenant')}/{principal.get('id')}"
    what = " ".join(str(record[key]) for key in ("surface", "name") if record.get(key))
    why = "; ".join(str(reason[-1]) for reason in (record.get("decision") or {}).get("reasons") or [])
    tail = f"  ({why})" if why and record.get("outcome") != "ok" else ""
    return f"{moment}  {who}  {what}  {record.get('outcome')}  {record.get('micros')} µs  {record.get('id')}{tail}"


def _row(entry: read.Entry) -> tuple[str, ...]:
    from agentflow.audit.query import facets

    has = facets(entry.record)
    what = " ".join((has.surface or f"{has.kind}.{has.event}", *has.names[:1]))
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(has.time))
    who = f"{has.tenant}/{has.principal}" if has.principal else "-"
    micros = str(entry.record.get("micros", "-"))
    why = ",".join(has.reasons) if has.decision == "deny" or has.kind != "call" else ""
    return moment, who, what, has.server or "-", has.outcome or "-", micros, has.id or "-", why


def _filter(args: Namespace) -> Filter:
    from agentflow.audit.query import Filter
    from agentflow.commands.output import moment

    return Filter(
        since=moment(args.since) if args.since else None,
        until=moment(args.until) if args.until else None,
        id=args.id,
        kind=args.kind,
        event=args.event,
        tenant=args.tenant,
        principal=args.principal,
        surface=args.surface,
        server=args.server,
        tool=args.tool,
        outcome=args.outcome,
        decision=args.decision,
        reason=args.reason,
        pii=args.pii,
        injection=args.injection,
        refused=True if args.refused else None,
    )


def _store(config: Config) -> Any:
    from agentflow.audit import index

    if not config.audit.index or not config.data_dir.is_dir():
        return None
    try:
        return index.open_index(config.data_dir, config.audit)
    except index.IndexUnusable as error:
        print(f"agentflow: the index cannot be used ({error}); reading the segments", file=sys.stderr)
        return None


def _trust(args: Namespace, config: Config) -> Trust:
    from agentflow.audit import signing

    given: list[str] = args.public_key or []
    if not given:
        return signing.trusted(config.data_dir, config.audit)
    return signing.Trust([signing.decode_public(_text(each), each) for each in given])


def _text(given: str) -> str:
    path = Path(given)
    return path.read_text("ascii", "replace") if path.is_file() else given


def _witnesses(path: Path | None) -> list[Signed[Head]]:
    return list(_read_witnesses(path)) if path else []


def _read_witnesses(path: Path) -> Iterator[Signed[Head]]:
    from agentflow.audit import signing

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", fix="give the file that holds the heads"
        ) from error
    for number, raw in enumerate(content.splitlines(), start=1):
        found = signing.decode(raw, signing.Head)
        if found is None:
            raise UsageError(
                f"{path}:{number} is no signed head", fix="give lines that `agentflow audit heads` printed"
            )
        yield found


def _base64(raw: bytes) -> str:
    import base64

    return base64.b64encode(raw).decode()


def _config(args: Namespace) -> Config:
    """For reading alone: what checks, removes or writes does not act on defaults in place of what is faulty."""
    return config_file.glance(args.config, os.environ)
