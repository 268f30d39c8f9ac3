"""The tokens that stand for what a caller typed clear in one request, and their way back to that caller.

It promises: only tokens that the label put in the place of clear values of this very request are given back; a token
that the caller wrote as a token, or that stands for a value of somebody's result, stays one. Whoever typed a value may
see it again: this is no way to read the vault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.guard import tokens
from agentflow.guard.rehydration import Values, rehydrate
from agentflow.guard.vault import Entry
from agentflow.guard.walk import JSON

_EVERY = ("*",)


@dataclass(frozen=True, slots=True)
class Own:
    """What the tokens of one request's own clear values stand for, by name."""

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def restored(self, body: JSON, input_schema: Any = None) -> JSON:
        """The body with these tokens turned back, in whatever state a model left them; itself where there are none.

        Args:
            input_schema: JSON Schema of `body["arguments"]`, where there is one.
        """
        return rehydrate(self, "", body, _EVERY, input_schema).body if self.entries else body

    def values(self, tenant: str, names: Sequence[str], scope: str = "") -> Mapping[str, Entry]:
        """As `Vault.values`, of these tokens."""
        return {name: self.entries[name] for name in names if name in self.entries}

    def originals(self, tenant: str, texts: Sequence[str], scope: str = "") -> Mapping[str, Entry]:
        """As `Vault.originals`: nothing; the label makes tokens only."""
        return {}


def own_of(vault: Values, tenant: str, typed: Any, labelled: Any, scope: str = "") -> Own:
    """The tokens that stand in `labelled` where `typed` has clear values.

    Raises:
        VaultUnavailable: the vault could not be read.
    """
    names = introduced(typed, labelled)
    return Own(vault.values(tenant, names, scope)) if names else Own()


def introduced(typed: Any, labelled: Any) -> list[str]:
    """The names of the tokens that `labelled` has more often than `typed`, which it was made of. Iterative."""
    found: dict[str, None] = {}
    pairs = [(typed, labelled)]
    while pairs:
        before, after = pairs.pop()
        if before is after:
            continue  # a part without anything to label is shared
        if isinstance(after, dict) and isinstance(before, dict):
            pairs.extend(zip(before, after, strict=True))
            pairs.extend(zip(before.values(), after.values(), strict=True))
        elif isinstance(after, list) and isinstance(before, list):
            pairs.extend(zip(before, after, strict=True))
        elif isinstance(after, str) and after != before:
            found.update(dict.fromkeys(_names(after) - _names(before if isinstance(before, str) else "")))
        elif isinstance(after, int | float) and after != before:
            found[str(int(after))] = None
    return list(found)


def _names(text: str) -> Counter[str]:
    return Counter(span.name for span in tokens.find(text))
