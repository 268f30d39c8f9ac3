"""What differs between two bundles, rule by rule and setting by setting.

Rules are compared by package and name wherever they stand, comments and blank lines apart, so that a rule that was
only moved is no difference. It says what the texts say; what that does to calls is `replay`'s to say.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from agentflow.pipeline.call import JSON
from agentflow.policy.bundle import Bundle

_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_NAME = re.compile(r"(?:default\s+)?([A-Za-z_][\w.]*)")
_CONTINUES = re.compile(r"^(?:\s|[})\]]|else\b)")
Kind = Literal["added", "removed", "changed"]
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        what: `rule`, `test` or `data`.
        name: of a rule with its package, of a setting its path with dots.
        before, after: Rego text or JSON; "" where there is none.
    """

    what: Literal["rule", "test", "data"]
    kind: Kind
    name: str
    before: str = ""
    after: str = ""

    def lines(self) -> list[str]:
        """The difference for a person, one line each: `-` before, `+` after."""
        if self.what == "data":
            told = {"added": self.after, "removed": self.before, "changed": f"{self.before} → {self.after}"}
            return [f"{self.name}: {told[self.kind]}"]
        compared = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=2, lineterm="")
        return [self.name, *(f"    {line}" for line in list(compared)[2:] if not line.startswith("@@"))]


def differences(before: Bundle, after: Bundle) -> list[Difference]:
    """Return what `after` has otherwise than `before`: data first, then rules, then tests."""
    found = list(_of_data(before.data, after.data))
    for what, one, other in (("rule", before.modules, after.modules), ("test", before.tests, after.tests)):
        found += _of_rules("test" if what == "test" else "rule", _rules(one), _rules(other))
    return found


def _of_rules(
    what: Literal["rule", "test"], before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        one, other = before.get(name, ""), after.get(name, "")
        if one != other:
            kind: Kind = "changed" if one and other else "removed" if one else "added"
            yield Difference(what, kind, name, one, other)


def _rules(modules: Mapping[str, str]) -> dict[str, str]:
    """Rego statements by package and name; several of one name are joined in a fixed order."""
    found: dict[str, list[str]] = {}
    for text in modules.values():
        package = _PACKAGE.search(text)
        for statement in _statements(text):
            named = _NAME.match(statement)
            if named is not None and named[1] not in ("package", "import"):
                found.setdefault(f"{package[1] if package else ''}.{named[1]}", []).append(statement)
    return {name: "\n\n".join(sorted(statements)) for name, statements in found.items()}


def _statements(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if lines and not _CONTINUES.match(line):
            yield "\n".join(lines)
            lines = []
        lines.append(line.rstrip())
    if lines:
        yield "\n".join(lines)


def _of_data(before: JSON, after: JSON, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    for key in sorted({*before, *after}):
        one, other = before.get(key, _MISSING), after.get(key, _MISSING)
        if one == other and type(one) is type(other):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _of_data(one, other, (*path, key))
            continue
        kind: Kind = "added" if one is _MISSING else "removed" if other is _MISSING else "changed"
        yield Difference("data", kind, ".".join((*path, key)), _text(one), _text(other))


def _text(value: Any) -> str:
    return "" if value is _MISSING else orjson.dumps(value).decode()
