"""Detectors of others behind the port of `port.py`, by the name that a configuration gives them.

Each is built from its options and says what is missing. Scores of others are put on our scale by the threshold that
their own makers recommend: there they flag, and block half-way from there to certainty.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Final, cast

from agentflow.guard.detectors.neural import NeuralDetector
from agentflow.guard.detectors.packages import LlmGuard, PromptGuard, StackOne
from agentflow.guard.detectors.port import DetectorUnavailable, HeavyDetector, Spec
from agentflow.guard.detectors.services import Lakera, LlmJudge

_KINDS: Final[Mapping[str, Callable[..., HeavyDetector]]] = {
    "neural": NeuralDetector,
    "stackone": StackOne,
    "prompt_guard": PromptGuard,
    "llm_guard": LlmGuard,
    "lakera": Lakera,
    "llm_judge": LlmJudge,
}
KINDS: Final = tuple(sorted(_KINDS))


def load(spec: Spec) -> HeavyDetector:
    """Build the detector that a configuration names.

    Raises:
        DetectorUnavailable: the kind or an option is unknown, or something it needs is missing.
    """
    kind, options = spec
    build: Callable[..., HeavyDetector] | None = _KINDS.get(kind)
    try:
        if build is None:
            if ":" not in kind:
                raise DetectorUnavailable(
                    f"unknown detector {kind!r}: one of {', '.join(sorted(_KINDS))} or module:Class"
                )
            module, _, name = kind.partition(":")
            build = cast("Callable[..., HeavyDetector]", getattr(importlib.import_module(module), name))
        return build(**options)
    except ImportError as error:
        raise DetectorUnavailable(f"detector {kind}: {error.name or error} is not installed") from error
    except (AttributeError, TypeError) as error:
        raise DetectorUnavailable(f"detector {kind}: {error}") from error
