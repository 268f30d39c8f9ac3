"""What a policy can read of its input, found without understanding the policy.

Every access to the input document goes through the word `input`, so the dotted paths after each occurrence of the
word cover all that a module can read; where the word stands alone or is indexed with something else, everything
below that point counts as read. Parts that no rule can read are left out of the question put to the policy, and
with it out of the key of the decision cache: a bundle that never looks at arguments decides once for all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from agentflow.pipeline.call import JSON

Path = tuple[str, ...]
_INPUT = re.compile(r"(?<![\w.])input(?!\w)((?:\.[A-Za-z_]\w*)*)")


def paths_read(modules: Iterable[str]) -> frozenset[Path]:
    """Return the paths below `input` that these Rego texts may read; `()` stands for everything."""
    paths: set[Path] = set()
    for text in modules:
        # Whole-line comments are prose. With raw strings about, a line that starts with # may be code.
        code = text if "`" in text else re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
        paths.update(tuple(found.split(".")[1:]) for found in _INPUT.findall(code))
    return frozenset(paths)


def canonical(value: Any) -> bytes:
    """Return `value` as JSON, the same bytes for equal values.

    Raises:
        ValueError, TypeError: it cannot be written as UTF-8 JSON (a lone surrogate).
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits are legal JSON, and not orjson's
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Projection:
    """Cuts a document down to some paths."""

    def __init__(self, paths: Iterable[Path]) -> None:
        tree: JSON = {}
        self._everything = False
        for path in sorted(paths, key=len):  # a prefix comes before what it covers
            node = tree
            for name in path[:-1]:
                node = node.setdefault(name, {})
                if node is None:
                    break
            else:
                if path:
                    node.setdefault(path[-1], None)
                else:
                    self._everything = True
        self._tree = tree

    def reads(self, path: Path) -> bool:
        """Whether anything at, above or below `path` is read."""
        node: Any = self._tree
        for name in () if self._everything else path:
            if node is None:
                return True
            if name not in node:
                return False
            node = node[name]
        return True

    def __call__(self, document: JSON) -> JSON:
        """Return the part of `document` that is read. Shares structure with it."""
        return document if self._everything else _cut(document, self._tree)


def _cut(document: JSON, tree: JSON) -> JSON:
    kept: JSON = {}
    for name, below in tree.items():
        if name in document:
            value = document[name]
            if below is None:
                kept[name] = value
            elif isinstance(value, dict):
                kept[name] = _cut(value, below)
    return kept
