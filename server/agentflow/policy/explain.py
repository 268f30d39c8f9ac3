"""Why a decision came out as it did: what decided it, and which parts of the input it hangs on.

The policy itself is asked, again and again, with one part of the input left out: what remains when nothing more can
go without changing the decision is a smallest set that makes it (not the only one there may be). What is left out is
never judged by guesswork about the rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentflow.audit.asked import same, told
from agentflow.pipeline.call import JSON, Decision
from agentflow.policy.bundle import Bundle

_MAX_PARTS = 500  # questions asked for one explanation
_MAX_NAMED = 100  # parts named
_Step = str | int


@dataclass(frozen=True, slots=True)
class Ground:
    """One reason of a decision. `places` are `file:line` of the Rego, or the entry of data.json, that gives it."""

    code: str
    message: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mattered:
    """One part of the input that the decision hangs on: its JSON pointer and value, and what comes out without it."""

    path: str
    value: Any
    without: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and what made it. `complete` is false where the input was too large to look into all of it."""

    decision: Decision
    grounds: tuple[Ground, ...]
    mattered: tuple[Mattered, ...]
    complete: bool = True


def explain(bundle: Bundle, decide: Callable[[JSON], Decision], document: JSON) -> Explanation:
    """Decide `document` and say why it comes out so.

    Args:
        decide: answers for the policy of `bundle`.
    """
    decision = decide(document)
    kept: JSON = bundle.reads(document)
    left = [_MAX_PARTS]

    def unchanged(changed: JSON) -> bool:
        left[0] -= 1
        return _alike(decide(changed), decision)

    for path in sorted(_paths(kept), key=len):  # whole members before what is in them
        if left[0] <= 0:
            break
        if _has(kept, path) and unchanged(candidate := _without(kept, path)):
            kept = candidate
    mattered = []
    leaves = [path for path in _leaves(kept) if path != ("version",)]
    for path in leaves[:_MAX_NAMED]:
        other = decide(_without(kept, path))
        mattered.append(Mattered(pointer(path), _at(kept, path), in_words(other)))
    grounds = tuple(Ground(code, message, tuple(places(bundle, code))) for code, message in decision.reasons)
    return Explanation(decision, grounds, tuple(mattered), left[0] > 0 and len(leaves) <= _MAX_NAMED)


def in_words(decision: Decision) -> str:
    """A decision in a few words: `allowed`, `asks first` or `denied`, with the codes of its reasons."""
    codes = ", ".join(code for code, _ in decision.reasons)
    how = "denied" if not decision.allow else "asks first" if decision.obligations.approval else "allowed"
    return f"{how} ({codes})" if codes else how


def places(bundle: Bundle, code: str) -> Iterator[str]:
    """Where a reason with this code comes from: an entry of data.json, or lines of Rego that spell it."""
    settings = bundle.data.get("settings")
    rules = settings.get("rules") if isinstance(settings, dict) else None
    if isinstance(rules, dict) and code in rules:
        yield f"data.json: settings.rules.{code}"
    spelt = re.compile(rf'"code":\s*"{re.escape(code)}"')
    for name, text in bundle.modules.items():
        for found in spelt.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, found.start()) + 1}"


def pointer(path: tuple[_Step, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _alike(one: Decision, other: Decision) -> bool:
    codes = [code for code, _ in one.reasons] == [code for code, _ in other.reasons]
    return codes and same(told(one), told(other))


def _paths(value: Any, path: tuple[_Step, ...] = ()) -> Iterator[tuple[_Step, ...]]:
    """Every part of a document, last elements of arrays first, so that the places of the others stay."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, key)
            yield from _paths(item, (*path, key))
    elif isinstance(value, list):
        for index in reversed(range(len(value))):
            yield (*path, index)
            yield from _paths(value[index], (*path, index))


def _leaves(value: Any, path: tuple[_Step, ...] = ()) -> Iterator[tuple[_Step, ...]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    inner = [leaf for key, item in items for leaf in _leaves(item, (*path, key))]
    yield from inner or ((path,) if path else ())


def _at(document: Any, path: tuple[_Step, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def _has(document: Any, path: tuple[_Step, ...]) -> bool:
    try:
        _at(document, path)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _without(document: Any, path: tuple[_Step, ...]) -> Any:
    """A copy of `document` without the part at `path`; shares the rest."""
    first, rest = path[0], path[1:]
    if isinstance(document, list):
        changed = list(document)
        if rest:
            changed[int(first)] = _without(changed[int(first)], rest)
        else:
            del changed[int(first)]
        return changed
    return {
        key: _without(value, rest) if key == first else value for key, value in document.items() if key != first or rest
    }
