"""Descriptions that speak of other servers' tools, or praise their own.

A mention is another server's tool by its own or exposed name, written as an identifier (`send_email`,
`mail__send`, `sendEmail`). A name that is an ordinary word (`search`, `read`) counts only in backticks. A mention
that also instructs ("instead of", "before calling", "must", "is deprecated") is told apart from one that does not.
What a definition calls its own, its server's tools and its own parameters, is never a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import re2

from agentflow.guard.pins.canonical import parsed

_AROUND: Final = 120  # characters of the same sentence that are read on each side of a mention
_EXCERPT: Final = 80
_FEW: Final = 16  # names up to which each is looked for by itself
_MOST: Final = 8  # mentions of one definition that are told

_BREAK: Final = bytes(c if chr(c).isalnum() or c in b"_-" or c > 127 else 32 for c in range(256))
_IDENTIFIER: Final = re.compile(r"[^\W_]+(?:_+[^\W_]+)+|[^\W_]+(?:-[^\W_]+){2,}|[a-z0-9]+(?:[A-Z][a-z0-9]+)+")
_SPOKEN_OF: Final = re.compile(rb"(?:mcp_?tools?|mcp|tools?|functions?)_+(.+)")
_TICKED: Final = re.compile(rb"`([^`\\\s]{2,80})`")

_BEFORE: Final = re.compile(
    r"(?i)(?:instead of|rather than|in place of|replac\w+(?: for)?|supersed\w+|overrid\w+|prefer\w*"
    r"|(?:before|prior to|after|when(?:ever)?|while|without|every time|each time)"
    r" (?:you )?(?:\w+ )?(?:call|us|invok|execut|run)\w*"
    r"|(?:always|must|also|first|should|never|do not|don'?t|not|avoid|stop)"
    r" (?:\w+ )?(?:call|us|invok|execut|run|send|pass)\w*"
    r"|(?:chang|modif|alter|redirect|intercept)\w+|(?:any|every|each|all) (?:calls?|uses?) (?:of|to))\b[^.!?\n]*$"
)
_AFTER: Final = re.compile(
    r"(?i)^[^.!?\n]*?\b(?:must|should|shall|always|never|has to|have to|need(?:s|ed)? to|do not|don'?t"
    r"|cannot be trusted|(?:is|are|was|were|been|be) (?:\w+ )?(?:deprecated|broken|obsolete|insecure|unsafe|unreliable"
    r"|disabled|replaced|unavailable|forbidden|superseded))\b"
)
_PLAIN_BEFORE: Final = re.compile(
    r"(?i)(?:instead of|rather than|in place of"
    r"|(?:before|prior to|after|when(?:ever)?) (?:you )?(?:call|us|invok|execut|runn?)\w*"
    r"|(?:always|must|never|do not|don'?t|avoid) (?:call|us|invok|execut|runn?)\w*)"
    r" (?:the |any |every )?(?:\w+ )?`?$"
)
_PRAISE: Final = re2.compile(
    r"(?i)\b(?:the (?:very )?best (?:tool|choice|option|way|server|function)|most (?:reliable|accurate|trusted|secure|"
    r"powerful|advanced|complete|efficient) (?:tool|choice|option|way|server|function|source)|"
    r"(?:always|only|must) (?:use|call|prefer|choose|pick|select) this (?:tool|function|server|one)?|"
    r"(?:use|call|prefer|choose|pick|select) this (?:tool|function|server|one)? ?"
    r"(?:first|above all|over (?:all|any|every|the) other|instead of (?:all|any|every|the) other)|"
    r"(?:better|faster|safer|superior) (?:than|to) (?:all|any|every|the) other|highest priority|"
    r"preferred over (?:all|any|every|the) other|(?:number one|#1|no\. ?1) (?:tool|choice)|"
    r"should be (?:preferred|favou?red))"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """Another server's tool, as a definition speaks of it."""

    name: str
    servers: tuple[str, ...]
    instructs: bool
    excerpt: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """The names that are mentions in one server's definitions: identifiers and ordinary words, with their owners."""

    names: dict[bytes, set[str]]
    words: dict[bytes, set[str]]
    key: frozenset[bytes]


