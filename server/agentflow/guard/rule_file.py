"""The injection rules as they are written: `injection_rules*.yaml`, RE2 syntax, each with examples that are its tests.

A process that serves never reads these files: it reads what was made of them (`rule_words`). Tests and whoever makes
that anew do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

import yaml

Surface = Literal["result", "description"]
SURFACES: Final[tuple[Surface, ...]] = ("result", "description")

_FILES: Final = (
    "injection_rules.yaml", "injection_rules_orders.yaml", "injection_rules_languages.yaml",
    "injection_rules_world.yaml", "injection_rules_structure.yaml", "injection_rules_descriptions.yaml",
)  # fmt: skip
LINES: Final = "(?m)"  # what patterns begin with, but not their `unless`: ^ and $ are those of lines
_GAP: Final = r"(?:[\t-\r\x20-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]+)"  # any sign of ASCII; in five ranges it is small


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the files, for one surface. `patterns` and `unless` are RE2 over folded UTF-8 bytes."""

    id: str
    category: str
    severity: float
    description: str
    languages: tuple[str, ...]
    patterns: tuple[str, ...]
    unless: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


def sources() -> tuple[str, ...]:
    """The texts of the files, in their order."""
    return tuple(files("agentflow.guard").joinpath(name).read_text("utf-8") for name in _FILES)


def parsed(texts: Sequence[str]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What the short names of all files stand for, spelled out, and their rules, as they are written.

    Raises:
        ValueError: a file is not of version 1, or an id occurs twice.
        KeyError: a definition names one that is not there.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = [yaml.load(text, Loader=loader) for text in texts]  # noqa: S506 - both loaders are safe
    if any(not isinstance(document, dict) or document.get("version") != 1 for document in documents):
        raise ValueError(f"{', '.join(_FILES)}: version 1 expected")
    definitions: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for document in documents:
        for name, pattern in document.get("define", {}).items():
            definitions[name] = _spelled(pattern, definitions)
        for raw in document["rules"]:
            if raw["id"] in found:
                raise ValueError(f"injection rule {raw['id']} occurs twice")
            found[raw["id"]] = raw
    return definitions, list(found.values())


def surfaces(raw: Mapping[str, Any]) -> tuple[Surface, ...]:
    """The surfaces a rule is for."""
    return tuple(raw.get("surfaces", SURFACES))


def severity(raw: Mapping[str, Any], surface: Surface) -> float:
    """How much a rule's match says there."""
    return float(raw.get("description_severity", raw["severity"]) if surface == "description" else raw["severity"])


def expanded(pattern: str, definitions: Mapping[str, str]) -> str:
    """A pattern as it is compiled: short names spelled out, spaces gaps; an underscore bounds a word like any sign."""
    return _spelled(pattern, definitions).replace(" ", _GAP).replace(r"\b", r"(?:\b|_)")


def _spelled(pattern: str, definitions: Mapping[str, str]) -> str:
    return re.sub(r"\{([a-z]+)\}", lambda m: definitions[m.group(1)], pattern)


def rules(surface: Surface) -> tuple[Rule, ...]:
    """The shipped rules that apply to a surface.

    Raises:
        ValueError: the files are not of version 1, or an id occurs twice.
        KeyError: a rule lacks a key, or a pattern names a definition that is not there.
    """
    definitions, raws = parsed(sources())
    return tuple(
        Rule(
            id=raw["id"],
            category=raw["category"],
            severity=severity(raw, surface),
            description=raw["description"],
            languages=tuple(raw["languages"]),
            patterns=tuple(LINES + expanded(pattern, definitions) for pattern in raw["patterns"]),
            unless=expanded(raw.get("unless", ""), definitions),
            positive=tuple(raw.get("positive", ())),
            negative=tuple(raw.get("negative", ())),
        )
        for raw in raws
        if surface in surfaces(raw)
    )
