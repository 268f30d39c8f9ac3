"""The hot tier of PII detection: one automaton decides what is worth a look, detectors look.

It promises time linear in the text, offsets that are Python string indices, and no two matches that overlap.
Text without any sign of PII costs one automaton pass (well under a microsecond for a short string). Types of the
deep tier are accepted and not looked for, except by form and context where they have any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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


class _Automata:
    """What finds a set of built-in types; shared by all matchers of the same types. Compiled when first used."""

    def __init__(self, types: frozenset[str]) -> None:
        found = [(name, *DETECTORS[name]) for name in patterns.TRIGGERS if DETECTORS[name][0] in types]
        rules = [rule for rule in RULES if rule.type in types]
        looks: list[Any] = [Unmistakable(rule) for rule in rules if rule.sure]
        if rules:
            looks.append(Contextual(rules))
        if "ADDRESS" in types:
            looks.append(Addresses())
        self.finders: list[Finder] = [_typed(kind, detector) for _, kind, detector in found]
        self.finders += [look.spans for look in looks]
        self._signs = [*(patterns.TRIGGERS[name] for name, _, _ in found), *(look.trigger for look in looks)]

    @cached_property
    def triggers(self) -> Any:
        """The set of what every finder reacts to, in their order, and one more for `suspect`."""
        return patterns.trigger_set([*self._signs, patterns.ESCAPED])


_automata = lru_cache(maxsize=8)(_Automata)


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
        self._automata = _automata(named or PERSONAL)

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find: a sieve for whole messages, never wrong about "no".

        Characters that only `find` understands (full width, invisible) make it say "maybe".
        """
        if self._automata.triggers.Match(data) is not None or foldable(data):
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
        finders = self._automata.finders
        for number in self._automata.triggers.Match(data) or ():
            if number < len(finders):  # the last one is for `suspect`
                spans += finders[number](data)
        if self._custom is not None:
            spans += self._custom.spans(data)
        if not spans:
            return []
        return [match for match in located(apart(spans), seen) if text[match.start : match.end] not in self._allow]

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
