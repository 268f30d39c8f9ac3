"""Values that a word points at: `tables/` turned into one look for words and short looks behind them.

It promises work linear in the text: the words are found in one pass, and behind each of them at most 96 bytes are
read, by patterns whose repetitions are bounded. A value counts where it begins within 48 bytes after its word, in
the same value, line or sentence; a word that is the key of a member points into that member only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from agentflow.guard.pii.columns import cells
from agentflow.guard.pii.patterns import cluster, compile_, edged
from agentflow.guard.pii.rule import Rule

Span = tuple[int, int, float, str]
_Trie = dict[bytes, "_Trie"]

_NEAR: Final = 48
_REACH: Final = 96
_MOST_IN_A_LIST: Final = 200
_SHORT: Final = 7
_SPECIAL: Final = {" ": rb"[ _.\-]{0,2}", "'": b"(?:'|\xe2\x80\x99)?"}
_ATTEMPTS: Final = 4
_MOST_HEADS: Final = 256
_MOST_ENTRIES: Final = 1024
_NOT_PLAIN: Final = bytes(set(range(256)) - set(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
_NOT_IN_KEYS: Final = bytes(set(range(128)) - set(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#'/"))
_ALNUM: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

# What may stand between a word and the sign that makes it a label: `account` … ` no.`, `s`, `_number`.
_SUFFIX: Final = re.compile(
    rb"(?i)(?:[ _.\-]{0,2}(?:numbers?|num|nos?|nr|nbr|(?P<id>ids?)|code|value|field|details|s?nummer|#|"
    rb"n\xc2[\xba\xb0])(?![a-z])\.?|"
    rb"(?:s|es|n|en|er)(?![a-z])){0,3}"
)
_LABEL: Final = re.compile(
    rb"(?:\s?\([^()\n]{1,24}\))?[.)]?[\\\"'`*]{0,4}"
    rb"(?:\s{0,4}</[a-z]{1,8}>\s{0,6}<[a-z]{1,8}[^<>]{0,40}>\s{0,4}|"
    rb"[ \t]{0,4}(?:=>|:=|[:=|>\t#])|\s(?:is|are|was|ist|es|est) )"
)
_QUOTED: Final = re.compile(rb"\s{0,4}(\\{0,3}[\"'])")
_NEXT_LABEL: Final = re.compile(rb"[,;&|\t\s][ \"'\\]{0,4}[A-Za-z_][\w.\-]{1,24}[\"'\\]{0,3}[:=]|[&|\t]")
_SENTENCE: Final = re.compile(rb"\n|[.!?]\s+(?!It\b|It's|Mine\b|Here\b|This is)[A-Z]|[;&|\t]")
_TOKEN: Final = re.compile(rb"(?i)[a-z_]{0,24}_[0-9a-f]{8}")
_COUNTS: Final = (1, 6, 9, 13)
_CLUSTERS: Final = {count: re.compile(cluster(count)) for count in _COUNTS}
_FARTHEST: Final = 160  # to the first digit of a value, from the end of its word
_FLOOD: Final = 256  # times that one word stands in one text: no form and no table of a person's data has as many
_BETWEEN: Final = re.compile(rb"[\s,;/\"'\\]{1,8}(?:(?:and|or|und|oder|et|ou|y|e|o|en|och)[\s\"']{1,3})?")


class _Entry(NamedTuple):
    """What a word points at.

    Attributes:
        words: rules for a value after it.
        labels: rules for a value that it labels, besides those.
        every: both.
        digits: how many digits such a value has at least; one of `_COUNTS`.
        beyond: bytes of the found text behind the word.
        word: the word itself, however it was written.
    """

    words: tuple[Rule, ...]
    labels: tuple[Rule, ...]
    every: tuple[Rule, ...]
    digits: int
    beyond: int
    word: bytes


class Contextual:
    """Finds the values of `rules` by the words that point at them.

    Attributes:
        signs: by how many digits a value has at least, the pattern (RE2, bytes) of the words that point at such values.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._pointed: dict[bytes, tuple[tuple[Rule, ...], tuple[Rule, ...]]] = {}
        words: set[str] = set()
        for rule in rules:
            for names, place in ((rule.words, 0), (rule.labels, 1)):
                for name in names:
                    words.add(name)
                    self._add(_key(name.encode()), rule, place)
        for word in words:  # `passport number` is a passport as well
            parts = word.split()
            for count in range(1, len(parts)):
                wider = self._pointed.get(_key(" ".join(parts[:count]).encode()), ((), ()))
                for place in (0, 1):
                    for rule in wider[place]:
                        self._add(_key(word.encode()), rule, place)
        self._pattern = _spelled(sorted(words))
        self.signs: dict[int, bytes] = {
            count: edged(_spelled(word for word in sorted(words) if self._digits(word) == count))
            for count in sorted({self._digits(word) for word in words})
        }
        self._words: Any = None
        self._heads: dict[bytes, tuple[Rule, ...]] = {}
        self._entries: dict[bytes, _Entry | None] = {}

    def _digits(self, word: str) -> int:
        """How many digits anything has at least that the word points at, coarsely."""
        pointed = self._pointed[_key(word.encode())]
        least = min(rule.digits for rules in pointed for rule in rules)
        return max(count for count in _COUNTS if count <= least)

    def _add(self, key: bytes, rule: Rule, place: int) -> None:
        entry = self._pointed.get(key, ((), ()))
        if rule not in entry[place]:
            entry = (entry[0] + (rule,), entry[1]) if place == 0 else (entry[0], entry[1] + (rule,))
        self._pointed[key] = entry

    def spans(self, data: bytes) -> Iterator[Span]:
        """Yield what the words of `data` point at; spans may overlap."""
        if self._words is None:
            self._words = compile_(self._pattern)
        if b"\n" in data:
            for head, start, end in cells(data, lambda head: bool(self._under(head))):
                yield from _values(data, start, end, self._under(head), False)
        following = dict.fromkeys(_COUNTS, -1)
        listed = -1  # how far the last list was read
        for end, entry, next_one in self._placed(data):
            if following[entry.digits] < end:  # what a word points at has so many digits
                number = _CLUSTERS[entry.digits].search(data, end)
                following[entry.digits] = number.start() if number else len(data) + _FARTHEST
                if number is None and entry.digits == 1:
                    return
            end -= entry.beyond
            if following[entry.digits] - end > _FARTHEST or _TOKEN.match(data, end):
                continue
            begin, limit, labelled, many = _region(data, end)
            limit = min(limit, next_one)
            rules = entry.every if labelled else entry.words
            if many and begin < listed:  # lists in lists: each value is read once or twice, not by every word before it
                limit, many = min(limit, begin + _REACH), False
            elif many:
                listed = limit
            if limit - begin >= 4 and rules:
                yield from _values(data, begin, limit, rules, many)

    def _placed(self, data: bytes) -> list[tuple[int, _Entry, int]]:
        """The words of `data`: where they end, what they point at, and where what they point at ends at the latest.

        A word that floods the text points no farther than to its next occurrence, so that no value is read by many.
        """
        spans = [match.span() for match in self._words.finditer(data)]
        found = [(start, end, entry) for start, end in spans if (entry := self._entry(data[start:end])) is not None]
        following: dict[bytes, int] = {}
        if len(found) > _FLOOD:
            counts = Counter(entry.word for _, _, entry in found)
            following = {word: len(data) for word, count in counts.items() if count > _FLOOD}
        placed = []
        for start, end, entry in reversed(found):
            placed.append((end, entry, following.get(entry.word, len(data))))
            if entry.word in following:
                following[entry.word] = start
        placed.reverse()
        return placed

    def _under(self, head: bytes) -> tuple[Rule, ...]:
        """The rules for the cells under a head; the last word of the head decides."""
        rules = self._heads.get(head)
        if rules is None:
            rules = ()
            for match in self._words.finditer(head):
                entry = self._entry(match.group())
                rules = entry.every if entry else rules
            self._heads[head] = rules
            if len(self._heads) > _MOST_HEADS:
                self._heads.clear()
        return rules

    def _entry(self, found: bytes) -> _Entry | None:
        """What a word points at; an edge in its pattern may have taken a neighbouring letter."""
        if found in self._entries:
            return self._entries[found]
        entry = None
        end = len(found)
        for first, last in ((0, end), (0, end - 1), (1, end), (1, end - 1)):
            word = _key(found[first:last])
            pointed = self._pointed.get(word)
            if pointed is not None:
                least = max(n for n in _COUNTS if n <= min(rule.digits for rules in pointed for rule in rules))
                entry = _Entry(*pointed, pointed[0] + pointed[1], least, end - last, word)
                break
        if len(self._entries) >= _MOST_ENTRIES:
            self._entries.clear()
        self._entries[found] = entry
        return entry


