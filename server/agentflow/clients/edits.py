"""Edits of a mapping of servers inside a JSON or YAML file that leave the rest of the text as it is.

Promises: after an edit the file parses, the servers are the wanted ones and everything else means what it meant;
otherwise the whole document is written anew. Line ends, indentation and comments outside the mapping stay.
"""

from __future__ import annotations

import json
from typing import Any

from agentflow.settings.documents import DocumentError, Entry, Node, dump_yaml, parse

Servers = dict[str, Any]


def replace_servers(text: str, at: tuple[str, ...], keep: list[str], add: Servers, *, as_json: bool) -> str:
    """Make the mapping at `at` hold `add` and, after them, those of its own entries that `keep` names.

    Args:
        text: the document; an empty one gets the mapping.
    """
    root = parse(text, as_json=as_json)
    wanted = {**add, **{key: value for key, value in _servers(root, at).items() if key in keep and key not in add}}
    edited = _edit_json(text, root, at, keep, add) if as_json else _edit_yaml(text, root, at, keep, add)
    if edited is not None and _is_right(edited, root, at, wanted, as_json=as_json):
        return edited
    whole = root.plain()
    holder = whole
    for key in at[:-1]:
        holder = holder.setdefault(key, {})
    holder[at[-1]] = wanted
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n" if as_json else dump_yaml(whole)


def _servers(root: Node, at: tuple[str, ...]) -> Servers:
    node = root.at(at)
    return node.plain() if node is not None and node.kind == "map" else {}


def _is_right(edited: str, before: Node, at: tuple[str, ...], wanted: Servers, *, as_json: bool) -> bool:
    """Whether the edited text means what it meant but for the servers, which are the wanted ones."""
    try:
        after = parse(edited, as_json=as_json)
    except DocumentError:
        return False
    return _servers(after, at) == wanted and bool(_blank(after.plain(), at) == _blank(before.plain(), at))


def _blank(data: Any, at: tuple[str, ...]) -> Any:
    holder = data
    for key in at[:-1]:
        holder = holder.get(key) or {}
    holder.pop(at[-1], None)
    return data


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_at(text: str, offset: int) -> str:
    """The blanks with which the line of `offset` begins."""
    line = text[text.rfind("\n", 0, offset) + 1 :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """One step of indentation, as the text has it."""
    for line in text.splitlines():
        stripped = line.lstrip(" \t")
        if stripped[:1] == '"' and line != stripped:
            return line[: len(line) - len(stripped)]
    return "  "


def _edit_json(text: str, root: Node, at: tuple[str, ...], keep: list[str], add: Servers) -> str | None:
    node = root.at(at)
    if node is None or node.kind != "map":
        return None
    unit = _unit(text)
    outer = _indent_at(text, node.start)
    inner = outer + unit
    many_lines = "\n" in text
    members = []
    for key, value in add.items():
        body = json.dumps(value, indent=unit if many_lines else None, ensure_ascii=False)
        members.append(f"{json.dumps(key, ensure_ascii=False)}: " + body.replace("\n", "\n" + inner))
    members += [text[e.start : e.value.end] for e in node.entries if e.key in keep and e.key not in add]
    if many_lines:
        made = "{\n" + ",\n".join(inner + member for member in members) + f"\n{outer}}}"
        made = made.replace("\r\n", "\n").replace("\n", _newline(text))
    else:
        made = "{" + ", ".join(members) + "}"
    return text[: node.start] + made + text[node.end :]


def _edit_yaml(text: str, root: Node, at: tuple[str, ...], keep: list[str], add: Servers) -> str | None:
    end = _newline(text)
    node = root.at(at)
    if node is None:
        if len(at) != 1 or (root.flow and root.entries):
            return None
        head = text if not text.strip() or text.endswith("\n") else text + end
        return head + _block({at[0]: add}, "", end)
    if node.kind != "map" or node.flow or not node.entries:
        if root.flow:
            return None
        if (node.kind != "map" and node.content is not None) or [e for e in node.entries if e.key in keep]:
            return None
        inner = _indent_at(text, node.start) + "  "
        return text[: node.start].rstrip(" ") + end + _block(add, inner, end).rstrip("\r\n") + text[node.end :]
    indent = _indent_at(text, node.entries[0].start)
    gone = [entry for entry in node.entries if entry.key not in keep or entry.key in add]
    last = _content_end(text, node.entries[-1].value.end)
    insertion = _line_start(text, gone[0].start) if gone else last
    for entry in reversed(gone):
        start, stop = _lines_of(text, node, entry)
        text = text[:start] + text[stop:]
    block = _block(add, indent, end)
    if insertion and text[insertion - 1 : insertion] != "\n":
        block = end + block
    return text[:insertion] + block + text[insertion:]


def _block(servers: Servers, indent: str, end: str) -> str:
    return "".join(indent + line + end for line in dump_yaml(servers).splitlines()) if servers else ""


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _content_end(text: str, offset: int) -> int:
    """The offset after the line on which the content before `offset` ends."""
    stop = len(text[:offset].rstrip())
    line_end = text.find("\n", stop)
    return len(text) if line_end < 0 else line_end + 1


def _lines_of(text: str, node: Node, entry: Entry) -> tuple[int, int]:
    """The lines of one entry of a block mapping."""
    later = [other.start for other in node.entries if other.start > entry.start]
    stop = _line_start(text, min(later)) if later else _content_end(text, entry.value.end)
    return _line_start(text, entry.start), stop
