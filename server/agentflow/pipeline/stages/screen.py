"""screen: everything that could be an order in disguise is read before a model reads it.

Towards the client, what scores at the block threshold is acted on as configuration or policy says: noted, marked as
data, cut out, put in quarantine, or the whole message refused; from the flag threshold on it is noted. Poisoned
items of a listing are taken out and the others go on. Towards the upstream it flags only: what a person typed is
theirs to type. Content of an upstream that the operator declared `trusted` has an action of its own, until the rules
alone say 0.95 (several overt findings, or a hidden one: trust does not count there); definitions get no such credit.

It acts on content because of what it says, never because of what it is about; see `guard/injection.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Final, Literal

from agentflow.config_guard import Action, GuardConfig
from agentflow.errors import ContentBlocked
from agentflow.guard.detectors.opinion import SecondOpinion
from agentflow.guard.digests import Known
from agentflow.guard.injection import ContentDetector, DescriptionDetector, Detector, Screening
from agentflow.guard.quarantine import Quarantine
from agentflow.guard.readable import every_string, screened
from agentflow.guard.verdict import BEYOND_DOUBT, Outcome, Thresholds
from agentflow.pipeline.call import JSON, Call, Direction, Finding, Message, Obligations, Origin, Verdict
from agentflow.pipeline.defuse import Defused, annotated, defused, place, withheld
from agentflow.pipeline.stage import PASS, Note

_JOIN: Final = "\n\n"
_KEPT_FINDINGS: Final = 50  # of one call
_REMEMBERED: Final = 32_768  # definitions whose screening is kept
_PASSED: Final = 4096  # messages that are known to hold nothing

Texts = Callable[[], dict[str, str]]  # what was read, by path

# Surface → the member of its body that lists definitions.
_LISTINGS: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
_INSTRUCTIONS: Final = frozenset({"server/instructions", "server/discover", "initialize"})
DEFINING: Final = _INSTRUCTIONS | _LISTINGS.keys()  # surfaces that say what servers offer


@cache
def _detectors(model: bool) -> tuple[Detector, Detector]:
    """Compiled once per process (0.2 s): a changed configuration changes thresholds, not rules."""
    return ContentDetector(model=model), DescriptionDetector(model=model)


def detectors(config: GuardConfig) -> tuple[Detector, Detector]:
    """The detectors of content and of descriptions for a configuration."""
    return _detectors(config.injection.model)


class Screen:
    """The screen stage.

    Args:
        quarantine: where withheld results are kept; one of its own where none is given.
    """

    name: ClassVar[str] = "screen"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)

    def __init__(
        self, config: GuardConfig, quarantine: Quarantine | None = None, second: SecondOpinion | None = None
    ) -> None:
        self._thresholds = Thresholds.of(config)
        self._settings = config.injection
        self._content, self._descriptions = detectors(config)
        self._definitions: OrderedDict[bytes, Screening] = OrderedDict()
        self._quarantine = Quarantine() if quarantine is None else quarantine
        self._excused: frozenset[bytes] = frozenset()
        self._second = second
        self._passed = Known(_PASSED)

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Screen one message; findings and the highest score are kept in the call. Awaits only a second opinion.

        Raises:
            ContentBlocked: the message goes to the client, its score reaches the block threshold, and the action
                is to block, or the one asked for cannot be taken on it.
            StageFailed: a second opinion was wanted and could not be had.
        """
        if message.direction is Direction.OUTBOUND:
            if (key := _LISTINGS.get(message.surface)) is not None:
                return self._listing(call, message, key)
            if message.surface in _INSTRUCTIONS:
                return self._instructions(call, message)
        tenant, digest = call.principal.tenant, message.digest
        if self._passed.has(tenant, digest):
            return PASS
        screening, texts = screened(self._content, message.body)
        if self._second is not None and self._second.wanted(screening):
            return self._reviewed(call, message, screening, texts())
        note = self._judged(call, message, screening, texts)
        if note is PASS:
            self._passed.add(tenant, digest)
        return note

    async def _reviewed(self, call: Call, message: Message, screening: Screening, found: dict[str, str]) -> Note:
        assert self._second is not None
        reviewed = await self._second.of(screening, found, call.principal.tenant)
        return self._judged(call, message, reviewed, lambda: found)

    def _judged(self, call: Call, message: Message, screening: Screening, texts: Texts) -> Note:
        if screening.score < self._thresholds.flag:
            return PASS
        self._keep(call, screening)
        if message.direction is Direction.INBOUND:
            return Note(Verdict.FLAGGED, _summary(screening))
        return self._concluded(call, message, screening, texts)

    # ----------------------------------------------------------------------- content

    def _concluded(self, call: Call, message: Message, screening: Screening, texts: Texts) -> Note:
        """Do with a message what its score asks for."""
        summary, action = _summary(screening), self._action(call, screening)
        if action == "block":
            raise _blocked(message, screening)
        if action == "quarantine":
            kept = self._withheld(call, message, summary)
            if kept is not None:
                message.body = kept
                return Note(Verdict.FLAGGED, {**summary, "action": action})
            action = "cut"  # a question, a notification, an error: nothing that could be read later
        if action != "annotate":
            done = defused(message.body, screening, texts(), action)
            if not self._safe(call, done, action):
                raise _blocked(message, screening)
            message.body, message.marked = done.body, action == "spotlight"
        summary["action"] = action
        message.body = annotated(message, summary)
        return Note(Verdict.FLAGGED, summary)

    def _action(self, call: Call, screening: Screening) -> Action:
        """What is done about a finding: the policy's word, else the configuration's for this upstream."""
        if self._thresholds.verdict(screening) is not Outcome.BLOCK:
            return "annotate"
        asked = call.decision.obligations.injection if call.decision is not None else None
        if call.origin is not None and asked in (None, "annotate", "quarantine"):
            return "spotlight"  # asked for by the one it was withheld from
        if asked is not None:
            return asked
        # A model's answer is to its caller's own question; what outsiders wrote was screened on its way into that.
        trusted = call.upstream.kind == "model" or (
            call.upstream.trust == "trusted" and call.upstream.kind != "gateway"
        )
        return self._settings.trusted if trusted and screening.overt < BEYOND_DOUBT else self._settings.untrusted

    def _safe(self, call: Call, done: Defused, action: Action) -> bool:
        """Whether what is left may go on: it is complete, fits its schema, and no longer reads as an attack."""
        if not done.complete or not done.fits(call.definition):
            return False
        return action == "spotlight" or screened(self._content, done.body)[0].score < self._thresholds.block

    def _withheld(self, call: Call, message: Message, summary: JSON) -> JSON | None:
        """A body that says where the withheld one can be read; None for messages that cannot hold such a link."""
        seconds = self._settings.quarantine_minutes * 60
        obligations = call.decision.obligations if call.decision is not None else Obligations()
        origin = call.origin or Origin(call.surface, call.target, call.definition, obligations)
        return withheld(
            call,
            message,
            summary,
            lambda result: self._quarantine.keep(call.principal.key, result, call.upstream, origin, seconds),
        )

    # ----------------------------------------------------------------------- listings

    def _listing(self, call: Call, message: Message, key: str) -> Note:
        items = message.body.get(key)
        if not isinstance(items, list):
            return PASS
        kept, dropped, flagged = [], [], []
        for index, item in enumerate(items):
            screening = self.definition(item)
            outcome = self._thresholds.verdict(screening)
            if outcome is Outcome.ALLOW:
                kept.append(item)
                continue
            here = _moved(screening, f"/{key}/{index}")
            self._keep(call, here)
            if outcome is Outcome.BLOCK and not self._excuses(item):
                dropped.append({"name": _name(item), **_summary(here)})
            else:
                kept.append(item)
                flagged.append({"name": _name(item), **_summary(here)})
        if dropped:
            message.body = {**message.body, key: kept}
        if not dropped and not flagged:
            return PASS
        return Note(Verdict.FLAGGED, {"dropped": dropped, "flagged": flagged})

    def _instructions(self, call: Call, message: Message) -> Note:
        """Instructions are one text: poisoned, they are left out as a whole."""
        screening = self._descriptions.score_many(list(every_string(message.body)))
        outcome = self._thresholds.verdict(screening)
        if outcome is Outcome.ALLOW:
            return PASS
        self._keep(call, screening)
        if outcome is Outcome.FLAG or self._excuses(message.body):
            return Note(Verdict.FLAGGED, _summary(screening))
        if not screening.findings[0].path.startswith("/instructions"):
            raise _blocked(message, screening)
        message.body = {name: value for name, value in message.body.items() if name != "instructions"}
        return Note(Verdict.FLAGGED, {"dropped": [{"name": "instructions", **_summary(screening)}], "flagged": []})

    def poisoned(self, item: JSON) -> tuple[str, ...]:
        """The rules by which a definition, as clients would see it, is taken out of listings; none where it is not.

        The gateway asks before it offers anything, so that what is not listed cannot be called either. From any thread.
        """
        screening = self.definition(item)
        blocked = self._thresholds.verdict(screening) is Outcome.BLOCK
        return tuple(_summary(screening)["rules"]) if blocked else ()

    def excuse(self, items: Iterable[JSON]) -> None:
        """Take these definitions, and no others, out of no listing: an administrator approved them as they are."""
        self._excused = frozenset(map(_digest, items))

    def _excuses(self, item: Any) -> bool:
        return bool(self._excused) and _digest(item) in self._excused

    def definition(self, item: Any) -> Screening:
        """Screen one definition; remembered by its bytes, since the same thousands are listed again and again."""
        digest = _digest(item)
        known = self._definitions.get(digest)
        if known is not None:
            return known
        screening = self._definitions[digest] = self._descriptions.score_many(list(every_string(item)))
        if len(self._definitions) > _REMEMBERED:
            self._definitions.popitem(last=False)
        return screening

    # ----------------------------------------------------------------------- the call's record

    def _keep(self, call: Call, screening: Screening) -> None:
        call.injection_score = max(call.injection_score, screening.score)
        room = _KEPT_FINDINGS - len(call.findings)
        call.findings.extend(screening.findings[: max(0, room)])


