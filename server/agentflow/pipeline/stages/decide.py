"""Stage `decide`: policy says whether this caller may do this, and what of a listing it sees.

One rule decides both. A call that the same rule would not even list is refused in the words used for a name that
does not exist; any other refusal states its reasons. It fails closed: whatever keeps the policy from answering is a
denial with that as its reason.

A policy that names the phase `result` is asked once more, about the answer: it may keep it back, or want more of it
taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal

from agentflow.audit.asked import size_of
from agentflow.errors import PolicyDenied, UnknownName
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, Decision, Direction, Message, Pii, UpstreamFacts, Verdict
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.policy import document
from agentflow.policy.decision import denied, is_fault, stricter
from agentflow.policy.listing import Item, Listings
from agentflow.policy.port import PolicyEngine

log = logging.getLogger(__name__)

# (call, item as listed) -> (its upstream, the upstream's own name or URI, the catalogue's definition), or None for
# an item nobody knows, which is then not shown.
FactsOf = Callable[[Call, JSON], tuple[UpstreamFacts, str, JSON] | None]

# What personal data a message holds.
PiiOf = Callable[[Call, Message], Awaitable[Pii]]

_LISTS = {
    "tools/list": ("tools", "tool"),
    "prompts/list": ("prompts", "prompt"),
    "resources/list": ("resources", "resource"),
    "resources/templates/list": ("resourceTemplates", "resource"),
    "models/list": ("models", "model"),
}
_ANSWERS = frozenset((*document.USED_BY.values(), "models/embed"))
_NOBODYS = UpstreamFacts("", "none")
_UNKNOWN = {
    "tool": "Unknown tool", "prompt": "Unknown prompt", "resource": "Unknown resource", "model": "Unknown model",
}  # fmt: skip


def unknown_name(kind: str, name: str) -> UnknownName:
    """The one error for a name that does not exist, or that this caller may not know of.

    Args:
        kind: `tool`, `prompt`, `resource` or `model`.
        name: as the client wrote it.
    """
    return UnknownName(f"{_UNKNOWN[kind]}: {name}")


class Decide:
    """The stage.

    Args:
        engine: answers for the policy.
        facts_of: finds what a listed item stands for.
        pii_of: finds personal data in an answer; without it, policy is told of none.
    """

    name = "decide"
    kind: Literal["validator"] = "validator"
    directions = frozenset({Direction.INBOUND, Direction.OUTBOUND})

    def __init__(self, engine: PolicyEngine, facts_of: FactsOf, pii_of: PiiOf | None = None) -> None:
        self._engine = engine
        self._facts_of = facts_of
        self._pii_of = pii_of
        self._listings = Listings(engine)

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Decide the call (inbound), or cut its listing down (outbound). Awaits only what was not decided before.

        Raises:
            UnknownName: the caller may not even know of what it called.
            PolicyDenied: policy said no, or could not say yes; `data.reasons` holds codes and messages.
        """
        if message.surface != call.surface or call.refused:
            return SKIPPED
        if message.direction is Direction.OUTBOUND:
            if call.surface in _LISTS:
                return self._filter(call, message)
            if call.surface in _ANSWERS and call.decision is not None and self._engine.bundle.results:
                return self._answered(call, message, call.decision)
            return SKIPPED
        kind = document.kind_of(call)
        reads = self._engine.reads
        if call.labelled is None and kind != "gateway" and (reads("call", "arguments") or reads("call", "size")):
            # A condition on arguments that are not there would hold or fail for the wrong reason.
            raise self._unlabelled(call, "arguments")
        question = document.for_call(call)
        if kind == "resource" and not question["call"]["tool"] and reads("call", "tool"):
            raise self._unlabelled(call, "addresses")
        call.question = question
        decision = self._engine.known(question)
        if decision is None:
            return self._ask(call, question)
        call.decision = decision = _bound(call, decision)
        if decision.allow:
            return _note(decision)
        if is_fault(decision) or kind == "gateway":
            raise _refusal(decision)
        seen = self._engine.known(_as_listed(call, question))
        return self._ask(call, question) if seen is None else _refuse(call, decision, seen)

    def _unlabelled(self, call: Call, what: str) -> PolicyDenied:
        reason = f"the policy looks at {what}, and these were not labelled"
        call.decision = denied("policy_error", reason, self._engine.revision)
        return _refusal(call.decision)

    async def _ask(self, call: Call, question: JSON) -> Note:
        call.decision = decision = _bound(call, (await self._engine.decide_soon(question))[0])
        if decision.allow:
            return _note(decision)
        if is_fault(decision) or document.kind_of(call) == "gateway":
            raise _refusal(decision)
        return _refuse(call, decision, (await self._engine.decide_soon(_as_listed(call, question)))[0])

    async def _answered(self, call: Call, message: Message, own: Decision) -> Note:
        """Whether the answer may go to the caller. What it owes is added where that is stricter.

        Raises:
            PolicyDenied: it may not, or policy could not say so; what was called has run.
        """
        if call.question is None:  # the call was never asked about either, and went on where `decide` fails open
            return SKIPPED
        pii = await self._pii_of(call, message) if self._pii_of is not None else Pii()
        data = message.data
        size = len(data) if data is not None else size_of(message.body)
        decision = (await self._engine.decide_soon(document.for_result(call, size, pii)))[0]
        if not decision.allow:
            raise _refusal(decision)
        if decision.obligations.approval is not None and own.obligations.approval is None:
            raise _refusal(denied("policy_wrong_type", "an answer cannot wait for an approval", decision.revision))
        call.decision = replace(own, obligations=stricter(own.obligations, decision.obligations))
        return _note(decision)

    def visible(self, caller: Principal, kind: str, item: Item) -> bool | Awaitable[bool]:
        """Whether this caller may know that `item` exists: what a listing would show, remembered like one.

        The gateway asks before anything else looks at a call, so that no other refusal can give a hidden name away.

        Raises:
            PolicyDenied: as `answering`; awaiting it raises this, never the call itself.
        """
        view = self._listings.view(caller, kind)
        return self._look(caller, kind, item) if view.missing((item,)) else view.shows(item)

    def known_visible(self, caller: Principal, kind: str, item: Item) -> bool:
        """Whether this caller is known to see `item`; False where that was not decided yet."""
        view = self._listings.view(caller, kind)
        return not view.missing((item,)) and view.shows(item)

    async def answering(self, caller: Principal, kind: str) -> None:
        """Ask about a name that nobody has. To be asked wherever a name is to be called unknown: while the policy
        cannot answer nobody knows which names this caller may know of, and all of them get this same refusal.

        Raises:
            PolicyDenied: the policy does not answer.
        """
        question = document.for_listing(caller, kind, _NOBODYS, "", None)
        decision = self._engine.known(question) or (await self._engine.decide_soon(question))[0]
        if is_fault(decision):
            raise _refusal(decision)

    async def _look(self, caller: Principal, kind: str, item: Item) -> bool:
        await self.answering(caller, kind)
        view = self._listings.view(caller, kind)
        fault = await self._listings.fill(view, [item])
        if fault is not None:  # it answers, but not about this one: to say so would be to say that there is one
            code = fault.reasons[0][0]
            log.warning("policy: whether a %s of %s shows cannot be decided: %s", kind, item[0].name, code)
        return fault is None and view.shows(item)

    @property
    def judges_answers(self) -> bool:
        """Whether the policy in force looks at answers."""
        return bool(self._engine.bundle.results)

    async def alike(self, call: Call, targets: Sequence[str]) -> list[str]:
        """Which of these the call might as well have named: policy would allow that, and owe the very same for it.

        Raises:
            PolicyDenied: policy could not say so.
        """
        if call.question is None or call.decision is None:  # nothing was asked about the call either
            return list(targets)
        about = call.question["call"]
        questions = [{**call.question, "call": {**about, "tool": target}} for target in targets]
        known = [self._engine.known(question) for question in questions]
        missing = [question for question, found in zip(questions, known, strict=True) if found is None]
        fresh = iter(await self._engine.decide_soon(*missing) if missing else ())
        decisions = [next(fresh) if found is None else found for found in known]
        for decision in decisions:
            if is_fault(decision):
                raise _refusal(decision)
        owed = call.decision.obligations
        return [t for t, each in zip(targets, decisions, strict=True) if each.allow and each.obligations == owed]

    def _filter(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        key, kind = _LISTS[call.surface]
        listed = message.body.get(key)
        if not isinstance(listed, list) or not listed:
            return PASS
        facts_of = self._facts_of
        items: list[Item | None] = [facts_of(call, shown) for shown in listed]
        view = self._listings.view(call.principal, kind)
        missing = view.missing(items)
        if missing:
            return self._fill(call, message, items, missing)
        return _cut(message, key, [item is not None and view.shows(item) for item in items])

    async def _fill(self, call: Call, message: Message, items: list[Item | None], missing: list[Item]) -> Note:
        key, kind = _LISTS[call.surface]
        view = self._listings.view(call.principal, kind)
        fault = await self._listings.fill(view, missing)
        if fault is not None:
            raise _refusal(fault)
        return _cut(message, key, [item is not None and view.shows(item) for item in items])


def _cut(message: Message, key: str, shown: list[bool]) -> Note:
    hidden = shown.count(False)
    if not hidden:
        return PASS
    kept = [item for item, keep in zip(message.body[key], shown, strict=True) if keep]
    message.body = {**message.body, key: kept}
    return Note(Verdict.CHANGED, {"hidden": hidden})


def _bound(call: Call, decision: Decision) -> Decision:
    """The decision on reading a result in quarantine holds to what was demanded of the call that it answered."""
    if call.origin is None:
        return decision
    return replace(decision, obligations=stricter(decision.obligations, call.origin.obligations))


def _as_listed(call: Call, question: JSON) -> JSON:
    """The same question asked of a listing: may the caller know that this exists?"""
    target = question["call"]["tool"]  # tokenised, where it is a URI that held PII
    return document.for_listing(call.principal, document.kind_of(call), call.upstream, target, call.definition)


def _refuse(call: Call, decision: Decision, seen: Decision) -> Note:
    if not seen.allow and not is_fault(seen):
        raise unknown_name(document.kind_of(call), call.name)
    raise _refusal(decision)


def _note(decision: Decision) -> Note:
    return Note(Verdict.PASS, {"reasons": [code for code, _ in decision.reasons]}) if decision.reasons else PASS


def _refusal(decision: Decision) -> PolicyDenied:
    reasons = [{"code": code, "message": message} for code, message in decision.reasons]
    return PolicyDenied(
        "Denied by policy: " + "; ".join(message for _, message in decision.reasons),
        fix="ask the administrator of this gateway's policy" if not is_fault(decision) else "check the policy bundle",
        reasons=reasons,
        revision=decision.revision,
    )
