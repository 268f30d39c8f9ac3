"""The hot tier of PII detection: one automaton decides what is worth a look, detectors look.

It promises time linear in the text, offsets that are Python string indices, and no two matches that overlap.
Text without any sign of PII costs one automaton pass (well under a microsecond for a short string). Types of the
deep tier are accepted and not looked for, except by form and context where they have any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import cached_property, lru_cache
from typing import Any, Final

from agentflow.config_guard import GuardConfig, RecognisersConfig
from agentflow.guard.entities import ENTITIES, PERSONAL, canonical
from agentflow.guard.pii import custom as customs
from agentflow.guard.pii import patterns
from agentflow.guard.pii.address import Addresses
from agentflow.guard.pii.contextual import Contextual, Unmistakable
from agentflow.guard.pii.custom import CustomMatcher
from agentflow.guard.pii.detectors import DETECTORS, Detector
from agentflow.guard.pii.tables import RULES
from agentflow.guard.spans import Match, Span, apart, foldable, located, plain

_SHORTEST: Final = 5  # a post code in context
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")

Finder = Callable[[bytes], Iterator[Span]]
_DIGIT: Final = rb"\d"
# The automata of the signs that are words.
_BY_WORDS: Final = {"phone_context": "numbers", "ssn_context": "numbers"}
_WORDS: Final = {1: "words", 6: "numbers", 9: "numbers", 13: "numbers"}


class _Automata:
    """What finds a set of built-in types, and the signs that wake it; shared by all matchers of the same types.

    The signs are in a few automata, compiled when first used: in one, which of them have occurred would multiply its
    states until every new text made more of them.
    """

    def __init__(self, types: frozenset[str]) -> None:
        self._finders: list[Finder] = []
        self._signs: dict[str, list[tuple[bytes, int]]] = {"forms": [(_DIGIT, -1)]}
        for name, sign in patterns.TRIGGERS.items():
            kind, detector = DETECTORS[name]
            if kind in types:
                number = self._add(_typed(kind, detector))
                self._sign(_BY_WORDS.get(name, "forms"), sign, number)
        rules = [rule for rule in RULES if rule.type in types]
        looks: list[Any] = [Unmistakable(rule) for rule in rules if rule.sure]
        if "ADDRESS" in types:
            looks.append(Addresses())
        for look in looks:
            self._sign("sure", look.trigger, self._add(look.spans))
        if rules:
            contextual = Contextual(rules)
            number = self._add(contextual.spans)
            for digits, words in contextual.signs.items():
                self._sign(_WORDS[digits], patterns.signed(words, digits), number)

    def _add(self, finder: Finder) -> int:
        self._finders.append(finder)
        return len(self._finders) - 1

    def _sign(self, group: str, sign: bytes, finder: int) -> None:
        self._signs.setdefault(group, []).append((sign, finder))

    @cached_property
    def _sets(self) -> list[tuple[Any, list[int]]]:
        return [
            (patterns.trigger_set([sign for sign, _ in signs]), [number for _, number in signs])
            for signs in self._signs.values()
        ]

    def suspect(self, data: bytes) -> bool:
        """Whether any sign occurs in serialised JSON."""
        if b"\\u" in data or b"\\/" in data:  # escapes that may hide any
            return True
        return bool(self._occurring(data))

    def woken(self, data: bytes) -> list[Finder]:
        """What finds something where the signs in `data` are."""
        return [self._finders[number] for number in sorted(self._occurring(data))]

    def _occurring(self, data: bytes) -> set[int]:
        """The numbers of the finders whose signs occur."""
        (forms, numbers), *others = self._sets
        found = {numbers[at] for at in forms.Match(data) or ()}
        if -1 in found:  # all the others ask for a digit
            found.discard(-1)
            for signs, numbers in others:
                found.update([numbers[at] for at in signs.Match(data) or ()])
        return found


_automata = lru_cache(maxsize=16)(_Automata)


def _typed(kind: str, detector: Detector) -> Finder:
    def spans(data: bytes) -> Iterator[Span]:
        return ((start, end, score, kind) for start, end, score in detector(data))

    return spans


class PiiMatcher:
    """Finds PII in text.

    Args:
        types: PII types to look for, in our or Presidio's names (`guard.entities`); empty means all personal ones.
        allow: exact values that are never reported.
        custom: further recognisers; their types are looked for whether `types` names them or not.
        elsewhere: types that `types` may name and others find: the deep tier, another tenant's recognisers.

    Raises:
        ValueError: an unknown type.
    """

    def __init__(
        self,
        types: Iterable[str] = (),
        allow: Iterable[str] = (),
        custom: CustomMatcher | None = None,
        elsewhere: Iterable[str] = (),
    ) -> None:
        named = frozenset(canonical(name) for name in types)
        own = custom.types if custom is not None else frozenset[str]()
        if unknown := named - ENTITIES.keys() - own - frozenset(elsewhere):
            raise ValueError(f"unknown PII types {sorted(unknown)}; known are {', '.join(sorted(ENTITIES))}")
        self.types = (named or PERSONAL) | own
        self._allow = frozenset(allow)
        self._custom = custom if custom is not None and own else None
        self._built_in = named or PERSONAL
        self._automata = _automata(self._built_in)

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find: a sieve for whole messages, never wrong about "no".

        Characters that only `find` understands (full width, invisible) make it say "maybe".
        """
        if self._automata.suspect(data) or foldable(data):
            return True
        return self._custom is not None and self._custom.suspect(data)

    def find(self, text: str, context: str = "") -> list[Match]:
        """Return the values in `text`, in order.

        Args:
            context: what stands before the text, such as the key of the member that holds it: evidence only.
        """
        if len(text) < _SHORTEST and self._custom is None:
            return []
        seen = plain(text, _HUMP.sub(" ", context) if context and not context.islower() else context)
        data = seen.data
        spans: list[Span] = []
        for finder in self._automata.woken(data):
            spans += finder(data)
        if self._custom is not None:
            spans += self._custom.spans(data)
        if not spans:
            return []
        return [match for match in located(apart(spans), seen) if text[match.start : match.end] not in self._allow]

    def also(self, types: Iterable[str]) -> PiiMatcher:
        """Return a matcher that looks for the known types among `types` as well: this one, where it does already."""
        more = (frozenset(types) & ENTITIES.keys()) - self.types
        if not more:
            return self
        wider = copy(self)
        wider.types = self.types | more
        wider._built_in = self._built_in | more
        wider._automata = _automata(wider._built_in)
        return wider

    def for_tenant(self, tenant: str) -> PiiMatcher:
        """Return this matcher; `PiiMatchers` knows tenants."""
        return self

    def mask(self, text: str) -> str:
        """Return the text with every value replaced by its type, irreversibly: for logs and reasons."""
        parts, at = [], 0
        for match in self.find(text):
            parts += [text[at : match.start], f"<{match.type}>"]
            at = match.end
        return "".join([*parts, text[at:]]) if parts else text


