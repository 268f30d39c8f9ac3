"""One walk over every JSON value of a message, shared by all stages that look at text.

It promises: every key and every value of a body is seen (strings and numbers, at any depth, without
recursion), except the protocol's own control fields at the protocol's own places; a rewrite copies only the
containers on the way to a change and returns the very same object when nothing changed. It refuses nothing.

What is left alone is decided by *place* and by *look*: `{"type": "text"}` in a content block is protocol, but inside
`arguments` or `structuredContent` it is somebody's data, and `{"type": "write to alice@example.com"}` is data anywhere.
Source of the field names: MCP 2024-11-05 … 2026-07-28, schema.ts.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final

import orjson

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
_WORDS: Final = frozenset(
    {
        "method", "type", "mimeType", "role", "resultType", "protocolVersion", "level", "mode", "action", "stopReason",
        "cacheScope",
    }
)  # fmt: skip
_HANDLES: Final = frozenset(
    {"requestState", "cursor", "nextCursor", "progressToken", "elicitationId", "toolUseId", "taskId"}
)
_USUAL: Final = frozenset({"text", "user", "assistant", "complete", "image/png", "text/plain"})  # saves a closer look
_URIS: Final = frozenset({"uri", "uriTemplate", "url"})
_SPECIAL: Final = _WORDS | _HANDLES | _URIS | {"name", "data", "blob"}
_NAMED_FREELY: Final = frozenset({"resource", "resources", "contents", "resourceTemplates", "roots"})
_RESERVED_META: Final = frozenset(
    "io.modelcontextprotocol/" + name
    for name in (
        "protocolVersion", "clientInfo", "clientCapabilities", "logLevel", "serverInfo", "subscriptionId",
        "progressToken",
    )
)  # fmt: skip
# How such fields look: a word may be a date or a media type, a handle anything that is one run of base64, hex, UUID …
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+/$-]{0,63}|\d{4}-\d\d-\d\d")
_HANDLE: Final = re.compile(r"[A-Za-z0-9_.+/=:~-]{1,8192}")
_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/=_\s-]*")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
_LEAST_BASE64: Final = 64  # characters: no picture is shorter, and what is may be read by a person
_LONGEST_LINE: Final = 1024
_TEXT_ENDINGS: Final = ("json", "xml", "yaml", "javascript")
_MAX_NESTED: Final = 3
_PRUNE_FROM: Final = 8


class Kind(Enum):
    """What a leaf is: a value, a member's key, the address of a resource, or a text file in base64."""

    VALUE = 0
    KEY = 1
    URI = 2
    FILE = 3


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
        value: `str`, `int` or `float`; for `Kind.KEY` the key itself, for `Kind.FILE` the decoded text.
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