def _key(word: bytes) -> bytes:
    return word.translate(None, _NOT_IN_KEYS).lower()


def _spelled(words: Iterable[str]) -> bytes:
    """The pattern of words: parts joined anyhow, the longest first, short words only whole.

    What they have in common at their beginnings stands once: an automaton of it has few states, each of few places.
    """
    long: _Trie = {}
    humps: _Trie = {}
    edged: dict[tuple[bool, bool], _Trie] = {}
    for word in words:
        parts = _parts(word)
        if len(word.replace(" ", "")) >= _SHORT or not word.isascii():
            _plant(long, parts)
            continue
        _plant(edged.setdefault((word[0].isalnum(), word[-1].isalnum()), {}), parts)
        if word.isalpha():  # `customerSin`, `customerSIN`, `sinNumber`
            _plant(humps, parts)
    patterns = [b"(?i:" + _grown(long) + b")"] if long else []
    for (before, after), trie in edged.items():
        patterns.append(rb"(?:\b|_)" * before + b"(?i:" + _grown(trie) + b")" + rb"(?:\b|_)" * after)
    if humps:
        title, upper = _grown(humps, bytes.title), _grown(humps, bytes.upper)
        patterns += [
            rb"[a-z](?:" + title + rb"|" + upper + rb")(?:\b|_)",
            rb"[a-z](?:" + title + rb")[A-Z]",
            rb"\b(?:" + _grown(humps) + rb")[A-Z]",
        ]
    return b"|".join(patterns)


