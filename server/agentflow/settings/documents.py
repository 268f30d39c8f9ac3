"""YAML and JSON-with-comments text as one tree of values that know their line and their place in the text.

Promises: what is reported about a file names its line; what is edited in a file leaves every other character
alone. Refuses: text nested deeper than 200, YAML that contains itself, control of types by tags.
JSON may carry `//` and `/* */` comments and trailing commas, as editors' own settings do. YAML is read with the
1.2 core rules for scalars: `off` and `no` are words, `12:30` is text; only `true` and `false` are booleans.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 200

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


class DocumentError(Exception):
    """The text is neither YAML nor JSON. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(slots=True)
class Entry:
    """One `key: value` of a mapping. `start` is the offset of the key's first character."""

    key: str
    value: Node
    start: int
    line: int


@dataclass(slots=True)
class Node:
    """A value in the text, from offset `start` up to `end` (exclusive), on `line`.

    `content` is a scalar, a list of nodes, or a list of entries (a mapping, which may hold a key twice).
    """

    content: Scalar | list[Node] | list[Entry]
    kind: str  # "scalar", "list" or "map"
    start: int
    end: int
    line: int
    flow: bool = True  # written with brackets
    duplicates: list[Entry] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """The entries of a mapping; empty for anything else."""
        return self.content if self.kind == "map" else []  # type: ignore[return-value]

    @property
    def items(self) -> list[Node]:
        """The nodes of a list; empty for anything else."""
        return self.content if self.kind == "list" else []  # type: ignore[return-value]

    def get(self, key: str) -> Node | None:
        """The value of `key` (the last one, as parsers do), or None."""
        for entry in reversed(self.entries):
            if entry.key == key:
                return entry.value
        return None

    def at(self, path: Path) -> Node | None:
        """The node that `path` leads to, or None."""
        node: Node | None = self
        for step in path:
            if node is None:
                return None
            if isinstance(step, int) and node.kind == "list":
                node = node.items[step] if step < len(node.items) else None
            else:
                node = node.get(str(step))
        return node

    def line_of(self, path: Path) -> int:
        """The line of what `path` names, or of its nearest ancestor that is in the text."""
        node = self
        line = self.line
        for step in path:
            if isinstance(step, int) and node.kind == "list" and step < len(node.items):
                node = node.items[step]
                line = node.line
                continue
            entry = next((e for e in reversed(node.entries) if e.key == str(step)), None)
            if entry is None:
                break
            node, line = entry.value, entry.line
        return line

    def plain(self) -> Any:
        """The value as plain dicts, lists and scalars."""
        if self.kind == "map":
            return {entry.key: entry.value.plain() for entry in self.entries}
        if self.kind == "list":
            return [node.plain() for node in self.items]
        return self.content

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Every node below and including this one, with its path."""
        yield path, self
        for entry in self.entries:
            yield from entry.value.walk((*path, entry.key))
        for index, node in enumerate(self.items):
            yield from node.walk((*path, index))


def parse(text: str, *, as_json: bool) -> Node:
    """Parse a whole document; empty text is an empty mapping.

    Raises:
        DocumentError: with the line at which reading stopped.
    """
    return _parse_json(text) if as_json else _parse_yaml(text)


# --- JSON with comments -------------------------------------------------------------------------------------

_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_WORD = re.compile(r"-?[0-9][0-9.eE+\-]*|true|false|null")


class _Json:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._line_at = 0
        self._line = 1

    def line(self, offset: int) -> int:
        if offset >= self._line_at:
            self._line += self.text.count("\n", self._line_at, offset)
        else:
            self._line = 1 + self.text.count("\n", 0, offset)
        self._line_at = offset
        return self._line

    def fail(self, message: str) -> DocumentError:
        return DocumentError(message, self.line(self.at))

    def space(self) -> str:
        """Skip blanks and comments; return the next character, "" at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH}")
        char = self.space()
        if char == "{":
            return self.mapping(depth)
        if char == "[":
            return self.sequence(depth)
        start = self.at
        if char == '"':
            content: Scalar = self.string()
        else:
            content = self.word()
        return Node(content, "scalar", start, self.at, self.line(start))

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise self.fail("a string that does not end on its line")
        try:
            value: str = json.loads(match.group())
        except ValueError as error:
            raise self.fail(f"a string with a bad escape: {error}") from None
        self.at = match.end()
        return value

    def word(self) -> Scalar:
        match = _WORD.match(self.text, self.at)
        if match is None:
            found = self.text[self.at : self.at + 1]
            raise self.fail(f"expected a value, found {found!r}" if found else "the text ends too early")
        try:
            value: Scalar = json.loads(match.group())
        except ValueError:
            raise self.fail(f"{match.group()[:40]!r} is not a number") from None
        self.at = match.end()
        return value

    def mapping(self, depth: int) -> Node:
        start = self.at
        node = Node([], "map", start, start, self.line(start))
        self.at += 1
        seen: set[str] = set()
        while (char := self.space()) != "}":
            if char != '"':
                raise self.fail('expected a key in double quotes or "}"')
            key_start, key_line = self.at, self.line(self.at)
            key = self.string()
            if self.space() != ":":
                raise self.fail(f"expected ':' after {key!r}")
            self.at += 1
            entry = Entry(key, self.value(depth + 1), key_start, key_line)
            (node.duplicates if key in seen else node.entries).append(entry)
            seen.add(key)
            self.separator("}")
        self.at += 1
        node.end = self.at
        return node

    def sequence(self, depth: int) -> Node:
        start = self.at
        node = Node([], "list", start, start, self.line(start))
        self.at += 1
        while self.space() != "]":
            node.items.append(self.value(depth + 1))
            self.separator("]")
        self.at += 1
        node.end = self.at
        return node

    def separator(self, closing: str) -> None:
        char = self.space()
        if char == ",":
            self.at += 1
        elif char != closing:
            raise self.fail(f"expected ',' or {closing!r}" if char else "the text ends too early")


