"""Which names a bundle cannot tell apart, so that a listing is decided in groups.

The default bundle looks at the names of servers and tools in one file, `agentflow/match.rego`, and there only
through the patterns of data.json. Two tools covered by the same rules are therefore decided alike. Where that file
was changed, or another one reads the names, nothing is grouped: each name is asked for by itself.

This serves listings alone. A call is always decided by the policy, on the name itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from agentflow.paths import shipped
from agentflow.pipeline.call import JSON
from agentflow.policy.projection import Projection, paths_read

MATCH = "agentflow/match.rego"
_NAMES = (("call", "server"), ("call", "tool"))
_FIELDS = {"tool": "tools", "prompt": "prompts", "resource": "resources", "model": "models"}

_Rule = tuple[str, re.Pattern[str] | None, dict[str, re.Pattern[str]]]


class Selectors:
    """The patterns of data.json, compiled; mirrors `match.rego`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._rules: list[_Rule] = []
        for name, rule in settings.get("rules", {}).items():
            servers = _any_of(rule["servers"]) if "servers" in rule else None
            fields = {field: _any_of(rule[field]) for field in _FIELDS.values() if field in rule}
            self._rules.append((name, servers, fields))
        self._forbidden = [(entry, _any_of([entry])) for entry in settings.get("forbidden", [])]
        self._for_server = functools.lru_cache(maxsize=1024)(self._covering_server)

    @classmethod
    def of(cls, modules: Mapping[str, str], data: JSON) -> Selectors | None:
        """Return the selectors of a bundle that keeps to the rule above, else None.

        Args:
            data: without mistakes in its settings (`settings.problems_of`).
        """
        return cls(data["settings"]) if keeps_to_patterns(modules) else None

    def group(self, kind: str, server: str, name: str) -> tuple[str, ...]:
        """Return what tells this name from others: the rules and forbidden entries that cover it.

        Args:
            kind: `tool`, `prompt`, `resource` or `model`.
        """
        field = _FIELDS[kind]
        covering = [
            rule
            for rule, fields in self._for_server(server)
            if not fields or (field in fields and fields[field].fullmatch(name))
        ]
        if field == "tools" and self._forbidden:
            whole = f"{server}/{name}"
            covering += [f"\0{entry}" for entry, pattern in self._forbidden if pattern.fullmatch(whole)]
        return tuple(covering)

    def _covering_server(self, server: str) -> list[tuple[str, dict[str, re.Pattern[str]]]]:
        return [(name, fields) for name, servers, fields in self._rules if servers is None or servers.fullmatch(server)]


def keeps_to_patterns(modules: Mapping[str, str]) -> bool:
    """Whether a bundle looks at names only as the default one does: its settings have that one's vocabulary."""
    own = modules.get(MATCH)
    if own is None or own != (shipped("policies") / MATCH).read_text(encoding="utf-8"):
        return False
    others = Projection(paths_read(text for name, text in modules.items() if name != MATCH))
    return not any(others.reads(path) for path in _NAMES)


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    """`*` stands for any run of characters, everything else for itself."""
    alternatives = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(alternatives) or "(?!)", re.DOTALL)
