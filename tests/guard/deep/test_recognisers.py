"""The deep tier over others' models, made here in the files that real ones come in, through its worker.

They need what no extra installs, and are skipped without: `pip install torch==2.13.0 transformers gliner stanza`, then
`pytest -W ignore tests/guard/deep/test_recognisers.py` (the packages warn at import).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agentflow.config_guard import DeepConfig
from agentflow.errors import ConfigError, DeepTierUnavailable
from agentflow.guard.deep.recognisers import ModelMissing, Windows, meanings
from agentflow.guard.deep.tier import DeepTier

FILL = "rain sun the train leaves at ten from platform four and "
Tier = Callable[..., DeepTier]


def test_labels_of_all_schemes_are_read() -> None:
    found = meanings(["B-PER", "I-PER", "E-LOC", "GPE", "GIVENNAME", "date_of_birth", "MISC", "ORG"], {}, "m")
    assert (found["PER"], found["E-LOC"], found["GPE"]) == ("PERSON", "LOCATION", "LOCATION")
    assert (found["GIVENNAME"], found["date_of_birth"], found["ORG"]) == ("PERSON", "DATE_OF_BIRTH", "ORGANIZATION")
    assert found["MISC"] == "MISC"


def test_a_configurations_own_labels_come_first() -> None:
    assert meanings(["LABEL_1", "LOC"], {"LABEL_1": "PERSON", "LOC": "SITE"}, "m") == {
        "LABEL_1": "PERSON",
        "LOC": "SITE",
    }


def test_labels_that_say_nothing_are_refused() -> None:
    with pytest.raises(ModelMissing, match=r"LABEL_0, LABEL_1: say in guard\.deep\.labels"):
        meanings(["LABEL_0", "LABEL_1"], {}, "m")


@pytest.mark.parametrize("text", ["", "x", "one two " * 500, "a" * 3000, '{"a":1},' * 400, "\n\n" + "x\n" * 900])
def test_windows_are_short_overlap_and_leave_nothing_out(text: str) -> None:
    found = Windows(250, 60).chunk(text)
    assert all(piece.text == text[piece.start : piece.end] and len(piece.text) <= 250 for piece in found)
    assert (found[0].start, found[-1].end) == (0, len(text))
    assert all(after.start < before.end for before, after in pairwise(found))
    assert all(after.start > before.start for before, after in pairwise(found))


@pytest.fixture
def tier() -> Iterator[Tier]:
    opened: list[DeepTier] = []

    def build(engine: str, model: Path | str | None, **settings: object) -> DeepTier:
        config = DeepConfig.model_validate({"engine": engine, "model": model and str(model), "timeout": 60, **settings})
        opened.append(DeepTier(config))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


def found(tier: DeepTier, text: str) -> list[tuple[str, str]]:
    (matches,) = tier.find_now([(text, "")])
    return [(match.type, text[match.start : match.end]) for match in matches]


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.guard.tiny_models import tagger

    return tagger(tmp_path_factory.mktemp("tagger"))


def test_a_token_classifier_is_read_to_the_end_of_long_texts(tier: Tier, tags: Path) -> None:
    """The tokenizer of this one knows of no limit, and the model fails on more than 64 tokens."""
    opened = tier("transformers", tags)
    assert found(opened, "we met Zaphod in Islington") == [("PERSON", "Zaphod"), ("LOCATION", "Islington")]
    long = FILL * 40 + "Trillian " + FILL * 40 + "ford"
    assert found(opened, long) == [("PERSON", "Trillian"), ("PERSON", "ford")]
    assert found(opened, "\U0001f600 é\u200b \n Zaphod") == [("PERSON", "Zaphod")]
    assert found(opened, "  \n ") == []


def test_its_process_is_replaced_when_it_dies(tier: Tier, tags: Path) -> None:
    opened = tier("transformers", tags)
    opened.check()
    assert opened._process is not None
    os.kill(opened._process.pid, signal.SIGKILL)
    with pytest.raises(DeepTierUnavailable, match="crashed"):
        found(opened, "we met Zaphod")
    assert found(opened, "we met Zaphod in town") == [("PERSON", "Zaphod")]


def test_labels_of_its_own_need_a_meaning(tier: Tier, tags: Path, tmp_path: Path) -> None:
    shutil.copytree(tags, tmp_path / "own")
    config = json.loads((tags / "config.json").read_text())
    config["id2label"] = {"0": "O", "1": "B-XX", "2": "I-XX", "3": "B-YY", "4": "I-YY"}
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="XX, YY"):
        tier("transformers", tmp_path / "own").check()
    opened = tier("transformers", tmp_path / "own", labels={"XX": "PERSON"})
    assert found(opened, "we met Zaphod in Islington") == [("PERSON", "Zaphod"), ("YY", "Islington")]


def test_a_model_without_a_trained_tagger_is_refused(tier: Tier, tags: Path, tmp_path: Path) -> None:
    import transformers

    shutil.copytree(tags, tmp_path / "base")
    transformers.AutoModelForTokenClassification.from_pretrained(tags).bert.save_pretrained(tmp_path / "base")
    config = json.loads((tags / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="holds no token classifier"):
        tier("transformers", tmp_path / "base").check()


@pytest.mark.parametrize(
    ("engine", "package"), [("transformers", "transformers"), ("gliner", "gliner"), ("stanza", "stanza")]
)
def test_a_model_that_is_not_there_is_not_fetched(
    tier: Tier, engine: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("STANZA_RESOURCES_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=rf"engine {engine} cannot load .*"):
        tier(engine, "someone/a-model" if engine != "stanza" else "en").check()


def test_a_gliner_model_is_asked_for_the_configured_labels(tier: Tier, tmp_path: Path) -> None:
    pytest.importorskip("gliner")
    from tests.guard.tiny_models import gliner

    opened = tier("gliner", gliner(tmp_path), labels={"person": "PERSON"})
    assert ("PERSON", "zaphod") in found(opened, "we met zaphod in town on monday")
    for filler in (FILL, FILL.replace(" ", ",")):  # Presidio's own windows run on to the next blank
        long = filler * 40 + "trillian" + filler[3:] * 40
        assert ("PERSON", "trillian") in found(opened, long)


def test_stanzas_entities_point_into_the_text_as_it_is(tier: Tier, tmp_path: Path) -> None:
    pytest.importorskip("stanza")
    from tests.guard.tiny_models import stanza

    opened = tier("stanza", stanza(tmp_path))
    assert ("PERSON", "Zaphod") in found(opened, "we met Zaphod in town.")
    text = " \n\t we met \U0001f600\u200b Zaphod in\n\ntown. the sun leaves Trillian at four."
    assert {("PERSON", "Zaphod"), ("PERSON", "Trillian")} & set(found(opened, text))
    assert all(one in ("Zaphod", "Trillian") for _, one in found(opened, text))
    assert found(opened, " \n ") == []
