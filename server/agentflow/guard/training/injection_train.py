"""Trains the always-on injection model: `train(data, out)`, minutes on two cores, the same file every time.

Windows of a few sizes are drawn from every document, those of attacks over the attack; a logistic model of hashed
n-grams is fitted; then the highest-scoring window of every document joins them, and it is fitted again. Weights
become int8, and what harmless texts of held-back sources reach, by length, becomes the calibration. Needs numpy
and scipy (the extra `guard-train`); the gateway never imports this.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from agentflow.guard.injection_model.features import MASK, PLANES, UNKNOWN, numbers, offsets, places, tokens, vocabulary
from agentflow.guard.injection_model.model import pack
from agentflow.guard.training.calibration import calibrate
from agentflow.guard.training.harvest import Document
from agentflow.guard.training.injection_data import Corpus, build

# Share of harmless texts that may reach 0.4 (flag) and 0.8 (block), by surface.
CONTENT: Final = (0.014, 0.0013)
DESCRIPTION: Final = (0.003, 0.0003)
WINDOWS: Final = (8, 16, 32)
_DRAWN: Final = (16, 24, 32, 48)
_RIDGE: Final = 8e-5
_LEAST: Final = 8  # windows that a feature is in; rarer ones are noise
# The places of unknown words only: how many there are of them says nothing.
_BLANK: Final = np.array([next(iter(place)) for place in places([UNKNOWN] * 4)], dtype=np.uint32)
# Kinds that count more than others, because they are what a detector must not get wrong.
_WEIGHTS: Final = {
    "twinned": 6.0, "tool_output": 4.0, "manual": 3.0, "trigger": 3.0, "user": 3.0, "twin": 3.0, "records": 3.0,
    "doc": 3.0, "code": 3.0, "html": 3.0, "gen_email": 3.0, "about": 2.0, "json": 2.0, "prose": 2.0, "tweets": 5.0,
    "user_security": 1.5, "gen_ai": 3.0, "gen_crm": 3.0, "gen_payments": 3.0, "gen_orders": 2.0, "gen_support": 2.0,
    "gen_planning": 2.0, "gen_tickets": 2.0, "gen_bugs": 2.0,
    "gen_office": 4.0, "gen_dev": 4.0, "gen_world": 4.0, "gen_records": 4.0,  # many kinds each
}  # fmt: skip

Floats = NDArray[np.float64]
Matrix = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Example:
    """A document as the model sees it: places (tokens x planes), and the tokens of the attack, if any."""

    places: Matrix
    label: int
    span: tuple[int, int]
    group: str  # kind of a harmless text, family of an attack
    source: str


def known_words(documents: Sequence[Document], *, common: int = 5000, least: int = 4) -> bytes:
    """The vocabulary: words of at least `least` attacks, and the `common` words most sources have."""
    attacks: Counter[bytes] = Counter()
    sources: dict[bytes, set[str]] = defaultdict(set)
    for document in documents:
        if document.label:
            a, b = document.spans[0]
            attacks.update(set(tokens(document.text[a:b])))
        else:
            for word in set(tokens(document.text)):
                sources[word].add(document.source)
    ranked = sorted(sources, key=lambda word: (-len(sources[word]), word))
    return vocabulary([*ranked[:common], *(word for word, count in attacks.items() if count >= least)])


def examples(documents: Sequence[Document], known: bytes) -> list[Example]:
    """Documents as the model sees them; those of fewer than three tokens are left out."""
    return [example for document in documents if len((example := _example(document, known)).places) >= 3]


def _example(document: Document, known: bytes) -> Example:
    words = numbers(tokens(document.text), known)
    matrix = np.array([list(place)[: len(words)] for place in places(words)], dtype=np.uint32).T.reshape(-1, PLANES)
    span = (0, 0)
    if document.label:
        a, b = document.spans[0]
        where = offsets(document.text)
        first = next((k for k, (_, end) in enumerate(where) if end > a), len(where) - 1)
        last = next((k for k, (start, _) in enumerate(where) if start >= b), len(where))
        span = (first, max(last, first + 1))
    return Example(matrix, document.label, span, document.family or document.kind, document.source)


# --------------------------------------------------------------------------- fitting

_Window = tuple[int, int, int]  # example, first token, last token + 1


def fit(known: Sequence[Example], *, seed: int = 1, positive: float = 0.5, ridge: float = _RIDGE) -> Floats:
    """The weights, one for every place (0 for what was rarely seen)."""
    random = np.random.RandomState(seed)
    windows = [window for index, example in enumerate(known) for window in _drawn(index, example, random)]
    weights = _solve(known, windows, positive, ridge)
    mined = []
    for index, example in enumerate(known):
        sizes = [int(random.choice(WINDOWS))]
        if not example.label and len(example.places) > 200:
            sizes.append(WINDOWS[0])
        mined += [_best(index, example, weights, size) for size in sizes]
    return _solve(known, windows + mined, positive, ridge)


def _drawn(index: int, example: Example, random: np.random.RandomState) -> list[_Window]:
    count, found = len(example.places), []
    for _ in range(2 if example.label else 3 if count > 128 else 1):
        size = int(random.choice(_DRAWN))
        start = random.randint(0, max(1, count - size + 1))
        if example.label:
            a, b = example.span
            start = (
                a - random.randint(0, size - (b - a) + 1)
                if b - a < size
                else random.randint(a, b) - random.randint(size)
            )
            start = max(0, min(start, count - size))
        found.append((index, start, min(count, start + size)))
    return found


def _best(index: int, example: Example, weights: Floats, size: int) -> _Window:
    """The window that scores highest; of an attack, among those that hold its middle."""
    count = len(example.places)
    if count <= size:
        return index, 0, count
    sums = np.concatenate([[0.0], np.cumsum(weights[example.places].sum(1))])
    found = sums[size:] - sums[:-size]
    low, high = 0, len(found)
    if example.label:
        low = max(0, min(example.span[0] - size // 2, count - size))
        high = min(len(found), max(example.span[1] - size // 2, low + 1))
    start = low + int(np.argmax(found[low:high]))
    return index, start, start + size


def _importance(known: Sequence[Example], windows: Sequence[_Window], positive: float) -> Floats:
    """Harmless: even over kinds, then sources. Attacks: a large family counts more than a small one, but not as much
    as its size."""
    group = [known[index].group for index, _, _ in windows]
    source = [known[index].source for index, _, _ in windows]
    label = np.array([known[index].label for index, _, _ in windows])
    sizes = Counter(group)
    by_source = Counter(zip(group, source, strict=True))
    sources = Counter(name for name, _ in by_source)
    weight = np.array(
        [
            sizes[name] ** -0.35 if mark else _WEIGHTS.get(name, 1.0) / sources[name] / by_source[name, origin]
            for name, origin, mark in zip(group, source, label, strict=True)
        ]
    )
    weight[label == 1] *= positive / max(weight[label == 1].sum(), 1e-9)
    weight[label == 0] *= (1 - positive) / max(weight[label == 0].sum(), 1e-9)
    return weight


def _solve(
    known: Sequence[Example], windows: Sequence[_Window], positive: float, ridge: float, least: int = _LEAST
) -> Floats:
    """Ridge logistic regression by L-BFGS, on the places that at least `least` windows have."""
    chunks, ends = [], [0]
    for index, a, b in windows:
        flat = known[index].places[a:b].ravel()
        chunks.append(flat[~np.isin(flat, _BLANK)])
        ends.append(ends[-1] + len(chunks[-1]))
    columns = np.concatenate(chunks).astype(np.int32)
    ones = np.ones(len(columns), np.float32)
    matrix = sparse.csr_matrix((ones, columns, np.array(ends)), shape=(len(windows), MASK + 1))
    matrix.sum_duplicates()
    kept = np.flatnonzero(np.bincount(matrix.indices, minlength=MASK + 1) >= least)
    matrix = matrix[:, kept].tocsr()
    turned = matrix.T.tocsr()
    sign = np.array([1.0 if known[index].label else -1.0 for index, _, _ in windows])
    weight = _importance(known, windows, positive)

    def loss(point: Floats) -> tuple[float, Floats]:
        inner, bias = point[:-1], point[-1]
        margin = (matrix @ inner.astype(np.float32) + bias) * sign
        slope = -sign * weight / (1 + np.exp(np.clip(margin, -50, 50)))
        gradient = turned @ slope.astype(np.float32) + ridge * inner
        value = (weight * np.logaddexp(0, -margin)).sum() + ridge * (inner @ inner) / 2
        return float(value), np.append(gradient, slope.sum())

    options = {"maxiter": 60, "maxcor": 8}
    solved = optimize.minimize(loss, np.zeros(len(kept) + 1), jac=True, method="L-BFGS-B", options=options)
    result = np.zeros(MASK + 1)
    result[kept] = solved.x[:-1]
    return result


# --------------------------------------------------------------------------- the whole of it


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves: the file's bytes and its header."""

    data: bytes
    header: dict[str, Any]


