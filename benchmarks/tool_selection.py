"""recall@20 of the right tool among 2,000, by words, by meaning and by both; and the cost. Real code, drawn questions.

    python -m benchmarks.tool_selection [--json FILE]

Two catalogues: the drawn one of `tool_selection_set`, with questions in the tools' nouns and in other words; and, where
botocore is installed, the operations of the services that the encoder was not fitted on, each tool described by the
first sentence of its documentation and asked for by the second.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agentflow.flow.port import ToolView
from agentflow.flow.select_tools import _Shelf, _shelf, select_tools
from agentflow.models.encoder import encoder
from benchmarks.tool_selection_set import Asked, catalogue

LIMIT = 20


def recall(asked: Sequence[Asked], chosen: Callable[[str], Sequence[str]]) -> float:
    """The share of questions whose tool is among the chosen."""
    return sum(one.tool in chosen(one.question) for one in asked) / len(asked) if asked else 0.0


def measured(tools: Sequence[ToolView], asked: Sequence[Asked]) -> dict[str, float]:
    shelf = _shelf(tools)
    names = [tool.name for tool in tools]
    return {
        "words (BM25)": recall(asked, lambda q: [names[p] for p in shelf.exact(q, LIMIT)]),
        "words and near words": recall(asked, lambda q: [names[p] for p in shelf.words(q, LIMIT)]),
        "meaning": recall(asked, lambda q: [names[p] for p in shelf.meaning(q, LIMIT)]),
        "both": recall(asked, lambda q: [tool.name for tool in select_tools(q, tools, LIMIT)]),
        "first": recall(asked, lambda q: [tool.name for tool in select_tools(q, tools, LIMIT)][:1]),
        "first five": recall(asked, lambda q: [tool.name for tool in select_tools(q, tools, LIMIT)][:5]),
    }


def operations_unseen(most: int = 2_000) -> tuple[list[ToolView], list[Asked]]:
    """Operations of held-out services as tools, and questions about those that are described in two sentences."""
    from agentflow.models.encoder.corpus import held_out, operations

    tools, asked = [], []
    for operation in [o for o in operations() if held_out(o.service)][:most]:
        name = f"{operation.service}__{operation.name.replace(' ', '_')}"
        schema = {"type": "object", "properties": {p.replace(" ", "_"): {} for p in operation.parameters[:6]}}
        tools.append(ToolView(name, "", operation.sentences[0], schema, None, {}, operation.service))
        if len(operation.sentences) > 1 and len(operation.sentences[1].split()) > 6:
            asked.append(Asked(operation.sentences[1], name, True))
    return tools, asked


def costs(tools: Sequence[ToolView], asked: Sequence[Asked]) -> dict[str, float]:
    """Microseconds and mebibytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    open_encoder = encoder()
    opened = time.process_time() - began
    questions = [one.question for one in asked]
    began = time.process_time()
    for question in questions:
        open_encoder.encode(question)
    first = (time.process_time() - began) / len(questions)
    began = time.process_time()
    for question in questions:
        open_encoder.encode(question)
    again = (time.process_time() - began) / len(questions)
    encoder_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    began = time.process_time()
    _Shelf(tools)
    shelf = time.process_time() - began
    select_tools(questions[0], tools, LIMIT)
    began = time.process_time()
    for question in questions:
        select_tools(question, tools, LIMIT)
    choose = (time.process_time() - began) / len(questions)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "open_us": opened * 1e6,
        "encode_first_us": first * 1e6,
        "encode_us": again * 1e6,
        "index_2000_ms": shelf * 1e3,
        "select_ms": choose * 1e3,
        "encoder_mib": encoder_memory / 1024,
        "all_mib": memory / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for seed in args.seeds:
        tools, asked = catalogue(seed=seed)
        if not found:
            found["costs"] = costs(tools, asked)
        for name, reworded in (("own words", False), ("other words", True)):
            some = [one for one in asked if one.reworded is reworded]
            found[f"seed {seed}, {name}"] = {"questions": len(some), **measured(tools, some)}
    if importlib.util.find_spec("botocore") is not None:
        tools, asked = operations_unseen()
        found["unseen AWS operations"] = {"tools": len(tools), "questions": len(asked), **measured(tools, asked)}
    for name, figures in found.items():
        print(name, {key: round(value, 3) for key, value in figures.items()})
    if args.json:
        args.json.write_text(json.dumps({"python": sys.version.split()[0], **found}, indent=1))


if __name__ == "__main__":
    main()
