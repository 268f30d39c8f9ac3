"""Detectors of others over models made here, through the process that they run in.

They need what no extra installs, and are skipped without: `pip install torch==2.13.0 transformers`, and for LLM Guard,
in an environment of its own, `llm-guard`; then `pytest -W ignore tests/guard/detectors/test_packages.py` (the packages
warn at import).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentflow.config_guard import DetectorConfig, GuardConfig, InjectionConfig
from agentflow.errors import StageFailed
from agentflow.guard.detectors.opinion import SecondOpinion
from agentflow.guard.detectors.packages import LlmGuard, PromptGuard, windows
from agentflow.guard.detectors.port import DetectorUnavailable, Spec
from agentflow.guard.detectors.process import HeavyDetectors
from agentflow.guard.injection import Screening

RAIN = "rain sun the train leaves at ten "


def test_windows_cover_a_text_and_are_no_longer_than_fits() -> None:
    text = "".join(chr(97 + at % 26) for at in range(10_000))
    found = list(windows(text, 1500, 200, lambda piece: len(piece) <= 300))
    assert max(len(piece) for _, piece in found) <= 300
    assert all(text[at : at + len(piece)] == piece for at, piece in found)
    covered = set[int]().union(*(range(at, at + len(piece)) for at, piece in found))
    assert covered == set(range(len(text)))
    for at in range(0, len(text) - 40):  # what is short stands whole in one of them
        assert any(start <= at and at + 40 <= start + len(piece) for start, piece in found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.guard.tiny_models import classifier

    return classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def renamed(folder: Path, tmp_path: Path) -> Callable[..., str]:
    """The model with other names of its classes."""

    def copy(*names: str) -> str:
        shutil.copytree(folder, tmp_path / "other")
        config = json.loads((folder / "config.json").read_text())
        config |= {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
        (tmp_path / "other" / "config.json").write_text(json.dumps(config))
        return str(tmp_path / "other")

    return copy


def test_a_classifier_says_where_in_a_long_text(folder: Path) -> None:
    text = RAIN * 60 + "obey " + RAIN * 60
    clean, attacked, empty, last = PromptGuard(str(folder)).judge([RAIN * 60, text, "", RAIN * 90 + "obey"])
    assert clean.score < 0.4 and empty.score < 0.4
    assert attacked.score >= 0.8 and last.score >= 0.8
    assert "obey" in text[attacked.start : attacked.end] and attacked.end - attacked.start < 400
    assert last.end == len(RAIN * 90 + "obey")


def test_texts_judged_together_or_alone_are_judged_alike(folder: Path) -> None:
    detector = PromptGuard(str(folder))
    texts = ["obey", RAIN * 40, "", RAIN * 3 + "override " + RAIN]
    for together, text in zip(detector.judge(texts), texts, strict=True):
        (alone,) = detector.judge([text])
        assert together[1:] == alone[1:] and together.score == pytest.approx(alone.score, abs=1e-4)


@pytest.mark.parametrize("names", [("BENIGN", "JAILBREAK"), ("SAFE", "INJECTION"), ("benign", "injection")])
def test_the_class_that_means_harm_is_known_by_its_name(renamed: Callable[..., str], names: tuple[str, str]) -> None:
    clean, attacked = PromptGuard(renamed(*names)).judge([RAIN, "obey"])
    assert clean.score < 0.4 and attacked.score >= 0.8


def test_the_order_of_the_classes_does_not_matter(renamed: Callable[..., str]) -> None:
    attacked, clean = PromptGuard(renamed("INJECTION", "SAFE")).judge([RAIN, "obey"])
    assert clean.score < 0.4 and attacked.score >= 0.8


def test_classes_that_say_nothing_are_refused_until_one_is_named(renamed: Callable[..., str]) -> None:
    model = renamed("ham", "spam")
    with pytest.raises(DetectorUnavailable, match=r"which class means an attack: ham, spam"):
        PromptGuard(model)
    with pytest.raises(DetectorUnavailable, match=r"no class 'eggs' among ham, spam"):
        PromptGuard(model, label="eggs")
    assert PromptGuard(model, label="spam").judge(["obey"])[0].score >= 0.8


def test_a_model_whose_classifier_was_never_trained_is_refused(folder: Path, tmp_path: Path) -> None:
    import transformers

    shutil.copytree(folder, tmp_path / "base")
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    whole.deberta.save_pretrained(tmp_path / "base")
    with pytest.raises(DetectorUnavailable, match="no classifier"):
        PromptGuard(str(tmp_path / "base"))


@pytest.mark.parametrize("kind", ["prompt_guard", "llm_guard"])
def test_a_model_that_is_not_there_is_not_fetched(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llm_guard" if kind == "llm_guard" else "transformers")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    options = {"model": "meta-llama/Llama-Prompt-Guard-2-86M"} if kind == "prompt_guard" else {}
    detectors = HeavyDetectors([Spec(kind, options)], 30, 4)
    with pytest.raises(StageFailed, match=rf"etector {kind}: .*no usable model"):
        detectors.judge_now(["hello"])
    detectors.close()


def configured(kind: str, **options: object) -> GuardConfig:
    detector = DetectorConfig(kind=kind, options=options)
    return GuardConfig(injection=InjectionConfig(detectors=(detector,), timeout=60))


@pytest.fixture(params=["prompt_guard", "llm_guard"])
def second(request: pytest.FixtureRequest, renamed: Callable[..., str]) -> Iterator[SecondOpinion]:
    pytest.importorskip("llm_guard" if request.param == "llm_guard" else "transformers")
    opinion = SecondOpinion(configured(request.param, model=renamed("SAFE", "INJECTION")))
    yield opinion
    opinion.close()


async def test_configured_it_is_asked_about_what_is_doubtful_and_survives_its_process(second: SecondOpinion) -> None:
    doubted = Screening(score=0.5, overt=0.2, doubt=0.5)
    texts = {"/a": RAIN * 10, "/b": RAIN * 60 + "obey " + RAIN * 60}
    (finding, *_) = (await second.of(doubted, texts)).findings
    assert finding.path == "/b" and finding.severity >= 0.7
    assert "obey" in texts["/b"][finding.start : finding.end]
    assert (await second.of(doubted, {"/a": RAIN * 10})).score < 0.4
    assert second._detectors is not None and second._detectors._child is not None
    os.kill(second._detectors._child.pid, signal.SIGKILL)
    with pytest.raises(StageFailed, match="crashed"):
        await second.of(doubted, texts)
    assert (await second.of(doubted, texts)).score >= 0.7


def test_llm_guards_score_is_that_of_the_worst_window(renamed: Callable[..., str]) -> None:
    pytest.importorskip("llm_guard")
    detector = LlmGuard(renamed("SAFE", "INJECTION"))
    text = RAIN * 60 + "obey " + RAIN * 60
    clean, attacked, dense = detector.judge([RAIN * 60, text, "rain#" * 300 + "obey#" + "rain#" * 300])
    assert clean.score < 0.4
    assert attacked.score >= 0.8 and "obey" in text[attacked.start : attacked.end]
    assert dense.score >= 0.8


def test_llm_guard_would_read_other_classes_the_wrong_way_round(renamed: Callable[..., str]) -> None:
    pytest.importorskip("llm_guard")
    with pytest.raises(DetectorUnavailable, match="no class INJECTION"):
        LlmGuard(renamed("LABEL_0", "LABEL_1"))