def serialised(body: JSON) -> bytes | None:
    """Return `body` as bytes for a quick look, or None when it holds what orjson does not write."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return None


_ENVELOPE, _PAYLOAD, _MAP = 0, 1, 2


def leaves(body: JSON, prune: Callable[[Any], bool] | None = None, files: bool = False) -> list[Leaf]:
    """Return every string and number of `body` that is data, keys included, level by level.

    Args:
        files: also what is in the `blob` of each embedded file that says it is text, or says nothing (`Kind.FILE`).
        prune: asked about each object in a long list; where it answers True the object is passed over.
            For callers that can tell cheaply that a whole object holds nothing for them.
    """
    found: list[Leaf] = []
    nodes = [Node(None, "", body, "", _ENVELOPE)]
    for node in nodes:  # grows while it runs: breadth first
        value = node.value
        if isinstance(value, dict):
            if node.mode == _ENVELOPE:
                _envelope(node, value, found, nodes, files)
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


def _envelope(node: Node, value: JSON, found: list[Leaf], nodes: list[Node], files: bool) -> None:
    """Visit the members of one MCP object."""
    meta = node.key == "_meta"
    for key, item in value.items():
        kind = type(item)
        if kind is dict or kind is list:
            if meta and key in _RESERVED_META and _plain(item):
                continue
            nodes.append(Node(node, key, item, key, _mode_below(key, item, value)))
        elif key in _SPECIAL:
            if item in _USUAL or _structural(node, key, item, value):
                continue
            if key == "blob" and kind is str:
                _blob(node, item, value, found, files)
            elif key in _URIS and kind is str:
                found.append(Leaf(node, key, item, Kind.URI))
            else:
                _visit(node, key, item, key, _PAYLOAD, found, nodes)
        elif meta and key in _RESERVED_META and _plain(item):
            continue
        else:
            _visit(node, key, item, key, _PAYLOAD, found, nodes)
        # Protocol members are plain words; anything else may be data in disguise.
        if not (key.isalpha() and key.isascii()) and not (meta and key in _RESERVED_META):
            found.append(Leaf(node, key, key, Kind.KEY))


def _structural(node: Node, key: str, item: Any, siblings: JSON) -> bool:
    """Whether a control field looks like one. An upstream writes what it likes into any of them."""
    if not isinstance(item, str):
        return key == "progressToken"
    if key in _WORDS:
        return _WORD.fullmatch(item) is not None
    if key in _HANDLES:
        return _HANDLE.fullmatch(item) is not None
    if key == "name":  # of a tool or prompt; a resource's name is free text, and a block's as well
        return "type" not in siblings and node.label not in _NAMED_FREELY and _WORD.fullmatch(item) is not None
    return key == "data" and siblings.get("type") in ("image", "audio") and _encoded(item)


def _blob(node: Node, item: str, file: JSON, found: list[Leaf], files: bool) -> None:
    """A file: opaque if it is base64, read if it is text, and both looked at where it can be taken for either."""
    text = _text_of(item) if files and _says_text(file) else None
    if not _encoded(item) if text is None else not _ALPHABET.fullmatch(item):
        found.append(Leaf(node, "blob", item, Kind.VALUE))
    if text:
        found.append(Leaf(node, "blob", text, Kind.FILE))


def _plain(item: Any) -> bool:
    """Whether what describes a client or server is as short and as plain as such descriptions are, all of it."""
    level = [item]
    for value in level:
        kind = type(value)
        if kind is str:
            if value and (len(value) > 64 or _HANDLE.fullmatch(value) is None):
                return False
        elif kind is dict:
            for name in value:
                if len(name) > 64 or _HANDLE.fullmatch(name) is None:
                    return False
            level += value.values()
        elif kind is list:
            level += value
        if len(level) > 32:
            return False
    return True


def _encoded(text: str) -> bool:
    """Whether a text is base64 (or its alphabet for URLs), in lines of one length if in several."""
    if len(text) < _LEAST_BASE64 or not text.isascii() or text.encode("ascii").translate(None, _BASE64):
        return False
    first = text.find("\n", 0, _LONGEST_LINE)
    if first < 0:
        return "\n" not in text and "\r" not in text
    lines = text.rstrip("\r\n").split("\n")
    return first >= _LEAST_BASE64 - 4 and all(len(line) == first for line in lines[:-1]) and len(lines[-1]) <= first


def _says_text(file: JSON) -> bool:
    mime = str(file.get("mimeType", "text/plain")).split(";")[0].strip().lower()
    return mime.startswith("text/") or mime.endswith(_TEXT_ENDINGS)


def _text_of(blob: str) -> str | None:
    """The text of a file in base64 as a lenient client decodes it, or None where it is none."""
    try:
        return base64.b64decode(blob).decode()
    except (binascii.Error, ValueError):
        return None


def masked_pointer(pointer: str, mask: Callable[[str], str]) -> str:
    """Return a JSON pointer with `mask` applied to each of its steps."""
    steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))
    return "/".join(mask(step).replace("~", "~0").replace("/", "~1") for step in steps)


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
    """Return `body` with each leaf replaced, files encoded again; containers without a change are shared with it."""
    copies: dict[int, Any] = {}
    renames: dict[int, dict[str, str]] = {}
    for leaf, new in changes:
        container = _copy(leaf.node, copies)
        if leaf.kind is Kind.KEY:
            renames.setdefault(id(leaf.node), {})[str(leaf.key)] = str(new)
        elif leaf.kind is Kind.FILE:
            container[leaf.key] = base64.b64encode(str(new).encode()).decode()
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