def _parse_json(text: str) -> Node:
    reader = _Json(text)
    if not reader.space():
        return Node([], "map", 0, 0, 1)
    node = reader.value(0)
    if reader.space():
        raise reader.fail("something follows the end of the document")
    return node


# --- YAML ---------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("merge", r"^<<$", "<"),
):
    _firsts: list[Any] = [*_first, ""] if _tag == "null" else list(_first)
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _firsts)


class _Yaml:
    def __init__(self, loader: _Loader) -> None:
        self.loader = loader
        self.open: set[int] = set()  # ids of the nodes being converted: an alias to one of them is a loop

    def node(self, source: yaml.Node, depth: int) -> Node:
        mark = source.start_mark
        line, start, end = mark.line + 1, mark.index, source.end_mark.index
        if depth > MAX_DEPTH:
            raise DocumentError(f"nested deeper than {MAX_DEPTH}", line)
        if id(source) in self.open:
            raise DocumentError("an alias inside the value it stands for", line)
        if isinstance(source, yaml.ScalarNode):
            return Node(self.scalar(source, line), "scalar", start, end, line)
        if not isinstance(source, yaml.MappingNode | yaml.SequenceNode):
            raise DocumentError("neither a value, a list nor a mapping", line)
        self.open.add(id(source))
        try:
            flow = bool(getattr(source, "flow_style", False))
            if isinstance(source, yaml.SequenceNode):
                return Node([self.node(n, depth + 1) for n in source.value], "list", start, end, line, flow)
            return self.mapping(source, Node([], "map", start, end, line, flow), depth)
        finally:
            self.open.discard(id(source))

    def scalar(self, source: yaml.ScalarNode, line: int) -> Scalar:
        kind = source.tag.rpartition(":")[2]
        if kind == "int":
            return int(source.value)  # base 10 always: 0755 is 755, as in JSON's spirit
        if kind == "float":
            return float(source.value)
        if kind == "bool":
            return bool(source.value.lower() == "true")
        if kind == "null":
            return None
        if kind in ("str", "merge"):
            return str(source.value)
        raise DocumentError(f"the tag {source.tag!r} is not supported", line)

    def mapping(self, source: yaml.MappingNode, node: Node, depth: int) -> Node:
        self.loader.flatten_mapping(source)  # `<<: *defaults`: what is merged comes first, from outside the span
        last: dict[str, tuple[int, bool]] = {}
        for key, value in source.value:
            if not isinstance(key, yaml.ScalarNode):
                raise DocumentError("a key must be a plain word or text", key.start_mark.line + 1)
            entry = Entry(key.value, self.node(value, depth + 1), key.start_mark.index, key.start_mark.line + 1)
            own = node.start <= entry.start < node.end
            if entry.key not in last:
                last[entry.key] = (len(node.entries), own)
                node.entries.append(entry)
            elif own and last[entry.key][1]:
                node.duplicates.append(entry)
            else:
                place = last[entry.key][0]
                last[entry.key] = (place, own)
                node.entries[place] = entry
        return node


def _parse_yaml(text: str) -> Node:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        source = loader.get_single_node()
        if source is None:
            return Node([], "map", len(text), len(text), 1, flow=False)
        return _Yaml(loader).node(source, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(error.problem or "not YAML", mark.line + 1 if mark else 1) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0)) + 1
        raise DocumentError(f"the character {error.character!r} is not allowed", line) from None
    except RecursionError:
        raise DocumentError(f"nested deeper than {MAX_DEPTH}", 1) from None
    finally:
        if loader is not None:
            loader.dispose()


class _Dumper(yaml.SafeDumper):
    """Quotes every text that either YAML 1.1 or this module would read as something else."""


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def dump_yaml(value: Any) -> str:
    """`value` as YAML in block style, keys in their order; every YAML reader reads the same value."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000))
