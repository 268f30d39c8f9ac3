"""How well and how fast the hot tier finds structured personal data, on texts generated from a seed.

    python benchmarks/pii.py [--split dev|held-out] [--documents 4000] [--seed 7] [--errors 20] [--json FILE]

Values come from faker in two dozen locales and from generators with valid check digits; they stand in JSON, CSV,
logs, mails, prose, HTML, Markdown tables and code (`pii_texts.py`). A fifth of the documents hold hard negatives
only. `dev` texts are for looking at errors; `held-out` ones use other templates and are for measuring. A match counts
when its type is right and its span is the value's; any other match is a false one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pii_texts

from agentflow.guard.pii.matcher import PiiMatcher


def judge(matcher: PiiMatcher, documents: list[pii_texts.Document], errors: int) -> dict[str, Any]:
    """Return found, missed and false matches by type."""
    found: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    shown = 0
    for document in documents:
        expected = set(document.spans)
        got = {(match.type, match.start, match.end) for match in matcher.find(document.text)}
        for kind, *_ in expected & got:
            found[kind] += 1
        for label, counter, wrong in (("missed", missed, expected - got), ("false", false, got - expected)):
            for kind, start, end in wrong:
                counter[kind] += 1
                if shown < errors:
                    shown += 1
                    around = document.text[max(0, start - 50) : end + 25]
                    print(f"{label:6} {kind:14} {document.text[start:end]!r} in {around!r}", file=sys.stderr)
    return {
        kind: {
            "values": found[kind] + missed[kind],
            "recall": round(found[kind] / max(1, found[kind] + missed[kind]), 4),
            "precision": round(found[kind] / max(1, found[kind] + false[kind]), 4),
            "false": false[kind],
        }
        for kind in sorted(found.keys() | missed.keys() | false.keys())
    }


def total(table: dict[str, Any]) -> dict[str, float]:
    """Return recall and precision over all values."""
    values = sum(row["values"] for row in table.values())
    found = sum(row["recall"] * row["values"] for row in table.values())
    false = sum(row["false"] for row in table.values())
    return {"recall": round(found / values, 4), "precision": round(found / (found + false), 4)}


def cpu_ms(matcher: PiiMatcher, text: str, rounds: int) -> float:
    """CPU milliseconds of one look at `text`."""
    matcher.find(text)
    start = time.process_time()
    for _ in range(rounds):
        matcher.find(text)
    return (time.process_time() - start) / rounds * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "held-out"), default="held-out")
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--errors", type=int, default=0, help="print so many wrong matches to stderr")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    documents = pii_texts.documents(arguments.split, arguments.documents, arguments.seed)
    matcher = PiiMatcher()
    table = judge(matcher, documents, arguments.errors)
    for kind, row in table.items():
        print(f"{kind:26} values {row['values']:6}  recall {row['recall']:.4f}  precision {row['precision']:.4f}")
    negatives = [document for document in documents if not document.spans]
    touched = sum(1 for document in negatives if matcher.find(document.text))
    print(f"documents without personal data that are touched: {touched} of {len(negatives)}")
    whole = total(table)
    print(f"all types: recall {whole['recall']:.4f}, precision {whole['precision']:.4f}")
    rng = random.Random(arguments.seed)
    prose = pii_texts.clean_prose(rng, 10_000)
    listing = pii_texts.clean_json(rng, 10_000)
    mixed = "\n".join(document.text for document in documents)
    per_kb = {"prose": cpu_ms(matcher, prose, 50) / 10, "JSON": cpu_ms(matcher, listing, 50) / 10}
    dense = {"100 KB of dense personal data": cpu_ms(matcher, mixed[:100_000], 5)}
    for name, value in {**per_kb, **dense}.items():
        print(f"{name}: {value:.3f} ms" + (" per KB" if name in per_kb else ""))
    if arguments.json:
        figures = {"types": table, "all": whole, "ms_per_kb": per_kb, "ms": dense, "touched": touched}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
