"""The text that the embedded encoder is fitted on: what is installed anyway, split and drawn the same way each time.

Promises: the same versions of Python and botocore give the same sentences in the same order; no service that
`held_out` names is in them, so that retrieval over those measures what was not seen.

Four sources: what botocore (Apache-2.0) says of AWS's operations (a name, a sentence: the shape of a tool), WordNet's
words with their glosses (which words mean the same), the topics of Python's own help (PSF licence), and draws of a few
words each from the encoder's vocabulary.
"""

from __future__ import annotations

import gzip
import html
import importlib.util
import json
import math
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TAG: Final = re.compile(r"<[^>]+>")
_SPACE: Final = re.compile(r"\s+")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_CAMEL: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_LONGEST: Final = 300  # characters of a sentence
_DRAWN: Final = (2, 8)  # words of a draw
# WordNet's lexicographer files of which also words are taken that its tagged texts do not have: acts, artifacts,
# cognition, communication, events, groups, possession, processes, states, time, and verbs of communication,
# contact, creation, possession and change
_USUAL: Final = frozenset((4, 6, 9, 10, 11, 14, 21, 22, 26, 28, 30, 32, 35, 36, 40, 41))


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service: its name and its parameters' as words, and the sentences that describe it."""

    service: str
    name: str
    parameters: tuple[str, ...]
    sentences: tuple[str, ...]


def operations(botocore: Path | None = None) -> list[Operation]:
    """Every documented operation of botocore's newest service descriptions.

    Raises:
        ModuleNotFoundError: botocore is not installed.
    """
    if botocore is None:
        found = importlib.util.find_spec("botocore")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("the corpus needs botocore: pip install botocore")
        botocore = Path(found.origin).parent
    kept = []
    for service in sorted(path for path in (botocore / "data").iterdir() if path.is_dir()):
        versions = sorted(service.glob("*/service-2.json*"))
        if versions:
            kept += list(_operations(service.name, _read(versions[-1])))
    return kept


def held_out(service: str) -> bool:
    """Whether a service is kept for measuring: one in eight, by its name."""
    return zlib.crc32(service.encode()) % 8 == 0


def _read(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    document: dict[str, Any] = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return document


def _operations(service: str, document: dict[str, Any]) -> Iterator[Operation]:
    shapes = document.get("shapes", {})
    for name, operation in sorted(document.get("operations", {}).items()):
        sentences = tuple(split(operation.get("documentation", "")))
        if not sentences:
            continue
        members = shapes.get(operation.get("input", {}).get("shape", ""), {}).get("members", {})
        yield Operation(service, words(name), tuple(words(member) for member in members), sentences[:3])


@dataclass(frozen=True, slots=True)
class Meaning:
    """A set of words that mean the same, the commonest first, and what that is."""

    words: tuple[str, ...]
    gloss: str


def meanings(wordnet: Path) -> list[Meaning]:
    """The synonym sets of WordNet 3.1 (its `dict` folder): the commoner ones, without names, figures, abbreviations.

    Raises:
        OSError: it is not there.
    """
    counts: dict[tuple[str, str], int] = {}
    for line in (wordnet / "index.sense").read_text(encoding="utf-8").splitlines():
        key, offset, _, count = line.split(" ")
        counts[key.partition("%")[0], offset] = int(count)
    found = []
    for kind in ("noun", "verb", "adj", "adv"):
        for line in (wordnet / f"data.{kind}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue  # the licence
            head, _, gloss = line.partition(" | ")
            fields = head.split(" ")
            named = [word.partition("(")[0] for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
            kept = [word for word in named if word.islower() and word.replace("_", "").isalpha()]
            tagged = sum(counts.get((word, fields[0]), 0) for word in kept)
            if not tagged and (int(fields[1]) not in _USUAL or "(" in gloss[:1]):
                continue
            kept.sort(key=lambda word: -counts.get((word, fields[0]), 0))
            said = gloss.partition('; "')[0].strip()
            if kept and 2 <= len(said.split()) <= 40:
                found.append(Meaning(tuple(word.replace("_", " ") for word in kept), said))
    return found


def words(name: str) -> str:
    """An identifier as words: `DescribeDBInstances` → `describe db instances`."""
    return " ".join(piece.lower() for piece in _CAMEL.findall(name))


def split(text: str) -> list[str]:
    """The sentences of a text in HTML or plain, of 3 to 60 words."""
    plain = _SPACE.sub(" ", html.unescape(_TAG.sub(" ", text))).strip()
    return [s[:_LONGEST] for s in _SENTENCE.split(plain) if 3 <= len(s.split()) <= 60]


def help_topics() -> list[str]:
    """Sentences of the topics of Python's help."""
    from pydoc_data.topics import topics

    return [s for _, text in sorted(topics.items()) for s in split(text.replace("*", " ").replace("`", " "))]


def draws(vocabulary: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` texts of a few whole words each, the commoner (earlier) ones more often."""
    chosen = random.Random(seed)  # noqa: S311 - a sample, nothing secret
    whole = [w for w in vocabulary if not w.startswith("##") and w.isalpha() and len(w) > 1]
    weights = [1 / math.sqrt(rank + 50) for rank in range(len(whole))]
    lengths = [chosen.randint(*_DRAWN) for _ in range(count)]
    drawn = iter(chosen.choices(whole, weights, k=sum(lengths)))
    return [" ".join(next(drawn) for _ in range(length)) for length in lengths]