def train(data: Path, out: Path, *, seed: int = 7, corpus: Corpus | None = None) -> Trained:
    """Train both heads from `data` (a folder with `injection/*.jsonl.gz`) and write the model to `out`.

    The part `test` is left out, so that whoever has the same data can measure honestly.

    Args:
        corpus: what to train on instead of what is built from `data` and this machine.

    Raises:
        FileNotFoundError: `data` holds no `injection`.
        OSError: `out` cannot be written.
    """
    corpus = corpus or build(data, seed=seed)
    content = [document for document in corpus.documents if document.surface == "result"]
    described = [document for document in corpus.documents if document.surface == "description"]
    part = {id(document): name for document, name in zip(corpus.documents, corpus.parts, strict=True)}
    seen = {id(d) for d in corpus.documents if part[id(d)] == "train" or (d.label and part[id(d)] == "calibrate")}
    known = known_words([document for document in (*content, *described) if id(document) in seen])
    header: dict[str, Any] = {"planes": PLANES, "manifest": corpus.manifest}
    tables = []
    for name, documents, (flag, block) in (("content", content, CONTENT), ("description", described, DESCRIPTION)):
        used = [document for document in documents if id(document) in seen]
        held = [d for d in documents if not d.label and part[id(d)] == "calibrate"]
        table, header[name] = head(used, held, known, flag, block)
        tables.append(table.tobytes())
    packed = pack(header, known, tables)
    out.write_bytes(packed)
    return Trained(packed, header)


def head(
    used: Sequence[Document], held: Sequence[Document], known: bytes, flag: float, block: float
) -> tuple[NDArray[np.int8], dict[str, Any]]:
    """Weights (int8) fitted on `used`, and their calibration on the harmless texts `held`."""
    weights = fit(examples(used, known))
    largest = float(np.quantile(np.abs(weights[weights != 0]), 0.9999))
    table = np.clip(np.rint(weights * 127 / largest), -127, 127).astype(np.int8)
    documents = [document for document in held if document.text]
    evidence = [_evidence(document, known, table) for document in documents]
    return table, calibrate(documents, evidence, WINDOWS, flag, block)


def _evidence(document: Document, known: bytes, table: NDArray[np.int8]) -> Floats:
    places_of = _example(Document(document.text, document.source, document.kind), known).places
    return np.asarray(table[places_of].sum(1, dtype=np.float64))
