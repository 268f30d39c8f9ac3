"""Presidio's `AnalyzerEngine`, put together for one engine. Runs in the worker only; imports Presidio and spaCy.

`own` is our entity model behind Presidio's port of a recogniser. `spacy` and `gliner` are Presidio's own over models
that the user has installed, `stanza` and `transformers` are those of `recognisers.py`; only `spacy` needs a model of
spaCy. Nothing is ever downloaded: a model that is not there is `EngineMissing`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import tldextract
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import (
    NerModelConfiguration,
    NlpArtifacts,
    NlpEngine,
    SlimSpacyNlpEngine,
    SpacyNlpEngine,
)
from presidio_analyzer.predefined_recognizers import DateRecognizer, EmailRecognizer, SpacyRecognizer, UrlRecognizer

from agentflow.guard.deep.recognisers import ModelMissing, StanzaModel, TokenClassifier, Windows, meanings
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
        found = ((item.entity_type, item.start, item.end, round(item.score, 3)) for item in results)
        return sorted(found, key=lambda item: item[1:])


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


def build(
    engine: str,
    model: str | None,
    language: str,
    patterns: bool,
    recognisers: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Analyser:
    """Return the analyser of one engine.

    Args:
        model: name or folder; None for the one shipped (`own`) or Presidio's default (`gliner`).
        patterns: whether all of Presidio's pattern recognisers run too.
        recognisers: further ones, as `module:name`.
        labels: types that the model's own labels stand for; what `gliner` is asked for.

    Raises:
        EngineMissing: a package or the model is not there.
    """
    setattr(tldextract, "extract", tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None))  # noqa: B010 - the list it carries
    registry = RecognizerRegistry(supported_languages=[language])
    reader = _reader(model) if engine == "own" else None
    nlp = _spacy(model, language, labels or {}) if engine == "spacy" else _blank(language)
    if patterns:
        registry.load_predefined_recognizers(languages=[language])
        registry.recognizers = [item for item in registry.recognizers if not isinstance(item, SpacyRecognizer)]
    else:
        for kind in (DateRecognizer, EmailRecognizer, UrlRecognizer):
            registry.add_recognizer(kind(supported_language=language))
    if engine == "own":
        registry.add_recognizer(OwnRecognizer(language))
    elif engine == "spacy":
        registry.add_nlp_recognizer(nlp)
    else:
        registry.add_recognizer(_installed(engine, model, language, labels or {}))
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


def _blank(language: str) -> NlpEngine:
    """Tokens for Presidio's context words, from no model."""
    nlp = SlimSpacyNlpEngine(auto_download=False, generic_tokenizer="blank")
    nlp.models, nlp._blank_languages = [], {language}
    nlp.load()
    return nlp


def _spacy(model: str | None, language: str, labels: Mapping[str, str]) -> NlpEngine:
    """Presidio's engine over an installed model of spaCy."""
    import spacy

    named = _needed("spacy", model)
    if not (spacy.util.is_package(named) or Path(named).exists()):
        raise EngineMissing(f"spaCy model {named} is not installed: python -m spacy download {named}")
    built = SpacyNlpEngine(models=[{"lang_code": language, "model_name": named}])
    try:
        built.load()
        nlp = built.get_nlp(language)
        finders = [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]
        if not finders:
            raise EngineMissing(f"spaCy model {named} has no component that finds entities")
        types = meanings((label for name in finders for label in nlp.pipe_labels.get(name, ())), labels, named)
    except ModelMissing as error:
        raise EngineMissing(str(error)) from error
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise EngineMissing(_failed("spacy", named, error)) from error
    built.ner_model_configuration = NerModelConfiguration(model_to_presidio_entity_mapping=types)
    return built


def _installed(engine: str, model: str | None, language: str, labels: Mapping[str, str]) -> EntityRecognizer:
    """The recogniser of an engine whose package the user installed."""
    for module, package in PACKAGES[engine]:
        if importlib.util.find_spec(module) is None:
            raise EngineMissing(f"engine {engine} needs a package that is not installed: pip install '{package}'")
    try:
        if engine == "gliner":
            return _gliner(model, language, labels)
        made = StanzaModel if engine == "stanza" else TokenClassifier
        return made(_needed(engine, model), language, labels)
    except EngineMissing:
        raise
    except ModelMissing as error:
        raise EngineMissing(str(error)) from error
    except Exception as error:  # whatever the package raises about a model
        raise EngineMissing(_failed(engine, model or "its model", error)) from error


def _gliner(model: str | None, language: str, labels: Mapping[str, str]) -> EntityRecognizer:
    from presidio_analyzer.predefined_recognizers import GLiNERRecognizer

    mapping = dict(labels) or {
        "person": "PERSON", "name": "PERSON", "organization": "ORGANIZATION", "location": "LOCATION",
        "address": "ADDRESS", "date of birth": "DATE_OF_BIRTH", "nationality": "NRP",
    }  # fmt: skip

    class Asked(GLiNERRecognizer):
        """Asked for its own types only, and not for those of every other recogniser too."""

        def analyze(
            self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
        ) -> list[RecognizerResult]:
            own = [name for name in entities if name in self.supported_entities]
            found: list[RecognizerResult] = super().analyze(text, own, nlp_artifacts) if own and text.strip() else []
            return found

    named: dict[str, Any] = {"model_name": model} if model else {}
    return Asked(
        entity_mapping=mapping,
        supported_language=language,
        text_chunker=Windows(),
        local_files_only=True,
        **named,
    )


def _needed(engine: str, model: str | None) -> str:
    if model is None:
        raise EngineMissing(f"engine {engine} needs guard.deep.model, the name or folder of its model")
    return model


def _failed(engine: str, model: str, error: Exception) -> str:
    """Nothing was analysed yet: the error can be told."""
    said = (str(error).strip().splitlines() or [""])[0][:200]
    return f"engine {engine} cannot load {model}: {type(error).__name__}: {said}"