@dataclass
class Index:
    """The names that definitions may mention, with the servers that own them."""

    names: dict[bytes, set[str]] = field(default_factory=dict)
    words: dict[bytes, set[str]] = field(default_factory=dict)

    def add(self, server: str, name: str) -> None:
        """Add a tool's own or exposed name."""
        forms = re.split(r"[./:]", name) if "." in name or "/" in name or ":" in name else ()
        for form in (name, *forms[1:]):
            if len(form) > 2:
                kind = self.names if _IDENTIFIER.fullmatch(form) else self.words
                kind.setdefault(form.encode("utf-8", "replace"), set()).add(server)

    def foreign(self, server: str) -> Foreign:
        """The names as a server sees them that did not give them."""
        names = {name: who for name, who in self.names.items() if server not in who}
        words = {name: who for name, who in self.words.items() if server not in who}
        return Foreign(names, words, frozenset(names) | frozenset(words))


def mentions(data: bytes, foreign: Foreign) -> list[Mention]:
    """The mentions in one definition, given in canonical form. Linear; some 5 µs where there is none."""
    found = _candidates(data, foreign)
    if not found:
        return []
    texts = [text for text in _strings(parsed(data)) if len(text) > 2]
    told = (mention for name, word in found for mention in _mention(name, word, foreign, texts))
    return list(islice(told, _MOST))


def praises(data: bytes) -> str:
    """The words by which a definition pushes its own selection, or ""."""
    match = _PRAISE.search(data.decode("utf-8", "replace"))
    return str(match[0]) if match else ""


def _candidates(data: bytes, foreign: Foreign) -> list[tuple[str, bool]]:
    """Names of other servers that occur in the definition, and whether each is an ordinary word."""
    names, found = foreign.names, {}
    if len(names) > _FEW or any(name in data for name in names):
        tokens = set(data.replace(b"\\n", b"  ").replace(b"\\t", b"  ").translate(_BREAK).split())
        found = dict.fromkeys(tokens & names.keys(), False)
        if b"tool" in data or b"mcp" in data or b"function" in data:
            for token in tokens:
                spoken = _SPOKEN_OF.fullmatch(token) if b"_" in token else None
                if spoken and spoken[1] in names:
                    found[spoken[1]] = False
    if b"`" in data:
        for name in _TICKED.findall(data):
            name = name.partition(b"(")[0]
            if name in foreign.words:
                found[name] = True
    # A member of that name is one of the definition's own parameters.
    return [(name.decode("utf-8", "replace"), word) for name, word in found.items() if b'"%s":' % name not in data]


def _mention(name: str, plain: bool, foreign: Foreign, texts: Iterable[str]) -> Iterator[Mention]:
    owners = (foreign.words if plain else foreign.names)[name.encode("utf-8", "replace")]
    pattern = re.compile(f"`{re.escape(name)}[(`]" if plain else rf"(?<![^\W_]){re.escape(name)}(?![\w])")
    first: Mention | None = None
    for text in texts:
        for match in pattern.finditer(text):
            before, after = text[max(0, match.start() - _AROUND) : match.start()], text[match.end() :][:_AROUND]
            orders = _PLAIN_BEFORE.search(before) if plain else _BEFORE.search(before) or _AFTER.search(after)
            if orders or first is None:
                start = max(0, match.start() - _EXCERPT // 2)
                first = Mention(name, tuple(sorted(owners)), bool(orders), text[start : start + _EXCERPT])
            if orders:
                yield first
                return
    if first is not None:
        yield first


def _strings(value: Any) -> Iterator[str]:
    """Every string value of a definition. Iterative."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