def _parts(word: str) -> list[bytes]:
    """The bytes of a word, and patterns of what may stand for its spaces and apostrophes."""
    parts: list[bytes] = []
    for char in word:
        if char in _SPECIAL:
            parts.append(_SPECIAL[char])
        else:
            parts += [bytes([byte]) for byte in char.encode()]
    return parts


def _plant(trie: _Trie, parts: list[bytes]) -> None:
    for part in parts:
        trie = trie.setdefault(part, {})
    trie[b""] = {}


def _grown(trie: _Trie, spelled: Callable[[bytes], bytes] | None = None) -> bytes:
    """The pattern of a trie; `spelled` changes the first letter (title) or all (upper)."""
    branches = []
    for part, below in trie.items():
        if part:
            literal = re.escape(part) if len(part) == 1 else part
            if spelled is not None:
                literal = spelled(literal)
            branches.append(literal + _grown(below, bytes.upper if spelled is bytes.upper else None))
    if not branches:
        return b""
    pattern = branches[0] if len(branches) == 1 else b"(?:" + b"|".join(branches) + b")"
    return b"(?:" + pattern + b")?" if b"" in trie else pattern


def _region(data: bytes, end: int) -> tuple[int, int, bool, bool]:
    """Where the value a word points at may stand: first and last byte, whether the word is a label, many values."""
    suffix = _SUFFIX.match(data, end)
    begin = suffix.end() if suffix else end
    if begin < len(data) and (data[begin] in _ALNUM or data[begin] == 95):  # `passport_scan`, `plates`
        return begin, begin, False, False
    label = _LABEL.match(data, begin)
    if label is None:
        limit = min(begin + _REACH, len(data))
        stop = _SENTENCE.search(data, begin, limit)
        return begin, stop.start() if stop else limit, False, False
    begin = label.end()
    named = suffix is None or suffix["id"] is None  # `phone_id` is no phone
    if data[begin : begin + 8].lstrip()[:1] in (b"[", b"{"):
        limit = min(begin + _MOST_IN_A_LIST, len(data))
        stop_at = data.find(b"]", begin, limit)
        return begin, stop_at if stop_at >= 0 else limit, named, True
    quote = _QUOTED.match(data, begin)
    if quote is not None:
        begin = quote.end()
        limit = min(begin + _REACH, len(data))
        closing = data.find(quote[1][-1:], begin, limit)
        return begin, closing if closing >= 0 else limit, named, False
    while begin < len(data) and data[begin] in b" \t\r\n*":
        begin += 1
        if begin - label.end() > 6:
            break
    limit = min(begin + _REACH, len(data))
    line = data.find(b"\n", begin, limit)
    limit = line if line >= 0 else limit
    stop = _NEXT_LABEL.search(data, begin, limit)
    return begin, stop.start() if stop else limit, named, False


