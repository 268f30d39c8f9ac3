"""The offline planner on the sample servers and utilities: exact answers, or none."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    sys.path.append(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("offline_benchmark", ROOT / "benchmarks" / "offline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    before = os.environ.get("HELPDESK_DB")
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))
    if before is None:
        os.environ.pop("HELPDESK_DB", None)
    else:
        os.environ["HELPDESK_DB"] = before


async def test_most_held_out_questions_are_answered_exactly_few_wrongly_and_nothing_is_written(benchmark: Any) -> None:
    asked = benchmark.generate(benchmark.HELD_OUT, 2, 7)
    outcomes, writes = await benchmark.run(asked)
    assert sum(o.right for o in outcomes) >= 0.6 * len(outcomes)
    assert sum(o.wrong for o in outcomes) <= 0.15 * len(outcomes)
    assert writes == []


async def test_what_no_tool_knows_is_not_answered(benchmark: Any) -> None:
    unknown = [
        "How tall is Ada Lindqvist?",
        "Which warehouse shipped order SO-10003?",
        "Who is the manager of Ada Lindqvist?",
        "When was the ticket of Ada Lindqvist closed?",
        "What is the square root of the total of order SO-10003?",
        "What is the ratio of Ada Lindqvist's orders to Marcus Bell's orders?",
        "How many calories does the apple cake have?",
        "Write an email to Ada Lindqvist about her order.",
        "Add the item of order SO-10003 to a new ticket.",
    ]
    questions = [benchmark.Asked("unknown", 1, text, None) for text in unknown]
    outcomes, writes = await benchmark.run(questions)
    assert [o.asked.text for o in outcomes if o.solution.status == "complete"] == []
    assert writes == []


def test_wordings_and_combinations_of_train_and_held_out_are_disjoint(benchmark: Any) -> None:
    def of(templates: Any, name: str) -> set[str]:
        found: set[str] = set()
        for template in templates:
            value = getattr(template, name)
            found |= {value} if isinstance(value, str) else set(value)
        return found

    for name in ("combination", "wordings", "name"):
        assert not of(benchmark.TRAIN, name) & of(benchmark.HELD_OUT, name)
    assert len(benchmark.generate(benchmark.HELD_OUT, benchmark.EACH, benchmark.SEED)) >= 200