class PiiMatchers:
    """The matcher of each tenant: what the configuration says for everybody, and what it says for that tenant.

    All tenants share the automata of the built-in types; a tenant without settings of its own has the common matcher.

    Raises:
        ConfigError: a file of recognisers, or a pattern in one, that cannot be used.
        ValueError: an unknown type.
    """

    def __init__(self, guard: GuardConfig) -> None:
        read: dict[Any, tuple[customs.Recogniser, ...]] = {}

        def recognisers(config: RecognisersConfig, where: str) -> tuple[customs.Recogniser, ...]:
            for path in config.files:
                if path not in read:
                    read[path] = customs.load(path)
            own = [found for path in config.files for found in read[path]]
            return (*own, *customs.denied(config.deny, f"{where}.deny"))

        common = recognisers(guard.recognisers, "guard.recognisers")
        allow = (*guard.pii_allow, *guard.recognisers.allow)
        every = {tenant: recognisers(config, f"guard.tenants.{tenant}") for tenant, config in guard.tenants.items()}
        defined = {found.type for group in (common, *every.values()) for found in group}
        defined |= {canonical(name) for name in guard.deep.types}

        def matcher(own: tuple[customs.Recogniser, ...], allowed: tuple[str, ...]) -> PiiMatcher:
            return PiiMatcher(guard.pii_types, (*allow, *allowed), CustomMatcher((*common, *own)), defined)

        self.common = matcher((), ())
        self.own: Mapping[str, PiiMatcher] = {
            tenant: matcher(found, guard.tenants[tenant].allow) for tenant, found in every.items()
        }

    def for_tenant(self, tenant: str) -> PiiMatcher:
        """Return the matcher for what belongs to `tenant`."""
        return self.own.get(tenant, self.common)
