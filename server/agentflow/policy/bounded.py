"""Which bundles may be evaluated inside the gateway's process, decided from their text alone.

It says yes only to policies that cannot run away or take the process down on a question of bounded size: no
builtin outside a short list, no globs but those of the unchanged `agentflow/match.rego` over patterns with at most
two stars, no `with`. Whatever it does not understand is a no, which costs memory (a process of its own), never safety.
rego-cpp's `glob.match` backtracks: eight stars over sixty characters are eleven seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentflow.paths import shipped
from agentflow.policy.selectors import MATCH

# Each was given hostile values of every type and size (tests/policy/test_inside.py); all are linear.
_BUILTINS = frozenset(
    {
        "concat", "contains", "count", "endswith", "is_array", "is_number", "is_string", "lower", "object.get", "sort",
        "split", "startswith", "upper",
    }
)  # fmt: skip
_PROSE = re.compile(r'("(?:\\.|[^"\\\n])*")|#[^\n]*')
_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_DEFINED = re.compile(r"^(?:default\s+)?([A-Za-z_]\w*)\(", re.MULTILINE)
_CALLED = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
_OPAQUE = re.compile(r"`|\]\s*\(|\bwith\b")  # raw strings, calls by computed name, changed documents
_STARS = 2


def bounded(modules: Mapping[str, str], data: Mapping[str, Any]) -> bool:
    """Whether these modules, over these base documents, answer any small question soon.

    Args:
        modules: Rego text by file name relative to the bundle.
        data: the base documents.
    """
    texts = dict(modules)
    if texts.get(MATCH) == (shipped("policies") / MATCH).read_text(encoding="utf-8"):
        del texts[MATCH]
        if not all(_plain(pattern) for pattern in _patterns(data)):
            return False
    code = [_PROSE.sub(lambda found: '""' if found[1] else "", text) for text in texts.values()]
    defined: dict[str, set[str]] = {}
    for text in code:
        defined.setdefault(_package(text), set()).update(_DEFINED.findall(text))
    return not any(
        _OPAQUE.search(text) or not _BUILTINS.union(defined[_package(text)]).issuperset(_CALLED.findall(text))
        for text in code
    )


def _package(text: str) -> str:
    found = _PACKAGE.search(text)
    return found[1] if found else ""


def _plain(pattern: object) -> bool:
    return isinstance(pattern, str) and pattern.count("*") <= _STARS and not re.search(r"[?\[\]{}\\!]", pattern)


def _patterns(data: Mapping[str, Any]) -> Iterator[object]:
    """What `match.rego` gives to `glob.match`; something that is no pattern where the settings are not as expected."""
    settings = data.get("settings")
    rules = settings.get("rules", {}) if isinstance(settings, dict) else None
    forbidden = settings.get("forbidden", []) if isinstance(settings, dict) else None
    if not isinstance(rules, dict) or not isinstance(forbidden, list):
        yield None
        return
    yield from forbidden
    for rule in rules.values():
        for field in ("servers", "tools", "prompts", "resources", "models"):
            patterns = rule.get(field, []) if isinstance(rule, dict) else None
            yield from patterns if isinstance(patterns, list) else [None]
        conditions = rule.get("when", []) if isinstance(rule, dict) else None
        for condition in conditions if isinstance(conditions, list) else [None]:
            for field in ("like", "unlike"):
                patterns = condition.get(field, []) if isinstance(condition, dict) else None
                yield from patterns if isinstance(patterns, list) else [None]
