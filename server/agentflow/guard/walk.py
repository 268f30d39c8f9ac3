"""One walk over every JSON value of a message, shared by all stages that look at text.

It promises: every key and every value of a body is seen (strings and numbers, at any depth, without
recursion), except the protocol's own control fields at the protocol's own places; a rewrite copies only the
containers on the way to a change and returns the very same object when nothing changed. It refuses nothing.

What is left alone is decided by *place*, not by name: `{"type": "text"}` in a content block is protocol, but
`{"type": "alice@example.com"}` inside `arguments` or `structuredContent` is somebody's data.
Source of the field names: MCP 2024-11-05 … 2026-07-28, schema.ts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final

JSON = dict[str, Any]

# Members of MCP objects whose children are MCP objects again; every other member holds somebody's data.
_CONTAINERS: Final = frozenset(
    {
        "content", "contents", "messages", "resource", "tools", "prompts", "resources", "resourceTemplates",
        "roots", "params", "ref", "argument", "completion", "_meta",
    }
)  # fmt: skip
# MCP objects keyed by ids of the server's choice.
_MAPS: Final = frozenset({"inputRequests", "inputResponses"})
_STRUCTURAL: Final = frozenset(
    {
        "method", "type", "mimeType", "role", "resultType", "requestState", "cursor", "nextCursor", "progressToken",
        "protocolVersion", "level", "mode", "action", "elicitationId", "toolUseId", "taskId", "stopReason",
        "cacheScope", "blob",
    }
)  # fmt: skip
_URIS: Final = frozenset({"uri", "uriTemplate", "url"})
_NAMED_FREELY: Final = frozenset({"resources", "resourceTemplates", "roots"})
_RESERVED_META: Final = "io.modelcontextprotocol/"
_MAX_NESTED: Final = 3
_PRUNE_FROM: Final = 8


class Kind(Enum):
    """What a leaf is: a value, a member's key, or the address of a resource."""

    VALUE = 0
    KEY = 1
    URI = 2


class Node:
    """A container on the way to a leaf. `label` is the nearest member key above its items."""

    __slots__ = ("key", "label", "mode", "parent", "value")

    def __init__(self, parent: Node | None, key: str | int, value: Any, label: str, mode: int) -> None:
        self.parent = parent
        self.key = key
        self.value = value
        self.label = label
        self.mode = mode


class Leaf:
    """A string or number in a body.

    Attributes:
        label: the nearest member key ("email" for both `{"email": x}` and `{"email": [x]}`).
        value: `str`, `int` or `float`; for `Kind.KEY` the key itself.
    """

    __slots__ = ("key", "kind", "node", "value")

    def __init__(self, node: Node, key: str | int, value: str | int | float, kind: Kind) -> None:
        self.node = node
        self.key = key
        self.value = value
        self.kind = kind

    @property
    def label(self) -> str:
        if self.kind is Kind.KEY:
            return ""
        return self.key if isinstance(self.key, str) else self.node.label

    @property
    def path(self) -> tuple[str | int, ...]:
        """Keys and indices from the body's root to this leaf."""
        steps: list[str | int] = [self.key]
        node = self.node
        while node.parent is not None:
            steps.append(node.key)
            node = node.parent
        return tuple(reversed(steps))

    @property
    def pointer(self) -> str:
        """The JSON pointer (RFC 6901) of the value, or of the member whose key this is."""
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in self.path)


_ENVELOPE, _PAYLOAD, _MAP = 0, 1, 2


def leaves(body: JSON, prune: Callable[[Any], bool] | None = None) -> list[Leaf]:
    """Return every string and number of `body` that is data, keys included, level by level.

    Args:
        prune: asked about each object in a long list; where it answers True the object is passed over.
            For callers that can tell cheaply that a whole object holds nothing for them.
    """
    found: list[Leaf] = []
    nodes = [Node(None, "", body, "", _ENVELOPE)]
    for node in nodes:  # grows while it runs: breadth first
        value = node.value
        if isinstance(value, dict):
            if node.mode == _ENVELOPE:
                _envelope(node, value, found, nodes)
            else:
                for key, item in value.items():
                    if node.mode == _PAYLOAD:
                        found.append(Leaf(node, key, key, Kind.KEY))
                    _visit(node, key, item, key, _PAYLOAD if node.mode == _PAYLOAD else _ENVELOPE, found, nodes)
        else:
            pruning = prune if len(value) >= _PRUNE_FROM else None
            for index, item in enumerate(value):
                if pruning is not None and isinstance(item, dict | list) and pruning(item):
                    continue
                _visit(node, index, item, node.label, node.mode, found, nodes)
    return found


