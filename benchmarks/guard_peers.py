"""The guard beside others, on the same texts: stackone-defender for injection, Presidio alone for structured PII.

    python benchmarks/injection_sets.py --data DIR --out SETS
    python benchmarks/guard_peers.py --sets SETS [--sample 120] [--documents 600]

Both are taken as they come: stackone-defender by its own defaults with its model on and high risk blocked; Presidio's
AnalyzerEngine with its pattern recognisers and no entity model (no English one is on the package index), everything
from its default threshold on, offline. "Not allowed" is a verdict other than allow. Costs are CPU of this process.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pii_texts

from agentflow.config import Config
from agentflow.guard.entities import canonical
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.pipeline.scan import Scanner

FLAG = 0.4
# What both look for, by our names.
SHARED = ("CARD", "EMAIL", "IBAN", "IP", "PHONE", "SSN", "UK_NHS", "CRYPTO", "ES_NIF", "IT_FISCAL_CODE", "IN_PAN")


def stackone() -> Callable[[dict[str, Any]], bool]:
    """Return a judge: whether stackone-defender does not allow a row."""
    import stackone_defender

    defence = stackone_defender.create_prompt_defense(enable_tier2=True, block_high_risk=True)
    defence.warmup_tier2()
    return lambda row: not defence.defend_tool_result({"text": row["text"]}, "tool").allowed


def presidio() -> Callable[[str], set[tuple[str, int, int]]]:
    """Return a finder of what Presidio's patterns find."""
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())  # else its first e-mail asks the network
    nlp = NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}])
    nlp.load()
    engine = AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])
    return lambda text: {(canonical(f.entity_type), f.start, f.end) for f in engine.analyze(text, language="en")}


def injection(sets: Path, sample: int) -> None:
    """Print, for every set, which share of it is not allowed by either, and what that costs."""
    scanner, theirs = Scanner(Config()), stackone()
    try:
        print(f"{'set':14} {'texts':>5} {'ours %':>7} {'stackone %':>10} {'ours ms/KB':>10} {'stackone ms/KB':>14}")
        for path in sorted(sets.glob("*.jsonl")):
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            random.Random(7).shuffle(rows)
            rows = rows[:sample]
            size = sum(len(row["text"]) for row in rows) / 1024
            start = time.process_time()
            own = sum(scanner.score(row) >= FLAG for row in rows)
            middle = time.process_time()
            other = sum(map(theirs, rows))
            end = time.process_time()
            shares = f"{100 * own / len(rows):7.1f} {100 * other / len(rows):10.1f}"
            costs = f"{(middle - start) * 1000 / size:10.2f} {(end - middle) * 1000 / size:14.1f}"
            print(f"{path.stem:14} {len(rows):5} {shares} {costs}", flush=True)
    finally:
        scanner.close()


def structured(documents: int) -> None:
    """Print recall and precision of both for the types that both look for."""
    texts = pii_texts.documents("held-out", documents, 7)
    matcher, theirs = PiiMatcher(), presidio()
    finders = {
        "ours": lambda text: {(found.type, found.start, found.end) for found in matcher.find(text)},
        "presidio alone": theirs,
    }
    size = sum(len(document.text) for document in texts) / 1024
    for name, finder in finders.items():
        hit = missed = false = 0
        start = time.process_time()
        for document in texts:
            wanted = {span for span in document.spans if span[0] in SHARED}
            got = {span for span in finder(document.text) if span[0] in SHARED}
            hit, missed, false = hit + len(wanted & got), missed + len(wanted - got), false + len(got - wanted)
        cost = (time.process_time() - start) * 1000 / size
        print(f"{name:15} recall {hit / (hit + missed):.4f}  precision {hit / (hit + false):.4f}  {cost:.2f} ms/KB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, help="folder of injection_sets.py")
    parser.add_argument("--sample", type=int, default=120, help="texts of each set")
    parser.add_argument("--documents", type=int, default=600, help="generated documents with personal data")
    arguments = parser.parse_args()
    structured(arguments.documents)
    if arguments.sets:
        injection(arguments.sets, arguments.sample)


if __name__ == "__main__":
    main()
