"""Measures PII detection on presidio-research's synthetic data set, by that project's own definition.

    python -P benchmarks/presidio_research.py --data synth_dataset_v2.json.gz

The definition (presidio-evaluator 0.3.2, `TokenEvaluator`; the published 0.618 and 0.845 are its "PII" F-2): spaCy's
English tokens; a token is tagged if it begins inside a span, or holds one; PII recall and precision count tokens that
carry any type against tokens that were given any type; a token on the list of skip words is not counted where the two
differ. Per type, the prediction's type must be the annotation's after both are mapped (addresses, towns, countries
and postal codes are LOCATION).

Systems: `agentflow` (hot tier and deep tier), `agentflow-hot`, `presidio` (all pattern recognisers, no entity model)
and `presidio:NAME` for Presidio over an installed spaCy model. Needs presidio-analyzer and spaCy.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import string
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spacy.lang.en import English
from spacy.lang.en.stop_words import STOP_WORDS

from agentflow.config_guard import DeepConfig, GuardConfig
from agentflow.guard.deep.engines import build
from agentflow.guard.deep.tier import DeepTier
from agentflow.guard.entities import canonical
from agentflow.guard.spans import merged
from agentflow.pipeline.pii import build_matcher

Span = tuple[str, int, int, float]
Finder = Callable[[Sequence[str]], list[list[Span]]]

# `presidio_evaluator.evaluation.skipwords`, which adds spaCy's stop words.
_MORE_SKIPPED = """
's street st. st de rue via and a the or do as of day address country state city zip po apt unit corner p.o. box suite
mr. mrs. miss year years y/o month months old morning noon afternoon night evening this first last week weeks weekend
days age ago inc inc. ltd >> >>> >>>> >>>>> >>>>>>
"""
SKIPPED = frozenset([*string.punctuation, *string.whitespace, *STOP_WORDS, *_MORE_SKIPPED.split(), ""])
_ONE = {"ADDRESS": "LOCATION", "ZIP_CODE": "LOCATION", "DATE_OF_BIRTH": "DATE_TIME", "DOMAIN_NAME": "URL"}


def kind(name: str) -> str:
    """Return the type that a label of the data, of Presidio or of ours is counted as."""
    ours = canonical(name)
    return _ONE.get(ours, ours)


def tags(text: str, tokens: Any, spans: Sequence[Span]) -> list[str]:
    """Return a type or `O` for each token, as `span_to_tag` does; where spans overlap the surer one counts."""
    found = sorted(spans, key=lambda span: -span[3])
    out = []
    for token in tokens:
        start, end = token.idx, token.idx + len(token.text)
        hits = (name for name, first, last, _ in found if first <= start < last or start <= first <= last <= end)
        out.append(next(hits, "O"))
    return out


def measure(rows: Sequence[Any], predicted: Sequence[list[Span]]) -> Counter[tuple[str, str]]:
    """Count (annotation, prediction) over all tokens that count."""
    tokeniser = English().tokenizer
    counts: Counter[tuple[str, str]] = Counter()
    for row, spans in zip(rows, predicted, strict=True):
        text = row["full_text"]
        tokens = tokeniser(text)
        gold = [(kind(s["entity_type"]), s["start_position"], s["end_position"], 1.0) for s in row["spans"]]
        pairs = zip(tokens, tags(text, tokens, gold), tags(text, tokens, spans), strict=True)
        for token, annotation, prediction in pairs:
            if annotation == prediction or token.text.lower().strip() not in SKIPPED:
                counts[annotation, prediction] += 1
    return counts


def scores(found: int, predicted: int, annotated: int, beta: float = 2.0) -> tuple[float, float, float]:
    """Return precision, recall and F-beta."""
    precision = found / predicted if predicted else 0.0
    recall = found / annotated if annotated else 0.0
    below = beta**2 * precision + recall
    return precision, recall, (1 + beta**2) * precision * recall / below if below else 0.0


def report(name: str, counts: Counter[tuple[str, str]], milliseconds: float) -> None:
    """Print one system's table."""
    annotated = sum(n for (a, _), n in counts.items() if a != "O")
    predicted = sum(n for (_, p), n in counts.items() if p != "O")
    both = sum(n for (a, p), n in counts.items() if "O" not in (a, p))
    precision, recall, f2 = scores(both, predicted, annotated)
    line = f"PII precision {precision:.3f}, recall {recall:.3f}, F2 {f2:.3f}"
    print(f"\n{name}: {line}; {milliseconds:.1f} ms CPU per KB, start included")
    for label in sorted({a for a, _ in counts if a != "O"}):
        total = sum(n for (a, _), n in counts.items() if a == label)
        given = sum(n for (_, p), n in counts.items() if p == label)
        covered = sum(n for (a, p), n in counts.items() if a == label and p != "O")
        p, r, f = scores(counts[label, label], given, total)
        line = f"  {label:20} tokens {total:5}  precision {p:.3f}  recall {r:.3f}  F2 {f:.3f}"
        print(f"{line}  found as any {covered / total:.3f}")


def agentflow(texts: Sequence[str], deep: bool) -> list[list[Span]]:
    """Hot tier, and deep tier when asked: as a message is redacted, with every type that either reports."""
    hot = build_matcher(GuardConfig())
    tier = DeepTier(DeepConfig(timeout=600))
    second = tier.find_now([(text, "") for text in texts]) if deep else [[] for _ in texts]
    tier.close()
    return [
        [(kind(match.type), match.start, match.end, match.score) for match in merged([*hot.find(text), *more])]
        for text, more in zip(texts, second, strict=True)
    ]


def presidio(texts: Sequence[str], model: str | None) -> list[list[Span]]:
    """Presidio alone, threshold 0.4 as its own notebook has it."""
    analyser = build("spacy", model, "en", True) if model else _without_model()
    found = analyser.find([(text, "") for text in texts])
    return [[(kind(name), start, end, score) for name, start, end, score in spans if score >= 0.4] for spans in found]


def _without_model() -> Any:
    analyser = build("own", None, "en", True)
    analyser._reader = None
    return analyser


def _cpu() -> float:
    """Seconds of CPU used so far, by this process and by those of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="synth_dataset_v2.json or .json.gz")
    parser.add_argument("--system", action="append", help="agentflow, agentflow-hot, presidio, presidio:MODEL")
    options = parser.parse_args()
    raw = options.data.read_bytes()
    rows = json.loads(gzip.decompress(raw) if options.data.suffix == ".gz" else raw)
    texts = [row["full_text"] for row in rows]
    size = sum(len(text.encode()) for text in texts) / 1024
    for system in options.system or ["agentflow", "agentflow-hot", "presidio"]:
        name, _, model = system.partition(":")
        began = _cpu()
        found = (
            agentflow(texts, name == "agentflow") if name.startswith("agentflow") else presidio(texts, model or None)
        )
        report(system, measure(rows, found), (_cpu() - began) * 1000 / size)


if __name__ == "__main__":
    main()