def _values(data: bytes, begin: int, limit: int, rules: tuple[Rule, ...], many: bool) -> Iterator[Span]:
    best: tuple[int, float, int] | None = None
    chosen: Rule | None = None
    for rule in rules:
        found = _first(data, begin, limit, rule)
        if found is not None:
            rank = (found[0], -rule.confidence, -found[1])
            if best is None or rank < best:
                best, chosen = rank, rule
    if best is None or chosen is None:
        return
    start, end = best[0], -best[2]
    score = chosen.confidence
    while True:
        yield start, end, score, chosen.type
        between = _BETWEEN.match(data, end, limit)
        more = _first(data, between.end(), limit, chosen) if between else None
        if between is None or more is None or (more[0] != between.end() and not many):
            return
        start, end = more


def _first(data: bytes, begin: int, limit: int, rule: Rule) -> tuple[int, int] | None:
    """The first place from `begin` on where the rule holds, if it is near."""
    pattern = _compiled(rule.shape)
    position = begin
    for _ in range(_ATTEMPTS):
        match = pattern.search(data, position, limit)
        if match is None or match.start() - begin > _NEAR:
            return None
        start, end = match.span()
        if alone(data, start, end) and holds(rule, data[start:end]):
            return start, end
        position = start + 1
    return None


@cache
def _compiled(shape: str) -> re.Pattern[bytes]:
    """Patterns of a few bounded repetitions, run on windows of at most 96 bytes: compiled when first needed.

    Where a value may hold spaces its letters are capitals, lest it take the word before it (`to 51186462`).
    """
    letters = b"" if " " in shape else b"(?i)"
    return re.compile(letters + rb"(?<![A-Za-z0-9_])(?:" + shape.encode() + rb")(?![A-Za-z0-9_]|[-/@.][A-Za-z0-9])")


def holds(rule: Rule, value: bytes) -> bool:
    """Whether the rule's check accepts the value."""
    if rule.check is None:
        return True
    if rule.raw:
        return rule.check(value.decode("ascii", "replace"))
    return rule.check(value.translate(None, _NOT_PLAIN).decode("ascii").upper())


def whole_characters(data: bytes, start: int, end: int) -> bool:
    """Whether a span of UTF-8 does not cut a character."""
    return data[start] & 0xC0 != 0x80 and (end == len(data) or data[end] & 0xC0 != 0x80)


def alone(data: bytes, start: int, end: int) -> bool:
    """Whether a span is not part of a longer word, number, path or identifier."""
    if not whole_characters(data, start, end):
        return False
    if start and data[start - 1] in b"-./@_+" and start > 1 and data[start - 2] in _ALNUM:
        return False
    if start and data[start - 1] in _ALNUM:
        return False
    if end < len(data):
        after = data[end]
        if after in _ALNUM or after == 95:
            return False
        if after in b"-/@." and end + 1 < len(data) and data[end + 1] in _ALNUM:
            return False
    return True


class Unmistakable:
    """Finds the values of one rule by their form alone."""

    def __init__(self, rule: Rule) -> None:
        self._form = rb"\b(?:" + rule.sure.encode() + rb")"
        self.trigger = edged(self._form)
        self._rule = rule
        self._pattern: Any = None

    def spans(self, data: bytes) -> Iterator[Span]:
        """Yield what has the form and passes the check."""
        if self._pattern is None:
            self._pattern = compile_(self._form)
        rule = self._rule
        for match in self._pattern.finditer(data):
            start, end = match.span()
            if alone(data, start, end) and holds(rule, data[start:end]):
                yield start, end, rule.confidence - 0.01, rule.type
