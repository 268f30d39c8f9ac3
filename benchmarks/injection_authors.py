"""What wordings of an author whom nobody trained on do to the injection detectors.

`python benchmarks/injection_authors.py --data DIR [--author NAME ...]`. For each author of training templates the
content head is trained without what he or she wrote, and held against it: attacks in hosts of sources not trained
on, and the author's harmless sentences and documents, alone and in such hosts. Some 40 s of CPU and 3 GB for each.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

from agentflow.guard.injection import ContentDetector
from agentflow.guard.injection_model.model import Calibration, Head
from agentflow.guard.training.generate import Wordings, authors
from agentflow.guard.training.injection_data import Corpus, build
from agentflow.guard.training.injection_train import CONTENT, head, known_words
from agentflow.guard.training.splice import splice

_APART = frozenset({"about", "trigger", "twin", "twinned", "user", "user_security"})
_EACH = 300


def trained(corpus: Corpus) -> Head:
    """The content head of a corpus."""
    parts = [(d, p) for d, p in zip(corpus.documents, corpus.parts, strict=True) if d.surface == "result"]
    used = [d for d, part in parts if part == "train" or (d.label and part == "calibrate")]
    held = [d for d, part in parts if not d.label and part == "calibrate"]
    known = known_words(used)
    table, header = head(used, held, known, *CONTENT)
    return Head(known, table.tobytes(), Calibration.read(header))


def texts(author: str, corpus: Corpus) -> Iterator[tuple[str, str]]:
    """What to measure with, as (sort, text)."""
    own = Wordings([author])
    hosts = [d for d in corpus.part("test") if d.surface == "result" and not d.label and d.kind not in _APART]
    for index in range(_EACH):
        rng = Random(f"{author}:{index}")
        host = rng.choice(hosts)
        yield "harmless, other authors'", host.text
        if own.has("openers") or own.has("languages"):
            payload = own.attack(rng)[0]
            yield "attack", payload if index % 7 == 0 else splice(host.text, host.kind, payload, rng)[0]
        for part in ("trigger", "twins"):
            if own.has(part):
                said = own.expand(*own.drawn(part, rng), rng)
                yield part, said
                yield f"{part}, in hosts", splice(host.text, host.kind, said, rng)[0]
    for kind in own.kinds("documents"):
        for index in range(14):
            yield "documents", own.document(author, kind, Random(f"{kind}:{index}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--author", action="append", choices=authors())
    asked = parser.parse_args()
    rules = ContentDetector(model=False)
    print(f"{'left out':<10} {'texts':<26} {'number':>7} {'rules':>7} {'both':>7} {'blocked':>8}")
    for author in asked.author or authors():
        corpus = build(asked.data, wordings=Wordings([name for name in authors() if name != author]))
        both = ContentDetector(model=trained(corpus))
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for sort, text in texts(author, corpus):
            found[sort].append((rules.score(text).score, both.score(text).score))
        for sort, scores in found.items():
            shares = [
                sum(row[at] >= least for row in scores) / len(scores) for at, least in ((0, 0.4), (1, 0.4), (1, 0.8))
            ]
            print(
                f"{author:<10} {sort:<26} {len(scores):>7} " + "".join(f"{share:>8.1%}" for share in shares), flush=True
            )


if __name__ == "__main__":
    main()
