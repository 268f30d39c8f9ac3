"""`agentflow audit tail` and `agentflow audit verify`."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from agentflow.audit import read
from agentflow.commands.output import document
from agentflow.settings import file as config_file


def tail(args: Namespace) -> int:
    """Print the newest records, one per line; with --json an array, or with -f one document per line."""
    data_dir = _data_dir(args)
    found = read.tail(data_dir, args.n, args.follow)
    if args.json and not args.follow:
        document([asdict(entry) for entry in found])
        return 0
    nothing = True
    for entry in found:
        nothing = False
        print(json.dumps(asdict(entry), ensure_ascii=False) if args.json else line(entry), flush=args.follow)
    if nothing:
        print(f"agentflow: no records in {data_dir}", file=sys.stderr)
    return 0


def verify(args: Namespace) -> int:
    """Check every chain; 1 names the first record that is not as it was written."""
    data_dir = _data_dir(args)
    found = read.verify(data_dir)
    if args.json:
        document({"ok": found.ok, **asdict(found)})
        return 0 if found.ok else 1
    for note in found.notes:
        print(f"note: {note}")
    if found.bad is None:
        print(f"{data_dir}: {found.records} records in {found.chains} chains, all as they were written")
        return 0
    bad = found.bad
    place = f"{bad.chain}/{bad.segment}" + (f":{bad.line}" if bad.line else "")
    print(f"{place}: {bad.damage} at record {bad.seq}: {bad.detail}")
    return 1


def line(entry: read.Entry) -> str:
    """One record for a person: when, who, what, how it went."""
    record = entry.record
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(record.get("time") or 0)))
    if record.get("kind") != "call":
        return f"{moment}  {record.get('kind')}  {json.dumps(record, ensure_ascii=False)}"
    principal = record.get("principal") or {}
    who = f"{principal.get('tenant')}/{principal.get('id')}"
    what = " ".join(str(record[key]) for key in ("surface", "name") if record.get(key))
    why = "; ".join(str(reason[-1]) for reason in (record.get("decision") or {}).get("reasons") or [])
    tail = f"  ({why})" if why and record.get("outcome") != "ok" else ""
    return f"{moment}  {who}  {what}  {record.get('outcome')}  {record.get('micros')} µs  {record.get('id')}{tail}"


def _data_dir(args: Namespace) -> Path:
    return config_file.glance(args.config, os.environ).data_dir
