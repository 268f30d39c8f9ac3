"""Tool descriptions, honest and poisoned.

Honest ones are those of the data folder and what documents functions and services on this machine: docstrings with
their parameters, operations of the AWS models, help of command-line tools. Poisoned ones are honest ones with an
order to the model in them, in the ways that are known from real attacks.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from agentflow.guard.training.generate import Wordings
from agentflow.guard.training.harvest import Document

_TAG: Final = re.compile(r"<[^>]{1,80}>")
_PER_PACKAGE: Final = 25
_MADE: Final = 2000  # honest descriptions from templates
_LONGEST: Final = 1800


def honest(wordings: Wordings, rows: list[dict[str, Any]], seed: int = 7, *, machine: bool = True) -> list[Document]:
    """Real descriptions by source, sorted; `rows` are those of the data folder, `machine` adds what is installed."""
    found = [
        Document(row["text"], f"{row['source']}:{n % 10}", "tool_desc", surface="description")
        for n, row in enumerate(rows)
    ]
    if machine:
        found += [*_docstrings(seed), *_operations(seed)]
    for index in range(_MADE):
        rng = Random(f"{seed}:honest:{index}")
        lines = [wordings.drawn("honest", rng) for _ in range(rng.randrange(1, 6))]
        text = " ".join(wordings.expand(*written, rng) for written in lines)
        found.append(Document(text, f"honest:{index % 60}", "gen_desc", surface="description"))
    return found


def poisoned(wordings: Wordings, honest_ones: list[Document], count: int, seed: int = 7) -> Iterator[Document]:
    """Attacks: an honest description with poison before, after, inside or in a parameter, or alone."""
    for index in range(count):
        rng = Random(f"{seed}:poison:{index}")
        host = rng.choice(honest_ones).text
        if rng.random() < 0.25:
            poison, family = wordings.attack(rng)
            family = f"desc_{family}"
        else:
            author, line = wordings.drawn("poison", rng)
            poison, family = wordings.expand(author, line, rng), f"poison_{author}_{sum(line.encode()) % 20}"
            if rng.random() < 0.3:
                more, line = wordings.drawn("poison", rng)
                poison += rng.choice((" ", "\n")) + wordings.expand(more, line, rng)
        yield _put(host, poison, family, rng)


def honest_twins(wordings: Wordings, honest_ones: list[Document], count: int, seed: int = 7) -> Iterator[Document]:
    """The same hosts with an honest remark in the same places."""
    for index in range(count):
        rng = Random(f"{seed}:honest-twin:{index}")
        host = rng.choice(honest_ones)
        author, line = wordings.drawn("honest", rng)
        made = _put(host.text, wordings.expand(author, line, rng), "", rng)
        yield Document(made.text, host.source, "desc_twin", surface="description")


def _put(host: str, poison: str, family: str, rng: Random) -> Document:
    draw = rng.random()
    sentences = [match.end() for match in re.finditer(r"[.\n]\s", host)]
    if draw < 0.15:
        host, at = "", 0
    elif draw < 0.55 or not sentences:
        at = len(host)
    elif draw < 0.7:
        at = 0
    else:
        at = rng.choice(sentences)
    before, after = host[:at], host[at:]
    if before and not before.endswith((" ", "\n")):
        before += rng.choice((" ", "\n", "\n\n"))
    if after and not after.startswith((" ", "\n")):
        after = rng.choice((" ", "\n")) + after
    span = (len(before), len(before) + len(poison))
    return Document(before + poison + after, f"attack:{family}", "description", 1, (span,), family, "description")


def _docstrings(seed: int) -> Iterator[Document]:
    """Docstrings of public functions in installed packages, some with their parameters as a schema."""
    roots = [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))]
    packages = sorted({path for root in roots for path in root.iterdir() if path.is_dir() and "." not in path.name})
    for package in packages:
        if package.name in ("site-packages", "__pycache__", "test", "agentflow"):
            continue
        rng = Random(f"{seed}:{package.name}")
        files = sorted(package.rglob("*.py"))
        rng.shuffle(files)
        count = 0
        for path in files[:40]:
            for text in _documented(path, rng):
                yield Document(text, f"docstring:{package.name}", "docstring", surface="description")
                count += 1
            if count >= _PER_PACKAGE:
                break


def _documented(path: Path, rng: Random) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in functions[:6]:
        text = ast.get_docstring(node)
        if text and 15 < len(text) < _LONGEST and not re.search(r"(?i)inject|jailbreak|ignore previous", text):
            draw = rng.random()
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
            schema = json.dumps([{"name": name, "type": "string", "required": True} for name in names])
            yield text if draw < 0.6 else f"{node.name}: {text}" if draw < 0.8 else f"{node.name}: {text}\n{schema}"


def _operations(seed: int) -> Iterator[Document]:
    """Operations of the AWS service models, if botocore is installed."""
    folder = Path(sysconfig.get_path("purelib")) / "botocore" / "data"
    for path in sorted(folder.glob("*/*/service-2.json.gz")):
        rng = Random(f"{seed}:{path.parent.parent.name}")
        if rng.random() > 0.4:
            continue
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            operations: dict[str, Any] = json.load(stream).get("operations", {})
        for name in rng.sample(sorted(operations), min(8, len(operations))):
            text = " ".join(_TAG.sub(" ", operations[name].get("documentation", "")).split())[:_LONGEST]
            if len(text) > 20:
                yield Document(text, f"aws:{path.parent.parent.name}", "operation", surface="description")