def _digest(item: Any) -> bytes:
    return hashlib.blake2b(json.dumps(item).encode(), digest_size=16).digest()


def _moved(screening: Screening, prefix: str) -> Screening:
    moved = (Finding(f.rule, f.severity, prefix + f.path, f.start, f.end, f.excerpt) for f in screening.findings)
    return replace(screening, findings=tuple(moved))


def _name(item: Any) -> str:
    """How an item is named in a note; a name that is an attack itself is cut."""
    name = item.get("name") or item.get("uri") or item.get("uriTemplate") if isinstance(item, dict) else ""
    return str(name)[:64]


def _summary(screening: Screening) -> JSON:
    rules = sorted({finding.rule for finding in screening.findings})
    return {"score": screening.score, "rules": rules, "path": place(screening.findings[0].path)}


def _blocked(message: Message, screening: Screening) -> ContentBlocked:
    first, summary = screening.findings[0], _summary(screening)
    return ContentBlocked(
        f"Blocked: {message.surface} carries what reads as an injected instruction "
        f'({", ".join(summary["rules"][:5])}) at {summary["path"] or "/"}: "{first.excerpt}"',
        fix="If this content is legitimate, declare its server `trust: trusted`, raise guard.block_threshold, or set "
        "guard.injection.untrusted to annotate, spotlight, cut or quarantine",
        **summary,
    )
