"""Everything we find in a text ourselves: the model, what keys say, and fixed phrases, made into one answer.

It promises entities in order that do not overlap, and drops what the model says but cannot be: an address without a
number, a name of documentation words, a sentence taken for a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentflow.guard.ner.features import KINDS
from agentflow.guard.ner.fields import evidence, names_a_thing
from agentflow.guard.ner.model import Entity, Model
from agentflow.guard.ner.phrases import phrases
from agentflow.guard.ner.words import key_words, words

_COMMON: Final = 1 << KINDS.index("common")
_NAMES: Final = sum(1 << KINDS.index(kind) for kind in ("first", "last", "town", "country"))
_LONGEST: Final = {"PERSON": 60, "LOCATION": 60, "ORGANIZATION": 80, "NRP": 30, "ADDRESS": 200}
_UNLISTED: Final = 0.4  # probability from which a person or place may be one that no list knows
_ORGANISATION: Final = 0.3
_BARE: Final = 0.7  # probability from which a number alone is part of an address, or a word without case a name
_NO_SPACES: Final = 8  # characters: longer names in scripts that write no blanks are sentences
_SHORT: Final = 60  # characters: a value rather than a text
_SAYS_NOTHING: Final = frozenset({"text", "content", "message", "body", "value", "data", "result", "output"})
_PIECE: Final = 20_000  # characters read at once, so that a long text needs little memory


class Reader:
    """Reads texts with one model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def read(self, texts: Sequence[tuple[str, str]]) -> list[list[Entity]]:
        """Return the entities of each `(text, label)`; the label is the key of the member that holds the text."""
        leads = [_lead(label) for _, label in texts]
        pieces: list[str] = []
        owners: list[tuple[int, int]] = []  # which text, and where the piece begins in it
        for number, ((text, _), lead) in enumerate(zip(texts, leads, strict=True)):
            for start, piece in _pieces(text):
                pieces.append(lead + piece if not start else piece)
                owners.append((number, start if start else start - len(lead)))
        found: list[list[Entity]] = [[] for _ in texts]
        for (number, shift), entities in zip(owners, self._model.read(pieces), strict=True):
            for kind, start, end, score in entities:
                if start + shift >= 0:
                    found[number].append(Entity(kind, start + shift, end + shift, score))
        return [self._settled(text, label, entities) for (text, label), entities in zip(texts, found, strict=True)]

    def _settled(self, text: str, label: str, entities: list[Entity]) -> list[Entity]:
        whole = evidence(label, text, entities, self._model.lexicon)
        if whole is not None:
            return [whole]
        if len(text) <= _SHORT and names_a_thing(label):
            return []
        kept = [entity for entity in entities if self._plausible(text[entity.start : entity.end], entity)]
        return _apart([*kept, *phrases(text)])

    def _plausible(self, value: str, entity: Entity) -> bool:
        kind = entity.type
        if len(value) > _LONGEST[kind]:
            return False
        letters = [word for word, _, _ in words(value) if word[0].isalpha()]
        if not letters:
            return kind == "ADDRESS" and len(value) >= 4 and entity.score >= _BARE
        if kind == "ADDRESS":
            return any(char.isdigit() for char in value) or len(letters) > 1
        if value[0].lower() == value[0].upper() and value[0].isalpha():  # a script without case
            return entity.score >= _BARE and (" " in value or 1 < len(value) <= _NO_SPACES)
        if kind in ("PERSON", "LOCATION"):
            bits = [self._model.lexicon.bits(word) for word in letters]
            if all(bit & _COMMON and not bit & _NAMES for bit in bits):
                return False
            return entity.score >= _UNLISTED or any(bit & _NAMES and not bit & _COMMON for bit in bits)
        return kind != "ORGANIZATION" or entity.score >= _ORGANISATION


def _lead(label: str) -> str:
    keys = key_words(label)
    return f"{' '.join(keys)}: " if keys and keys[-1] not in _SAYS_NOTHING else ""


def _pieces(text: str) -> list[tuple[int, str]]:
    """Cut a long text at line ends or blanks; returns `(offset, piece)`."""
    if len(text) <= _PIECE:
        return [(0, text)]
    out, start = [], 0
    while start < len(text):
        end = min(start + _PIECE, len(text))
        if end < len(text):
            cut = max(text.rfind("\n", start + _PIECE // 2, end), text.rfind(" ", end - 200, end))
            end = cut + 1 if cut > start else end
        out.append((start, text[start:end]))
        start = end
    return out


def _apart(entities: list[Entity]) -> list[Entity]:
    """Settle overlaps for the surer and then the longer one."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda item: (item.start, -item.end)):
        while kept and kept[-1].end > entity.start:
            last = kept[-1]
            if (last.score, last.end - last.start) >= (entity.score, entity.end - entity.start):
                break
            kept.pop()
        else:
            kept.append(entity)
    return kept
