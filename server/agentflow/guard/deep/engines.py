"""Presidio's `AnalyzerEngine`, put together for one engine. Runs in the worker only; imports Presidio and spaCy.

`own` is our entity model behind Presidio's port of an NLP engine; it needs no spaCy model. `spacy`, `stanza`,
`transformers` and `gliner` are Presidio's own engines over models that the user has installed. Nothing is ever
downloaded: a model that is not there is `EngineMissing`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import tldextract
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine, SlimSpacyNlpEngine
from presidio_analyzer.predefined_recognizers import DateRecognizer, EmailRecognizer, SpacyRecognizer, UrlRecognizer

from agentflow.guard.deep.tier import PACKAGES
from agentflow.guard.ner.model import SHIPPED, TYPES, Entity, load
from agentflow.guard.ner.reader import Reader
from agentflow.guard.pii.presidio_recognisers import load as load_recognisers

_THRESHOLD: Final = 0.3
_EXTRAS: Final = ("AGE", "DATE_OF_BIRTH", "DATE_TIME", "TITLE", "ZIP_CODE")

Found = list[tuple[str, int, int, float]]


class EngineMissing(Exception):
    """A package or model of the engine is not installed; the text says which."""


class Analyser:
    """One `AnalyzerEngine`, asked about all texts of a message at once."""

    def __init__(self, engine: AnalyzerEngine, language: str, reader: Reader | None) -> None:
        self._engine = engine
        self._language = language
        self._reader = reader

    def find(self, texts: Sequence[tuple[str, str]]) -> list[Found]:
        """Return `(type, start, end, score)` for each `(text, label)`, in Presidio's names, in order of start."""
        read: Sequence[list[Entity] | None] = self._reader.read(texts) if self._reader else [None] * len(texts)
        return [self._one(text, label, entities) for (text, label), entities in zip(texts, read, strict=True)]

    def _one(self, text: str, label: str, entities: list[Entity] | None) -> Found:
        artifacts = None
        if entities is not None:
            artifacts = self._engine.nlp_engine.process_text(text if _worth(text) else "", self._language)
            setattr(artifacts, "entities", entities)  # noqa: B010 - ours, which OwnRecognizer reads
        results = self._engine.analyze(
            text,
            self._language,
            context=[label] if label else None,
            score_threshold=_THRESHOLD,
            nlp_artifacts=artifacts,
        )
        return sorted((item.entity_type, item.start, item.end, round(item.score, 3)) for item in results)


def _worth(text: str) -> bool:
    """Whether tokens could help a recogniser: context words only matter where there are numbers or addresses."""
    return any(char.isdigit() or char == "@" for char in text)


class OwnRecognizer(EntityRecognizer):
    """Hands on what the reader found, as Presidio's NLP recognisers do."""

    def __init__(self, language: str) -> None:
        super().__init__([*TYPES.values(), *_EXTRAS], name="AgentFlowNer", supported_language=language)

    def load(self) -> None:
        """Nothing to load: the reader has the model."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        """Return the entities that were read, of the wanted types."""
        return [
            RecognizerResult(entity.type, entity.start, entity.end, entity.score)
            for entity in cast("list[Entity]", nlp_artifacts.entities)
            if entity.type in entities
        ]


def build(engine: str, model: str | None, language: str, patterns: bool, recognisers: Sequence[str] = ()) -> Analyser:
    """Return the analyser of one engine.

    Args:
        model: name or folder; None for the one shipped (`own`) or Presidio's default.
        patterns: whether all of Presidio's pattern recognisers run too.
        recognisers: further ones, as `module:name`.

    Raises:
        EngineMissing: a package or the model is not there.
    """
    setattr(tldextract, "extract", tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None))  # noqa: B010 - the list it carries
    registry = RecognizerRegistry(supported_languages=[language])
    reader: Reader | None = None
    nlp: NlpEngine
    if engine == "own":
        reader = _reader(model)
        nlp = SlimSpacyNlpEngine(auto_download=False, generic_tokenizer="blank")
        nlp.models, nlp._blank_languages = [], {language}
        nlp.load()
    else:
        nlp = _installed(engine, model, language)
    if patterns:
        registry.load_predefined_recognizers(languages=[language])
        registry.recognizers = [item for item in registry.recognizers if not isinstance(item, SpacyRecognizer)]
    else:
        for kind in (DateRecognizer, EmailRecognizer, UrlRecognizer):
            registry.add_recognizer(kind(supported_language=language))
    if reader is not None:
        registry.add_recognizer(OwnRecognizer(language))
    elif engine == "gliner":
        registry.add_recognizer(_gliner(model, language))
    else:
        registry.add_nlp_recognizer(nlp)
    try:
        registry.recognizers = [*registry.recognizers, *load_recognisers(recognisers, language)]
    except ValueError as error:
        raise EngineMissing(str(error)) from error
    analyser = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[language])
    return Analyser(analyser, language, reader)


def _reader(model: str | None) -> Reader:
    try:
        return Reader(load(Path(model) if model else SHIPPED))
    except (OSError, ValueError) as error:
        raise EngineMissing(f"the entity model cannot be read: {error}") from error


def _installed(engine: str, model: str | None, language: str) -> NlpEngine:
    """Return Presidio's engine over an installed model, without letting it download one."""
    for module, package in PACKAGES[engine]:
        if importlib.util.find_spec(module) is None:
            raise EngineMissing(f"engine {engine} needs a package that is not installed: pip install '{package}'")
    from presidio_analyzer.nlp_engine import SpacyNlpEngine, StanzaNlpEngine, TransformersNlpEngine

    if engine == "gliner":
        slim = SlimSpacyNlpEngine(auto_download=False, generic_tokenizer="blank")
        slim.models, slim._blank_languages = [], {language}
        slim.load()
        return slim
    if model is None:
        raise EngineMissing(f"engine {engine} needs guard.deep.model, the name or folder of its model")
    named: Any = model
    if engine == "spacy":
        _spacy_model(model)
        built = SpacyNlpEngine(models=[{"lang_code": language, "model_name": model}])
    elif engine == "stanza":
        built = StanzaNlpEngine(models=[{"lang_code": language, "model_name": model}], download_if_missing=False)
    else:
        base, _, named = model.rpartition("+")
        _spacy_model(base or "en_core_web_sm")
        names = {"spacy": base or "en_core_web_sm", "transformers": named}
        built = TransformersNlpEngine(models=[{"lang_code": language, "model_name": names}])
    try:
        built.load()
    except Exception as error:
        raise EngineMissing(f"engine {engine} cannot load {model}: {type(error).__name__}") from error
    return built


def _spacy_model(name: str) -> None:
    import spacy

    if not (spacy.util.is_package(name) or Path(name).exists()):
        raise EngineMissing(f"spaCy model {name} is not installed: python -m spacy download {name}")


def _gliner(model: str | None, language: str) -> EntityRecognizer:
    from presidio_analyzer.predefined_recognizers import GLiNERRecognizer

    mapping = {
        "person": "PERSON", "name": "PERSON", "organization": "ORGANIZATION", "location": "LOCATION",
        "address": "ADDRESS", "date of birth": "DATE_OF_BIRTH", "nationality": "NRP",
    }  # fmt: skip
    named: dict[str, Any] = {"model_name": model} if model else {}
    try:
        return GLiNERRecognizer(entity_mapping=mapping, supported_language=language, local_files_only=True, **named)
    except Exception as error:
        raise EngineMissing(f"engine gliner cannot load its model: {type(error).__name__}") from error
