"""Recognisers that an operator writes: patterns, words always refused, and context, in Presidio's YAML.

It promises that a file of Presidio's recognisers (`recognizers:` with `name`, `supported_entity`, `patterns` of
`name`, `regex`, `score`, `context`, `deny_list`, `deny_list_score`; `global_regex_flags`) means here what it means
there, in linear time: patterns run on google-re2. Look-around at the edges of a pattern (`(?<!\\d)`, `(?![\\w-])`)
is checked in code instead. It refuses what cannot be run that way, with the file, the recogniser and the reason.

Scores as in Presidio: where a recogniser has context words, one near a value adds 0.35 (at least 0.4 in all), and
below 0.4 a value is not reported; without context words every match counts with its own score.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import re2
import yaml

from agentflow.errors import ConfigError
from agentflow.guard.entities import canonical

Span = tuple[int, int, float, str]

FLAGS: Final = int(re.DOTALL | re.MULTILINE | re.IGNORECASE)  # Presidio's default, 26
_BOOST, _LEAST = 0.35, 0.4
_CONTEXT: Final = 64
_CLASS: Final = r"(?:\[(?:\\.|[^\]\\])+\]|\\[dwsDWS]|[^\\\[\](){}.*+?|^$])"
_LEFT: Final = re.compile(rf"\(\?<([!=])({_CLASS})\)")
_RIGHT: Final = re.compile(rf"\(\?([!=])({_CLASS})\)$")
_ESCAPES: Final = re.compile(rb"\\[nrtbf]")


@dataclass(frozen=True, slots=True)
class Recogniser:
    """One recogniser as it is written.

    Attributes:
        type: canonical name of the entity.
        patterns: pattern (Python or RE2 syntax) and score.
        context: words, lower case, one of which stands near a value.
        deny: words and phrases that always are such a value, whole.
        source: where it comes from, for messages.
        flags: Python's flags of regular expressions for `patterns`.
    """

    type: str
    patterns: tuple[tuple[str, float], ...] = ()
    context: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    deny_score: float = 1.0
    source: str = ""
    flags: int = FLAGS


def load(path: Path) -> tuple[Recogniser, ...]:
    """Read a file of recognisers; entries of `type: predefined` are built in and passed over.

    Raises:
        ConfigError: the file cannot be read or is not in Presidio's format.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"Cannot read {path}: {error.strerror}", fix="Correct `files` in `guard.recognisers`"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}", fix="Correct the file") from None
    entries = document.get("recognizers") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise _refused(str(path), "it has no list `recognizers`")
    flags = document.get("global_regex_flags", FLAGS)
    return tuple(
        found
        for number, entry in enumerate(entries, 1)
        if (found := _recogniser(path, number, entry, flags if isinstance(flags, int) else FLAGS)) is not None
    )


def denied(words: Mapping[str, Iterable[str]], source: str) -> tuple[Recogniser, ...]:
    """Return recognisers of words that always are values of a type.

    Raises:
        ConfigError: a type whose name is no name.
    """
    found = []
    for name, values in words.items():
        kept = tuple(value for value in values if value.strip())
        if kept:
            found.append(Recogniser(_type(name, f"{source}.{name}"), deny=kept, source=f"{source}.{name}"))
    return tuple(found)


def _recogniser(path: Path, number: int, entry: Any, flags: int) -> Recogniser | None:
    if isinstance(entry, str) or (isinstance(entry, Mapping) and entry.get("type") == "predefined"):
        return None
    if not isinstance(entry, Mapping):
        raise _refused(f"{path}, recogniser {number}", "it is no mapping")
    source = f"{path}, recogniser {entry.get('name') or number}"
    if entry.get("enabled", True) is False:
        return None
    entity = entry.get("supported_entity")
    if not isinstance(entity, str):
        raise _refused(source, "`supported_entity` must be the name of an entity")
    patterns, deny = entry.get("patterns") or [], entry.get("deny_list") or []
    if not isinstance(patterns, list) or not isinstance(deny, list) or not (patterns or deny):
        raise _refused(source, "it needs a list `patterns` or `deny_list`")
    return Recogniser(
        _type(entity, source),
        tuple(_pattern(source, pattern) for pattern in patterns),
        _context(entry),
        tuple(str(word) for word in deny),
        _score(source, entry.get("deny_list_score", 1.0)),
        source,
        flags,
    )


def _pattern(source: str, pattern: Any) -> tuple[str, float]:
    if not isinstance(pattern, Mapping) or not isinstance(pattern.get("regex"), str):
        raise _refused(source, "each of `patterns` needs a `regex`")
    return pattern["regex"], _score(source, pattern.get("score", 0.5))


def _score(source: str, score: Any) -> float:
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise _refused(source, f"a score is between 0 and 1, not {score!r}")
    return float(score)


