"""Backward chaining: which tool would answer, what it needs, and which tool gives that.

A chain is worth the share of the question it would account for, times how well its arguments fit, less a price
per call. Depth and breadth are bounded, so a catalogue of thousands costs no more than one of dozens.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.flow.answer import Answer, covers, demands
from agentflow.flow.arguments import Fill, from_facts, from_knowledge, from_question
from agentflow.flow.catalogue import Catalogue, Param, Tool
from agentflow.flow.facts import Facts
from agentflow.flow.fields import PERSON
from agentflow.flow.question import Question
from agentflow.flow.select import Choice
from agentflow.flow.types import Action
from agentflow.flow.words import alike, best_alike, stem, stems

DEPTH = 3
GOALS = 20
_CALL_PRICE = 0.04
_HEAD = 2.0


@dataclass(slots=True)
class Chain:
    """A goal tool with its arguments, and the chains that must run first for those still missing.

    Attributes:
        fits: how well each required argument fits, needs included, each 0..1.
        calls: number of tools in the chain.
        covered: demands of the question that the whole chain accounts for.
    """

    tool: Tool
    arguments: dict[str, Fill]
    needs: list[Chain] = field(default_factory=list)
    fits: list[float] = field(default_factory=list)
    calls: int = 1
    covered: set[str] = field(default_factory=set)
    score: float = 0.0

    @property
    def fit(self) -> float:
        """Geometric mean of the fits."""
        return math.prod(self.fits) ** (1 / len(self.fits)) if self.fits else 1.0

    def first(self) -> Chain:
        """The chain's first call that can be made now."""
        return self.needs[0].first() if self.needs else self


