"""Recognisers written for Presidio in Python, loaded as they are. Runs in the deep tier's worker only.

It promises to accept what `RecognizerRegistry.add_recognizer` accepts: a class, an object, or a function that returns
one, named as `module:name`. It refuses with one line that names what is wrong.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable

from presidio_analyzer import EntityRecognizer


def load(names: Iterable[str], language: str) -> list[EntityRecognizer]:
    """Return the recognisers called `module:name`; a class is made for `language` where it takes one.

    Raises:
        ValueError: one cannot be imported, or is no recogniser.
    """
    return [_load(name, language) for name in names]


def _load(name: str, language: str) -> EntityRecognizer:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"recogniser {name} cannot be imported as `module:name`: {error}") from error
    if callable(found) and not isinstance(found, EntityRecognizer):
        found = found(supported_language=language) if _takes_language(found) else found()
    if not isinstance(found, EntityRecognizer):
        raise ValueError(f"recogniser {name} is no EntityRecognizer of Presidio, but a {type(found).__name__}")
    return found


def _takes_language(maker: Callable[..., object]) -> bool:
    try:
        return "supported_language" in inspect.signature(maker).parameters
    except ValueError:  # some built-in classes have none
        return False
