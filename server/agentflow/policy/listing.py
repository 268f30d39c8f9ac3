"""What of a listing a caller sees, decided by the same rule as a call, in groups and once per catalogue entry.

A view remembers its answers by catalogue entry (the very objects) and lives as long as the policy revision, the
caller and, where the bundle looks at it, the hour stay the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import orjson

from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Decision, UpstreamFacts
from agentflow.policy import document
from agentflow.policy.decision import denied, is_fault
from agentflow.policy.port import PolicyEngine

Item = tuple[UpstreamFacts, str, JSON]  # upstream, its own name for the thing, the catalogue's definition

_VIEWS = 256
_CHUNK = 50


class View:
    """The answers for one caller and one kind of thing under one policy revision."""

    def __init__(self, caller: Principal, kind: str, revision: str) -> None:
        self.caller = caller
        self.kind = kind
        self.revision = revision
        # By identity of the definition; holding the item keeps that identity from being given away.
        self._answers: dict[int, tuple[Item, bool]] = {}

    def missing(self, items: Iterable[Item | None]) -> list[Item]:
        """The items not decided yet, or decided for an entry that has changed since."""
        answers = self._answers
        found: list[Item] = []
        for item in items:
            if item is not None:
                known = answers.get(id(item[2]))
                if known is None or known[0][1] != item[1] or (known[0][0] is not item[0] and known[0][0] != item[0]):
                    found.append(item)
        return found

    def shows(self, item: Item) -> bool:
        """Whether the caller sees it. An item not decided is not shown."""
        known = self._answers.get(id(item[2]))
        return known is not None and known[1]

    def keep(self, item: Item, shown: bool) -> None:
        self._answers[id(item[2])] = (item, shown)

    def trim(self, size: int) -> None:
        """Forget everything once entries of bygone catalogues outnumber the present ones."""
        if len(self._answers) > size:
            self._answers = {}


class Listings:
    """The views of all callers, the least recently used dropped first."""

    def __init__(self, engine: PolicyEngine) -> None:
        self._engine = engine
        self._views: OrderedDict[tuple[object, ...], View] = OrderedDict()

    def view(self, caller: Principal, kind: str) -> View:
        """Return the view of this caller under the policy now in force."""
        hour = tuple(document.now().values()) if self._engine.reads("time") else ()
        key = (self._engine.revision, self._engine.epoch, caller, kind, hour)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = View(caller, kind, self._engine.revision)
            if len(self._views) > _VIEWS:
                self._views.popitem(last=False)
        else:
            self._views.move_to_end(key)
        return view

    async def fill(self, view: View, items: list[Item], attempts: int = 5) -> Decision | None:
        """Decide `items` into `view`. Returns a decision that is a fault, if there was one; nothing is kept then."""
        view.trim(4 * len(items) + 20_000)
        groups: dict[bytes | str, list[Item]] = {}
        for item in items:
            groups.setdefault(self._group(view, item), []).append(item)
        questions = [document.for_listing(view.caller, view.kind, *members[0]) for members in groups.values()]
        decisions: list[Decision] = []
        for start in range(0, len(questions), _CHUNK):  # so that calls get their turn in between
            decisions += await self._engine.decide_soon(*questions[start : start + _CHUNK])
        for decision in decisions:
            if is_fault(decision):
                return decision
        if {decision.revision for decision in decisions} == {view.revision}:
            for decision, members in zip(decisions, groups.values(), strict=True):
                for item in members:
                    view.keep(item, decision.allow)
            return None
        if attempts <= 1:
            return denied("policy_error", "the policy changes faster than a listing is decided", view.revision)
        view.revision = self._engine.revision  # the policy changed underway: ask again
        return await self.fill(view, items, attempts - 1)

    def _group(self, view: View, item: Item) -> bytes | str:
        """Items with equal results cannot be told apart by the bundle (same caller, same hour)."""
        facts, target, definition = item
        selectors = self._engine.bundle.selectors
        names: tuple[str, ...] = (facts.name, target)
        if selectors is not None:
            names = selectors.group(view.kind, facts.name, target)
        part: JSON = {
            "call": {"annotations": document.hints_of(definition)},
            "upstream": document.upstream(facts),
        }
        try:
            return orjson.dumps([names, self._engine.bundle.reads(part)], option=orjson.OPT_SORT_KEYS)
        except TypeError:
            return f"{facts.name}\0{target}"  # not expressible as JSON: by itself, where the engine denies it
