"""The language models there are, by the names that callers use: those of the configuration, and those discovered.

An immutable snapshot; a change makes another one. `auto` stands for "as routed" and is there where any model is. What a
caller may know of it is policy's to say, by the same rule as for a tool: see `models.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentflow.config_models import ModelsConfig, ModelTier
from agentflow.gateway.model_schemas import SCHEMAS
from agentflow.pipeline.call import MODELS
from agentflow.policy.listing import Item

JSON = dict[str, Any]
Kind = Literal["chat", "embedding"]
AUTO: Final = "auto"
TIERS: Final[tuple[str, ...]] = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class ModelEntry:
    """One name, and who serves it.

    Attributes:
        definition: what policy and the guard go by, as a tool's.
        tiers: of the models of that name.
    """

    name: str
    kind: Kind
    tiers: frozenset[ModelTier]
    providers: tuple[str, ...]
    definition: JSON

    @property
    def item(self) -> Item:
        """What policy is asked about."""
        return MODELS, self.name, self.definition

    def within(self, most: ModelTier | None) -> bool:
        """Whether some model of that name is no stronger than `most`."""
        return most is None or any(TIERS.index(tier) <= TIERS.index(most) for tier in self.tiers)


class ModelCatalogue:
    """What there is to ask.

    Args:
        discovered: what the worker lists (`ModelWorker.models`), where providers are asked what they have.
        former: the snapshot before; entries that are the same stay the very same, for what is remembered of them.
    """

    def __init__(
        self, config: ModelsConfig, discovered: Iterable[JSON] = (), former: ModelCatalogue | None = None
    ) -> None:
        found: dict[tuple[str, Kind], tuple[set[ModelTier], dict[str, None]]] = {}
        for provider, account in config.providers.items():
            for model in account.models if account.enabled else ():
                tiers, providers = found.setdefault((model.name or model.model, model.kind), (set(), {}))
                tiers.add(model.tier)
                providers[provider] = None
        for each in discovered:
            about = each.get("agentflow")
            if isinstance(about, dict) and about.get("tier") in TIERS and about.get("kind") in SCHEMAS:
                tiers, providers = found.setdefault((str(each["id"]), about["kind"]), (set(), {}))
                tiers.add(about["tier"])
                providers[str(about.get("provider", ""))] = None
        kept: Mapping[str, ModelEntry] = former.entries if former is not None else {}
        self.entries: dict[str, ModelEntry] = {}
        for (name, kind), (tiers, providers) in found.items():
            self._add(name, kind, frozenset(tiers), tuple(providers), kept)
        chats = [entry for entry in self.entries.values() if entry.kind == "chat"]
        if chats:
            self._add(AUTO, "chat", frozenset(tier for each in chats for tier in each.tiers), (), kept)

    def _add(
        self,
        name: str,
        kind: Kind,
        tiers: frozenset[ModelTier],
        providers: tuple[str, ...],
        kept: Mapping[str, ModelEntry],
    ) -> None:
        definition: JSON = {"name": name, "kind": kind, "inputSchema": SCHEMAS[kind]}
        entry = ModelEntry(name, kind, tiers, providers, definition)
        old = kept.get(name)
        self.entries.setdefault(name, old if old == entry else entry)

    def named(self, kind: Kind) -> list[ModelEntry]:
        """The models of a kind, `auto` left out."""
        return [each for each in self.entries.values() if each.kind == kind and each.name != AUTO]
