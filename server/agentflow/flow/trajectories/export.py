"""Records of runs as Parquet, for the trainer: one row per run, its turns as nested structs.

Promises: the columns of `schema` in that order, whatever the records hold; what has no fixed shape (arguments, outputs,
values) is JSON text; costs are whole nano-dollars, times are UTC; a file that appears whole or not at all, in the place
of a regular file or of none. Whose run it was is not in it. Needs pyarrow.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from agentflow.errors import ConfigError
from agentflow.flow.trajectories.record import Exchange, Trajectory, Turn

_AT_ONCE: Final = 256  # rows of a row group


def export(records: Iterable[Trajectory], out: Path) -> int:
    """Write the records to `out`; how many.

    Raises:
        ConfigError: pyarrow is not installed.
        OSError: the file cannot be written, or is a folder, a device or a pipe.
    """
    out = out.resolve()  # of a link, what it leads to
    if out.exists() and not out.is_file():  # it would be replaced
        raise OSError(errno.EINVAL, "Not a regular file", str(out))
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError("Parquet is written by pyarrow, which is not installed", fix="pip install pyarrow") from None
    shape, count = schema(arrow), 0
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    try:
        with parquet.ParquetWriter(name, shape, compression="zstd") as writer:
            rows = map(row, records)
            while batch := list(islice(rows, _AT_ONCE)):
                writer.write_table(arrow.Table.from_pylist(batch, schema=shape))
                count += len(batch)
        os.chmod(name, 0o600)
        os.replace(name, out)
    except BaseException:
        os.unlink(name)
        raise
    return count


def schema(arrow: Any) -> Any:
    """The columns. The first three are those of AgentFlow's own training data (arXiv 2510.05592)."""
    text, whole, real, yes = arrow.string(), arrow.int64(), arrow.float64(), arrow.bool_()

    def several(**members: Any) -> Any:
        return arrow.list_(arrow.struct(list(members.items())))

    exchanges = several(
        purpose=text, prompt=several(role=text, content=text), output=text, valid=yes, provider=text, model=text,
        tier=text, prompt_tokens=whole, completion_tokens=whole, cost_nano=whole, cached=yes, seconds=real,
    )  # fmt: skip
    verdict = arrow.struct(
        [(name, text) for name in ("status", "next_action", "execution_analysis", "memory_analysis", "reasoning")]
    )
    turns = several(
        turn=whole, branch=whole, attempt=whole, replanned=yes, sub_goal=text, tool=text, reasoning=text,
        skills=arrow.list_(text), exchanges=exchanges, shown_tools=arrow.list_(text),
        calls=several(tool=text, arguments=text, purpose=text),
        observations=several(tool=text, success=yes, output=text, error=text, message=text, seconds=real),
        verdict=verdict, tokens=whole, cost_nano=whole, seconds=real,
    )  # fmt: skip
    columns = {
        "question": text, "answer": text, "data_id": text, "turns": turns, "outcome": text, "reason": text,
        "confidence": real, "reward": real, "evidence": several(tool=text, path=text, value=text),
        "tokens": whole, "cost_nano": whole, "models": arrow.list_(text),
        "policy_refusals": several(turn=whole, tool=text, kind=text, reasons=arrow.list_(text), message=text),
        "exchanges": exchanges, "memories": arrow.list_(text), "flagged": arrow.list_(text),
        "planner": text, "pattern": text, "started": arrow.timestamp("us", tz="UTC"), "seconds": real, "version": whole,
    }  # fmt: skip
    return arrow.schema(list(columns.items()))


def row(record: Trajectory) -> dict[str, Any]:
    """A record as a row of `schema`."""
    return {
        "question": record.question,
        "answer": record.answer,
        "data_id": record.data_id,
        "turns": [_turn(turn) for turn in record.turns],
        "outcome": record.outcome,
        "reason": record.reason,
        "confidence": record.confidence,
        "reward": record.reward,
        "evidence": [{"tool": e.tool, "path": e.path, "value": _json(e.value)} for e in record.evidence],
        "tokens": record.tokens,
        "cost_nano": record.cost,
        "models": record.models,
        "policy_refusals": [refusal.model_dump() for refusal in record.refusals],
        "exchanges": list(_exchanges(record.exchanges)),
        "memories": record.memories,
        "flagged": record.flagged,
        "planner": record.planner,
        "pattern": record.pattern,
        "started": round(record.started * 1e6),
        "seconds": record.seconds,
        "version": record.version,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    plan, verdict = turn.plan, turn.verdict
    return {
        "turn": turn.turn,
        "branch": turn.branch,
        "attempt": turn.attempt,
        "replanned": turn.replanned,
        "sub_goal": plan.current_sub_goal if plan else "",
        "tool": plan.selected_tool if plan else None,
        "reasoning": plan.reasoning if plan else "",
        "skills": plan.required_skills if plan else [],
        "exchanges": list(_exchanges(turn.exchanges)),
        "shown_tools": turn.shown_tools,
        "calls": [{"tool": c.tool, "arguments": _json(c.arguments), "purpose": c.purpose} for c in turn.calls],
        "observations": [{**o.model_dump(exclude={"output"}), "output": _json(o.output)} for o in turn.observations],
        "verdict": verdict
        and {
            "status": verdict.verification_status,
            "next_action": verdict.next_action,
            "execution_analysis": verdict.execution_analysis,
            "memory_analysis": verdict.memory_analysis,
            "reasoning": verdict.reasoning,
        },
        "tokens": turn.tokens,
        "cost_nano": turn.cost,
        "seconds": turn.seconds,
    }


def _exchanges(exchanges: Iterable[Exchange]) -> Iterator[dict[str, Any]]:
    for exchange in exchanges:
        yield {**exchange.model_dump(exclude={"id", "cost"}), "cost_nano": exchange.cost}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