class Chainer:
    """Finds the best next call for one question over one catalogue and the facts so far."""

    def __init__(
        self, question: Question, catalogue: Catalogue, facts: Facts, knowledge: dict[str, Any] | None = None
    ) -> None:
        self._knowledge = knowledge or {}
        self._question = question
        self._catalogue = catalogue
        self._facts = facts
        self._demands = demands(question, catalogue)
        self._made = {call_key(a.tool, a.arguments) for a in facts.actions}
        self._total = sum(self._demands.values()) + _HEAD

    def worth(self, answer: Answer | None) -> float:
        """What an answer at hand is worth on the scale of chain scores."""
        if answer is None:
            return 0.0
        total = self._total - _HEAD
        return (answer.coverage * total + _HEAD * answer.quality) / self._total

    def explore(self) -> Chain | None:
        """A look at the details of a record at hand, by a tool that does not say what it returns, or None."""
        for tool in self._goals():
            detail = any(p.required and alike(p.entity, tool.entity) for p in tool.params)
            if tool.outputs or not tool.read_only or not (detail or best_alike(tool.entity, self._question.words)):
                continue
            chain = self._fill(tool, 1, ())
            fed = chain is not None and any(f.actions and f.fit > 0.9 for f in chain.arguments.values())
            if chain is not None and fed and self.actions(chain):
                return chain
        return None

    def best(self) -> Chain | None:
        """The best chain whose first call is new, or None."""
        found: list[Chain] = []
        if self._done():
            return None
        for rank, tool in enumerate(self._goals()):
            for chain in self._chains(tool, DEPTH, (), goal=True):
                if not self.actions(chain.first()):
                    continue
                chain.score = self._score(chain) - 0.002 * rank
                found.append(chain)
        return max(found, key=lambda c: c.score, default=None)

    def actions(self, chain: Chain) -> list[Action]:
        """The calls of a chain's step that were not made yet: one, or one per value of a fan-out."""
        names = list(chain.arguments)
        combined = itertools.product(*(chain.arguments[name].values for name in names))
        calls = [Action(tool=chain.tool.name, arguments=dict(zip(names, values, strict=True))) for values in combined]
        if (
            not chain.tool.read_only
            and len(calls) > 1
            and not {"all", "every", "each"} & set(self._question.text.lower().split())
        ):
            return []
        return [call for call in calls[:20] if call_key(call.tool, call.arguments) not in self._made]

    def _goals(self) -> list[Tool]:
        ranked = [tool for tool, _ in self._catalogue.search(self._question.text, GOALS)]
        for kind in dict.fromkeys(literal.kind for literal in self._question.literals):
            ranked += [tool for tool, _ in self._catalogue.search(_SUGGESTED.get(kind, ""), 4)]
        if self._question.implied:
            ranked += [tool for tool, _ in self._catalogue.search(_IMPLIED[self._question.implied], GOALS // 2)]
        for word in self._question.words[:6]:
            ranked += self._catalogue.about(word, 6)
        unique = list({tool.name: tool for tool in ranked}.values())
        if self._question.operation == "action":
            return [t for t in unique if not t.read_only and self._verb_fits(t) and self._object_fits(t)]
        return [t for t in unique if t.read_only]

    def _done(self) -> bool:
        """Whether the action asked for has been done: it is done once, whatever its result looks like."""
        values = {str(lit.value) for lit in self._question.literals}
        for index, action in enumerate(self._facts.actions):
            tool = self._catalogue.tool(action.tool)
            if self._question.operation != "action" or tool is None or tool.read_only or not action.success:
                continue
            given = {str(v) for v in self._facts.arguments(index)}
            if self._verb_fits(tool) and self._object_fits(tool) and (not values or values & given):
                return True
        return False

    def _object_fits(self, tool: Tool) -> bool:
        """Whether the question names what the tool writes; a tool that writes something else is never a substitute."""
        if not tool.nouns:
            return True
        # "Write the subject of the ticket in capitals" writes no ticket: what is written stands right after the verb.
        return any(best_alike(word, tool.nouns) for word in self._question.head or self._question.words)

    def _verb_fits(self, tool: Tool) -> bool:
        verb = stem(self._question.verb)
        if stem(tool.verb) == verb or verb in {stem(w) for w in stems(tool.view.name)}:
            return True
        states = {s for p in tool.params for e in p.enum if isinstance(e, str) for s in stems(e)}
        kin = next((group for group in _VERB_KIN if verb in group), frozenset())
        return verb in states or stem(tool.verb) in kin

    def _chains(self, tool: Tool, depth: int, above: tuple[str, ...], *, goal: bool = False) -> Iterable[Chain]:
        if tool.name in above or not (tool.read_only or goal):
            return
        chain = self._fill(tool, depth, above)
        if chain is not None:
            yield chain
            yield from self._with_optional(tool, chain, depth, above)

    def _fill(self, tool: Tool, depth: int, above: tuple[str, ...]) -> Chain | None:
        """Fill required arguments best fit first, then optional ones where the question speaks of them."""
        chain = Chain(tool, {})
        used: set[int] = set()
        fills = {p.name: self._fills(tool, p) for p in tool.params}
        order = sorted(tool.params, key=lambda p: (not p.required, -(fills[p.name][0].fit if fills[p.name] else 0.0)))
        for param in order:
            threshold = 0.6 if not param.required else 0.12 if tool.read_only else 0.35
            fill = next((f for f in fills[param.name] if f.fit >= threshold and not f.literals & used), None)
            produced = None
            if param.required and (fill is None or fill.fit < 0.6) and depth > 1:
                produced = self._produce(param, tool, depth, above)
            if produced is not None and (fill is None or produced.fit * 0.9 > fill.fit):
                chain.needs.append(produced)
                chain.fits += produced.fits
                chain.calls += produced.calls
                continue
            if fill is None:
                if param.required:
                    return None
                continue
            spoken = fill.literals or (fill.words and not fill.actions)
            if not param.required and not param.entity and not spoken:
                continue
            chain.arguments[param.name] = fill
            used |= fill.literals if not fill.actions else frozenset()
            if param.required:
                chain.fits.append(fill.fit)
        self._cover(chain)
        return chain

    def _fills(self, tool: Tool, param: Param) -> list[Fill]:
        fills = from_knowledge(param, self._knowledge)
        fills += from_question(tool, param, self._question, self._catalogue)
        fills += from_facts(tool, param, self._question, self._facts)
        return sorted(fills, key=lambda f: -(f.fit + 0.1 * len(f.literals) + 0.02 * len(f.words)))

    def _with_optional(self, tool: Tool, chain: Chain, depth: int, above: tuple[str, ...]) -> Iterable[Chain]:
        """Variants with an optional id that another tool can give ("orders", of this customer)."""
        for param in tool.params:
            if param.required or not param.entity or param.name in chain.arguments or depth <= 1:
                continue
            if param.entity == tool.entity:
                continue
            produced = self._produce(param, tool, depth, above)
            if produced is not None:
                more = Chain(tool, dict(chain.arguments), [*chain.needs, produced], chain.fits + produced.fits)
                more.calls = chain.calls + produced.calls
                self._cover(more)
                yield more

    def _produce(self, param: Param, tool: Tool, depth: int, above: tuple[str, ...]) -> Chain | None:
        """The best chain that would give a value for a parameter."""
        best: Chain | None = None
        for producer in self._producers(param, tool):
            for chain in self._chains(producer, depth - 1, (*above, tool.name)):
                if not self.actions(chain.first()):
                    continue
                chain.fits.append(self._gives(producer, param))
                chain.score = self._weight(chain.covered) + 3 * chain.fit - _CALL_PRICE * chain.calls * 4
                if best is None or chain.score > best.score:
                    best = chain
        return best

    def _producers(self, param: Param, tool: Tool) -> list[Tool]:
        wanted = param.entity or (param.words[-1] if param.words else "")
        if not wanted:
            return []
        candidates = self._catalogue.about(wanted, 8)
        candidates += [t for t, _ in self._catalogue.search(f"{wanted} {param.name}", 8)]
        unique = {t.name: t for t in candidates if t.read_only and t.name != tool.name}
        return [t for t in unique.values() if self._gives(t, param) > 0.3]

    @staticmethod
    def _gives(producer: Tool, param: Param) -> float:
        """How likely a tool's results hold what a parameter wants."""
        if param.name in producer.outputs:
            return 1.0
        if param.entity:
            if "id" in producer.outputs and alike(producer.entity, param.entity) == 1.0:
                return 1.0
            own = alike(producer.entity, param.entity)
            return 0.9 * own if own else 0.25
        if producer.outputs:
            return 0.8 if any(best_alike(w, stems(o)) == 1.0 for o in producer.outputs for w in param.words) else 0.0
        return 0.45 if any(w in producer.described for w in param.words) else 0.0

    def _cover(self, chain: Chain) -> None:
        """Note which demands the chain accounts for."""
        covered: set[str] = set()
        sources: set[int] = set()
        words: set[str] = set()
        for fill in chain.arguments.values():
            covered |= {f"={p}" for p in fill.literals}
            words |= fill.words
            sources |= fill.actions
        if sources:
            covered |= covers(self._question, self._facts, sorted(sources), self._demands, Choice([]), [])
        names = {*chain.tool.nouns, stem(chain.tool.verb), *(w for o in chain.tool.outputs for w in stems(o))}
        names |= {p.entity for p in chain.tool.params if p.name in chain.arguments and p.entity}
        covered |= {w for w in self._demands if w in words or best_alike(w, names)}
        if chain.tool.many and not covered & {key for key in self._demands if key.startswith("=")}:
            own = chain.tool.nouns[-1:]
            # What a list is not asked for, it may be searched for: "the *Networks* department".
            covered |= {
                f"={lit.position}"
                for lit in self._question.literals
                if best_alike(lit.after, own) or best_alike(lit.before, own)
            }
        for need in chain.needs:
            covered |= need.covered
        chain.covered = covered

    def _weight(self, covered: set[str]) -> float:
        return sum(weight for key, weight in self._demands.items() if key in covered)

    def _score(self, chain: Chain) -> float:
        share = (self._weight(chain.covered) + _HEAD * self._reaches(chain)) / self._total
        spread = (
            0.02 if chain.tool.many and self._question.operation == "value" and not self._question.selectors else 0.0
        )
        return share * (0.3 + 0.7 * chain.fit) - spread - _CALL_PRICE * (chain.calls - 1)

    def _reaches(self, chain: Chain) -> float:
        """How likely the goal tool's results hold what was asked for."""
        question, tool = self._question, chain.tool
        if question.operation == "action":
            return 1.0 if stem(tool.verb) == stem(question.verb) else 0.6
        if not question.head:
            if question.implied == "person" and tool.outputs:
                return 1.0 if set(tool.nouns[-1:]) & PERSON and not tool.many else 0.5
            return 0.9 if tool.outputs else 0.8
        nouns = max((best_alike(h, tool.nouns[-1:]) for h in question.head), default=0.0)
        if question.operation in ("count", "list", "sum", "average"):
            return (1.0 if tool.many else 0.6) if nouns else 0.5 if tool.many else 0.3
        fields = {w for output in tool.outputs for w in stems(output)}
        named = max((best_alike(h, fields) for h in question.head), default=0.0)
        if any(h in fill.words for fill in chain.arguments.values() for h in question.head):
            named = 1.2
        described = any(h in tool.described for h in question.head)
        return max(named, 0.9 * nouns, 0.7 if described else 0.0, 0.2 if tool.outputs else 0.5)


_SUGGESTED = {"code": "convert currency unit code language", "date": "date days between", "url": "url page fetch"}
_IMPLIED = {
    "person": "name customer user employee author owner",
    "date": "date created",
    "place": "city address location",
    "money": "total price amount",
}
_VERB_KIN = tuple(
    frozenset(stem(w) for w in line.split())
    for line in (
        "create add open make insert new submit file register store save write log note append",
        "update set change edit modify mark move rename assign put",
        "delete remove drop clear cancel",
        "send notify email message post",
        "close resolve finish complete",
        "comment reply note append add",
    )
)


def call_key(tool: str, arguments: dict[str, Any]) -> str:
    """A key that equal calls share."""
    return f"{tool} {json.dumps(arguments, sort_keys=True, default=str)}"


def gain(chain: Chain | None, present: float) -> bool:
    """Whether following the chain promises more than what is at hand."""
    return chain is not None and chain.score > present + 0.03


def describe(chain: Chain, missing: Sequence[str]) -> str:
    """Why this call: what it is a step to, and what it would account for."""
    first = chain.first()
    way = "" if first is chain else f", needed for {chain.tool.name}"
    open_points = f"; still open: {', '.join(missing)}" if missing else ""
    return f"{first.tool.name} fits with {chain.fit:.2f}{way}{open_points}"
