"""Reading named entities from CoNLL-style files: one word and its label a line, a blank line between sentences."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from agentflow.guard.ner.words import words
from agentflow.guard.training.ner_text import Sample, Span
from agentflow.guard.training.ner_values import NATIONS

_LABELS = {
    "per": "PER", "person": "PER", "loc": "LOC", "location": "LOC",
    "org": "ORG", "corporation": "ORG", "group": "ORG",
}  # fmt: skip
_NATIONS = frozenset(NATIONS)
_TIGHT = frozenset(".,;:!?)]}'%")
SOURCES = {
    "btc": ("btc_a.conll", "btc_b.conll.gz", "btc_e.conll", "btc_f.conll.gz", "btc_g.conll.gz", "btc_h.conll.gz"),
    "wnut": ("wnut17train.conll.gz", "emerging.dev.conll", "emerging.test.annotated.gz"),
    "wikigold": ("wikigold.conll.txt.gz",),
    "sec": ("sec_FIN3.txt.gz", "sec_FIN5.txt.gz"),
}


def read(folder: Path, source: str) -> list[Sample]:
    """Return the sentences of one of `SOURCES`, put together again as text.

    Raises:
        OSError: a file of it is missing.
    """
    return [sample for name in SOURCES[source] for sample in _file(folder / name)]


def _file(path: Path) -> Iterator[Sample]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    sentence: list[tuple[str, str]] = []
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) < 2 or fields[0] == "-DOCSTART-":
            if sentence:
                yield _joined(sentence)
            sentence = []
        else:
            sentence.append((fields[0], fields[-1]))
    if sentence:
        yield _joined(sentence)


def _joined(sentence: list[tuple[str, str]]) -> Sample:
    """Write a sentence as people do: no blank before a comma; labels become spans."""
    text, spans = "", list[Span]()
    open_label = ""
    for word, tag in sentence:
        prefix, _, name = tag.partition("-")
        label = _LABELS.get(name.lower(), "")
        if not label and word in _NATIONS:
            label = "NRP"  # these sets leave it out or call it miscellaneous
        if text and not (word in _TIGHT or text[-1] in "([{@#" or word in ("'s", "n't", "'ll", "'re", "'ve", "'m")):
            text += " "
        start = len(text)
        text += word
        if label and label == open_label and prefix != "B" and spans:
            spans[-1] = (spans[-1][0], len(text), label)
        elif label:
            spans.append((start, len(text), label))
        open_label = label
    return Sample(text, tuple(spans))


def labels_of(sample: Sample) -> list[int]:
    """Return the number (in `model.LABELS`) of the label of each word of a sample."""
    from agentflow.guard.ner.model import LABELS

    numbers = {label: number for number, label in enumerate(LABELS)}
    out, spans, at, begun = [], sample.spans, 0, False
    for _, start, end in words(sample.text):
        while at < len(spans) and spans[at][1] <= start:
            at, begun = at + 1, False
        if at < len(spans) and spans[at][0] < end:
            out.append(numbers[f"{'I' if begun else 'B'}-{spans[at][2]}"])
            begun = True
        else:
            out.append(0)
    return out