def _context(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The context words of an entry, those of single languages included."""
    words = list(entry.get("context") or [])
    for language in entry.get("supported_languages") or []:
        if isinstance(language, Mapping):
            words += language.get("context") or []
    return tuple(str(word).lower() for word in words)


def _type(name: str, source: str) -> str:
    try:
        return canonical(name)
    except ValueError as error:
        raise _refused(source, str(error)) from None


def _refused(source: str, reason: str) -> ConfigError:
    return ConfigError(f"Cannot use {source}: {reason}", fix="Correct it, or take it out of `guard.recognisers`")


@dataclass(frozen=True, slots=True)
class _Edge:
    """One character next to a match: must, or must not, be of a class; the edge of the text counts as none."""

    chars: re.Pattern[str]
    wanted: bool

    def holds(self, char: str) -> bool:
        return (bool(char) and self.chars.fullmatch(char) is not None) == self.wanted


@dataclass(frozen=True, slots=True)
class _Compiled:
    body: bytes
    pattern: Any
    left: _Edge | None
    right: _Edge | None
    score: float
    context: tuple[str, ...]
    type: str


class CustomMatcher:
    """Runs recognisers: one automaton says which of them are worth a look.

    Raises:
        ConfigError: a pattern that google-re2 cannot run.
    """

    def __init__(self, recognisers: Iterable[Recogniser]) -> None:
        self._compiled: list[_Compiled] = []
        for recogniser in recognisers:
            self._compiled += [_compiled(recogniser, regex, score) for regex, score in recogniser.patterns]
            if recogniser.deny:
                self._compiled.append(_deny(recogniser))
        self.types = frozenset(compiled.type for compiled in self._compiled)
        self._set: Any = re2.Set.SearchSet(_options())
        for compiled in self._compiled:
            self._set.Add(compiled.body)
        if self._compiled:
            self._set.Compile()
        self._anchored = any(re.search(rb"(?<!\\)[\^$]|\\[Az]", compiled.body) for compiled in self._compiled)

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find; never wrong about "no"."""
        if not self._compiled:
            return False
        if self._anchored or b"\\u" in data or b'\\"' in data or b"\\\\" in data or b"\\/" in data:
            return True
        return self._set.Match(_ESCAPES.sub(b"  ", data) if b"\\" in data else data) is not None

    def spans(self, data: bytes) -> Iterator[Span]:
        """Yield the values in `data` (UTF-8)."""
        for number in (self._compiled and self._set.Match(data)) or ():
            compiled = self._compiled[number]
            for match in compiled.pattern.finditer(data):
                start, end = match.span()
                if start == end or not _edges(compiled, data, start, end):
                    continue
                score = _in_context(compiled, data, start)
                if score is not None:
                    yield start, end, score, compiled.type


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 16 << 20
    return options


def _compiled(recogniser: Recogniser, regex: str, score: float) -> _Compiled:
    body, left, right = _without_edges(regex)
    switches = "".join(
        letter
        for letter, flag in (("i", re.IGNORECASE), ("m", re.MULTILINE), ("s", re.DOTALL))
        if recogniser.flags & flag
    )
    whole = (f"(?{switches}:{body})" if switches else body).encode()
    try:
        pattern = re2.compile(whole, _options())
        edges = [edge and _Edge(re.compile(edge[1]), edge[0]) for edge in (left, right)]
    except (re2.error, re.error) as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise _refused(
            recogniser.source,
            f"google-re2 cannot run `{regex}` ({reason}); look-around and back-references need a Python recogniser "
            "in the deep tier",
        ) from None
    return _Compiled(whole, pattern, edges[0] or None, edges[1] or None, score, recogniser.context, recogniser.type)


def _without_edges(regex: str) -> tuple[str, tuple[bool, str] | None, tuple[bool, str] | None]:
    """Take one-character look-around off both ends of a pattern, where it binds the whole of it."""
    left, right = _LEFT.match(regex), _RIGHT.search(regex)
    body = regex[left.end() if left else 0 : right.start() if right else len(regex)]
    if (left or right) and _alternates(body):
        return regex, None, None
    return (
        body,
        (left[1] == "=", left[2]) if left else None,
        (right[1] == "=", right[2]) if right else None,
    )


def _alternates(regex: str) -> bool:
    """Whether a pattern has a `|` outside all groups."""
    depth = 0
    inside = escaped = False
    for char in regex:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif inside:
            inside = char != "]"
        elif char == "[":
            inside = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and not depth:
            return True
    return False


def _deny(recogniser: Recogniser) -> _Compiled:
    words = sorted(recogniser.deny, key=len, reverse=True)
    body = ("(?i:" + "|".join(re2.escape(word) for word in words) + ")").encode()
    word = _Edge(re.compile(r"\w"), wanted=False)
    return _Compiled(body, re2.compile(body, _options()), word, word, recogniser.deny_score, (), recogniser.type)


def _edges(compiled: _Compiled, data: bytes, start: int, end: int) -> bool:
    if compiled.left is not None and not compiled.left.holds(
        data[max(0, start - 4) : start].decode("utf-8", "ignore")[-1:]
    ):
        return False
    return compiled.right is None or compiled.right.holds(data[end : end + 4].decode("utf-8", "ignore")[:1])


def _in_context(compiled: _Compiled, data: bytes, start: int) -> float | None:
    if not compiled.context:
        return compiled.score
    before = data[max(0, start - _CONTEXT) : start].decode("utf-8", "ignore").lower()
    if any(word in before for word in compiled.context):
        return max(min(compiled.score + _BOOST, 1.0), _LEAST)
    return compiled.score if compiled.score >= _LEAST else None
