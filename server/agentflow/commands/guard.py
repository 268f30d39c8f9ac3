"""`agentflow guard scan`, `agentflow guard eval` and `agentflow guard train`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from agentflow.commands.output import UsageError, document
from agentflow.errors import AgentFlowError, ConfigError
from agentflow.settings import file as config_file

STANDARD = "-"
_LONGEST_SHOWN = 200
_HELD = 6000  # harmless passages that the neural stage is calibrated on: enough for the 0.4 % that may be flagged


class BadLine(AgentFlowError):
    """A line of the input cannot be scanned; nothing was written."""

    kind = "bad_line"


def scan(args: Namespace) -> int:
    """Scan one text, or every row of a JSONL file; 1 where the one text is not allowed."""
    if args.jsonl and args.file:
        raise UsageError("scan takes a FILE or --jsonl, not both")
    if args.jsonl and not args.out:
        raise UsageError("scan --jsonl needs --out FILE (or --out - for standard output)")
    if args.out and not args.jsonl:
        raise UsageError("--out belongs to --jsonl")
    config = config_file.load(args.config, os.environ)
    from agentflow.pipeline.scan import Scanner

    scanner = Scanner(config, deep=args.deep)
    try:
        if args.jsonl:
            return asyncio.run(_rows(scanner, args.jsonl, args.out))
        row = {"text": _text(args.file or STANDARD), "surface": args.surface, "trust": args.trust}
        found = asyncio.run(scanner.row(row))
    finally:
        scanner.close()
    if args.json:
        document(found)
    else:
        _show(found)
    return 0 if found["injection"]["verdict"] == "allow" else 1


# --------------------------------------------------------------------------- many rows


async def _rows(scanner: Any, source: str, target: str) -> int:
    """Scan row by row, in order, in constant memory."""
    verdicts: Counter[str] = Counter()
    with _reading(source) as lines, _writing(target) as out:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            found = await _row(scanner, line, source, number)
            verdicts[found["injection"]["verdict"]] += 1
            out.write(json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    if target != STANDARD:
        counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("allow", "flag", "block"))
        print(f"{target}: {verdicts.total()} rows: {counted}", file=sys.stderr)
    return 0


async def _row(scanner: Any, line: bytes, source: str, number: int) -> dict[str, Any]:
    from agentflow.pipeline.scan import InvalidRow

    try:
        found: dict[str, Any] = await scanner.row(_parsed(line, source, number))
        return found
    except InvalidRow as error:
        raise _bad(source, number, error.message) from None


def _parsed(line: bytes, source: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad(source, number, f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise _bad(source, number, "not a JSON object")
    return row


def _bad(source: str, number: int, why: str) -> BadLine:
    name = "standard input" if source == STANDARD else source
    return BadLine(f"{name}, line {number}: {why}", fix='each line is a JSON object: {"text": "…", …}', line=number)


@contextlib.contextmanager
def _reading(source: str) -> Iterator[IO[bytes]]:
    if source == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as lines:
        yield lines


@contextlib.contextmanager
def _writing(target: str) -> Iterator[IO[bytes]]:
    """The output: a file appears whole or not at all."""
    if target == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Rows hold what was scanned: they are for the one who scans.
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600)) as out:
            yield out
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


# --------------------------------------------------------------------------- one text


def _text(source: str) -> str:
    data = sys.stdin.buffer.read() if source == STANDARD else Path(source).read_bytes()
    return data.decode("utf-8", "replace")


def _show(row: dict[str, Any]) -> None:
    """Print what was found, each with its line and column."""
    text, injection = row["text"], row["injection"]
    print(f"{injection['verdict']}  injection score {injection['score']:.2f}")
    for finding in injection["findings"]:
        what = finding.get("rule") or f"model {finding['model']}"
        said = _shown(_masked(finding, [*row["secrets"], *row["pii"]]))
        print(f"  {_place(text, finding['start'])}  {what} ({finding['severity']:.2f})  {said}")
    for title, values in (("secret", row["secrets"]), ("PII", row["pii"])):
        for value in values:
            # What it is and where, never the value itself: this goes to terminals and logs.
            size = value["end"] - value["start"]
            print(
                f"  {_place(text, value['start'])}  {title} {value['type']} ({value['score']:.2f})  {size} characters"
            )


def _masked(finding: dict[str, Any], values: list[dict[str, Any]]) -> str:
    """The text of a finding with the values in it named by their type."""
    text, at = finding["text"], finding["start"]
    for value in sorted(values, key=lambda value: -value["start"]):
        start, end = value["start"] - at, value["end"] - at
        if start < len(text) and end > 0:
            text = f"{text[: max(0, start)]}<{value['type']}>{text[end:]}"
    return str(text)


def _place(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"{line}:{offset - text.rfind(chr(10), 0, offset)}"


def _shown(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    cut = shown if len(shown) <= _LONGEST_SHOWN else f'{shown[:_LONGEST_SHOWN]}…"'
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in cut)


# --------------------------------------------------------------------------- measuring and training


def evaluate(args: Namespace) -> int:
    """Measure the detectors on labelled rows, with the thresholds in force."""
    config = config_file.load(args.config, os.environ)
    try:
        from agentflow.guard.training import evaluation
    except ImportError as error:
        raise _needs_extra(error) from None
    from agentflow.pipeline.scan import Scanner

    guard = config.guard
    scanner = Scanner(config)
    try:
        with _reading(str(args.dataset)) as lines:
            rows = [_parsed(line, str(args.dataset), number) for number, line in enumerate(lines, 1) if line.strip()]
        report = evaluation.evaluate(
            rows, lambda row: scanner.score(dict(row)), flag=guard.flag_threshold, block=guard.block_threshold
        )
    except ValueError as error:
        raise BadLine(f"{args.dataset}: {error}") from None
    finally:
        scanner.close()
    if args.plot:
        args.plot.write_text(report.svg(), "utf-8")
    print(report.json() if args.json else report.text())
    return 0


def train(args: Namespace) -> int:
    """Train the model that ships, from labelled data and benign text found on this machine."""
    try:
        from agentflow.guard.training import injection_train
    except ImportError as error:
        raise _needs_extra(error) from None
    if args.neural:
        return _train_neural(args)
    out = args.out or Path(str(files("agentflow.guard.injection_model").joinpath("injection.model")))
    made = injection_train.train(args.data, out)
    if args.json:
        document({"ok": True, "file": str(out), "bytes": len(made.data), **made.header})
    else:
        print(f"{out}: {len(made.data)} bytes, {json.dumps(made.header.get('manifest', {}), default=str)[:400]}")
    return 0


def _train_neural(args: Namespace) -> int:
    from agentflow.guard.training import injection_data, neural

    if args.out is None:
        raise UsageError("train --neural needs --out DIR, the folder for the model")
    if args.windows < 1:
        raise UsageError("train --neural --windows needs a number from 1 up")
    corpus = injection_data.build(args.data)
    passages = [
        neural.Passage(window.text, window.spans) for window in injection_data.windows(corpus.part("train", "test"))
    ]
    held = [window.text for window in injection_data.windows(corpus.part("calibrate")) if not window.label]
    learnt, kept = (
        neural.sample(passages, args.windows),
        neural.sample([neural.Passage(text, ()) for text in held], _HELD),
    )
    built = neural.train(
        learnt, [passage.text for passage in kept], args.out, say=lambda line: print(line, file=sys.stderr)
    )
    if args.json:
        document({"ok": True, "folder": str(args.out), **asdict(built)})
    else:
        print(f"{args.out}: {built.passages} passages, {built.size} bytes")
    return 0


def _needs_extra(error: ImportError) -> ConfigError:
    return ConfigError(
        f"This command needs a package that is not installed: {error.name}",
        fix="pip install 'agentflow-gateway[guard-train]'",
    )
