"""The model: a linear-chain conditional random field (Lafferty et al., 2001) over hashed features.

A model file holds `AFNER1`, a length (big endian, 4 bytes), a JSON header, and its arrays compressed with LZMA:
weights as 8-bit integers of the buckets that have any, transitions, and the word lists as hashes.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentflow.guard.ner.features import BUCKETS, KINDS, SLOTS, Features, Lexicon
from agentflow.guard.ner.words import Word, words

MAGIC: Final = b"AFNER1"
SHIPPED: Final = Path(__file__).with_name("model.bin")
LABELS: Final = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-NRP", "I-NRP", "B-ADDR", "I-ADDR")
TYPES: Final = {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANIZATION", "NRP": "NRP", "ADDR": "ADDRESS"}
_FAMILIES: Final = ("PER", "LOC", "ORG", "NRP", "ADDR")

Floats = NDArray[np.float32]


class Entity(NamedTuple):
    """One entity: `text[start:end]`, with the mean probability of its words."""

    type: str
    start: int
    end: int
    score: float


def allowed() -> Floats:
    """Return 1 where one label may follow another, else 0: shape (labels, labels)."""
    table = np.ones((len(LABELS), len(LABELS)), np.float32)
    for column, label in enumerate(LABELS):
        if label.startswith("I-"):
            table[:, column] = [float(before[2:] == label[2:]) for before in LABELS]
    return table


class Model:
    """Weights and word lists, ready to read texts.

    Args:
        weights: shape (`BUCKETS`, labels), 8-bit; multiplied by `scale` they are log potentials.
        transitions: shape (labels, labels), log potentials.
        threshold: a word is part of an entity from this probability on.
    """

    def __init__(
        self,
        weights: NDArray[np.int8],
        scale: float,
        transitions: Floats,
        lexicon: Lexicon,
        threshold: float = 0.25,
        about: dict[str, Any] | None = None,
    ) -> None:
        self.weights = weights
        self.scale = scale
        self.transitions = transitions
        self.lexicon = lexicon
        self.threshold = threshold
        self.about = about or {}
        self._features = Features(lexicon)
        self._follow = np.exp(transitions) * allowed()

    def read(self, texts: Sequence[str]) -> list[list[Entity]]:
        """Return the entities of each text, in order; none overlap."""
        split = [words(text) for text in texts]
        ids, starts = self._features(split)
        sums = np.zeros((len(ids), len(LABELS)), np.int32)
        for slot in range(ids.shape[1]):
            sums += self.weights[ids[:, slot]]
        chances = self._marginals(sums.astype(np.float32) * self.scale, starts, split)
        return [
            self._entities(text, found, chances[start : start + len(found)])
            for text, found, start in zip(texts, split, starts, strict=True)
        ]

    def _marginals(self, scores: Floats, starts: list[int], split: list[list[Word]]) -> Floats:
        """Return the probability of each label for each row (forward-backward, scaled); borders are `O`."""
        inside = np.zeros(len(scores), bool)
        for start, found in zip(starts, split, strict=True):
            inside[start : start + len(found)] = True
        scores = np.where(inside[:, None], scores, -1e4)
        scores[~inside, 0] = 0.0
        local = np.exp(scores - scores.max(axis=1, keepdims=True))
        forward, backward = np.empty_like(local), np.empty_like(local)
        state = forward[0] = local[0]
        for row in range(1, len(local)):
            state = (state @ self._follow) * local[row]
            state /= state.sum()
            forward[row] = state
        state = backward[-1] = np.ones(len(LABELS), np.float32)
        for row in range(len(local) - 2, -1, -1):
            state = self._follow @ (local[row + 1] * state)
            state /= state.sum()
            backward[row] = state
        joint = forward * backward
        result: Floats = joint / joint.sum(axis=1, keepdims=True)
        return result

    def _entities(self, text: str, found: list[Word], chances: Floats) -> list[Entity]:
        if not found:
            return []
        families = chances[:, 1::2] + chances[:, 2::2]
        best = families.argmax(axis=1)
        sure = families[np.arange(len(best)), best]
        entities: list[Entity] = []
        row = 0
        while row < len(found):
            if sure[row] < self.threshold:
                row += 1
                continue
            first, family = row, best[row]
            begin, more = 1 + 2 * family, 2 + 2 * family
            row += 1
            while row < len(found) and best[row] == family and sure[row] >= self.threshold:
                if chances[row, begin] > chances[row, more]:
                    break
                row += 1
            last = row - 1
            while last > first and found[last][0] in _LOOSE:
                last -= 1
            while first < last and found[first][0] in _LOOSE:
                first += 1
            if found[first][0] not in _LOOSE:
                score = round(float(sure[first : last + 1].mean()), 3)
                entities.append(Entity(TYPES[_FAMILIES[family]], found[first][1], found[last][2], score))
        return entities

    def save(self, path: Path) -> None:
        """Write the model file."""
        rows = np.flatnonzero(self.weights.any(axis=1)).astype(np.uint32)
        steps = np.diff(rows, prepend=np.uint32(0)).astype(np.uint32)
        arrays: dict[str, NDArray[Any]] = {
            "steps": steps,
            "weights": np.ascontiguousarray(self.weights[rows].T),
            "transitions": self.transitions,
            **{f"list {kind}": np.diff(self.lexicon.lists[kind], prepend=np.uint32(0)) for kind in KINDS},
        }
        header = {
            "labels": LABELS,
            "slots": SLOTS,
            "buckets": BUCKETS,
            "scale": self.scale,
            "threshold": self.threshold,
            "about": self.about,
            "arrays": [[name, str(array.dtype), list(array.shape)] for name, array in arrays.items()],
        }
        head = json.dumps(header).encode()
        body = lzma.compress(b"".join(array.tobytes() for array in arrays.values()), preset=6)
        path.write_bytes(MAGIC + len(head).to_bytes(4, "big") + head + body)


_LOOSE: Final = frozenset("\n,.;:\"'()[]{}<>|-*&/=#!?") - frozenset("#")


def load(path: Path = SHIPPED) -> Model:
    """Read a model file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, or made for other features.
    """
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path.name} is not a model of this kind")
    size = int.from_bytes(data[6:10], "big")
    header = json.loads(data[10 : 10 + size])
    if (tuple(header["labels"]), header["slots"], header["buckets"]) != (LABELS, SLOTS, BUCKETS):
        raise ValueError(f"{path.name} was trained for other features; train it again")
    body, arrays, position = lzma.decompress(data[10 + size :]), {}, 0
    for name, kind, dimensions in header["arrays"]:
        count = int(np.prod(dimensions))
        arrays[name] = np.frombuffer(body, kind, count, position).reshape(dimensions)
        position += count * np.dtype(kind).itemsize
    weights = np.zeros((BUCKETS, len(LABELS)), np.int8)
    weights[np.cumsum(arrays["steps"], dtype=np.int64)] = arrays["weights"].T
    lists = {kind: np.cumsum(arrays[f"list {kind}"], dtype=np.uint32) for kind in KINDS}
    return Model(weights, header["scale"], arrays["transitions"], Lexicon(lists), header["threshold"], header["about"])
