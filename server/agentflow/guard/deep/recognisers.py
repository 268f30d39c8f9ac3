"""Models of entities behind Presidio's port of a recogniser: token classifiers of transformers, and Stanza's.

Presidio's own engines for these let a text pass unread when the model fails on it, read only what fits the model at
once, or drop all entities where a token does not align. These promise to read every part of a text, to point into the
text as it is, and to raise otherwise. Models come from disk only; a model whose labels say nothing is refused.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from presidio_analyzer import EntityRecognizer, RecognizerResult
from presidio_analyzer.chunkers import BaseTextChunker
from presidio_analyzer.chunkers.base_chunker import TextChunk
from presidio_analyzer.nlp_engine import NlpArtifacts

_LONGEST: Final = 512  # tokens of a window, if the model takes as many
_SCHEME: Final = re.compile(r"[BIESUL][-_](?=.)")  # IOB, BILOU and the like
# What the labels of common models stand for, in letters only: OntoNotes, CoNLL, i2b2, ai4privacy.
_MEANINGS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("PER", "PERSON", "NAME", "FULLNAME", "PATIENT", "STAFF", "HCW", "DOCTOR"), "PERSON"),
    **dict.fromkeys(("GIVENNAME", "FIRSTNAME", "MIDDLENAME", "LASTNAME", "SURNAME", "PS"), "PERSON"),
    **dict.fromkeys(("LOC", "LOCATION", "GPE", "FAC", "CITY", "STATE", "COUNTY", "COUNTRY", "LC"), "LOCATION"),
    **dict.fromkeys(("ORG", "ORGANIZATION", "ORGANISATION", "COMPANY", "COMPANYNAME", "OG"), "ORGANIZATION"),
    **dict.fromkeys(("HOSP", "HOSPITAL", "PATORG"), "ORGANIZATION"),
    **dict.fromkeys(("ADDRESS", "STREET", "STREETADDRESS", "BUILDINGNUM", "BUILDINGNUMBER"), "ADDRESS"),
    **dict.fromkeys(("ZIP", "ZIPCODE", "POSTALCODE", "POSTCODE"), "ZIP_CODE"),
    **dict.fromkeys(("DATEOFBIRTH", "DOB", "BIRTHDATE"), "DATE_OF_BIRTH"),
    **dict.fromkeys(("DATE", "TIME", "DATETIME", "DAT", "DT", "TI"), "DATE_TIME"),
    **dict.fromkeys(("NORP", "NRP", "NATIONALITY"), "NRP"),
    **dict.fromkeys(("EMAIL", "EMAILADDRESS"), "EMAIL_ADDRESS"),
    **dict.fromkeys(("PHONE", "TELEPHONENUM", "PHONENUMBER"), "PHONE_NUMBER"),
    "AGE": "AGE",
    "TITLE": "TITLE",
}


class ModelMissing(Exception):
    """A model is not there or of no use; the text says why."""


def meanings(labels: Iterable[str], own: Mapping[str, str], model: str) -> dict[str, str]:
    """Return what each label of a model stands for: by `own`, by what such labels mostly mean, or itself.

    Raises:
        ModelMissing: none of them has a meaning.
    """
    found, known = {}, False
    for label in labels:
        bare = _SCHEME.sub("", label, count=1) if _SCHEME.match(label) else label
        meaning = own.get(label) or own.get(bare) or _MEANINGS.get(re.sub(r"[^A-Z]", "", bare.upper()))
        known = known or meaning is not None
        found[label] = found[bare] = meaning or (
            re.sub(r"\W+", "_", bare, flags=re.ASCII).upper().strip("_") or "OTHER"
        )
    if not known:
        raise ModelMissing(
            f"{model} calls what it finds {', '.join(sorted(found))}: say in guard.deep.labels what that is"
        )
    return found


class TokenClassifier(EntityRecognizer):
    """A token classifier of transformers, over windows that overlap by a quarter.

    Args:
        model: folder, or name of a model in transformers' cache.
        own: see `meanings`.

    Raises:
        ModelMissing: it cannot be loaded.
    """

    def __init__(self, model: str, language: str, own: Mapping[str, str]) -> None:
        transformers: Any = importlib.import_module("transformers")
        loaded, report = transformers.AutoModelForTokenClassification.from_pretrained(
            model, local_files_only=True, output_loading_info=True
        )
        if report["missing_keys"]:
            raise ModelMissing(f"{model} holds no token classifier, only the model below one")
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model, local_files_only=True)
        if not tokenizer.is_fast:
            raise ModelMissing(f"{model} has no tokenizer.json, without which nobody knows where an entity stands")
        places = getattr(loaded.config, "max_position_embeddings", None) or _LONGEST
        tokenizer.model_max_length = min(_LONGEST, tokenizer.model_max_length, places)
        self._types = meanings((name for name in loaded.config.id2label.values() if name != "O"), own, model)
        self._pipe: Any = transformers.pipeline(
            "token-classification",
            model=loaded,
            tokenizer=tokenizer,
            aggregation_strategy="max",
            stride=tokenizer.model_max_length // 4,
        )
        super().__init__(sorted(set(self._types.values())), name="TokenClassifier", supported_language=language)

    def load(self) -> None:
        """Nothing to load: `__init__` did, so that it can say what is missing."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        """Return the entities that the model finds, of the wanted types."""
        if not text.strip():
            return []
        found = (
            RecognizerResult(self._types[one["entity_group"]], int(one["start"]), int(one["end"]), float(one["score"]))
            for one in self._pipe(text)
        )
        return [one for one in found if one.entity_type in entities]


class StanzaModel(EntityRecognizer):
    """Stanza's tokenizer and entity tagger of one language.

    Args:
        model: Stanza's name of the language, whose models `stanza.download` has fetched, or the folder with
            `resources.json` that holds those of `language`.
        own: see `meanings`.

    Raises:
        ModelMissing: the labels say nothing.
    """

    _SCORE: Final = 0.85  # Stanza gives none; Presidio's for such engines

    def __init__(self, model: str, language: str, own: Mapping[str, str]) -> None:
        stanza: Any = importlib.import_module("stanza")
        place: dict[str, Any] = {"lang": language, "dir": model} if Path(model).is_dir() else {"lang": model}
        self._pipe: Any = stanza.Pipeline(
            **place, processors="tokenize,ner", download_method=None, verbose=False, logging_level="ERROR"
        )
        self._types = meanings(self._pipe.processors["ner"].get_known_tags(), own, model)
        super().__init__(sorted(set(self._types.values())), name="StanzaModel", supported_language=language)

    def load(self) -> None:
        """Nothing to load: `__init__` did, so that it can say what is missing."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        """Return the entities that the model finds, of the wanted types."""
        if not text.strip():
            return []
        found = (
            RecognizerResult(self._types[one.type], one.start_char, one.end_char, self._SCORE)
            for one in self._pipe(text).entities
        )
        return [one for one in found if one.entity_type in entities]


class Windows(BaseTextChunker):
    """Windows of so many characters at most, that end between words where they can.

    Presidio's runs on to the next blank, however far that is; a model then reads only the beginning.
    """

    def __init__(self, size: int = 250, overlap: int = 60) -> None:
        self._size = size
        self._overlap = overlap

    def chunk(self, text: str) -> list[TextChunk]:
        """Return the windows in order; each begins within the one before."""
        found: list[TextChunk] = []
        start = 0
        while True:
            end = min(start + self._size, len(text))
            if end < len(text):
                blanks = [text.rfind(blank, start + self._size - self._overlap, end) for blank in " \n\t"]
                end = max(blanks) if max(blanks) > 0 else end
            found.append(TextChunk(text[start:end], start, end))
            if end == len(text):
                return found
            begin = end - self._overlap
            blank = text.find(" ", begin, end - self._overlap // 2)
            start = blank + 1 if blank >= 0 else begin
