"""`agentflow trajectories`: the records of runs, listed, shown and exported for training.

Works on the data directory alone, beside running gateways. What is kept holds personal data as tokens only, and so
does what is printed and exported.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from itertools import islice

from agentflow.commands.output import document, moment, printable, table
from agentflow.errors import NotFound
from agentflow.flow.trajectories.export import export as write_parquet
from agentflow.flow.trajectories.files import TrajectoryFiles, Wanted
from agentflow.flow.trajectories.record import Trajectory, Turn
from agentflow.models.port import NANO
from agentflow.settings import file as config_file

_SHOWN = 300  # characters of an output


def show_list(args: Namespace) -> int:
    """List records, newest first."""
    files = _files(args)
    found = list(islice(files.read(_wanted(args), newest_first=True), args.limit))
    if args.json:
        document({"trajectories": [_brief(record) for record in found], "damaged": files.damaged})
        return 0
    rows: list[tuple[str, ...]] = [("ID", "STARTED", "OUTCOME", "TURNS", "TOKENS", "COST", "QUESTION")]
    rows += [_row(record) for record in found]
    if found:
        table(rows)
    else:
        print("agentflow: no run is recorded that fits", file=sys.stderr)
    _warn(files)
    return 0


def show(args: Namespace) -> int:
    """Show one record, turn by turn."""
    record = _files(args).find(args.id)
    if record is None:
        raise NotFound(f"no run {args.id} is recorded", fix="`agentflow trajectories list` names what is")
    if args.json:
        document({**record.model_dump(mode="json"), **_sums(record)})
        return 0
    why = f": {printable(record.reason)}" if record.reason else ""
    print(f"{record.data_id}  {_when(record)}  {record.outcome}{why}")
    print(f"question  {printable(record.question)}")
    if record.answer:
        print(f"answer    {printable(record.answer)}  (confidence {record.confidence:.2f})")
    models = f", {', '.join(record.models)}" if record.models else ""
    print(f"planner   {record.planner}, {record.pattern}; {record.tokens} tokens, {_usd(record.cost)}{models}")
    for turn in record.turns:
        _print_turn(turn)
    if record.flagged:
        print(f"flagged   {', '.join(record.flagged)}")
    for refusal in record.refusals:
        print(f"refused   {printable(refusal.tool)}: {refusal.kind} {printable(' '.join(refusal.reasons))}")
    return 0


def export(args: Namespace) -> int:
    """Write records as Parquet, oldest first."""
    files = _files(args)
    records = files.read(_wanted(args))
    count = write_parquet(records if args.limit is None else islice(records, args.limit), args.out)
    if args.json:
        document({"out": str(args.out), "trajectories": count, "damaged": files.damaged})
    else:
        print(f"{count} runs: {args.out}")
    _warn(files)
    return 0


def _files(args: Namespace) -> TrajectoryFiles:
    return TrajectoryFiles(config_file.glance(args.config, os.environ).data_dir)


def _wanted(args: Namespace) -> Wanted:
    return Wanted(
        tenant=args.tenant or "",
        principal=args.principal or "",
        outcome=args.outcome or "",
        planner=args.planner or "",
        unflagged=args.unflagged,
        since=moment(args.since) if args.since else 0.0,
        until=moment(args.until) if args.until else float("inf"),
    )


def _warn(files: TrajectoryFiles) -> None:
    if files.damaged:
        print(f"agentflow: {files.damaged} damaged records were passed over", file=sys.stderr)


def _sums(record: Trajectory) -> dict[str, object]:
    return {"tokens": record.tokens, "cost_nano": record.cost, "models": record.models}


def _brief(record: Trajectory) -> dict[str, object]:
    whole = record.model_dump(mode="json", exclude={"turns", "exchanges", "evidence"})
    return {**whole, "turns": len(record.turns), **_sums(record)}


def _row(record: Trajectory) -> tuple[str, ...]:
    question = record.question if len(record.question) <= 80 else record.question[:79] + "…"
    turns, tokens = str(len(record.turns)), str(record.tokens)
    return record.data_id, _when(record), record.outcome, turns, tokens, _usd(record.cost), question


def _when(record: Trajectory) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started))


def _usd(nano: int) -> str:
    return f"${nano / NANO:.6f}" if nano else "$0"


def _print_turn(turn: Turn) -> None:
    marks = [f"branch {turn.branch}"] if turn.branch else []
    marks += [f"attempt {turn.attempt + 1}"] if turn.attempt else []
    about = f" ({', '.join(marks)})" if marks else ""
    print(f"\nturn {turn.turn}{about}  {turn.seconds:.2f} s")
    if turn.plan is not None:
        print(f"  goal    {printable(turn.plan.current_sub_goal)}")
    for exchange in turn.exchanges:
        tokens = f"{exchange.prompt_tokens}+{exchange.completion_tokens} tokens"
        print(f"  asked   {exchange.purpose}: {printable(exchange.provider)}:{printable(exchange.model)}, {tokens}")
    for call, seen in zip(turn.calls, [*turn.observations, *[None] * len(turn.calls)], strict=False):
        print(f"  call    {printable(call.tool)} {printable(str(call.arguments))[:_SHOWN]}")
        if seen is not None:
            what = str(seen.output) if seen.success else f"{seen.error}: {seen.message}"
            print(f"  gave    {printable(what)[:_SHOWN]}")
    if turn.verdict is not None:
        ruled = f"{turn.verdict.verification_status}, {turn.verdict.next_action}"
        print(f"  verdict {ruled}: {printable(turn.verdict.reasoning)[:_SHOWN]}")