def _visit(node: Node, key: str | int, item: Any, label: str, mode: int, found: list[Leaf], nodes: list[Node]) -> None:
    kind = type(item)
    if kind is str:
        if item:
            found.append(Leaf(node, key, item, Kind.VALUE))
    elif kind is dict or kind is list:
        nodes.append(Node(node, key, item, label, mode))
    elif kind is int or kind is float:
        found.append(Leaf(node, key, item, Kind.VALUE))


def _envelope(node: Node, value: JSON, found: list[Leaf], nodes: list[Node]) -> None:
    """Visit the members of one MCP object."""
    meta = node.key == "_meta"
    for key, item in value.items():
        if isinstance(item, dict | list):
            if meta and key.startswith(_RESERVED_META):
                continue
            _visit(node, key, item, key, _mode_below(key, item, value), found, nodes)
        elif _structural(node, key, value) or (meta and key.startswith(_RESERVED_META)):
            continue
        elif key in _URIS and isinstance(item, str):
            found.append(Leaf(node, key, item, Kind.URI))
        else:
            _visit(node, key, item, key, _PAYLOAD, found, nodes)
        if not key.isalpha():  # protocol members are plain words; anything else may be data in disguise
            found.append(Leaf(node, key, key, Kind.KEY))


def _structural(node: Node, key: str, siblings: JSON) -> bool:
    if key == "name":  # of a tool or prompt; a resource's name is free text
        return node.label not in _NAMED_FREELY and siblings.get("type") != "resource_link"
    if key == "data":
        return siblings.get("type") in ("image", "audio")
    return key in _STRUCTURAL


def _mode_below(key: str, item: Any, siblings: JSON) -> int:
    if key in _MAPS:
        return _MAP
    if key not in _CONTAINERS:
        return _PAYLOAD
    # An elicitation's `content` is what a person typed; a sampling answer's is a block next to a `role`.
    if key == "content" and isinstance(item, dict) and "role" not in siblings:
        return _PAYLOAD
    return _ENVELOPE


def replace(body: JSON, changes: Iterable[tuple[Leaf, str | int | float]]) -> JSON:
    """Return `body` with each leaf replaced; containers without a change are shared with the original."""
    copies: dict[int, Any] = {}
    renames: dict[int, dict[str, str]] = {}
    for leaf, new in changes:
        container = _copy(leaf.node, copies)
        if leaf.kind is Kind.KEY:
            renames.setdefault(id(leaf.node), {})[str(leaf.key)] = str(new)
        else:
            container[leaf.key] = new
    for identity, names in renames.items():
        _rename(copies[identity], names)
    if not copies:
        return body
    root: JSON = next(iter(copies.values()))  # the first container copied is always the root
    return root


def _copy(node: Node, copies: dict[int, Any]) -> Any:
    chain = [node]
    while id(chain[-1]) not in copies and chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    for step in reversed(chain):
        if id(step) not in copies:
            copies[id(step)] = step.value.copy()
            if step.parent is not None:
                copies[id(step.parent)][step.key] = copies[id(step)]
    return copies[id(node)]


def _rename(container: JSON, names: dict[str, str]) -> None:
    members = list(container.items())
    taken = {key for key in container if key not in names}
    container.clear()
    for key, value in members:
        new = base = names.get(key, key)
        count = 2
        while key in names and new in taken:  # two members must not fall into one
            new, count = f"{base} ({count})", count + 1
        taken.add(new)
        container[new] = value


def strings(body: JSON) -> Iterator[tuple[str, str]]:
    """Yield `(pointer, text)` of every string that is data, keys included.

    A string that holds JSON with escapes is yielded as it is and then, after `#`, with the strings inside it
    decoded (to three levels): `/content/0/text#/note`.
    """
    for leaf in leaves(body):
        if isinstance(leaf.value, str) and leaf.value:
            yield leaf.pointer, leaf.value
            yield from _nested(leaf.pointer, leaf.value, 1)


def _nested(pointer: str, text: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MAX_NESTED or "\\" not in text or text.lstrip()[:1] not in ("{", "["):
        return
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return
    for leaf in leaves({"": inner}):
        if isinstance(leaf.value, str) and leaf.value:
            place = f"{pointer}#{leaf.pointer[1:]}"
            yield place, leaf.value
            yield from _nested(place, leaf.value, depth + 1)


def rewrite(body: JSON, fn: Callable[[str], str]) -> JSON:
    """Return `body` with `fn` applied to every string that is data; the same object when nothing changed."""
    changes: list[tuple[Leaf, str | int | float]] = []
    for leaf in leaves(body):
        if isinstance(leaf.value, str):
            new = fn(leaf.value)
            if new != leaf.value:
                changes.append((leaf, new))
    return replace(body, changes)
