"""The deep tier's findings next to those of the hot tier, as one matcher, so that one redaction takes both out.

It promises that whatever `redaction.scan` asks of it for the body that was prepared is answered from both tiers.
Where the two overlap, the surer one wins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from typing import Final

from agentflow.config_guard import GuardConfig
from agentflow.errors import DeepTierUnavailable
from agentflow.guard.deep.tier import Asked, DeepTier
from agentflow.guard.embedded import scan
from agentflow.guard.entities import DEEP, canonical
from agentflow.guard.spans import Match, Matcher, merged
from agentflow.guard.walk import JSON, Kind, leaves

_SHORTEST: Final = 2
# Surfaces that describe what there is rather than what is so; the deep tier would take their words for names.
LISTINGS: Final = frozenset(
    {"initialize", "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"}
)


class _Asking:
    """A matcher that finds nothing and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[Asked, None] = {}

    def suspect(self, data: bytes) -> bool:
        return True

    def find(self, text: str, context: str = "") -> list[Match]:
        if len(text) >= _SHORTEST and any(map(str.isalnum, text)):
            self.asked[text, context] = None
        # One that stands nowhere: it makes `scan` look into the JSON strings of a text that holds any.
        return [Match("NOTHING", 0, 0, 0.0)] if "\\" in text else []

    def mask(self, text: str) -> str:
        return text

    def for_tenant(self, tenant: str) -> _Asking:
        return self


def asked(body: JSON) -> list[Asked]:
    """Return every text of a body that is worth asking about, with its label; each once."""
    found = (leaf for leaf in leaves(body, None, files=True) if leaf.kind is not Kind.URI)
    return within((leaf.value, leaf.label) for leaf in found if isinstance(leaf.value, str))


def within(texts: Iterable[Asked]) -> list[Asked]:
    """Return the texts, and the JSON strings that stand escaped in them, that are worth asking about; each once."""
    asking = _Asking()
    for text, label in texts:
        scan(asking, text, label)
    return list(asking.asked)


class Beside:
    """A matcher over two tiers.

    Args:
        hot: the hot tier's matcher.
        found: what the deep tier found, by text and label.
        types: the deep types that count.
    """

    def __init__(self, hot: Matcher, found: dict[Asked, list[Match]], types: Collection[str]) -> None:
        self._hot = hot
        self._found = {
            key: kept for key, matches in found.items() if (kept := [item for item in matches if item.type in types])
        }

    def suspect(self, data: bytes) -> bool:
        """Always, when the deep tier found anything: its values have no form that a quick look could know."""
        return bool(self._found) or self._hot.suspect(data)

    def find(self, text: str, context: str = "") -> list[Match]:
        """Return the matches of both tiers, in order; none overlap."""
        hot = self._hot.find(text, context)
        deep = self._found.get((text, context))
        if not deep:
            return hot
        return merged([*hot, *deep]) if hot else merged(deep)

    def mask(self, text: str) -> str:
        """See `Matcher.mask`."""
        return self._hot.mask(text)

    def for_tenant(self, tenant: str) -> Beside:
        """See `Matcher.for_tenant`."""
        own = self._hot.for_tenant(tenant)
        if own is self._hot:
            return self
        other = copy(self)
        other._hot = own
        return other


class Deep:
    """The deep tier as a stage uses it: whether it is wanted, and the matcher for one body.

    Args:
        hot: the hot tier's matcher.
        tier: None where the stage is used without one; it is then never wanted, unless policy demands it.
    """

    def __init__(self, hot: Matcher, tier: DeepTier | None, config: GuardConfig) -> None:
        self._hot = hot
        self._tier = tier
        self._mode = config.deep.mode
        named = frozenset(canonical(name) for name in config.pii_types)
        types = frozenset(canonical(name) for name in config.deep.types)
        self._types = named & (DEEP | types) if named else types
        self._allow = frozenset(config.pii_allow) | frozenset(config.recognisers.allow)

    def wanted(self, demanded: bool) -> bool:
        """Whether the deep tier is to look at a message whose decision demands it, or does not."""
        return demanded or (self._mode == "always" and self._tier is not None)

    async def matcher(self, body: JSON, types: Collection[str] = ()) -> Beside:
        """Ask the deep tier about a whole body and return the matcher for it; see `over`."""
        return await self.over(asked(body), types)

    async def over(self, texts: Sequence[Asked], types: Collection[str] = ()) -> Beside:
        """Ask the deep tier about texts and return the matcher for them.

        Args:
            types: what policy names; it counts beside the configured types.

        Raises:
            DeepTierUnavailable: it could not answer, or policy demands what the configuration turns off.
        """
        if self._tier is None or self._mode == "off":
            raise DeepTierUnavailable(
                "Policy demands the deep tier, and guard.deep.mode turns it off", fix="set guard.deep.mode to policy"
            )
        answers = await self._tier.find(texts)
        found = {
            question: [item for item in matches if question[0][item.start : item.end] not in self._allow]
            for question, matches in zip(texts, answers, strict=True)
        }
        return Beside(self._hot, found, self._types | frozenset(types))
